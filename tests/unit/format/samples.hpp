// Values that the tests of the codec share: FORMAT.md shows the same ones as hex dumps.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "format/codec.hpp"

namespace fdpstore::format::samples {

using Block = std::array<std::byte, kBlockBytes>;

inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// 00112233-4455-4677-8899-aabbccddeeff
inline Uuid uuid() {
  return {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x46, 0x77,
          0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
}
inline Place place() {
  return {.uuid = uuid(), .segment = 5, .segment_sequence = 42, .offset_bytes = 8192};
}
inline KeyRef key() {
  return {.chunk_hash = bytes_of("\xDE\xAD\xBE\xEF"),
          .model_name = "org/m",
          .kv_rank = 0x02010201,
          .object_group_id = 3,
          .cache_salt = "acme:x"};
}
inline std::span<const std::byte> payload() {
  return bytes_of("payload");
}

inline Superblock superblock() {
  Superblock value;
  value.clean = 1;
  value.generation = 7;
  value.uuid = uuid();
  value.segment_bytes = 256ULL << 20;
  value.created_unix_s = 1'700'000'000;
  value.layout = 2;
  value.capacity_bytes = 64ULL << 30;
  return value;
}
inline SegmentHeader segment_header() {
  SegmentHeader value;
  value.kind = static_cast<std::uint16_t>(SegmentKind::data);
  value.segment = 5;
  value.sequence = 42;
  value.uuid = uuid();
  value.handle = 1;
  value.prompt = 0xCAFE;
  value.lifetime = static_cast<std::uint8_t>(Lifetime::medium);
  return value;
}
inline SegmentFooter footer() {
  SegmentFooter value;
  value.segment = 5;
  value.sequence = 42;
  value.uuid = uuid();
  value.last_summary = 16384;
  value.used_bytes = 24576;
  return value;
}
inline ObjectMeta object() {
  ObjectMeta meta;
  meta.key = key();
  meta.sequence = 1001;
  meta.payload_bytes = payload().size();
  meta.payload_xxh3 = payload_checksum(uuid(), key(), meta.sequence, payload());
  meta.stream = 2;
  meta.prompt = PromptId{0xCAFE};
  meta.position = 9;
  meta.seen_in = 1;
  return meta;
}
inline SummaryItem summary_item() {
  return {.offset_bytes = 8192, .object = object()};
}
inline Tombstone tombstone() {
  return {.key = key(), .sequence = 1001, .segment = 5, .segment_sequence = 42};
}
inline FreedEntry freed() {
  return {.segment = 5, .reserved0 = 0, .sequence = 42};
}

// A record of one summary entry at offset 16384, after one summary at 4096.
inline Place summary_place() {
  Place at = place();
  at.offset_bytes = 16384;
  return at;
}

template <class Struct>
Block encoded(const Struct& value) {
  Block block;
  encode(value, block);
  return block;
}
inline Block encoded_object(const Place& at = place(), const ObjectMeta& meta = object()) {
  Block block;
  encode_object_header(at, meta, block);
  return block;
}
inline std::vector<std::byte> summary_payload() {
  std::vector<std::byte> out;
  append_summary(out, summary_item());
  return out;
}
inline Block encoded_summary_header() {
  Block block;
  encode_record_header(summary_place(), RecordKind::summary, 16384, 4096, summary_payload(), block);
  return block;
}

// Puts right the checksum of a block that a test has edited; `at` is the field's offset.
void reseal(std::span<std::byte> block, std::size_t at);

}  // namespace fdpstore::format::samples
