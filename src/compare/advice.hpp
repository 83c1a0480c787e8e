// Advice: which store to use, and what it costs.
//
// The winner is the store with the highest hit ratio among those for which the drive writes within
// 2 % of the least. That is bytes for the same requests, not WA: a store that misses more is given
// more to store. LRU writes nothing and an oracle knows the future: they are shown, and cannot win.
// Where the device does not say its DLWA, what the host writes stands in for it.
//
// Thread:  any; pure. What is returned borrows the Comparison.
// Units:   shares 0 … 1, seconds.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compare/result.hpp"

namespace fdpstore::compare {

// Cells that differ in what stores the objects only: same trace, capacity, RU, drive.
struct Setting {
  std::vector<const Result*> results;  // never empty
  const Result* lru = nullptr;         // of `results`; null: none, or it failed

  [[nodiscard]] const Cell& cell() const { return results.front()->cell; }
};
[[nodiscard]] std::vector<Setting> settings(const Comparison& comparison);
// Total WA, or host WA in its place.
[[nodiscard]] std::optional<double> wear(const Result& result, bool by_total);
// Bytes written for the trace's requests, to the flash or by the host: wear × stored bytes.
[[nodiscard]] std::optional<double> written(const Result& result, bool by_total);
// Hit ratio less that of LRU in the same setting.
[[nodiscard]] std::optional<double> against_lru(const Result& result, const Setting& setting);
[[nodiscard]] bool is_rival(const Cell& cell);  // may win: neither LRU nor oracle

// One store, averaged over the settings in which it ended well.
struct Standing {
  std::string label;
  const Cell* cell = nullptr;  // of one of them
  std::size_t settings = 0;
  bool rival = false;
  bool steady = true;  // everywhere
  double hit_ratio = 0;
  std::optional<double> points;   // against LRU, as a share
  std::optional<double> wear;     // as Verdict::by_total says
  std::optional<double> written;  // likewise, in capacities
  std::optional<double> load_p99_s;
};

struct Verdict {
  std::vector<Standing> standings;  // the winner first, those that cannot win last
  bool has_winner = false;
  bool by_total = true;  // wear is total WA; else host WA
  std::size_t settings = 0;
  std::string
      headline;  // "Use lifetime: hit ratio 38.2 % (+0.4 points against LRU), total WA 1.02."
  std::string details;  // what others would give and cost; may be empty

  [[nodiscard]] const Standing* winner() const { return has_winner ? &standings.front() : nullptr; }
};
// Of one setting, or of several together.
[[nodiscard]] Verdict judge(std::span<const Setting> settings);

// The best figures of a setting among the rivals; each may be absent.
struct Best {
  const Result* written = nullptr;
  const Result* hit_ratio = nullptr;
};
[[nodiscard]] Best best_of(const Setting& setting, bool by_total);

}  // namespace fdpstore::compare
