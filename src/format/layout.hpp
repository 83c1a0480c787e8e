// On-disk structures of layouts `segment`, `prompt` and raw; FORMAT.md has byte-exact examples.
//
// All numbers are little-endian. Every structure starts at a multiple of kBlockBytes of its
// segment, or is the 4096-byte superblock; the rest of its block is zero. Reserved fields are zero,
// and both are verified so. The field `xxh3` covers the whole block, with itself taken as zero; its
// place, the magic's and the version's never change, so that any version can tell damage from a
// newer format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace fdpstore::format {

inline constexpr std::size_t kBlockBytes = 4096;
inline constexpr std::uint16_t kVersion = 1;

using Uuid = std::array<std::uint8_t, 16>;

// Magic numbers: eight ASCII characters, so that a hex dump tells what a block is.
inline constexpr std::uint64_t kSuperblockMagic = 0x5245505553504446;  // "FDPSUPER"
inline constexpr std::uint64_t kSegmentMagic = 0x544D474553504446;     // "FDPSEGMT"
inline constexpr std::uint64_t kRecordMagic = 0x4452434552504446;      // "FDPRECRD"
inline constexpr std::uint64_t kFooterMagic = 0x52544F4F46504446;      // "FDPFOOTR"

// Offsets and lengths beyond this are rejected on decode, so that sums of them cannot overflow.
inline constexpr std::uint64_t kMaxLengthBytes = 1ULL << 48;

// In payload_xxh3: the payload was stored without a checksum. A checksum never has this value.
inline constexpr std::uint64_t kNoChecksum = 0;

struct Superblock {
  std::uint64_t magic = kSuperblockMagic;  // Rejects blocks we never wrote.
  std::uint16_t version = kVersion;        // A newer one is refused, never guessed at.
  std::uint16_t clean = 0;  // 1: closed in order, summaries complete. 0: walk open segments.
  std::uint32_t block_bytes = kBlockBytes;  // Refuses a store made with another record block.
  std::uint64_t generation = 0;             // The larger of two valid copies wins.
  Uuid uuid{};                       // Ties segments to this store; foreign ones are ignored.
  std::uint64_t segment_bytes = 0;   // Geometry at creation.
  std::uint64_t created_unix_s = 0;  // For people.
  std::uint32_t layout = 0;          // fdpstore::Layout; refuses opening as another one.
  std::uint32_t reserved0 = 0;
  std::uint64_t capacity_bytes = 0;  // At the last open; for tools that read without options.
  std::array<std::uint64_t, 502> reserved{};
  std::uint64_t xxh3 = 0;
};
static_assert(sizeof(Superblock) == kBlockBytes);
static_assert(std::is_trivially_copyable_v<Superblock> &&
              std::has_unique_object_representations_v<Superblock>);

// First block of every segment, written once, right after allocation.
struct SegmentHeader {
  std::uint64_t magic = kSegmentMagic;
  std::uint16_t version = kVersion;
  std::uint16_t kind = 0;     // SegmentKind: tells data from metadata without reading on.
  std::uint32_t segment = 0;  // Own id; a segment copied or swapped to another place is rejected.
  std::uint64_t sequence =
      0;  // Strictly increasing per allocation: records of an earlier life are stale.
  Uuid uuid{};
  std::uint32_t handle = 0;   // Where it was written to, so that it is continued there.
  std::uint32_t prompt = 0;   // Layout `prompt`: the prompt it serves, else 0.
  std::uint8_t lifetime = 0;  // fdpstore::Lifetime asked for.
  std::array<std::uint8_t, 7> reserved{};
  std::uint64_t xxh3 = 0;
};
static_assert(sizeof(SegmentHeader) == 64);
static_assert(std::is_trivially_copyable_v<SegmentHeader> &&
              std::has_unique_object_representations_v<SegmentHeader>);
enum class SegmentKind : std::uint16_t { data = 1, metadata = 2 };

enum class RecordKind : std::uint16_t {
  object = 1,
  summary = 2,     // SummaryEntry… of the objects since the previous summary
  tombstones = 3,  // TombstoneEntry…
  freed = 4,       // FreedEntry…
  state = 5,       // the policy's state; the last one counts
  pad = 6,         // fills what must be written; the payload is not checked
  footers = 7,     // SegmentFooter… of the segments that were open at a clean close
};

// First block of every record; the key's variable part follows the struct inside the same block:
// chunk_hash, model_name, cache_salt. Then the payload, from the next block on, padded with zeros.
struct RecordHeader {
  std::uint64_t magic = kRecordMagic;
  std::uint16_t version = kVersion;
  std::uint16_t kind = 0;              // RecordKind
  std::uint32_t segment = 0;           // Rejects misdirected writes …
  std::uint64_t offset_bytes = 0;      // … to another segment or offset (bytes from segment start).
  std::uint64_t segment_sequence = 0;  // Rejects records of the segment's earlier life.
  Uuid uuid{};                         // Rejects records of another store.
  // Objects: tells this copy from an earlier one; kept by re-insertion. Summaries: offset below
  // which every record of the segment is in a summary (writes may still be in flight above it).
  std::uint64_t sequence = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_xxh3 = 0;  // Seeded with identity: payload_checksum(). Or kNoChecksum.
  std::uint64_t kv_rank = 0;
  std::uint32_t object_group_id = 0;
  std::uint16_t hash_bytes = 0;  // Lengths of the variable part.
  std::uint16_t model_bytes = 0;
  std::uint16_t salt_bytes = 0;
  std::uint16_t stream = 0;  // The policy's stream, for accounting after a restart.
  std::uint32_t prompt = 0;  // Lineage, so that a restart does not forget it.
  std::uint32_t position = 0;
  std::uint16_t seen_in = 0;
  std::uint16_t reserved0 = 0;
  std::uint64_t previous_summary =
      0;  // Summaries: offset of the one before in this segment, 0: none.
  std::uint64_t xxh3 = 0;
};
static_assert(sizeof(RecordHeader) == 120);
static_assert(std::is_trivially_copyable_v<RecordHeader> &&
              std::has_unique_object_representations_v<RecordHeader>);

// Last block of a sealed segment: start-up finds the summaries from here.
struct SegmentFooter {
  std::uint64_t magic = kFooterMagic;
  std::uint16_t version = kVersion;
  std::uint16_t reserved0 = 0;
  std::uint32_t segment = 0;
  std::uint64_t sequence = 0;  // The segment's; a footer of its earlier life is stale.
  Uuid uuid{};
  std::uint64_t last_summary = 0;  // Offset of the last summary record, 0: no objects.
  std::uint64_t used_bytes = 0;    // End of the last record.
  std::uint64_t xxh3 = 0;
};
static_assert(sizeof(SegmentFooter) == 64);
static_assert(std::is_trivially_copyable_v<SegmentFooter> &&
              std::has_unique_object_representations_v<SegmentFooter>);

// Payload entries, back to back; the record's payload_xxh3 covers them.
struct SummaryEntry {
  std::uint64_t offset_bytes = 0;  // of the record header
  std::uint64_t sequence = 0;
  std::uint64_t payload_bytes = 0;
  std::uint64_t payload_xxh3 = 0;
  std::uint64_t kv_rank = 0;
  std::uint32_t object_group_id = 0;
  std::uint16_t hash_bytes = 0;
  std::uint16_t model_bytes = 0;
  std::uint16_t salt_bytes = 0;
  std::uint16_t stream = 0;
  std::uint32_t prompt = 0;
  std::uint32_t position = 0;
  std::uint16_t seen_in = 0;
  std::uint16_t reserved0 = 0;
  // then chunk_hash, model_name, cache_salt, zero-padded to 8 bytes
};
static_assert(sizeof(SummaryEntry) == 64);
static_assert(std::is_trivially_copyable_v<SummaryEntry> &&
              std::has_unique_object_representations_v<SummaryEntry>);

struct TombstoneEntry {
  std::uint64_t sequence = 0;  // covers every copy of the key with sequence ≤ this
  std::uint64_t kv_rank = 0;
  std::uint32_t object_group_id = 0;
  std::uint32_t segment = 0;  // where the last copy lies; needed until that segment is freed
  std::uint64_t segment_sequence = 0;
  std::uint16_t hash_bytes = 0;
  std::uint16_t model_bytes = 0;
  std::uint16_t salt_bytes = 0;
  std::uint16_t reserved0 = 0;
  // then chunk_hash, model_name, cache_salt, zero-padded to 8 bytes
};
static_assert(sizeof(TombstoneEntry) == 40);
static_assert(std::is_trivially_copyable_v<TombstoneEntry> &&
              std::has_unique_object_representations_v<TombstoneEntry>);

struct FreedEntry {
  std::uint32_t segment = 0;
  std::uint32_t reserved0 = 0;
  std::uint64_t sequence = 0;  // every life of the segment with sequence ≤ this is dead
};
static_assert(sizeof(FreedEntry) == 16);
static_assert(std::is_trivially_copyable_v<FreedEntry> &&
              std::has_unique_object_representations_v<FreedEntry>);

}  // namespace fdpstore::format
