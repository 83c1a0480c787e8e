#include "compare/table.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include <fmt/format.h>

#include "compare/advice.hpp"
#include "compare/text.hpp"

namespace fdpstore::compare {
namespace {

constexpr std::size_t kColumns = 120;
constexpr std::size_t kCount = 11;
constexpr std::size_t kGap = 2;
constexpr std::size_t kLeastName = 12;
using Row = std::array<std::string, kCount>;

const Row& headings(int line) {
  static const Row kRows[2] = {{"", "", "hit", "vs", "DL", "host", "total", "stored", "written",
                                "store latency", "load latency"},
                               {"store or policy", "mode", "ratio %", "LRU", "WA", "WA", "WA", "GB",
                                "GB", "p50/p99/p99.9", "p50/p99/p99.9"}};
  return kRows[line];
}

std::string latency_text(const Latency& latency) {
  if (latency.samples == 0) return "-";
  return fmt::format("{}/{}/{}", duration_text(latency.p50_s), duration_text(latency.p99_s),
                     duration_text(latency.p999_s));
}

Row row_of(const Result& r, const Setting& setting, const Best& best, bool by_total) {
  const bool lru = r.cell.subject == Subject::lru;
  const auto ratio = [](std::optional<double> value) { return value ? ratio_text(*value) : "-"; };
  const auto points = against_lru(r, setting);
  const auto wrote = written(r, by_total);
  const auto gigabytes = [](double bytes) {
    return fmt::format("{:.{}f}", bytes / 1e9, bytes < 1e12 ? 1 : 0);
  };
  const auto marked = [](const std::string& text, bool mark) { return text + (mark ? '*' : ' '); };
  return {store_name(r.cell) + (r.steady ? "" : " ~"),
          printable(r.cell.mode),
          marked(percent_text(r.hit_ratio), best.hit_ratio == &r),
          points ? points_text(*points) : "-",
          ratio(r.dlwa),
          lru ? "-" : ratio_text(r.host_wa),
          ratio(r.total_wa),
          gigabytes(static_cast<double>(r.stored_bytes)),
          wrote ? marked(gigabytes(*wrote), best.written == &r) : "- ",
          latency_text(r.store_latency),
          latency_text(r.load_latency)};
}

// Names and modes give way where a row would be too long.
std::string rows_text(std::vector<Row> rows) {
  std::array<std::size_t, kCount> widths{};
  const auto measure = [&] {
    widths.fill(0);
    for (const Row& row : rows) {
      for (std::size_t i = 0; i < kCount; ++i) widths[i] = std::max(widths[i], columns_of(row[i]));
    }
    return std::accumulate(widths.begin(), widths.end(), kGap * (kCount - 1));
  };
  for (std::size_t column = 2; column-- > 0;) {
    const std::size_t total = measure();
    if (total <= kColumns) break;
    const std::size_t cut = std::min(total - kColumns, widths[column]);
    const std::size_t room = std::max(kLeastName, widths[column] - cut);
    for (Row& row : rows) row[column] = shortened(row[column], room);
  }
  measure();
  std::string text;
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < kCount; ++i) {
      const std::string fill(widths[i] - columns_of(row[i]), ' ');
      line += i < 2 ? row[i] + fill : fill + row[i];
      if (i + 1 < kCount) line.append(kGap, ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + '\n';
  }
  return text;
}

void add_once(std::vector<std::string>& lines, std::string line) {
  if (std::ranges::find(lines, line) == lines.end()) lines.push_back(std::move(line));
}

// What went wrong, and what the figures lack.
std::string remarks(const Setting& setting) {
  std::vector<std::string> lines;
  if (std::string coarse = coarse_text(setting.cell()); !coarse.empty()) {
    lines.push_back(std::move(coarse));
  }
  for (const Result* r : setting.results) {
    const std::string label = cell_label(r->cell);
    if (!r->error.empty()) {
      lines.push_back(fmt::format("failed: {}: {}", label, printable(r->error)));
      continue;
    }
    if (!r->note.empty() || !r->steady) {
      const std::string note = r->note.empty() ? "not in steady state" : printable(r->note);
      lines.push_back(fmt::format("{}{}: {}", r->steady ? "" : "~ ", label, note));
    }
    if (!r->dlwa_reason.empty() && r->cell.subject != Subject::lru) {
      add_once(lines, fmt::format("no DLWA: {}", printable(r->dlwa_reason)));
    }
  }
  std::string text;
  for (const std::string& line : lines) text += wrapped(line, "  ", kColumns);
  return text;
}

std::string block(const Setting& setting) {
  const Verdict verdict = judge({&setting, 1});
  const Best best = best_of(setting, verdict.by_total);
  std::vector<Row> rows{headings(0), headings(1)};
  for (const Result* r : setting.results) {
    if (r->error.empty()) rows.push_back(row_of(*r, setting, best, verdict.by_total));
  }
  std::string text = wrapped(setting_text(setting.cell()), "", kColumns);
  if (rows.size() > 2) text += rows_text(std::move(rows));
  text += remarks(setting);
  const std::string advice = wrapped(verdict.headline + ' ' + verdict.details, "  ", kColumns);
  return text + "→ " + advice.substr(2) + '\n';
}

// One line for each trace that was run in several settings.
std::string overall(const Comparison& comparison, const std::vector<Setting>& all) {
  std::vector<std::string> names;
  for (const Setting& setting : all) add_once(names, setting.cell().trace);
  std::string text;
  for (const std::string& name : names) {
    std::vector<Setting> of_trace;
    std::ranges::copy_if(all, std::back_inserter(of_trace),
                         [&](const Setting& s) { return s.cell().trace == name; });
    if (of_trace.size() < 2) continue;
    const Verdict verdict = judge(of_trace);
    text += wrapped(fmt::format("{}, all {} settings. {} {}", printable(name), of_trace.size(),
                                verdict.headline, verdict.details),
                    "", kColumns);
  }
  if (comparison.interrupted) text += "Interrupted: not all cells were run.\n";
  return text;
}

}  // namespace

std::string table(const Comparison& comparison) {
  const std::vector<Setting> all = settings(comparison);
  if (all.empty()) return "No cell was run.\n";
  std::string text;
  for (const Setting& setting : all) text += block(setting);
  text +=
      "* best of its block (LRU and oracle aside)   ~ not in steady state   "
      "vs LRU: points of hit ratio\n";
  return text + overall(comparison, all);
}

}  // namespace fdpstore::compare
