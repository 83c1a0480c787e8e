// What headers and payload entries share: the variable part of a key as it lies behind a fixed
// structure (chunk_hash, model_name, cache_salt), and checks of both.
//
// Thread:  any. Internal to src/format.
// Errors:  read_key_tail returns nullopt for lengths that no key can have or that leave the buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>

#include "fdpstore/types.hpp"
#include "format/layout.hpp"

namespace fdpstore::format {

// A run of zeros, without a loop over bytes.
inline bool all_zero(std::span<const std::byte> bytes) {
  return bytes.empty() || (bytes[0] == std::byte{0} &&
                           std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0);
}

inline bool footer_lengths_ok(const SegmentFooter& footer) {
  return footer.last_summary % kBlockBytes == 0 && footer.used_bytes % kBlockBytes == 0 &&
         footer.used_bytes <= kMaxLengthBytes && footer.last_summary <= footer.used_bytes;
}

inline std::size_t key_tail_bytes(const KeyRef& key) {
  return key.chunk_hash.size() + key.model_name.size() + key.cache_salt.size();
}

// Lengths and fixed fields of a key, under the same names in RecordHeader, SummaryEntry and
// TombstoneEntry.
template <class Struct>
void put_key_fields(Struct& out, const KeyRef& key) {
  out.kv_rank = key.kv_rank;
  out.object_group_id = key.object_group_id;
  out.hash_bytes = static_cast<std::uint16_t>(key.chunk_hash.size());
  out.model_bytes = static_cast<std::uint16_t>(key.model_name.size());
  out.salt_bytes = static_cast<std::uint16_t>(key.cache_salt.size());
}

// `out` has at least key_tail_bytes(key) bytes.
inline void put_key_tail(std::byte* out, const KeyRef& key) {
  const auto put = [&out](const void* data, std::size_t size) {
    if (size != 0) std::memcpy(out, data, size);
    out += size;
  };
  put(key.chunk_hash.data(), key.chunk_hash.size());
  put(key.model_name.data(), key.model_name.size());
  put(key.cache_salt.data(), key.cache_salt.size());
}

// The key refers to `tail`.
template <class Struct>
std::optional<KeyRef> read_key_tail(const Struct& fixed, std::span<const std::byte> tail) {
  const std::size_t hash = fixed.hash_bytes;
  const std::size_t model = fixed.model_bytes;
  const std::size_t salt = fixed.salt_bytes;
  if (hash == 0 || hash > kMaxHashBytes || model > kMaxModelNameBytes || salt > kMaxSaltBytes ||
      hash + model + salt > tail.size()) {
    return std::nullopt;
  }
  const auto* text = reinterpret_cast<const char*>(tail.data());
  KeyRef key;
  key.chunk_hash = tail.first(hash);
  key.model_name = {text + hash, model};
  key.kv_rank = fixed.kv_rank;
  key.object_group_id = fixed.object_group_id;
  key.cache_salt = {text + hash + model, salt};
  return key;
}

}  // namespace fdpstore::format
