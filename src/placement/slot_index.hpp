// SlotIndex: a compact hash index from a 64-bit key to a position in the caller's array.
//
// Open addressing with linear probing over 32-bit slots, never more than half full: 8 bytes per
// entry at most. The bits of a slot that the position does not need hold part of the key's hash, so
// that a probe rarely touches an entry which is not the wanted one. Never grows, so no operation
// takes longer than another.
//
// Thread:  one thread at a time.
// Owns:    the slots. The keys stay in the caller's array and are read through key_of(position).
#pragma once

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>

namespace fdpstore::placement {

class SlotIndex {
 public:
  static constexpr std::uint32_t kAbsent = ~std::uint32_t{0};

  explicit SlotIndex(std::uint32_t max_entries)
      : position_bits_(static_cast<int>(std::bit_width(max_entries))),
        size_bits_(static_cast<int>(std::bit_width(std::uint64_t{max_entries} * 2 - 1))),
        // calloc: pages that are never touched cost nothing.
        slots_(static_cast<std::uint32_t*>(
            std::calloc(std::size_t{1} << size_bits_, sizeof(std::uint32_t)))) {
    if (!slots_) throw std::bad_alloc();
  }

  void prefetch(std::uint64_t key) const { __builtin_prefetch(&slots_[home(hash(key))]); }

  // The position stored for `key`, or kAbsent.
  template <class KeyOf>
  [[nodiscard]] std::uint32_t find(std::uint64_t key, const KeyOf& key_of) const {
    const std::uint64_t h = hash(key);
    for (std::uint64_t s = home(h); slots_[s] != 0; s = next(s)) {
      if (slots_[s] >> position_bits_ != tag(h)) continue;
      const std::uint32_t position = position_in(slots_[s]);
      if (key_of(position) == key) return position;
    }
    return kAbsent;
  }

  // `key` must be absent.
  void insert(std::uint64_t key, std::uint32_t position) {
    const std::uint64_t h = hash(key);
    std::uint64_t s = home(h);
    while (slots_[s] != 0) s = next(s);
    slots_[s] = (tag(h) << position_bits_) | (position + 1);
  }

  // `key` must be present. Moves later entries of the probe sequence back, so no tombstones pile
  // up.
  template <class KeyOf>
  void erase(std::uint64_t key, const KeyOf& key_of) {
    std::uint64_t hole = home(hash(key));
    while (key_of(position_in(slots_[hole])) != key) hole = next(hole);
    for (std::uint64_t s = next(hole); slots_[s] != 0; s = next(s)) {
      const std::uint64_t wanted = home(hash(key_of(position_in(slots_[s]))));
      // An entry whose home lies cyclically in (hole, s] must stay where it is.
      if (((s - wanted) & mask()) < ((s - hole) & mask())) continue;
      slots_[hole] = slots_[s];
      hole = s;
    }
    slots_[hole] = 0;
  }

 private:
  struct Free {
    void operator()(std::uint32_t* p) const { std::free(p); }
  };

  static std::uint64_t hash(std::uint64_t key) { return key * 0x9E3779B97F4A7C15ULL; }
  [[nodiscard]] std::uint64_t mask() const { return (std::uint64_t{1} << size_bits_) - 1; }
  [[nodiscard]] std::uint64_t home(std::uint64_t h) const { return h >> (64 - size_bits_); }
  [[nodiscard]] std::uint64_t next(std::uint64_t s) const { return (s + 1) & mask(); }
  // The hash bits right below those that home() uses.
  [[nodiscard]] std::uint32_t tag(std::uint64_t h) const {
    return static_cast<std::uint32_t>((h << size_bits_) >> 32) >> position_bits_;
  }
  [[nodiscard]] std::uint32_t position_in(std::uint32_t slot) const {
    return (slot & ((std::uint32_t{1} << position_bits_) - 1)) - 1;
  }

  int position_bits_;  // position + 1 must fit, 0 being an empty slot
  int size_bits_;
  std::unique_ptr<std::uint32_t[], Free> slots_;
};

}  // namespace fdpstore::placement
