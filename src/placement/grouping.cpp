#include "placement/grouping.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace fdpstore::placement {
namespace {

// The amplification by how much space beyond the live bytes there is, and how fast it falls with
// more, tabulated: it is asked for thousands of times.
class Curve {
 public:
  Curve() {
    for (std::size_t i = 0; i < kPoints; ++i) {
      spare_[i] = kLeast * std::pow(kMost / kLeast, static_cast<double>(i) / (kPoints - 1));
      amplification_[i] = uniform_amplification(1 + spare_[i]);
    }
    for (std::size_t i = 0; i + 1 < kPoints; ++i) {
      gain_[i] = (amplification_[i] - amplification_[i + 1]) / (spare_[i + 1] - spare_[i]);
    }
  }

  // The least spare space at which still more would gain less than `price` for each unit of it.
  [[nodiscard]] std::size_t worth_buying(double price) const {
    const auto end = std::lower_bound(gain_.begin(), gain_.end(), price, std::greater{});
    return static_cast<std::size_t>(end - gain_.begin());
  }
  [[nodiscard]] double spare(std::size_t point) const { return spare_[point]; }
  [[nodiscard]] double amplification(std::size_t point) const { return amplification_[point]; }

 private:
  static constexpr std::size_t kPoints = 512;
  static constexpr double kLeast = 1e-3, kMost = 1e3;
  std::array<double, kPoints> spare_{}, amplification_{};
  std::array<double, kPoints - 1> gain_{};
};

const Curve& curve() {
  static const Curve kCurve;
  return kCurve;
}

// What a group costs when spare space has this price: its writes, and the price of its spare.
struct Priced {
  double cost = 0;
  double spare_share = 0;
};
Priced priced(BucketShare group, double spare, double price) {
  const std::size_t point = curve().worth_buying(price * group.live / (spare * group.written));
  const double share = curve().spare(point) * group.live / spare;
  return {group.written * curve().amplification(point) + price * share, share};
}

// The price at which `spare_wanted(price)`, which falls with it, is all there is: 1.
template <typename Wanted>
double market_price(const Wanted& spare_wanted) {
  double low = -14, high = 14;  // powers of e
  for (int step = 0; step < 24; ++step) {
    const double middle = (low + high) / 2;
    (spare_wanted(std::exp(middle)) > 1 ? low : high) = middle;
  }
  return std::exp(high);
}

std::vector<BucketShare> grouped(std::span<const BucketShare> buckets,
                                 std::span<const std::uint32_t> group_of) {
  std::vector<BucketShare> groups;
  for (std::size_t i = 0; i < buckets.size(); ++i) {
    if (group_of[i] >= groups.size()) groups.resize(group_of[i] + 1);
    groups[group_of[i]].written += buckets[i].written;
    groups[group_of[i]].live += buckets[i].live;
  }
  std::erase_if(groups, [](const BucketShare& group) { return group.written <= 0; });
  return groups;
}

// The cheapest runs at a price of spare space: dynamic programming over where the last run begins.
std::vector<std::uint32_t> cheapest_runs(std::span<const BucketShare> buckets, std::size_t groups,
                                         double spare, double price) {
  const std::size_t n = buckets.size();
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> cost(groups + 1, std::vector<double>(n + 1, kNever));
  std::vector<std::vector<std::size_t>> begin(groups + 1, std::vector<std::size_t>(n + 1, 0));
  cost[0][0] = 0;
  for (std::size_t first = 0; first < n; ++first) {
    BucketShare run;
    for (std::size_t end = first + 1; end <= n; ++end) {
      run.written += buckets[end - 1].written;
      run.live += buckets[end - 1].live;
      const double run_cost = priced(run, spare, price).cost;
      for (std::size_t used = 1; used <= groups; ++used) {
        const double sum = cost[used - 1][first] + run_cost;
        if (sum >= cost[used][end]) continue;
        cost[used][end] = sum;
        begin[used][end] = first;
      }
    }
  }
  std::size_t used = 1;
  for (std::size_t g = 2; g <= groups; ++g) {
    if (cost[g][n] < cost[used][n]) used = g;
  }
  std::vector<std::uint32_t> group_of(n);
  for (std::size_t end = n; used > 0; --used) {
    const std::size_t first = begin[used][end];
    for (std::size_t i = first; i < end; ++i) group_of[i] = static_cast<std::uint32_t>(used - 1);
    end = first;
  }
  return group_of;
}

}  // namespace

double uniform_amplification(double alpha) {
  // w·e^w = z, the solution above −1, by Halley's method from the expansion about the branch point.
  const double z = -alpha * std::exp(-alpha);
  const double root = std::sqrt(std::max(0.0, 2 * (1 + std::numbers::e * z)));
  double w = -1 + root - root * root / 3;
  for (int round = 0; round < 20 && w > -1; ++round) {
    const double error = w * std::exp(w) - z;
    const double slope = std::exp(w) * (w + 1);
    const double step = error / (slope - (w + 2) * error / (2 * w + 2));
    w -= step;
    if (std::abs(step) < 1e-14) break;
  }
  return alpha / (alpha + w);
}

double grouped_amplification(std::span<const BucketShare> buckets,
                             std::span<const std::uint32_t> group_of, double spare) {
  const std::vector<BucketShare> groups = grouped(buckets, group_of);
  const auto wanted = [&](double price) {
    double sum = 0;
    for (const BucketShare& group : groups) sum += priced(group, spare, price).spare_share;
    return sum;
  };
  const double price = market_price(wanted);
  const double all = wanted(price);  // near 1: the table has steps
  double amplification = 0;
  for (const BucketShare& group : groups) {
    const double share = priced(group, spare, price).spare_share / all;
    amplification += group.written * uniform_amplification(1 + share * spare / group.live);
  }
  return amplification;
}

Grouping best_grouping(std::span<const BucketShare> buckets, std::size_t groups, double spare) {
  Grouping best{std::vector<std::uint32_t>(buckets.size(), 0), 1};
  if (buckets.empty()) return best;
  best.amplification = grouped_amplification(buckets, best.group_of, spare);
  if (groups == 1) return best;
  const auto runs_at = [&](double price) { return cheapest_runs(buckets, groups, spare, price); };
  const double price = market_price([&](double at) {
    double sum = 0;
    for (const BucketShare& group : grouped(buckets, runs_at(at))) {
      sum += priced(group, spare, at).spare_share;
    }
    return sum;
  });
  // The best runs change with the price in steps: those on either side of it are looked at.
  for (const double at : {price / 1.1, price, price * 1.1}) {
    Grouping candidate{runs_at(at), 0};
    candidate.amplification = grouped_amplification(buckets, candidate.group_of, spare);
    if (candidate.amplification < best.amplification) best = std::move(candidate);
  }
  return best;
}

}  // namespace fdpstore::placement
