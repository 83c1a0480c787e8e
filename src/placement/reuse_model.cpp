#include "placement/reuse_model.hpp"

#include <algorithm>
#include <bit>

namespace fdpstore::placement {
namespace {

// Measured on chat traces: shorter memory follows noise, longer gains nothing.
constexpr double kKeep = 0.99;       // of the counts, from one refresh to the next
constexpr double kRefreshes = 8;     // in a turnover
constexpr double kElderWeight = 20;  // keys of its own until a class is believed
constexpr double kStart = 0.3;       // before anything has been seen
constexpr double kStartLife = 0.5;   // likewise, turnovers
constexpr double kHorizon = 3;       // turnovers after which a key counts as not used again
constexpr std::uint64_t kMinLive = 4096;
constexpr std::uint64_t kSampleTarget = 1U << 17;

std::uint64_t mixed(std::uint64_t digest) {
  digest ^= digest >> 32;
  digest *= 0xD6E8FEB86659FD93ULL;
  return digest ^ digest >> 32;
}

}  // namespace

ReuseModel::ReuseModel()
    : owner_(kOwners),
      owner_uses_(std::size_t{kOwners} * kUses),
      kind_(std::size_t{kOwners} * kUses * kKinds),
      leaf_(std::size_t{kClasses} * kUses),
      life_of_kind_(std::size_t{kOwners} * kKinds),
      life_of_leaf_(kClasses),
      chance_(new std::atomic<float>[std::size_t{kClasses} * kUses]),
      life_(new std::atomic<float>[kClasses]) {
  all_.value = kStart;
  life_of_all_.value = kStartLife;
  for (std::uint32_t i = 0; i < kClasses; ++i) life_[i] = static_cast<float>(kStartLife);
  for (std::uint32_t i = 0; i < kClasses * kUses; ++i) chance_[i] = static_cast<float>(kStart);
}

std::uint16_t ReuseModel::class_of(const Place& place) {
  // First come, first served; the last number is everybody's for whom there is none left.
  std::uint32_t number = kOwners - 1;
  if (const auto owner = owners_.find(place.chain); owner != owners_.end()) {
    number = owner->second;
  } else if (owners_.size() < kOwners - 1) {
    number = static_cast<std::uint32_t>(owners_.size());
    owners_.emplace(place.chain, static_cast<std::uint8_t>(number));
  }
  // A new one begins as its elders are.
  while (known_owners_ <= number) learn_owner(known_owners_++);
  std::uint32_t begin = 3;  // new behind a shorter known part
  if (place.known <= 1) {
    begin = 0;  // all new, or all but a first chunk that everybody has
  } else if (place.known * 2 >= place.keys) {
    begin = 1;  // goes on from what is known
  } else if (place.index < place.known) {
    begin = 2;
  }
  const std::uint32_t last = place.index + 1 == place.keys ? 1 : 0;
  const std::uint32_t length =
      std::min<std::uint32_t>(kLengths, static_cast<std::uint32_t>(std::bit_width(place.keys))) - 1;
  return static_cast<std::uint16_t>(1 + (number * kKinds + begin * 2 + last) * kLengths + length);
}

void ReuseModel::used(std::uint64_t digest, std::uint16_t reuse_class, std::uint32_t uses) {
  ++now_;
  if (reuse_class != 0) {
    known_owners_ = std::max(known_owners_, (reuse_class - 1U) / kLengths / kKinds + 1);
  }
  // So many bits that the sample of a few turnovers stays bounded.
  const std::uint64_t live = std::max(live_objects_, kMinLive);
  const int shift = std::max(
      0, static_cast<int>(std::bit_width(static_cast<std::uint64_t>(kHorizon + 1) * live)) -
             static_cast<int>(std::bit_width(kSampleTarget)));
  const std::uint64_t hash = mixed(digest);
  if ((hash >> 20 & ((std::uint64_t{1} << shift) - 1)) == 0) {
    Sampled now{.reuse_class = reuse_class,
                .first_class = reuse_class,
                .uses = static_cast<std::uint8_t>(std::min(uses, kUses - 1)),
                .at = now_,
                .first_at = now_};
    const auto [key, fresh] = sample_.try_emplace(hash, now);
    if (!fresh) {
      count(key->second, true);
      now.first_class = key->second.first_class;
      now.first_at = key->second.first_at;
    }
    key->second = now;
    order_.emplace_back(hash, now_);
  }
  forget_old();
  if (now_ - refreshed_at_ >= static_cast<std::uint64_t>(static_cast<double>(live) / kRefreshes)) {
    refreshed_at_ = now_;
    refresh();
  }
}

void ReuseModel::forget_old() {
  const std::uint64_t live = std::max(live_objects_, kMinLive);
  const auto horizon = static_cast<std::uint64_t>(kHorizon * static_cast<double>(live));
  while (!order_.empty() &&
         (now_ - order_.front().second > horizon || order_.size() > 4 * kSampleTarget)) {
    const auto [hash, at] = order_.front();
    order_.pop_front();
    const auto key = sample_.find(hash);
    if (key == sample_.end() || key->second.at != at) continue;  // used again since
    count(key->second, false);
    count_life(key->second);
    sample_.erase(key);
  }
}

void ReuseModel::count(const Sampled& key, bool used_again) {
  const auto add = [used_again](Share& share) {
    share.seen += 1;
    share.used += used_again ? 1 : 0;
  };
  add(all_);
  add(leaf_[key.reuse_class * kUses + key.uses]);
  if (key.reuse_class == 0) return;
  const std::uint32_t kind = (key.reuse_class - 1U) / kLengths;
  const std::uint32_t owner = kind / kKinds;
  add(owner_[owner]);
  add(owner_uses_[owner * kUses + key.uses]);
  add(kind_[kind * kUses + key.uses]);
}

void ReuseModel::count_life(const Sampled& key) {
  const double life = static_cast<double>(key.at - key.first_at) /
                      static_cast<double>(std::max(live_objects_, kMinLive));
  const auto add = [life](Share& share) {
    share.seen += 1;
    share.used += life;
  };
  add(life_of_all_);
  add(life_of_leaf_[key.first_class]);
  if (key.first_class != 0) add(life_of_kind_[(key.first_class - 1U) / kLengths]);
}

void ReuseModel::learn(Share& share, double elder) {
  share.value = (share.used + kElderWeight * elder) / (share.seen + kElderWeight);
  share.seen *= kKeep;
  share.used *= kKeep;
}

void ReuseModel::learn_class(std::uint32_t one) {
  const std::uint32_t kind = (one - 1) / kLengths;  // of class 0: of no use
  for (std::uint32_t uses = 0; uses < kUses; ++uses) {
    Share& share = leaf_[one * kUses + uses];
    learn(share, one == 0 ? all_.value : kind_[kind * kUses + uses].value);
    chance_[one * kUses + uses].store(static_cast<float>(share.value), std::memory_order_relaxed);
  }
  learn(life_of_leaf_[one], one == 0 ? life_of_all_.value : life_of_kind_[kind].value);
  life_[one].store(static_cast<float>(life_of_leaf_[one].value), std::memory_order_relaxed);
}

void ReuseModel::learn_owner(std::uint32_t owner) {
  learn(owner_[owner], all_.value);
  for (std::uint32_t uses = 0; uses < kUses; ++uses) {
    learn(owner_uses_[owner * kUses + uses], owner_[owner].value);
  }
  for (std::uint32_t kind = owner * kKinds; kind < (owner + 1) * kKinds; ++kind) {
    for (std::uint32_t uses = 0; uses < kUses; ++uses) {
      learn(kind_[kind * kUses + uses], owner_uses_[owner * kUses + uses].value);
    }
    learn(life_of_kind_[kind], life_of_all_.value);
    for (std::uint32_t length = 0; length < kLengths; ++length) {
      learn_class(1 + kind * kLengths + length);
    }
  }
}

// Of the owners there are: callers wait for it, and there are rarely many.
void ReuseModel::refresh() {
  learn(all_, kStart);
  learn(life_of_all_, kStartLife);
  learn_class(0);
  for (std::uint32_t owner = 0; owner < known_owners_; ++owner) learn_owner(owner);
}

void ReuseModel::set_live_objects(std::uint64_t objects) {
  live_objects_ = objects;
}

double ReuseModel::chance(std::uint16_t reuse_class, std::uint32_t uses) const {
  if (reuse_class >= kClasses) reuse_class = 0;
  return chance_[reuse_class * kUses + std::min(uses, kUses - 1)].load(std::memory_order_relaxed);
}

double ReuseModel::life(std::uint16_t reuse_class) const {
  return life_[reuse_class < kClasses ? reuse_class : 0].load(std::memory_order_relaxed);
}

std::uint32_t ReuseModel::kind_of(std::uint16_t reuse_class) {
  return reuse_class == 0 ? kKinds : (reuse_class - 1U) / kLengths % kKinds;
}

}  // namespace fdpstore::placement
