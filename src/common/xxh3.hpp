// XXH3 (64 bits, seeded) of payloads, mostly of bytes that are in no cache: by the widest vector
// unit of this CPU, fetching further ahead than libxxhash does (bench/README.md has the figures).
//
// Thread:  any; a sum that comes in pieces, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/xxh3_unit.hpp"

namespace fdpstore {

[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed = 0);

// Bytes that are copied and summed up in pieces of this are in the processor's second-level cache
// when they are summed up (64 and 256 KiB: the same speed).
inline constexpr std::size_t kXxh3CachedBytes = 128U << 10;

// The same of bytes that come piece by piece.
class Xxh3 {
 public:
  explicit Xxh3(std::uint64_t seed);
  void add(std::span<const std::byte> piece);
  [[nodiscard]] std::uint64_t value() const;

 private:
  Xxh3State state_;
};

}  // namespace fdpstore
