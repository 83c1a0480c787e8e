// The checksum of a payload that comes piece by piece.
//
// Thread:  one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "common/xxh3.hpp"

namespace fdpstore::format {

// As seeded_checksum().
class PayloadChecksum {
 public:
  explicit PayloadChecksum(std::uint64_t seed) : xxh3_(seed) {}
  void add(std::span<const std::byte> piece) { xxh3_.add(piece); }
  [[nodiscard]] std::uint64_t value() const;

 private:
  Xxh3 xxh3_;
};

}  // namespace fdpstore::format
