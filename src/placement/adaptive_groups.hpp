// AdaptiveGroups: which of a stream's handles an object's bucket goes to, learnt from how much each
// bucket is written and how long its objects are of use.
//
// Buckets are put in groups, one for each handle at most, by predicted write amplification
// (placement/grouping.hpp): contiguous in the order of their mean lives, shortest first, and as few
// groups as come within a few percent of the best. Buckets are moved only where that has promised
// more than 5 % twice in a row, since what has been written stays where it is. At most kMaxBuckets
// are told apart; the others share one.
//
// Thread:  as Policy says.
// Owns:    shares per bucket; which handle each has.
// Units:   lives in turnovers of the store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

#include "placement/grouping.hpp"

namespace fdpstore::placement {

class AdaptiveGroups {
 public:
  static constexpr std::size_t kMaxBuckets = 64;

  explicit AdaptiveGroups(std::uint16_t handles) : handles_(handles) {}

  struct Object {
    std::uint64_t bucket = 0;
    std::uint64_t bytes = 0;
    double life = 0;  // expected
  };
  // `changed` is set when remember() should be told of it after a restart.
  [[nodiscard]] std::uint16_t handle_for(const Object& object, bool& changed);

  // Ignores a handle that is gone, and buckets beyond kMaxBuckets.
  void remember(std::uint64_t bucket, std::uint16_t handle);
  void clear() { buckets_.clear(); }
  [[nodiscard]] std::map<std::uint64_t, std::uint16_t> entries() const;

 private:
  struct Bucket {
    std::uint16_t handle = 0;
    double written = 0;     // bytes, recent ones counting more
    double life_bytes = 0;  // sum of life × bytes, likewise
    [[nodiscard]] double life() const { return written > 0 ? life_bytes / written : 0; }
  };
  [[nodiscard]] std::uint16_t nearest_handle(double life) const;
  [[nodiscard]] bool regroup();

  std::uint16_t handles_;
  std::map<std::uint64_t, Bucket> buckets_;
  std::uint32_t seen_ = 0;      // objects since the groups were last looked at
  std::uint32_t promised_ = 0;  // times in a row that another grouping was better
};

}  // namespace fdpstore::placement
