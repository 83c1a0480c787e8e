#include "ftl/sim_parameters.hpp"

#include <algorithm>
#include <charconv>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <utility>
#include <variant>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fdpstore::ftl {
namespace {

std::unexpected<Error> bad(std::string_view key, std::string_view value, std::string_view remedy) {
  return fail(Errc::invalid_option, fmt::format("sim: {} = {}: {}", key, value, remedy));
}

struct Size {
  std::uint64_t& value;
  std::uint64_t unit = 1;  // what a plain number counts
};
struct Number {
  double& value;
  double least = 0, most = 1e12;
  bool above_least = false;
};
struct Count {
  std::uint32_t& value;
  std::uint32_t least = 1, most = UINT32_MAX;
};
// One of two words.
struct Choice {
  std::string_view first, second;
  std::function<void(bool is_second)> set;
  bool is_second = false;
};
struct Text {
  std::string& value;
};
struct Row {
  std::string_view key;
  std::variant<Size, Number, Count, Choice, Text> value;
};

// What a URI may hold, bound to `p`.
std::vector<Row> rows(SimParameters& p) {
  return {
      {"capacity", Size{p.ftl.capacity_bytes}},
      {"op", Number{p.ftl.spare_percent, 0, 1000}},
      {"ru", Size{p.ftl.unit_bytes}},
      {"ruhs", Count{p.ftl.handles, 1, 128}},
      {"isolation", Choice{"initial", "persistent",
                           [&p](bool second) {
                             p.ftl.isolation = second ? Isolation::persistent : Isolation::initial;
                           },
                           p.ftl.isolation == Isolation::persistent}},
      {"gc", Choice{"greedy", "fifo",
                    [&p](bool second) {
                      p.ftl.collection = second ? Collection::fifo : Collection::greedy;
                    },
                    p.ftl.collection == Collection::fifo}},
      {"map", Size{p.ftl.map_bytes}},
      {"rus", Count{p.ftl.reclaim_units, 0}},
      {"fdp", Choice{"on", "off", [&p](bool second) { p.fdp = !second; }, !p.fdp}},
      {"data",
       Choice{"memory", "none", [&p](bool second) { p.keep_payload = !second; }, !p.keep_payload}},
      {"dies", Count{p.time.dies, 1, 65536}},
      {"t_read_us", Number{p.time.read_us}},
      {"t_prog_us", Number{p.time.program_us}},
      {"t_erase_us", Number{p.time.erase_us}},
      {"channel_gbps", Number{p.time.channel_gbps, 0, 1e12, true}},
      {"link_gbps", Number{p.time.link_gbps, 0, 1e12, true}},
      {"command_us", Number{p.time.command_us}},
      {"buffer_kib", Size{p.time.buffer_kib}},
      {"name", Text{p.name}},
  };
}

// Digits and one of K, M, G, T.
std::optional<std::uint64_t> size_of(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return std::nullopt;
  const std::string_view suffix(end, static_cast<std::size_t>(text.data() + text.size() - end));
  if (suffix.empty()) return value;
  const std::size_t power = std::string_view("KMGT").find(suffix[0]);
  if (suffix.size() != 1 || power == std::string_view::npos) return std::nullopt;
  const std::uint64_t shift = 10 * (power + 1);
  if (value > (UINT64_MAX >> shift)) return std::nullopt;
  return value << shift;
}

template <class T>
std::optional<T> number_of(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Result<void> set(std::string_view key, const Size& to, std::string_view text) {
  const auto value = size_of(text);
  if (!value) return bad(key, text, "use a number with K, M, G or T behind it, like 64G");
  to.value = *value;
  return {};
}
Result<void> set(std::string_view key, const Number& to, std::string_view text) {
  const auto value = number_of<double>(text);
  if (!value || !(*value >= to.least && *value <= to.most) ||
      (to.above_least && *value == to.least)) {
    return bad(
        key, text,
        fmt::format("use a number {} {}, like 1.5", to.above_least ? "above" : "from", to.least));
  }
  to.value = *value;
  return {};
}
Result<void> set(std::string_view key, const Count& to, std::string_view text) {
  const auto value = number_of<std::uint32_t>(text);
  if (!value || *value < to.least || *value > to.most) {
    return bad(key, text, fmt::format("use {} … {}", to.least, to.most));
  }
  to.value = *value;
  return {};
}
Result<void> set(std::string_view key, const Choice& to, std::string_view text) {
  if (text != to.first && text != to.second) {
    return bad(key, text, fmt::format("use {} or {}", to.first, to.second));
  }
  to.set(text == to.second);
  return {};
}
Result<void> set(std::string_view /*key*/, const Text& to, std::string_view text) {
  to.value = text;
  return {};
}

std::string size_text(std::uint64_t bytes) {
  std::size_t power = 0;
  while (power < 4 && bytes != 0 && bytes % 1024 == 0) {
    bytes /= 1024;
    ++power;
  }
  return power == 0 ? fmt::format("{}", bytes) : fmt::format("{}{}", bytes, "KMGT"[power - 1]);
}
std::string text_of(const Size& of) {
  return size_text(of.value);
}
std::string text_of(const Number& of) {
  return fmt::format("{}", of.value);
}
std::string text_of(const Count& of) {
  return fmt::format("{}", of.value);
}
std::string text_of(const Choice& of) {
  return std::string(of.is_second ? of.second : of.first);
}
std::string text_of(const Text& of) {
  return of.value;
}

}  // namespace

Result<SimParameters> parse_sim_uri(std::string_view uri) {
  if (!is_sim_uri(uri)) {
    return fail(Errc::invalid_option,
                fmt::format("{} is no simulated device: write sim:capacity=64G,…", uri));
  }
  SimParameters parameters;
  const std::vector<Row> known = rows(parameters);
  std::set<std::string_view> seen;
  std::string_view rest = uri.substr(kSimScheme.size());
  while (!rest.empty()) {
    const std::string_view part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    const std::size_t equals = part.find('=');
    const std::string_view key = part.substr(0, equals);
    const std::string_view text =
        equals == std::string_view::npos ? std::string_view() : part.substr(equals + 1);
    const auto row = std::ranges::find(known, key, &Row::key);
    if (row == known.end()) {
      std::vector<std::string_view> keys;
      keys.reserve(known.size());
      for (const Row& each : known) keys.push_back(each.key);
      return fail(Errc::invalid_option, fmt::format("sim: '{}' is no parameter: there are {}", key,
                                                    fmt::join(keys, ", ")));
    }
    if (!seen.insert(key).second) return bad(key, text, "it is given twice: give it once");
    auto done = std::visit([&](const auto& to) { return set(key, to, text); }, row->value);
    if (!done) return fail(std::move(done.error()));
  }
  if (auto made = check_parameters(parameters.ftl); !made) {
    return fail(Errc::invalid_option, "sim: " + made.error().what);
  }
  // Superblocks lie 512 KiB apart, and transfers are multiples of 4096.
  if (parameters.ftl.map_bytes < 4096 || parameters.ftl.map_bytes > (512U << 10)) {
    return bad("map", size_text(parameters.ftl.map_bytes), "use 4K … 512K");
  }
  return parameters;
}

std::string to_string(const SimParameters& parameters) {
  SimParameters mine = parameters, defaults;
  std::vector<std::string> parts;
  const auto given = rows(mine), usual = rows(defaults);
  for (std::size_t i = 0; i < given.size(); ++i) {
    const auto text = [](const Row& row) {
      return std::visit([](const auto& of) { return text_of(of); }, row.value);
    };
    if (text(given[i]) != text(usual[i])) {
      parts.push_back(fmt::format("{}={}", given[i].key, text(given[i])));
    }
  }
  return fmt::format("{}{}", kSimScheme, fmt::join(parts, ","));
}

}  // namespace fdpstore::ftl
