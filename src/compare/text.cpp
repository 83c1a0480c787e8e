#include "compare/text.hpp"
#include "common/text.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

namespace fdpstore::compare {
namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t bytes = 0;  // 0: not UTF-8
};

CodePoint first_of(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  std::uint32_t value = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return {};
    value = value << 6 | (next & 0x3FU);
  }
  static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kLeast[bytes] || value > 0x10FFFF || surrogate) return {};
  return {value, bytes};
}

bool steers(std::uint32_t c) {
  const bool control = c < 0x20 || (c >= 0x7F && c < 0xA0);
  const bool turns = c == 0x061C || c == 0x200E || c == 0x200F || (c >= 0x2028 && c <= 0x202E) ||
                     (c >= 0x2066 && c <= 0x2069);
  return control || turns;
}

std::string copied(std::string_view text, bool replace_steering) {
  std::string result;
  while (!text.empty()) {
    const CodePoint point = first_of(text);
    const std::size_t bytes = std::max<std::size_t>(1, point.bytes);
    if (point.bytes == 0) {
      result += kReplacement;
    } else if (replace_steering && steers(point.value)) {
      result += '?';
    } else {
      result += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return result;
}

std::string_view expected_mode(Subject subject) {
  return subject == Subject::slots || subject == Subject::lru ? "no_fdp" : "separated";
}

// The first so many characters.
std::string_view head(std::string_view text, std::size_t columns) {
  std::size_t at = 0;
  for (; at < text.size(); ++at) {
    const bool starts = (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
    if (starts && columns-- == 0) break;
  }
  return text.substr(0, at);
}

}  // namespace

std::string valid_utf8(std::string_view text) {
  return copied(text, false);
}

std::string printable(std::string_view text) {
  return copied(text, true);
}

std::size_t columns_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string shortened(std::string_view text, std::size_t columns) {
  if (columns_of(text) <= columns) return std::string(text);
  return std::string(head(text, columns - 1)) + "…";
}

std::string wrapped(std::string_view text, std::string_view indent, std::size_t columns) {
  const std::size_t room = columns - columns_of(indent);
  std::string result;
  std::string line;
  const auto end_line = [&] {
    result += fmt::format("{}{}\n", indent, line);
    line.clear();
  };
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty() && columns_of(line) + 1 + columns_of(word) > room) end_line();
    while (columns_of(word) > room) {
      line = head(word, room);
      word.remove_prefix(line.size());
      end_line();
    }
    if (!line.empty()) line += ' ';
    line += word;
  }
  if (!line.empty()) end_line();
  return result;
}

std::string duration_text(double seconds) {
  const auto in = [](double value, std::string_view unit) {
    return value < 9.95 ? fmt::format("{:.1f}{}", value, unit)
                        : fmt::format("{:.0f}{}", value, unit);
  };
  if (!(seconds > 0)) return "0";
  if (seconds < 999.5e-6) return in(seconds * 1e6, "us");
  if (seconds < 999.5e-3) return in(seconds * 1e3, "ms");
  return in(seconds, "s");
}

std::string percent_text(double share) {
  return fmt::format("{:.1f}", share * 100);
}

std::string points_text(double share) {
  const double tenths = std::round(share * 1000);
  return tenths == 0 ? "0.0" : fmt::format("{:+.1f}", tenths / 10);
}

std::string ratio_text(double ratio) {
  return ratio < 99.995 ? fmt::format("{:.2f}", ratio) : fmt::format("{:.0f}", ratio);
}

std::string list_text(const std::vector<std::string>& names) {
  std::string result;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) result += i + 1 == names.size() ? " and " : ", ";
    result += names[i];
  }
  return result;
}

std::string_view to_string(Subject subject) {
  switch (subject) {
    case Subject::fdpstore: return "fdpstore";
    case Subject::slots: return "slots";
    case Subject::slots_tenant: return "slots_tenant";
    case Subject::slots_affine: return "slots_affine";
    case Subject::lru: return "lru";
  }
  return "unknown";
}

bool is_oracle(const Cell& cell) {
  return cell.subject == Subject::fdpstore && cell.policy == "oracle";
}

std::string store_name(const Cell& cell) {
  switch (cell.subject) {
    case Subject::slots: return "slots";
    case Subject::slots_tenant: return "slots by tenant";
    case Subject::slots_affine: return "slots, affine";
    case Subject::lru: return "LRU";
    case Subject::fdpstore: break;
  }
  std::string_view name = cell.policy;
  if (name.ends_with(".policy")) name.remove_suffix(std::string_view(".policy").size());
  return name.empty() ? "fdpstore" : printable(name);
}

std::string cell_label(const Cell& cell) {
  std::string name = store_name(cell);
  if (cell.mode == expected_mode(cell.subject) || cell.mode == name) return name;
  return fmt::format("{} ({})", name, printable(cell.mode));
}

std::string capacity_text(const Cell& cell) {
  std::string bytes = size_text(cell.capacity_bytes);
  if (cell.capacity_share == 0) return bytes;
  return fmt::format("{:.4g} % ({})", cell.capacity_share * 100, bytes);
}

std::string unit_text(const Cell& cell) {
  if (cell.ru_bytes == 0) return {};
  const auto count = static_cast<double>(cell.capacity_bytes) / static_cast<double>(cell.ru_bytes);
  return fmt::format("1/{:.0f} ({})", count, size_text(cell.ru_bytes));
}

std::string drive_text(const Cell& cell) {
  std::string text = fmt::format("{:.4g} % spare, {} RUHs", cell.spare_percent, cell.ruhs);
  if (cell.utilisation != 1) text += fmt::format(", {:.4g} % used", cell.utilisation * 100);
  if (cell.neighbour_share != 0) {
    text += fmt::format(", neighbour on {:.4g} %", cell.neighbour_share * 100);
  }
  return text;
}

std::string coarse_text(const Cell& cell) {
  constexpr double kWorthMention = 0.05;
  if (cell.unfilled_share < kWorthMention) return {};
  return fmt::format(
      "{:.0f} % of each RU stays empty, since it takes few objects: our store has so much less "
      "than "
      "LRU and slots here; take larger RUs (--ru) or a longer trace (gen:RECIPE,scale=4)",
      cell.unfilled_share * 100);
}

std::string setting_text(const Cell& cell) {
  const std::string unit = unit_text(cell);
  return fmt::format("{} · capacity {} · {}{}", printable(cell.trace), capacity_text(cell),
                     unit.empty() ? "" : fmt::format("RU {} · ", unit), drive_text(cell));
}

}  // namespace fdpstore::compare
