// XXH3 for the vector unit that the including source is compiled for. Nothing of the standard
// library's C++ headers here: what they inline would be shared with sources for other CPUs.
//
// Thread:  any.
#pragma once

#define XXH_INLINE_ALL
// Measured with 384 (libxxhash), 768, 1024, 2048, 3072, 4096, 6144, 8192 bytes: level from 3072 on.
#define XXH_PREFETCH_DIST 4096
#include <xxhash.h>

#include "common/xxh3_unit.hpp"

namespace fdpstore {
namespace {

constexpr Xxh3Unit inlined_xxh3() {
  static_assert(sizeof(XXH3_state_t) <= kXxh3StateBytes && alignof(XXH3_state_t) <= 64);
  return {
      .hash = [](const void* bytes, std::size_t size, std::uint64_t seed) -> std::uint64_t {
        return XXH3_64bits_withSeed(bytes, size, seed);
      },
      .reset =
          [](void* state, std::uint64_t seed) {
            XXH3_INITSTATE(static_cast<XXH3_state_t*>(state));
            XXH3_64bits_reset_withSeed(static_cast<XXH3_state_t*>(state), seed);
          },
      .add =
          [](void* state, const void* bytes, std::size_t size) {
            XXH3_64bits_update(static_cast<XXH3_state_t*>(state), bytes, size);
          },
      .value = [](const void* state) -> std::uint64_t {
        return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state));
      },
  };
}

}  // namespace
}  // namespace fdpstore
