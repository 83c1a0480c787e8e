#include "core/lookups.hpp"

#include <algorithm>
#include <bit>

namespace fdpstore::core {
namespace {

constexpr std::uint64_t kObjectsPerPlace = 4;
constexpr std::uint64_t kMinPlaces = 1U << 12, kMaxPlaces = 1U << 23;
constexpr std::uint32_t kMostKeys = UINT16_MAX;

constexpr std::uint32_t use_of(std::uint64_t packed) {
  return static_cast<std::uint32_t>(packed >> 32);
}
constexpr Lookups::Facts unpack(std::uint64_t packed) {
  return {.keys = static_cast<std::uint32_t>(packed >> 16 & 0xFFFF),
          .gap = static_cast<std::uint32_t>(packed & 0xFFFF)};
}
constexpr std::uint64_t pack(std::uint32_t use, Lookups::Facts facts) {
  return std::uint64_t{use} << 32 | facts.keys << 16 | facts.gap;
}

}  // namespace

Lookups::Lookups(std::uint64_t expected_objects)
    : bits_(static_cast<unsigned>(std::bit_width(
          std::clamp(expected_objects / kObjectsPerPlace, kMinPlaces, kMaxPlaces) - 1))),
      table_(std::size_t{1} << bits_) {}

// Lookups of equal length are apart by that: hashed, so that they do not meet in few places.
std::size_t Lookups::place_of(std::uint32_t use) const {
  return use * 0x9E3779B1U >> (32 - bits_);
}

template <typename Change>
void Lookups::change(std::uint32_t use, Change apply) {
  if (use == 0) return;
  std::atomic<std::uint64_t>& place = table_[place_of(use)];
  std::uint64_t before = place.load(std::memory_order_relaxed);
  std::uint64_t after = 0;
  do {
    Facts facts = use_of(before) == use ? unpack(before) : Facts{};
    apply(facts);
    after = pack(use, facts);
  } while (!place.compare_exchange_weak(before, after, std::memory_order_relaxed));
}

void Lookups::note_keys(std::uint32_t use, std::uint32_t keys) {
  change(use, [keys](Facts& facts) { facts.keys = std::min(keys, kMostKeys); });
}

void Lookups::note_gap(std::uint32_t use, std::uint32_t position) {
  change(use,
         [position](Facts& facts) { facts.gap = std::min({facts.gap, position, kNoGap - 1}); });
}

Lookups::Facts Lookups::find(std::uint32_t use) const {
  if (use == 0) return {};
  const std::uint64_t packed = table_[place_of(use)].load(std::memory_order_relaxed);
  return use_of(packed) == use ? unpack(packed) : Facts{};
}

}  // namespace fdpstore::core
