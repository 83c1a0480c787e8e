// What programs that measure whole stores share: results that must be, time, keys by number.
//
// Thread:  any.
// Errors:  must() prints the error and ends the process.
#pragma once

#include <fmt/core.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <utility>
#include <vector>

#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore::bench {

using SteadyClock = std::chrono::steady_clock;
inline constexpr std::size_t kHashBytes = 32;  // as LMCache's

[[noreturn]] inline void give_up(const Error& error) {
  fmt::print(stderr, "{}\n", error.message());
  std::exit(1);
}
template <typename T>
T must(Result<T> result) {
  if (!result) give_up(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

inline double seconds_since(SteadyClock::time_point begin) {
  return std::chrono::duration<double>(SteadyClock::now() - begin).count();
}

// Keys made of numbers; valid while it lives.
class Keys {
 public:
  explicit Keys(std::size_t count) : hashes_(count * kHashBytes) {}
  // Consecutive ones.
  Keys(std::uint64_t first, std::size_t count) : Keys(count) {
    for (std::size_t i = 0; i < count; ++i) set(i, first + i);
  }
  void set(std::size_t at, std::uint64_t number) {
    for (std::size_t word = 0; word < kHashBytes / 8; ++word) {
      const std::uint64_t mixed = (number + word) * 0x9E3779B97F4A7C15ULL;
      std::memcpy(hashes_.data() + at * kHashBytes + word * 8, &mixed, 8);
    }
  }
  [[nodiscard]] std::vector<KeyRef> refs() const {
    std::vector<KeyRef> refs;
    for (std::size_t at = 0; at < hashes_.size(); at += kHashBytes) {
      refs.push_back({.chunk_hash = {hashes_.data() + at, kHashBytes},
                      .model_name = "org/model",
                      .kv_rank = 0x01000100,
                      .object_group_id = 0,
                      .cache_salt = ""});
    }
    return refs;
  }

 private:
  std::vector<std::byte> hashes_;
};

}  // namespace fdpstore::bench
