// Superblock, segment header, segment footer, record header.
#include "format/codec.hpp"

#include <fmt/format.h>

#include <bit>
#include <cassert>
#include <cstring>
#include <random>
#include <string_view>

#include "common/xxh3.hpp"
#include "format/codec_detail.hpp"

namespace fdpstore::format {
namespace {

static_assert(std::endian::native == std::endian::little,
              "structures are written as they lie in memory; the format is little-endian");

using Block = std::array<std::byte, kBlockBytes>;

// Of a whole block, with the checksum field of `Struct` taken as zero. The copy costs less than a
// second call of the hash would.
template <class Struct>
std::uint64_t block_checksum(std::span<const std::byte> block) {
  Block copy;
  std::memcpy(copy.data(), block.data(), kBlockBytes);
  std::memset(copy.data() + offsetof(Struct, xxh3), 0, sizeof(std::uint64_t));
  return xxh3(copy);
}

// Puts `fixed` and then `tail` into a zeroed block and completes the checksum. Every structure
// holds its checksum in `xxh3`, which the caller left 0.
template <class Struct>
void seal_block(Struct fixed, const KeyRef& tail, std::span<std::byte> block) {
  assert(block.size() == kBlockBytes && sizeof(Struct) + key_tail_bytes(tail) <= kBlockBytes);
  fixed.xxh3 = 0;
  std::memset(block.data(), 0, kBlockBytes);
  std::memcpy(block.data(), &fixed, sizeof(Struct));
  put_key_tail(block.data() + sizeof(Struct), tail);
  const std::uint64_t sum = xxh3(block);
  std::memcpy(block.data() + offsetof(Struct, xxh3), &sum, sizeof sum);
}

// Magic, checksum, version: what every structure begins with. The checksum comes before the
// version, so that a flipped bit in the version is damage and not a newer format.
template <class Struct>
Result<Struct> open_block(std::span<const std::byte> block, std::uint64_t magic,
                          std::string_view what) {
  if (block.size() < kBlockBytes) {
    return fail(Errc::corrupt, fmt::format("{}: {} bytes instead of a block of {}", what,
                                           block.size(), kBlockBytes));
  }
  Struct fixed;
  std::memcpy(&fixed, block.data(), sizeof(Struct));
  if (fixed.magic != magic) {
    return fail(Errc::corrupt, fmt::format("{}: magic number {:016x} instead of {:016x}", what,
                                           fixed.magic, magic));
  }
  if (fixed.xxh3 != block_checksum<Struct>(block)) {
    return fail(Errc::corrupt, fmt::format("{}: checksum mismatch", what));
  }
  if (fixed.version > kVersion) {
    return fail(Errc::version_mismatch,
                fmt::format("{}: format version {}, this fdpstore reads up to {}; use a newer one",
                            what, fixed.version, kVersion));
  }
  if (fixed.version == 0) {
    return fail(Errc::corrupt, fmt::format("{}: format version 0 does not exist", what));
  }
  return fixed;
}

std::unexpected<Error> damaged(std::string_view what, std::string_view why) {
  return fail(Errc::corrupt, fmt::format("{}: {}", what, why));
}

bool zero_after(std::span<const std::byte> block, std::size_t used) {
  return all_zero(block.subspan(used, kBlockBytes - used));
}

bool block_aligned(std::uint64_t value) {
  return value % kBlockBytes == 0;
}

bool known_kind(std::uint16_t kind) {
  return kind >= static_cast<std::uint16_t>(RecordKind::object) &&
         kind <= static_cast<std::uint16_t>(RecordKind::footers);
}

// Identity and lengths; what follows the checksum and does not depend on the kind.
Result<void> check_record(const RecordHeader& header, const Place& place) {
  constexpr std::string_view kWhat = "record header";
  if (header.uuid != place.uuid) return damaged(kWhat, "of another store");
  if (header.segment != place.segment) return damaged(kWhat, "of another segment");
  if (header.segment_sequence != place.segment_sequence) {
    return damaged(kWhat, "of another life of the segment");
  }
  if (header.offset_bytes != place.offset_bytes) return damaged(kWhat, "of another offset");
  if (!known_kind(header.kind)) return damaged(kWhat, "unknown kind");
  if (header.payload_bytes > kMaxLengthBytes || header.offset_bytes > kMaxLengthBytes) {
    return damaged(kWhat, "impossible length");
  }
  if (header.reserved0 != 0) return damaged(kWhat, "reserved field in use");
  return {};
}

bool has_object_fields(const RecordHeader& header) {
  return header.kv_rank != 0 || header.object_group_id != 0 || header.hash_bytes != 0 ||
         header.model_bytes != 0 || header.salt_bytes != 0 || header.stream != 0 ||
         header.prompt != 0 || header.position != 0 || header.seen_in != 0;
}

RecordHeader record_at(const Place& place, RecordKind kind) {
  RecordHeader header;
  header.kind = static_cast<std::uint16_t>(kind);
  header.segment = place.segment;
  header.offset_bytes = place.offset_bytes;
  header.segment_sequence = place.segment_sequence;
  header.uuid = place.uuid;
  return header;
}

}  // namespace

Result<void> check_key(const KeyRef& key) {
  const auto too_long = [](std::string_view field, std::size_t size, std::size_t limit) {
    return fail(Errc::too_large,
                fmt::format("key: {} has {} bytes, the limit is {}", field, size, limit));
  };
  if (key.chunk_hash.empty()) return fail(Errc::invalid_argument, "key: chunk_hash is empty");
  if (key.chunk_hash.size() > kMaxHashBytes) {
    return too_long("chunk_hash", key.chunk_hash.size(), kMaxHashBytes);
  }
  if (key.model_name.size() > kMaxModelNameBytes) {
    return too_long("model_name", key.model_name.size(), kMaxModelNameBytes);
  }
  if (key.cache_salt.size() > kMaxSaltBytes) {
    return too_long("cache_salt", key.cache_salt.size(), kMaxSaltBytes);
  }
  if (key.model_name.find('@') != std::string_view::npos) {
    return fail(Errc::invalid_argument, "key: model_name contains '@'");
  }
  if (key.cache_salt.find_first_of(std::string_view("@/\\\0", 4)) != std::string_view::npos) {
    return fail(Errc::invalid_argument, "key: cache_salt contains '@', '/', '\\' or NUL");
  }
  return {};
}

void encode(const Superblock& superblock, std::span<std::byte> block) {
  seal_block(superblock, {}, block);
}

void encode(const SegmentHeader& header, std::span<std::byte> block) {
  seal_block(header, {}, block);
}

void encode(const SegmentFooter& footer, std::span<std::byte> block) {
  seal_block(footer, {}, block);
}

void encode_object_header(const Place& place, const ObjectMeta& object,
                          std::span<std::byte> block) {
  assert(check_key(object.key).has_value());
  RecordHeader header = record_at(place, RecordKind::object);
  put_key_fields(header, object.key);
  header.sequence = object.sequence;
  header.payload_bytes = object.payload_bytes;
  header.payload_xxh3 = object.payload_xxh3;
  header.stream = object.stream;
  header.prompt = object.prompt.value;
  header.position = object.position;
  header.seen_in = object.seen_in;
  seal_block(header, object.key, block);
}

void encode_record_header(const Place& place, RecordKind kind, std::uint64_t sequence,
                          std::uint64_t previous_summary, std::span<const std::byte> payload,
                          std::span<std::byte> block) {
  assert(kind != RecordKind::object && (kind == RecordKind::summary || previous_summary == 0));
  RecordHeader header = record_at(place, kind);
  header.sequence = sequence;
  header.payload_bytes = payload.size();
  header.payload_xxh3 =
      kind == RecordKind::pad ? kNoChecksum : payload_checksum(place.uuid, {}, sequence, payload);
  header.previous_summary = previous_summary;
  seal_block(header, {}, block);
}

Result<Superblock> decode_superblock(std::span<const std::byte> block) {
  constexpr std::string_view kWhat = "superblock";
  auto superblock = open_block<Superblock>(block, kSuperblockMagic, kWhat);
  if (!superblock) return superblock;
  if (superblock->block_bytes != kBlockBytes) {
    return fail(Errc::unsupported,
                fmt::format("superblock: the store was made with blocks of {} bytes, this fdpstore "
                            "reads {}",
                            superblock->block_bytes, kBlockBytes));
  }
  if (superblock->clean > 1) return damaged(kWhat, "clean mark is neither 0 nor 1");
  if (superblock->segment_bytes < 2 * kBlockBytes || !block_aligned(superblock->segment_bytes) ||
      superblock->segment_bytes > kMaxLengthBytes) {
    return damaged(kWhat, "impossible segment size");
  }
  if (superblock->reserved0 != 0 || !all_zero(std::as_bytes(std::span(superblock->reserved)))) {
    return damaged(kWhat, "reserved field in use");
  }
  return superblock;
}

Result<SegmentHeader> decode_segment_header(std::span<const std::byte> block, const Uuid& uuid,
                                            std::uint32_t segment) {
  constexpr std::string_view kWhat = "segment header";
  auto header = open_block<SegmentHeader>(block, kSegmentMagic, kWhat);
  if (!header) return header;
  if (header->uuid != uuid) return damaged(kWhat, "of another store");
  if (header->segment != segment) return damaged(kWhat, "of another segment");
  if (header->kind != static_cast<std::uint16_t>(SegmentKind::data) &&
      header->kind != static_cast<std::uint16_t>(SegmentKind::metadata)) {
    return damaged(kWhat, "unknown kind");
  }
  if (header->lifetime > static_cast<std::uint8_t>(Lifetime::extreme)) {
    return damaged(kWhat, "unknown lifetime");
  }
  if (!all_zero(std::as_bytes(std::span(header->reserved))) ||
      !zero_after(block, sizeof(SegmentHeader))) {
    return damaged(kWhat, "reserved field in use");
  }
  return header;
}

Result<SegmentFooter> decode_segment_footer(std::span<const std::byte> block, const Uuid& uuid,
                                            std::uint32_t segment, std::uint64_t sequence) {
  constexpr std::string_view kWhat = "segment footer";
  auto footer = open_block<SegmentFooter>(block, kFooterMagic, kWhat);
  if (!footer) return footer;
  if (footer->uuid != uuid) return damaged(kWhat, "of another store");
  if (footer->segment != segment) return damaged(kWhat, "of another segment");
  if (footer->sequence != sequence) return damaged(kWhat, "of another life of the segment");
  if (!footer_lengths_ok(*footer)) return damaged(kWhat, "impossible length");
  if (footer->reserved0 != 0 || !zero_after(block, sizeof(SegmentFooter))) {
    return damaged(kWhat, "reserved field in use");
  }
  return footer;
}

Result<DecodedRecord> decode_record_header(std::span<const std::byte> block, const Place& place) {
  constexpr std::string_view kWhat = "record header";
  const auto opened = open_block<RecordHeader>(block, kRecordMagic, kWhat);
  if (!opened) return fail(opened.error());
  const RecordHeader& header = *opened;
  if (auto checked = check_record(header, place); !checked) return fail(checked.error());

  DecodedRecord record;
  record.kind = static_cast<RecordKind>(header.kind);
  record.previous_summary = header.previous_summary;
  record.object.sequence = header.sequence;
  record.object.payload_bytes = header.payload_bytes;
  record.object.payload_xxh3 = header.payload_xxh3;
  std::size_t used = sizeof(RecordHeader);
  if (record.kind == RecordKind::object) {
    const auto key = read_key_tail(header, block.subspan(used, kBlockBytes - used));
    if (!key) return damaged(kWhat, "impossible key lengths");
    if (header.payload_bytes == 0) return damaged(kWhat, "object without bytes");
    record.object.key = *key;
    record.object.stream = header.stream;
    record.object.prompt = PromptId{header.prompt};
    record.object.position = header.position;
    record.object.seen_in = header.seen_in;
    used += key_tail_bytes(*key);
  } else if (has_object_fields(header)) {
    return damaged(kWhat, "fields of an object in a record of another kind");
  }
  if (header.previous_summary != 0 &&
      (record.kind != RecordKind::summary || header.previous_summary >= header.offset_bytes ||
       !block_aligned(header.previous_summary))) {
    return damaged(kWhat, "impossible previous summary");
  }
  if (!zero_after(block, used)) return damaged(kWhat, "bytes behind the key");
  return record;
}

bool looks_like_record(std::span<const std::byte> block) {
  std::uint64_t magic = 0;
  if (block.size() < kBlockBytes) return false;
  std::memcpy(&magic, block.data(), sizeof magic);
  return magic == kRecordMagic;
}

Uuid random_uuid() {
  std::random_device random;
  Uuid uuid;
  for (std::size_t i = 0; i < uuid.size(); i += sizeof(std::uint32_t)) {
    const std::uint32_t word = random();
    std::memcpy(uuid.data() + i, &word, sizeof word);
  }
  uuid[6] = static_cast<std::uint8_t>((uuid[6] & 0x0F) | 0x40);  // RFC 9562: version 4 …
  uuid[8] = static_cast<std::uint8_t>((uuid[8] & 0x3F) | 0x80);  // … variant 10
  return uuid;
}

std::string to_string(const Uuid& uuid) {
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < uuid.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    fmt::format_to(std::back_inserter(text), "{:02x}", uuid[i]);
  }
  return text;
}

}  // namespace fdpstore::format
