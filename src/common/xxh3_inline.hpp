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

static_assert(sizeof(XXH3_state_t) <= sizeof(Xxh3State) &&
              alignof(XXH3_state_t) <= alignof(Xxh3State));

XXH3_state_t* inside(Xxh3State& state) {
  return reinterpret_cast<XXH3_state_t*>(state.bytes);
}
const XXH3_state_t* inside(const Xxh3State& state) {
  return reinterpret_cast<const XXH3_state_t*>(state.bytes);
}

constexpr Xxh3Unit inlined_xxh3() {
  return {
      .hash = [](const void* bytes, std::size_t size, std::uint64_t seed) -> std::uint64_t {
        return XXH3_64bits_withSeed(bytes, size, seed);
      },
      .reset =
          [](Xxh3State& state, std::uint64_t seed) {
            XXH3_INITSTATE(inside(state));
            XXH3_64bits_reset_withSeed(inside(state), seed);
          },
      .add = [](Xxh3State& state, const void* bytes,
                std::size_t size) { XXH3_64bits_update(inside(state), bytes, size); },
      .value = [](const Xxh3State& state) -> std::uint64_t {
        return XXH3_64bits_digest(inside(state));
      },
  };
}

}  // namespace
}  // namespace fdpstore
