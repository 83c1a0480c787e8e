// XXH3 as it is compiled for one vector unit: what xxh3.hpp chooses from.
//
// Thread:  any; one state, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fdpstore {

inline constexpr std::size_t kXxh3StateBytes = 576;  // aligned to 64

struct Xxh3Unit {
  std::uint64_t (*hash)(const void* bytes, std::size_t size, std::uint64_t seed);
  void (*reset)(void* state, std::uint64_t seed);
  void (*add)(void* state, const void* bytes, std::size_t size);
  std::uint64_t (*value)(const void* state);
};

extern const Xxh3Unit kXxh3Baseline;
extern const Xxh3Unit kXxh3Avx2;
extern const Xxh3Unit kXxh3Avx512;

}  // namespace fdpstore
