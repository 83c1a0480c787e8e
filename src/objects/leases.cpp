#include "objects/leases.hpp"

#include <algorithm>
#include <utility>

namespace fdpstore::objects {

bool Leases::lock(std::uint64_t digest) {
  const auto now = Clock::now();
  const std::lock_guard guard(mutex_);
  // Locks that nobody takes off would pile up; looking now and then keeps the cost per lock flat.
  if (entries_.size() >= sweep_at_) {
    drop_expired();
    sweep_at_ = std::max<std::size_t>(1024, 2 * entries_.size());
  }
  Entry& entry = entries_[digest];
  if (entry.claimed) return false;
  if (entry.count > 0 && entry.end <= now) {
    ++expired_;
    entry.count = 0;
  }
  ++entry.count;
  entry.end = now + std::chrono::duration_cast<Clock::duration>(timeout_);
  return true;
}

void Leases::unlock(std::uint64_t digest) {
  const std::lock_guard guard(mutex_);
  const auto found = entries_.find(digest);
  if (found == entries_.end() || found->second.claimed) return;
  if (--found->second.count == 0) entries_.erase(found);
}

bool Leases::claim(std::uint64_t digest) {
  const std::lock_guard guard(mutex_);
  Entry& entry = entries_[digest];
  if (entry.claimed) return false;
  if (entry.count > 0) {
    if (entry.end > Clock::now()) return false;
    ++expired_;
  }
  entry = {.count = 0, .claimed = true, .end = {}};
  return true;
}

void Leases::release_claim(std::uint64_t digest) {
  const std::lock_guard guard(mutex_);
  entries_.erase(digest);
}

void Leases::drop_expired() {
  expired_ += std::erase_if(entries_, [now = Clock::now()](const auto& item) {
    return item.second.count > 0 && item.second.end <= now;
  });
}

Leases::Counts Leases::counts() {
  const std::lock_guard guard(mutex_);
  drop_expired();
  const auto locked =
      std::ranges::count_if(entries_, [](const auto& item) { return item.second.count > 0; });
  return {.locked = static_cast<std::uint64_t>(locked), .expired = expired_};
}

bool KeyGate::enter(std::uint64_t digest, std::function<void()> when_free) {
  const std::lock_guard guard(mutex_);
  const auto [place, entered] = inside_.try_emplace(digest);
  if (!entered && when_free) place->second.push_back(std::move(when_free));
  return entered;
}

void KeyGate::leave(std::uint64_t digest) {
  std::vector<std::function<void()>> waiting;
  {
    const std::lock_guard guard(mutex_);
    const auto place = inside_.find(digest);
    waiting = std::move(place->second);
    inside_.erase(place);
  }
  for (const auto& call : waiting) call();
}

}  // namespace fdpstore::objects
