#include "compare/advice.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include <fmt/format.h>

#include "compare/text.hpp"

namespace fdpstore::compare {
namespace {

constexpr double kWrittenMargin = 1.02;
constexpr double kNoticedPoints = 0.0005;  // what rounds to 0.1 points

auto key_of(const Cell& c) {
  return std::tie(c.trace, c.capacity_bytes, c.capacity_share, c.ru_bytes, c.utilisation,
                  c.spare_percent, c.ruhs, c.neighbour_share);
}

// Means as they come in.
struct Sum {
  double total = 0;
  std::size_t count = 0;

  void add(double value) {
    total += value;
    ++count;
  }
  [[nodiscard]] std::optional<double> mean() const {
    if (count == 0) return std::nullopt;
    return total / static_cast<double>(count);
  }
};

struct Sums {
  Standing standing;
  Sum hits, points, wear, written, load;
};

std::vector<Standing> means(std::span<const Setting> settings, bool by_total) {
  std::vector<Sums> all;
  for (const Setting& setting : settings) {
    for (const Result* result : setting.results) {
      if (!result->error.empty()) continue;
      const std::string label = cell_label(result->cell);
      auto at = std::ranges::find(all, label, [](const Sums& s) { return s.standing.label; });
      if (at == all.end()) {
        all.push_back({});
        at = all.end() - 1;
        at->standing.label = label;
        at->standing.cell = &result->cell;
        at->standing.rival = is_rival(result->cell);
      }
      ++at->standing.settings;
      at->standing.steady = at->standing.steady && result->steady;
      at->hits.add(result->hit_ratio);
      if (const auto points = against_lru(*result, setting)) at->points.add(*points);
      if (const auto w = wear(*result, by_total)) at->wear.add(*w);
      if (const auto w = written(*result, by_total)) {
        at->written.add(*w / static_cast<double>(result->cell.capacity_bytes));
      }
      if (result->load_latency.samples > 0) at->load.add(result->load_latency.p99_s);
    }
  }
  std::vector<Standing> standings;
  standings.reserve(all.size());
  for (Sums& sums : all) {
    Standing& standing = standings.emplace_back(std::move(sums.standing));
    standing.hit_ratio = sums.hits.mean().value_or(0);
    // Averages over fewer settings than the others' would compare unlike things.
    if (sums.wear.count == standing.settings) standing.wear = sums.wear.mean();
    if (sums.written.count == standing.settings) standing.written = sums.written.mean();
    if (sums.points.count == standing.settings) standing.points = sums.points.mean();
    if (sums.load.count == standing.settings) standing.load_p99_s = sums.load.mean();
  }
  return standings;
}

// Sorts; true when the first is a winner.
bool rank(std::vector<Standing>& standings) {
  std::size_t most = 0;
  for (const Standing& s : standings) {
    if (s.rival && s.written) most = std::max(most, s.settings);
  }
  const auto may_win = [&](const Standing& s) {
    return s.rival && s.written && s.settings == most;
  };
  const bool some_steady =
      std::ranges::any_of(standings, [&](const Standing& s) { return may_win(s) && s.steady; });
  const auto runs = [&](const Standing& s) { return may_win(s) && (s.steady || !some_steady); };
  double least = HUGE_VAL;
  for (const Standing& s : standings) {
    if (runs(s)) least = std::min(least, *s.written);
  }
  // Winner and those as gentle by hit ratio, then the others by what is written, then those out of
  // contest.
  const auto place = [&](const Standing& s) {
    const bool gentle = runs(s) && *s.written <= least * kWrittenMargin;
    const int group = gentle ? 0 : runs(s) ? 1 : s.rival ? 2 : 3;
    const double hits = std::round(s.hit_ratio / (2 * kNoticedPoints));  // as they are printed
    return std::tuple(group, gentle ? -hits : 0.0, s.written.value_or(HUGE_VAL), -s.hit_ratio);
  };
  std::ranges::stable_sort(standings, {}, place);
  return !standings.empty() && runs(standings.front());
}

std::string times_text(double ratio) {
  if (ratio > 0.98 && ratio < 1.02) return "wears the drive as much";
  return fmt::format("wears the drive {} × as much", ratio_text(ratio));
}

std::string hits_text(double difference) {
  if (std::abs(difference) < kNoticedPoints) return "hits as often";
  return fmt::format("hits {:.1f} points {}", std::abs(difference) * 100,
                     difference > 0 ? "more often" : "less often");
}

std::string headline(const Verdict& verdict) {
  const Standing* winner = verdict.winner();
  if (winner == nullptr) return "No store can be recommended: none ended with figures to judge by.";
  const std::string_view mean = verdict.settings > 1 ? "mean " : "";
  std::string points;
  if (winner->points) {
    points = fmt::format(" ({} points against LRU)", points_text(*winner->points));
  }
  const std::string cost =
      verdict.by_total
          ? fmt::format("the drive writes {} bytes for each byte stored", ratio_text(*winner->wear))
          : fmt::format("host WA alone, as the device does not say what it writes itself");
  return fmt::format("Use {}: {}hit ratio {} %{}, {} WA {} ({}).", winner->label, mean,
                     percent_text(winner->hit_ratio), points, verdict.by_total ? "total" : "host",
                     ratio_text(*winner->wear), cost);
}

std::string details(const Verdict& verdict) {
  const Standing* winner = verdict.winner();
  if (winner == nullptr) return {};
  std::string text;
  const auto against = [&](const Standing& other, std::string_view lead) {
    text += fmt::format(" {}{} {} and {}.", lead, other.label,
                        hits_text(other.hit_ratio - winner->hit_ratio),
                        times_text(*other.written / *winner->written));
  };
  std::vector<std::string> equals;
  const Standing* hits_more = nullptr;
  const Standing* slots = nullptr;
  const Standing* oracle = nullptr;
  for (const Standing& s : verdict.standings) {
    if (&s == winner || s.settings != winner->settings) continue;
    if (is_oracle(*s.cell)) oracle = &s;
    if (!s.rival || !s.written) continue;
    if (*s.written <= *winner->written * kWrittenMargin &&
        std::abs(s.hit_ratio - winner->hit_ratio) < 2 * kNoticedPoints) {
      equals.push_back(s.label);
      continue;
    }
    if (s.hit_ratio - winner->hit_ratio >= kNoticedPoints &&
        (hits_more == nullptr || s.hit_ratio > hits_more->hit_ratio)) {
      hits_more = &s;
    }
    if (s.cell->subject == Subject::slots) slots = &s;
  }
  if (!equals.empty()) text += fmt::format(" As good within 0.1 points: {}.", list_text(equals));
  if (hits_more != nullptr) against(*hits_more, "For more hits: ");
  if (slots != nullptr && slots != hits_more) against(*slots, "For comparison: ");
  if (oracle != nullptr) {
    text += fmt::format(" A policy that knew the future {}.",
                        hits_text(oracle->hit_ratio - winner->hit_ratio));
  }
  if (!winner->steady) text += " Not in steady state yet: these figures may still move.";
  if (!text.empty()) text.erase(0, 1);
  return text;
}

}  // namespace

std::vector<Setting> settings(const Comparison& comparison) {
  std::vector<Setting> all;
  for (const Result& result : comparison.results) {
    auto at = std::ranges::find_if(
        all, [&](const Setting& s) { return key_of(s.cell()) == key_of(result.cell); });
    if (at == all.end()) {
      all.push_back({});
      at = all.end() - 1;
    }
    at->results.push_back(&result);
    if (result.cell.subject == Subject::lru && result.error.empty()) at->lru = &result;
  }
  return all;
}

std::optional<double> wear(const Result& result, bool by_total) {
  if (!result.error.empty() || result.cell.subject == Subject::lru) return std::nullopt;
  if (by_total) return result.total_wa;
  if (result.stored_bytes == 0) return std::nullopt;
  return result.host_wa;
}

std::optional<double> written(const Result& result, bool by_total) {
  const auto each = wear(result, by_total);
  if (!each) return std::nullopt;
  return *each * static_cast<double>(result.stored_bytes);
}

std::optional<double> against_lru(const Result& result, const Setting& setting) {
  if (setting.lru == nullptr || &result == setting.lru || !result.error.empty()) {
    return std::nullopt;
  }
  return result.hit_ratio - setting.lru->hit_ratio;
}

bool is_rival(const Cell& cell) {
  return cell.subject != Subject::lru && !is_oracle(cell);
}

Verdict judge(std::span<const Setting> settings) {
  Verdict verdict;
  verdict.settings = settings.size();
  verdict.by_total = std::ranges::any_of(settings, [](const Setting& setting) {
    return std::ranges::any_of(setting.results, [](const Result* r) {
      return is_rival(r->cell) && wear(*r, true).has_value();
    });
  });
  verdict.standings = means(settings, verdict.by_total);
  verdict.has_winner = rank(verdict.standings);
  verdict.headline = headline(verdict);
  verdict.details = details(verdict);
  return verdict;
}

Best best_of(const Setting& setting, bool by_total) {
  Best best;
  for (const Result* result : setting.results) {
    const auto value = written(*result, by_total);
    if (!is_rival(result->cell) || !result->error.empty()) continue;
    if (value && (best.written == nullptr || *value < *written(*best.written, by_total))) {
      best.written = result;
    }
    if (best.hit_ratio == nullptr || result->hit_ratio > best.hit_ratio->hit_ratio) {
      best.hit_ratio = result;
    }
  }
  return best;
}

}  // namespace fdpstore::compare
