// Grouping: which buckets of objects should share a handle, so that a log cleaned greedily, with a
// handle for each group, writes least.
//
// A group that takes the share r of the writes and holds the share f of the live bytes, and is
// given the share s of the spare space, is written A((f + s·spare) / f) times over, where A(α) is
// the write amplification of uniform random overwrite with α times the live bytes of space. The
// groups are runs of buckets in the order given; the spare space is divided as is best for each
// grouping.
//
// Thread:  any; pure.
// Units:   shares 0 … 1; spare and amplification by live bytes and by bytes written.
// Source:  A(α) = α / (α + W₀(−α·e^(−α))), the limit of first-in-first-out cleaning.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fdpstore::placement {

// A(α), α > 1.
[[nodiscard]] double uniform_amplification(double alpha);

struct BucketShare {
  double written = 0;  // > 0
  double live = 0;     // > 0
};

// Of these groups (by bucket), with the spare space divided best.
[[nodiscard]] double grouped_amplification(std::span<const BucketShare> buckets,
                                           std::span<const std::uint32_t> group_of, double spare);

struct Grouping {
  std::vector<std::uint32_t> group_of;  // by bucket, rising from 0
  double amplification = 1;
};
// At most `groups` (≥ 1) runs of buckets.
[[nodiscard]] Grouping best_grouping(std::span<const BucketShare> buckets, std::size_t groups,
                                     double spare);

}  // namespace fdpstore::placement
