// Encoding and verifying the structures of layout.hpp. Pure functions on byte spans: no I/O, no
// clocks, no allocation beyond what they return. Any bytes whatever are safe input to a decode.
//
// Thread:  any.
// Errors:  decode returns Errc::corrupt (with what was wrong), Errc::version_mismatch, or the
// value.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"
#include "format/layout.hpp"

namespace fdpstore::format {

constexpr std::uint64_t round_up_block(std::uint64_t bytes) {
  return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}
// Space a record takes in a segment: header block + padded payload.
constexpr std::uint64_t record_bytes(std::uint64_t payload_bytes) {
  return kBlockBytes + round_up_block(payload_bytes);
}

// Where a record lies; every decode checks a header against it.
struct Place {
  Uuid uuid{};
  std::uint32_t segment = 0;
  std::uint64_t segment_sequence = 0;
  std::uint64_t offset_bytes = 0;
};

// What is known of an object, on disk and in summaries. key.* point into the decoded buffer.
struct ObjectMeta {
  KeyRef key;
  std::uint64_t sequence = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_xxh3 = 0;
  std::uint16_t stream = 0;
  PromptId prompt;
  std::uint32_t position = 0;
  std::uint16_t seen_in = 0;
};

// Errc::too_large / invalid_argument when a key cannot be stored (limits of types.hpp).
[[nodiscard]] Result<void> check_key(const KeyRef& key);

// 64-bit XXH3 of the payload, seeded with a hash of the store's UUID, the key and the sequence, so
// that right bytes under a wrong identity fail too. Never kNoChecksum.
[[nodiscard]] std::uint64_t payload_checksum(const Uuid& uuid, const KeyRef& key,
                                             std::uint64_t sequence,
                                             std::span<const std::byte> payload);
// The same over a payload that is scattered.
[[nodiscard]] std::uint64_t payload_seed(const Uuid& uuid, const KeyRef& key,
                                         std::uint64_t sequence);
[[nodiscard]] std::uint64_t seeded_checksum(std::uint64_t seed, std::span<const std::byte> payload);

// Each encode fills a whole block (zeroed beyond the structure); `block` is kBlockBytes long.
void encode(const Superblock& superblock, std::span<std::byte> block);  // sets xxh3
void encode(const SegmentHeader& header, std::span<std::byte> block);
void encode(const SegmentFooter& footer, std::span<std::byte> block);
void encode_object_header(const Place& place, const ObjectMeta& object, std::span<std::byte> block);
// For the other kinds; `payload` is checksummed with payload_checksum over an empty key, but for a
// pad, of which only the size is used. `previous_summary` is 0 for kinds other than summary.
void encode_record_header(const Place& place, RecordKind kind, std::uint64_t sequence,
                          std::uint64_t previous_summary, std::span<const std::byte> payload,
                          std::span<std::byte> block);

[[nodiscard]] Result<Superblock> decode_superblock(std::span<const std::byte> block);
// Checks magic, version, checksum, own id and UUID.
[[nodiscard]] Result<SegmentHeader> decode_segment_header(std::span<const std::byte> block,
                                                          const Uuid& uuid, std::uint32_t segment);
[[nodiscard]] Result<SegmentFooter> decode_segment_footer(std::span<const std::byte> block,
                                                          const Uuid& uuid, std::uint32_t segment,
                                                          std::uint64_t sequence);

struct DecodedRecord {
  RecordKind kind = RecordKind::pad;
  ObjectMeta object;  // kind object; else only sequence and payload_* are set
  std::uint64_t previous_summary = 0;
};
// Checks everything that identifies the record, its checksum, lengths and reserved fields.
[[nodiscard]] Result<DecodedRecord> decode_record_header(std::span<const std::byte> block,
                                                         const Place& place);
// Cheap test before decode_record_header when probing block by block: the magic only.
[[nodiscard]] bool looks_like_record(std::span<const std::byte> block);

// Payloads of summary, tombstone, freed and footers records: append to `out`, visit what was
// decoded. A visit of a damaged payload fails after it has visited the entries before the damage.
struct SummaryItem {
  std::uint64_t offset_bytes = 0;
  ObjectMeta object;
};
struct Tombstone {
  KeyRef key;
  std::uint64_t sequence = 0;
  std::uint32_t segment = 0;
  std::uint64_t segment_sequence = 0;
};
void append_summary(std::vector<std::byte>& out, const SummaryItem& item);
void append_tombstone(std::vector<std::byte>& out, const Tombstone& tombstone);
void append_freed(std::vector<std::byte>& out, const FreedEntry& freed);
// The 64-byte structure alone; its xxh3 stays 0, since the record's checksum covers it.
void append_footer(std::vector<std::byte>& out, const SegmentFooter& footer);
// Space append_summary takes for such a key.
[[nodiscard]] std::size_t summary_bytes(const KeyRef& key);

[[nodiscard]] Result<void> visit_summary(std::span<const std::byte> payload,
                                         const std::function<void(const SummaryItem&)>& visit);
[[nodiscard]] Result<void> visit_tombstones(std::span<const std::byte> payload,
                                            const std::function<void(const Tombstone&)>& visit);
[[nodiscard]] Result<void> visit_freed(std::span<const std::byte> payload,
                                       const std::function<void(const FreedEntry&)>& visit);
// Footers of another store than `uuid` are damage.
[[nodiscard]] Result<void> visit_footers(std::span<const std::byte> payload, const Uuid& uuid,
                                         const std::function<void(const SegmentFooter&)>& visit);

[[nodiscard]] Uuid random_uuid();
[[nodiscard]] std::string to_string(const Uuid& uuid);  // 8-4-4-4-12 hex

}  // namespace fdpstore::format
