// Keys by number.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "fdpstore/types.hpp"
#include "support/bytes.hpp"

namespace fdpstore::test {

// kv_rank as LMCache packs it: world, rank, local world, local rank.
constexpr std::uint64_t kv_rank(std::uint32_t rank, std::uint32_t world = 8) {
  return (std::uint64_t{world} << 24) | (rank << 16) | (world << 8) | rank;
}

inline ObjectKey make_key(std::uint64_t n, std::string model = "org/model", std::string salt = "",
                          std::uint32_t rank = 0) {
  ObjectKey key;
  key.chunk_hash.resize(32);
  fill(key.chunk_hash, n);
  std::memcpy(key.chunk_hash.data(), &n, sizeof(n));  // so that the number can be read from it
  key.model_name = std::move(model);
  key.cache_salt = std::move(salt);
  key.kv_rank = kv_rank(rank);
  return key;
}

inline std::vector<ObjectKey> make_keys(std::uint64_t first, std::size_t count,
                                        std::uint64_t step = 1) {
  std::vector<ObjectKey> keys;
  keys.reserve(count);
  for (std::size_t i = 0; i < count; ++i) keys.push_back(make_key(first + i * step));
  return keys;
}

inline std::vector<KeyRef> refs(const std::vector<ObjectKey>& keys) {
  std::vector<KeyRef> out;
  out.reserve(keys.size());
  for (const ObjectKey& key : keys) out.push_back(key.ref());
  return out;
}

}  // namespace fdpstore::test
