// Assignment: which handle of a stream serves which tenant (or tenant and rank).
//
// First come, first served: a newcomer takes the handle with the fewest assigned, the lowest of
// several. So each gets a handle of its own while there are free ones, and the overflow is shared
// evenly. Never moved afterwards, since data stays where it was written. At most kMaxRemembered are
// remembered; later ones go by hash, which is as stable but not balanced.
//
// Thread:  one at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace fdpstore::placement {

class Assignment {
 public:
  static constexpr std::size_t kMaxRemembered = 4096;

  explicit Assignment(std::uint16_t handles) : assigned_(handles, 0) {}

  // The handle for `key`, a hash of the tenant. `changed` is set when it was remembered just now.
  std::uint16_t handle_for(std::uint64_t key, bool& changed) {
    if (const auto at = handle_of_.find(key); at != handle_of_.end()) return at->second;
    if (handle_of_.size() >= kMaxRemembered) {
      return static_cast<std::uint16_t>(key % assigned_.size());
    }
    const auto least = std::ranges::min_element(assigned_);
    const auto handle = static_cast<std::uint16_t>(least - assigned_.begin());
    remember(key, handle);
    changed = true;
    return handle;
  }

  // Ignores what does not fit: a handle that is gone, a key known already, one too many.
  void remember(std::uint64_t key, std::uint16_t handle) {
    if (handle >= assigned_.size() || handle_of_.size() >= kMaxRemembered) return;
    if (handle_of_.try_emplace(key, handle).second) ++assigned_[handle];
  }
  void clear() {
    handle_of_.clear();
    std::ranges::fill(assigned_, 0);
  }
  [[nodiscard]] const std::unordered_map<std::uint64_t, std::uint16_t>& entries() const {
    return handle_of_;
  }

 private:
  std::unordered_map<std::uint64_t, std::uint16_t> handle_of_;
  std::vector<std::uint32_t> assigned_;  // keys per handle
};

}  // namespace fdpstore::placement
