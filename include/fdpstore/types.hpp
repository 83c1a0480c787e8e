// Words shared by every layer: keys, ids, lifetimes.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace fdpstore {

// Ids that must not be mixed up. `value` is the number on disk.
struct SegmentId {
  std::uint32_t value = 0;
  auto operator<=>(const SegmentId&) const = default;
};
// What a policy picks for an object; dense, 0 … Policy::streams().size() - 1.
struct StreamId {
  std::uint16_t value = 0;
  auto operator<=>(const StreamId&) const = default;
};
// A prompt, by a 32-bit hash; 0 means "none known".
struct PromptId {
  std::uint32_t value = 0;
  auto operator<=>(const PromptId&) const = default;
};

// Expected lifetime of data, with the numbers of Linux's RWH_WRITE_LIFE_* (fcntl F_SET_RW_HINT).
enum class Lifetime : std::uint8_t {
  not_set = 0,
  none = 1,
  short_lived = 2,
  medium = 3,
  long_lived = 4,
  extreme = 5,
};
// "not_set", "none", "short", "medium", "long", "extreme", as policy files spell them.
std::string_view to_string(Lifetime lifetime);

// An LMCache ObjectKey by reference (lmcache/v1/distributed/api.py). The referenced bytes belong to
// the caller and need to live only for the call.
struct KeyRef {
  std::span<const std::byte> chunk_hash;  // 1 … kMaxHashBytes bytes
  std::string_view model_name;            // UTF-8, without '@'
  std::uint64_t kv_rank = 0;  // (world << 24) | (rank << 16) | (local_world << 8) | local
  std::uint32_t object_group_id = 0;
  std::string_view cache_salt;  // UTF-8, without '@', '/', '\\', NUL; the tenant before ':'
};

// The same, owning its bytes.
struct ObjectKey {
  std::vector<std::byte> chunk_hash;
  std::string model_name;
  std::uint64_t kv_rank = 0;
  std::uint32_t object_group_id = 0;
  std::string cache_salt;

  ObjectKey() = default;
  explicit ObjectKey(const KeyRef& ref)
      : chunk_hash(ref.chunk_hash.begin(), ref.chunk_hash.end()),
        model_name(ref.model_name),
        kv_rank(ref.kv_rank),
        object_group_id(ref.object_group_id),
        cache_salt(ref.cache_salt) {}
  [[nodiscard]] KeyRef ref() const {
    return {chunk_hash, model_name, kv_rank, object_group_id, cache_salt};
  }
  bool operator==(const ObjectKey&) const = default;
};

// Together they keep a key inside one 4096-byte record header (format/layout.hpp).
inline constexpr std::size_t kMaxHashBytes = 128;
inline constexpr std::size_t kMaxModelNameBytes = 1024;
inline constexpr std::size_t kMaxSaltBytes = 512;

// The KV rank inside kv_rank, as LMCache packs it.
constexpr std::uint32_t rank_of(std::uint64_t kv_rank) {
  return static_cast<std::uint32_t>((kv_rank >> 16) & 0xFF);
}
// The tenant of a salt: what stands before ':' (LMCache raw_block's rule).
constexpr std::string_view tenant_of(std::string_view salt) {
  return salt.substr(0, salt.find(':'));
}

}  // namespace fdpstore
