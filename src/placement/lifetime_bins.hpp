// LifetimeBins: which of a stream's handles an object of some chance of reuse goes to.
//
// The bins are the one-dimensional clusters of the chances of recent objects, lowest first. Bins
// whose means hardly differ are one: while prediction is poor, all objects share a bin.
//
// Thread:  as Policy says.
// Owns:    a window of recent chances.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fdpstore::placement {

class LifetimeBins {
 public:
  explicit LifetimeBins(std::size_t bins) : bins_(bins) {}
  // 0 … bins - 1; `chance` is 0 … 1.
  [[nodiscard]] std::size_t bin_of(double chance);

 private:
  void learn();

  std::size_t bins_;
  std::vector<double> recent_;
  std::vector<double> bounds_;  // bin i takes chances up to bounds_[i]; the last takes the rest
};

}  // namespace fdpstore::placement
