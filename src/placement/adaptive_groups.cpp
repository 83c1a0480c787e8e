#include "placement/adaptive_groups.hpp"

#include <algorithm>
#include <cmath>

namespace fdpstore::placement {
namespace {

constexpr std::uint32_t kLookObjects = 4096;  // objects between two looks
constexpr double kKeep = 0.7;                 // of the counts, from one look to the next
constexpr double kMinGain = 1.05;
constexpr std::uint32_t kPromises = 2;
// More groups keep more segments open: one more must be worth it.
constexpr double kWorthAGroup = 1.02;
constexpr double kMinLife = 0.02;
constexpr double kMinSpare = 0.07, kMaxSpare = 10;
constexpr std::uint64_t kOthers = 0;

}  // namespace

std::uint16_t AdaptiveGroups::handle_for(const Object& object, bool& changed) {
  auto at = buckets_.find(object.bucket);
  if (at == buckets_.end()) {
    const bool full = buckets_.size() + 1 >= kMaxBuckets;
    const auto [made, fresh] = buckets_.try_emplace(full ? kOthers : object.bucket);
    at = made;
    if (fresh) {
      at->second.handle = nearest_handle(object.life);
      changed = true;
    }
  }
  const auto bytes = static_cast<double>(object.bytes);
  at->second.written += bytes;
  at->second.life_bytes += bytes * std::max(object.life, kMinLife);
  const std::uint16_t handle = at->second.handle;
  if (++seen_ >= kLookObjects) {
    seen_ = 0;
    changed = regroup() || changed;
  }
  return handle;
}

// Of the bucket that lives about as long; until anything is known, the last: the longest lives.
std::uint16_t AdaptiveGroups::nearest_handle(double life) const {
  auto handle = static_cast<std::uint16_t>(handles_ - 1);
  double least = INFINITY;
  for (const auto& [key, bucket] : buckets_) {
    if (bucket.written <= 0) continue;
    const double apart = std::abs(std::log(std::max(life, kMinLife) / bucket.life()));
    if (apart >= least) continue;
    least = apart;
    handle = bucket.handle;
  }
  return handle;
}

// True when a bucket was moved.
bool AdaptiveGroups::regroup() {
  std::vector<Bucket*> order;
  double written = 0, of_use = 0;
  for (auto& [key, bucket] : buckets_) {
    if (bucket.written <= 0) continue;  // remembered, not seen since
    order.push_back(&bucket);
    written += bucket.written;
    of_use += bucket.life_bytes;
  }
  std::ranges::sort(order, {}, &Bucket::life);
  std::vector<BucketShare> shares;
  std::vector<std::uint32_t> now;
  for (const Bucket* bucket : order) {
    shares.push_back({bucket->written / written, bucket->life_bytes / of_use});
    now.push_back(bucket->handle);
  }
  // Of what is written in a turnover, so much is of use at any time.
  const double spare = std::clamp(written / of_use - 1, kMinSpare, kMaxSpare);
  Grouping best = best_grouping(shares, handles_, spare);
  for (std::size_t groups = 1; groups < handles_; ++groups) {
    Grouping fewer = best_grouping(shares, groups, spare);
    if (fewer.amplification > best.amplification * kWorthAGroup) continue;
    best = std::move(fewer);
    break;
  }
  const bool better = grouped_amplification(shares, now, spare) > best.amplification * kMinGain;
  promised_ = better ? promised_ + 1 : 0;
  const bool move = promised_ >= kPromises;
  if (move) {
    promised_ = 0;
    const std::uint32_t groups = best.group_of.back() + 1;
    for (std::size_t i = 0; i < order.size(); ++i) {
      order[i]->handle = static_cast<std::uint16_t>(handles_ - groups + best.group_of[i]);
    }
  }
  for (auto& [key, bucket] : buckets_) {
    bucket.written *= kKeep;
    bucket.life_bytes *= kKeep;
  }
  return move;
}

void AdaptiveGroups::remember(std::uint64_t bucket, std::uint16_t handle) {
  if (handle >= handles_ || buckets_.size() >= kMaxBuckets) return;
  buckets_.try_emplace(bucket, Bucket{.handle = handle});
}

std::map<std::uint64_t, std::uint16_t> AdaptiveGroups::entries() const {
  std::map<std::uint64_t, std::uint16_t> handles;
  for (const auto& [key, bucket] : buckets_) handles.emplace(key, bucket.handle);
  return handles;
}

}  // namespace fdpstore::placement
