// Lookups: how many keys recent ones named, and where reclaim has torn gaps into them since.
//
// Thread:  any; no locks.
// Owns:    a table of fixed size, 8 bytes for every four objects that the store is made for: newer
//          lookups take the place of older ones, which are then not known any more.
// Units:   keys, counted from the first one of a lookup.
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

namespace fdpstore::core {

class Lookups {
 public:
  static constexpr std::uint32_t kNoGap = UINT16_MAX;
  struct Facts {
    std::uint32_t keys = 0;      // 0: not known
    std::uint32_t gap = kNoGap;  // the first position that was dropped
  };

  explicit Lookups(std::uint64_t expected_objects);

  // A lookup is named by LookupKey::use; 0 is none.
  void note_keys(std::uint32_t use, std::uint32_t keys);
  // The object at that position was dropped while others of its lookup may stay.
  void note_gap(std::uint32_t use, std::uint32_t position);
  [[nodiscard]] Facts find(std::uint32_t use) const;

 private:
  [[nodiscard]] std::size_t place_of(std::uint32_t use) const;
  template <typename Change>
  void change(std::uint32_t use, Change apply);

  unsigned bits_;
  std::vector<std::atomic<std::uint64_t>> table_;  // use, keys, gap
};

}  // namespace fdpstore::core
