#include "placement/lifetime_bins.hpp"

#include <algorithm>
#include <cmath>

namespace fdpstore::placement {
namespace {

constexpr std::size_t kWindow = 4096;
constexpr int kRounds = 15;
// Objects of two bins live apart only where one kind is used again so many times as often.
constexpr double kMinRatio = 1.2;
constexpr double kNoBound = -1;  // below every chance

}  // namespace

std::size_t LifetimeBins::bin_of(double chance) {
  if (bins_ <= 1) return 0;
  recent_.push_back(chance);
  if (recent_.size() >= kWindow) {
    learn();
    recent_.clear();
  }
  if (bounds_.empty()) return bins_ - 1;
  const auto bound = std::ranges::lower_bound(bounds_, chance);
  return static_cast<std::size_t>(bound - bounds_.begin());
}

// Lloyd's algorithm on a line.
void LifetimeBins::learn() {
  std::ranges::sort(recent_);
  std::vector<double> centres(bins_);
  for (std::size_t bin = 0; bin < bins_; ++bin) {
    centres[bin] = recent_[(2 * bin + 1) * recent_.size() / (2 * bins_)];
  }
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> sum(bins_, 0);
    std::vector<double> count(bins_, 0);
    std::size_t bin = 0;
    for (const double chance : recent_) {
      while (bin + 1 < bins_ &&
             std::abs(chance - centres[bin + 1]) < std::abs(chance - centres[bin])) {
        ++bin;
      }
      sum[bin] += chance;
      count[bin] += 1;
    }
    for (bin = 0; bin < bins_; ++bin) {
      if (count[bin] > 0) centres[bin] = sum[bin] / count[bin];
    }
    std::ranges::sort(centres);
  }
  // A bin that is hardly better than the one below takes its objects too: its bound is that of the
  // lower one, so nothing is left in between.
  bounds_.assign(bins_ - 1, 0);
  double highest = centres[bins_ - 1];
  for (std::size_t bin = bins_ - 1; bin-- > 0;) {
    const bool apart = centres[bin] * kMinRatio <= highest;
    bounds_[bin] = apart ? (centres[bin] + highest) / 2 : kNoBound;
    if (apart) highest = centres[bin];
  }
  for (std::size_t bin = 0; bin + 1 < bins_; ++bin) {
    if (bounds_[bin] == kNoBound && bin > 0) bounds_[bin] = bounds_[bin - 1];
  }
}

}  // namespace fdpstore::placement
