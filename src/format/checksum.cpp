// Checksums of payloads: the main CPU cost of a store or a load.
#include "format/checksum.hpp"

#include <algorithm>

#include "format/codec.hpp"

namespace fdpstore::format {
namespace {

// Everything of an identity that has a fixed size, without padding.
struct IdentityHead {
  Uuid uuid{};
  std::uint64_t sequence = 0;
  std::uint64_t kv_rank = 0;
  std::uint32_t object_group_id = 0;
  std::uint32_t hash_bytes = 0;  // Lengths keep keys apart whose parts join to the same bytes.
  std::uint32_t model_bytes = 0;
  std::uint32_t salt_bytes = 0;
};
static_assert(sizeof(IdentityHead) == 48 && std::has_unique_object_representations_v<IdentityHead>);

// kNoChecksum says that there is none.
std::uint64_t as_checksum(std::uint64_t hash) {
  return std::max<std::uint64_t>(hash, kNoChecksum + 1);
}

}  // namespace

std::uint64_t PayloadChecksum::value() const {
  return as_checksum(xxh3_.value());
}

std::uint64_t payload_seed(const Uuid& uuid, const KeyRef& key, std::uint64_t sequence) {
  const IdentityHead head{.uuid = uuid,
                          .sequence = sequence,
                          .kv_rank = key.kv_rank,
                          .object_group_id = key.object_group_id,
                          .hash_bytes = static_cast<std::uint32_t>(key.chunk_hash.size()),
                          .model_bytes = static_cast<std::uint32_t>(key.model_name.size()),
                          .salt_bytes = static_cast<std::uint32_t>(key.cache_salt.size())};
  std::uint64_t seed = xxh3(std::as_bytes(std::span(&head, 1)));
  seed = xxh3(key.chunk_hash, seed);
  seed = xxh3(std::as_bytes(std::span(key.model_name)), seed);
  return xxh3(std::as_bytes(std::span(key.cache_salt)), seed);
}

std::uint64_t seeded_checksum(std::uint64_t seed, std::span<const std::byte> payload) {
  return as_checksum(xxh3(payload, seed));
}

std::uint64_t payload_checksum(const Uuid& uuid, const KeyRef& key, std::uint64_t sequence,
                               std::span<const std::byte> payload) {
  return seeded_checksum(payload_seed(uuid, key, sequence), payload);
}

}  // namespace fdpstore::format
