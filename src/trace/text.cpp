#include "trace/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

namespace fdpstore::trace {
namespace {

constexpr std::array<std::pair<std::string_view, double>, 14> kUnits{{{"", 1},
                                                                      {"B", 1},
                                                                      {"K", 0x1p10},
                                                                      {"KiB", 0x1p10},
                                                                      {"M", 0x1p20},
                                                                      {"MiB", 0x1p20},
                                                                      {"G", 0x1p30},
                                                                      {"GiB", 0x1p30},
                                                                      {"T", 0x1p40},
                                                                      {"TiB", 0x1p40},
                                                                      {"kB", 1e3},
                                                                      {"MB", 1e6},
                                                                      {"GB", 1e9},
                                                                      {"TB", 1e12}}};

template <class Number>
std::optional<Number> parse_whole(std::string_view text) {
  Number number{};
  const char* begin = text.data();
  const char* end = begin + text.size();
  const auto [stop, error] = std::from_chars(begin, end, number);
  if (error != std::errc{} || stop != end) return std::nullopt;
  return number;
}

}  // namespace

std::optional<std::uint64_t> parse_count(std::string_view text) {
  return parse_whole<std::uint64_t>(text);
}

std::optional<double> parse_real(std::string_view text) {
  const auto number = parse_whole<double>(text);
  if (!number || !std::isfinite(*number) || *number < 0) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> parse_bytes(std::string_view text) {
  const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const auto number = parse_real(text.substr(0, digits));
  std::string_view unit = text.substr(digits);
  unit.remove_prefix(std::min(unit.find_first_not_of(' '), unit.size()));
  for (const auto& [name, factor] : kUnits) {
    if (!number || name != unit) continue;
    const double bytes = *number * factor;
    if (bytes < 1 || bytes > 0x1p53) return std::nullopt;
    return static_cast<std::uint64_t>(bytes);
  }
  return std::nullopt;
}

}  // namespace fdpstore::trace
