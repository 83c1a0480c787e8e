// XXH3 as it is compiled for one vector unit: what xxh3.hpp chooses from.
//
// Thread:  any; one state, one at a time.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fdpstore {

// Where XXH3_state_t finds room.
struct alignas(64) Xxh3State {
  std::byte bytes[576];
};

struct Xxh3Unit {
  std::uint64_t (*hash)(const void* bytes, std::size_t size, std::uint64_t seed);
  void (*reset)(Xxh3State& state, std::uint64_t seed);
  void (*add)(Xxh3State& state, const void* bytes, std::size_t size);
  std::uint64_t (*value)(const Xxh3State& state);
};

extern const Xxh3Unit kXxh3Baseline;
extern const Xxh3Unit kXxh3Avx2;
extern const Xxh3Unit kXxh3Avx512;

}  // namespace fdpstore
