// VictimSearch: which segment is to be emptied next, found a step at a time.
//
// Looked at are those that are likely to be worth least, and a few others, so that one that came to
// be worth less than it seems, by gaps that other victims left, comes up in time.
//
// Thread:  the engine's. Meanwhile segments may be sealed; none of `candidates` may be emptied.
// Owns:    the order of the candidates. Borrows Worth, the segments, a source of random numbers.
#pragma once

#include <cmath>
#include <cstddef>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "core/segments.hpp"
#include "core/worth.hpp"

namespace fdpstore::core {

class VictimSearch {
 public:
  VictimSearch(const Worth& worth, const std::vector<Segment*>& candidates,
               std::minstd_rand& random);

  // At `objects` more, at most. True: it is over.
  [[nodiscard]] bool go_on(std::size_t objects);
  // nullptr: there is none.
  [[nodiscard]] Segment* best() const { return best_; }
  [[nodiscard]] double worth_of_best() const { return least_; }

 private:
  [[nodiscard]] Segment* next();
  void put_in_order();

  const Worth& worth_;
  std::minstd_rand& random_;
  std::vector<Segment*> unknown_;                   // to be looked at before there is an order
  std::vector<std::pair<double, Segment*>> known_;  // by what they are likely to be worth
  bool in_order_ = false;
  std::size_t most_ = 0;  // of the known: those that are in order
  std::size_t next_ = 0, objects_ = 0;
  std::size_t random_looks_ = 0;
  std::optional<Worth::Look> look_;
  Segment* best_ = nullptr;
  double least_ = INFINITY;
};

}  // namespace fdpstore::core
