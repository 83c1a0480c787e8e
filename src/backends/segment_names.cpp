#include "backends/segment_names.hpp"

#include <charconv>

#include <fmt/format.h>

namespace fdpstore::backends {

std::string to_file_name(const SegmentName& name) {
  if (name.prompt.value == 0) return fmt::format("{:08d}.seg", name.id.value);
  return fmt::format("prompt-{:08x}-{:08d}.seg", name.prompt.value, name.id.value);
}

std::optional<SegmentName> parse_segment_name(std::string_view name) {
  const auto number = [](std::string_view text, int base) -> std::optional<std::uint32_t> {
    std::uint32_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    return value;
  };
  constexpr std::string_view kPrefix = "prompt-", kSuffix = ".seg";
  constexpr std::size_t kDigits = 8;
  SegmentName result;
  std::string_view rest = name;
  if (rest.starts_with(kPrefix)) {
    rest.remove_prefix(kPrefix.size());
    if (rest.size() <= kDigits || rest[kDigits] != '-') return std::nullopt;
    const auto prompt = number(rest.substr(0, kDigits), 16);
    if (!prompt) return std::nullopt;
    result.prompt.value = *prompt;
    rest.remove_prefix(kDigits + 1);
  }
  if (!rest.ends_with(kSuffix)) return std::nullopt;
  rest.remove_suffix(kSuffix.size());
  const auto id = number(rest, 10);
  if (!id) return std::nullopt;
  result.id.value = *id;
  // One spelling per segment: others are somebody else's files.
  if (to_file_name(result) != name) return std::nullopt;
  return result;
}

}  // namespace fdpstore::backends
