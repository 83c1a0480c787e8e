// Superblock, segment header and footer, record header: round trips, and everything that is
// refused.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>

#include "samples.hpp"

namespace fdpstore::format {
namespace {

using samples::Block;

// A value of each structure, and whether bytes decode as it.
struct Case {
  const char* name;
  Block block;
  std::size_t checksum_at;
  std::function<Result<void>(std::span<const std::byte>)> decode;
};

template <class T>
Result<void> drop_value(const Result<T>& result) {
  if (!result) return fail(result.error());
  return {};
}

std::vector<Case> all_headers() {
  return {
      {"superblock", samples::encoded(samples::superblock()), offsetof(Superblock, xxh3),
       [](auto block) { return drop_value(decode_superblock(block)); }},
      {"segment header", samples::encoded(samples::segment_header()), offsetof(SegmentHeader, xxh3),
       [](auto block) { return drop_value(decode_segment_header(block, samples::uuid(), 5)); }},
      {"segment footer", samples::encoded(samples::footer()), offsetof(SegmentFooter, xxh3),
       [](auto block) { return drop_value(decode_segment_footer(block, samples::uuid(), 5, 42)); }},
      {"object header", samples::encoded_object(), offsetof(RecordHeader, xxh3),
       [](auto block) { return drop_value(decode_record_header(block, samples::place())); }},
      {"summary header", samples::encoded_summary_header(), offsetof(RecordHeader, xxh3),
       [](auto block) {
         return drop_value(decode_record_header(block, samples::summary_place()));
       }},
  };
}

template <class T>
void expect_error(const Result<T>& result, Errc code, const std::string& part) {
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, code);
  EXPECT_NE(result.error().message().find(part), std::string::npos) << result.error().message();
}

TEST(Headers, EverySampleDecodes) {
  for (const Case& c : all_headers()) {
    const auto result = c.decode(c.block);
    EXPECT_TRUE(result.has_value()) << c.name << ": " << result.error().message();
  }
}

TEST(Headers, AnySingleFlippedBitIsRejected) {
  for (Case& c : all_headers()) {
    for (std::size_t bit = 0; bit < kBlockBytes * 8; ++bit) {
      const auto mask = static_cast<std::byte>(1U << (bit % 8));
      c.block[bit / 8] ^= mask;
      const auto result = c.decode(c.block);
      ASSERT_FALSE(result.has_value()) << c.name << " with bit " << bit << " flipped";
      ASSERT_EQ(result.error().code, Errc::corrupt) << c.name << " bit " << bit;
      c.block[bit / 8] ^= mask;
    }
  }
}

TEST(Headers, NewerVersionIsToldFromDamage) {
  for (Case& c : all_headers()) {
    const std::uint16_t newer = kVersion + 1;
    std::memcpy(c.block.data() + 8, &newer, sizeof newer);
    EXPECT_EQ(c.decode(c.block).error().code, Errc::corrupt) << c.name;
    samples::reseal(c.block, c.checksum_at);
    expect_error(c.decode(c.block), Errc::version_mismatch, "version 2");
  }
}

TEST(Headers, VersionZeroIsRejected) {
  for (Case& c : all_headers()) {
    std::memset(c.block.data() + 8, 0, 2);
    samples::reseal(c.block, c.checksum_at);
    expect_error(c.decode(c.block), Errc::corrupt, "version 0");
  }
}

TEST(Headers, ShortZeroedOrForeignBlocksAreRejected) {
  for (const Case& c : all_headers()) {
    for (const std::size_t size : {0UL, 1UL, 8UL, 64UL, 4095UL}) {
      EXPECT_EQ(c.decode(std::span(c.block).first(size)).error().code, Errc::corrupt) << c.name;
    }
    EXPECT_EQ(c.decode(Block{}).error().code, Errc::corrupt) << c.name;
    for (const Case& other : all_headers()) {
      if (std::strcmp(other.name, c.name) != 0) {
        EXPECT_FALSE(c.decode(other.block).has_value()) << other.name << " as " << c.name;
      }
    }
  }
}

TEST(Headers, BytesBehindTheStructureAreRejected) {
  for (Case& c : all_headers()) {
    if (std::strcmp(c.name, "superblock") == 0) continue;  // it fills its block
    c.block[kBlockBytes - 1] = std::byte{1};
    samples::reseal(c.block, c.checksum_at);
    EXPECT_EQ(c.decode(c.block).error().code, Errc::corrupt) << c.name;
  }
}

// Sets `size` bytes at `at` to `value`, with the checksum put right: what only the field checks
// see.
Result<void> decode_with(Case c, std::size_t at, std::uint64_t value, std::size_t size) {
  std::memcpy(c.block.data() + at, &value, size);
  samples::reseal(c.block, c.checksum_at);
  return c.decode(c.block);
}

TEST(Headers, ReservedFieldsMustBeZero) {
  const auto cases = all_headers();
  expect_error(decode_with(cases[0], offsetof(Superblock, reserved0), 1, 4), Errc::corrupt,
               "reserved");
  expect_error(decode_with(cases[0], offsetof(Superblock, reserved) + 8 * 501, 1, 8), Errc::corrupt,
               "reserved");
  expect_error(decode_with(cases[1], offsetof(SegmentHeader, reserved) + 6, 1, 1), Errc::corrupt,
               "reserved");
  expect_error(decode_with(cases[2], offsetof(SegmentFooter, reserved0), 1, 2), Errc::corrupt,
               "reserved");
  expect_error(decode_with(cases[3], offsetof(RecordHeader, reserved0), 1, 2), Errc::corrupt,
               "reserved");
}

TEST(SuperblockCodec, RoundTripKeepsEveryField) {
  const Superblock in = samples::superblock();
  const auto out = decode_superblock(samples::encoded(in));
  ASSERT_TRUE(out.has_value());
  Superblock expected = in;
  expected.xxh3 = out->xxh3;
  EXPECT_EQ(std::memcmp(&expected, &*out, sizeof expected), 0);
  EXPECT_NE(out->xxh3, 0U);
}

TEST(SuperblockCodec, ImpossibleGeometryIsRejected) {
  const Case c = all_headers()[0];
  const std::size_t segment_bytes = offsetof(Superblock, segment_bytes);
  for (const std::uint64_t bytes : {0ULL, 4096ULL, 8191ULL, 1ULL << 60, ~0ULL}) {
    expect_error(decode_with(c, segment_bytes, bytes, 8), Errc::corrupt, "segment size");
  }
  expect_error(decode_with(c, offsetof(Superblock, clean), 2, 2), Errc::corrupt, "clean");
  expect_error(decode_with(c, offsetof(Superblock, block_bytes), 512, 4), Errc::unsupported,
               "512 bytes");
}

TEST(SegmentHeaderCodec, RoundTripKeepsEveryField) {
  const SegmentHeader in = samples::segment_header();
  const auto out = decode_segment_header(samples::encoded(in), in.uuid, in.segment);
  ASSERT_TRUE(out.has_value());
  SegmentHeader expected = in;
  expected.xxh3 = out->xxh3;
  EXPECT_EQ(std::memcmp(&expected, &*out, sizeof expected), 0);
}

TEST(SegmentHeaderCodec, ForeignStoreOtherSegmentAndUnknownValuesAreRejected) {
  const Case c = all_headers()[1];
  Uuid other = samples::uuid();
  other[15] ^= 1;
  expect_error(decode_segment_header(c.block, other, 5), Errc::corrupt, "another store");
  expect_error(decode_segment_header(c.block, samples::uuid(), 6), Errc::corrupt,
               "another segment");
  expect_error(decode_with(c, offsetof(SegmentHeader, kind), 3, 2), Errc::corrupt, "kind");
  expect_error(decode_with(c, offsetof(SegmentHeader, kind), 0, 2), Errc::corrupt, "kind");
  expect_error(decode_with(c, offsetof(SegmentHeader, lifetime), 6, 1), Errc::corrupt, "lifetime");
}

TEST(SegmentFooterCodec, RoundTripKeepsEveryField) {
  const SegmentFooter in = samples::footer();
  const auto out = decode_segment_footer(samples::encoded(in), in.uuid, in.segment, in.sequence);
  ASSERT_TRUE(out.has_value());
  SegmentFooter expected = in;
  expected.xxh3 = out->xxh3;
  EXPECT_EQ(std::memcmp(&expected, &*out, sizeof expected), 0);
}

TEST(SegmentFooterCodec, StaleForeignAndImpossibleFootersAreRejected) {
  const Case c = all_headers()[2];
  Uuid other = samples::uuid();
  other[0] ^= 1;
  expect_error(decode_segment_footer(c.block, other, 5, 42), Errc::corrupt, "another store");
  expect_error(decode_segment_footer(c.block, samples::uuid(), 4, 42), Errc::corrupt,
               "another segment");
  expect_error(decode_segment_footer(c.block, samples::uuid(), 5, 43), Errc::corrupt,
               "another life");
  const std::size_t last_summary = offsetof(SegmentFooter, last_summary);
  for (const std::uint64_t bytes : {1ULL, 4097ULL, 28672ULL, ~0ULL, ~0ULL << 12}) {
    expect_error(decode_with(c, last_summary, bytes, 8), Errc::corrupt, "impossible length");
  }
  expect_error(decode_with(c, offsetof(SegmentFooter, used_bytes), ~0ULL << 12, 8), Errc::corrupt,
               "impossible length");
}

TEST(RecordHeaderCodec, ObjectRoundTripKeepsEveryField) {
  const Block block = samples::encoded_object();
  const auto record = decode_record_header(block, samples::place());
  ASSERT_TRUE(record.has_value()) << record.error().message();
  const ObjectMeta in = samples::object();
  const ObjectMeta& out = record->object;
  EXPECT_EQ(record->kind, RecordKind::object);
  EXPECT_EQ(record->previous_summary, 0U);
  EXPECT_EQ(ObjectKey(out.key), ObjectKey(in.key));
  EXPECT_EQ(out.sequence, in.sequence);
  EXPECT_EQ(out.payload_bytes, in.payload_bytes);
  EXPECT_EQ(out.payload_xxh3, in.payload_xxh3);
  EXPECT_EQ(out.stream, in.stream);
  EXPECT_EQ(out.prompt, in.prompt);
  EXPECT_EQ(out.position, in.position);
  EXPECT_EQ(out.seen_in, in.seen_in);
}

TEST(RecordHeaderCodec, LongestKeyFitsItsBlock) {
  const std::string hash(kMaxHashBytes, 'h');
  const std::string model(kMaxModelNameBytes, 'm');
  const std::string salt(kMaxSaltBytes, 's');
  ObjectMeta meta = samples::object();
  meta.key.chunk_hash = samples::bytes_of(hash);
  meta.key.model_name = model;
  meta.key.cache_salt = salt;
  ASSERT_TRUE(check_key(meta.key).has_value());
  const Block block = samples::encoded_object(samples::place(), meta);
  const auto record = decode_record_header(block, samples::place());
  ASSERT_TRUE(record.has_value()) << record.error().message();
  EXPECT_EQ(ObjectKey(record->object.key), ObjectKey(meta.key));
}

TEST(RecordHeaderCodec, OtherKindsRoundTrip) {
  const auto payload = samples::payload();
  for (const RecordKind kind : {RecordKind::summary, RecordKind::tombstones, RecordKind::freed,
                                RecordKind::state, RecordKind::footers, RecordKind::pad}) {
    const std::uint64_t previous = kind == RecordKind::summary ? 4096 : 0;
    Block block;
    encode_record_header(samples::place(), kind, 77, previous, payload, block);
    const auto record = decode_record_header(block, samples::place());
    ASSERT_TRUE(record.has_value()) << record.error().message();
    EXPECT_EQ(record->kind, kind);
    EXPECT_EQ(record->object.sequence, 77U);
    EXPECT_EQ(record->object.payload_bytes, payload.size());
    EXPECT_EQ(record->previous_summary, previous);
    EXPECT_TRUE(record->object.key.chunk_hash.empty());
    EXPECT_EQ(
        record->object.payload_xxh3,
        kind == RecordKind::pad ? kNoChecksum : payload_checksum(samples::uuid(), {}, 77, payload));
  }
}

TEST(RecordHeaderCodec, WrongPlaceIsRejected) {
  const Block block = samples::encoded_object();
  const auto with = [&](auto&& change) {
    Place place = samples::place();
    change(place);
    return decode_record_header(block, place);
  };
  expect_error(with([](Place& p) { p.uuid[3] ^= 4; }), Errc::corrupt, "another store");
  expect_error(with([](Place& p) { p.segment = 6; }), Errc::corrupt, "another segment");
  expect_error(with([](Place& p) { p.segment_sequence = 41; }), Errc::corrupt, "another life");
  expect_error(with([](Place& p) { p.segment_sequence = 43; }), Errc::corrupt, "another life");
  expect_error(with([](Place& p) { p.offset_bytes = 12288; }), Errc::corrupt, "another offset");
}

TEST(RecordHeaderCodec, HostileLengthsAreRejected) {
  const Case c = all_headers()[3];
  for (const std::uint64_t bytes : {0ULL, kMaxLengthBytes + 1ULL, ~0ULL, ~0ULL - 4095}) {
    EXPECT_FALSE(decode_with(c, offsetof(RecordHeader, payload_bytes), bytes, 8).has_value());
  }
  expect_error(decode_with(c, offsetof(RecordHeader, hash_bytes), 0, 2), Errc::corrupt, "key");
  for (const std::uint64_t bytes : {129ULL, 4096ULL, 65535ULL}) {
    expect_error(decode_with(c, offsetof(RecordHeader, hash_bytes), bytes, 2), Errc::corrupt,
                 "key lengths");
  }
  for (const std::uint64_t bytes : {1025ULL, 3977ULL, 65535ULL}) {
    expect_error(decode_with(c, offsetof(RecordHeader, model_bytes), bytes, 2), Errc::corrupt,
                 "key lengths");
  }
  expect_error(decode_with(c, offsetof(RecordHeader, salt_bytes), 513, 2), Errc::corrupt,
               "key lengths");
  // A shorter key leaves its tail where zeros must be.
  expect_error(decode_with(c, offsetof(RecordHeader, salt_bytes), 5, 2), Errc::corrupt,
               "behind the key");
}

TEST(RecordHeaderCodec, UnknownKindsAndMisusedFieldsAreRejected) {
  const Case object = all_headers()[3];
  for (const std::uint64_t kind : {0ULL, 8ULL, 65535ULL}) {
    expect_error(decode_with(object, offsetof(RecordHeader, kind), kind, 2), Errc::corrupt, "kind");
  }
  expect_error(decode_with(object, offsetof(RecordHeader, kind), 3, 2), Errc::corrupt,
               "fields of an object");
  expect_error(decode_with(object, offsetof(RecordHeader, previous_summary), 4096, 8),
               Errc::corrupt, "previous summary");
  const Case summary = all_headers()[4];
  for (const std::uint64_t at : {1ULL, 4095ULL, 16384ULL, 20480ULL, ~0ULL << 12}) {
    expect_error(decode_with(summary, offsetof(RecordHeader, previous_summary), at, 8),
                 Errc::corrupt, "previous summary");
  }
  expect_error(decode_with(summary, offsetof(RecordHeader, stream), 1, 2), Errc::corrupt,
               "fields of an object");
}

TEST(RecordHeaderCodec, ProbingSeesTheMagicOnly) {
  Block block = samples::encoded_object();
  EXPECT_TRUE(looks_like_record(block));
  block[100] ^= std::byte{1};
  EXPECT_TRUE(looks_like_record(block));
  EXPECT_FALSE(looks_like_record(std::span(block).first(4095)));
  EXPECT_FALSE(looks_like_record(Block{}));
  EXPECT_FALSE(looks_like_record(samples::encoded(samples::footer())));
}

TEST(Uuids, AreRandomVersionFourAndPrintable) {
  const Uuid a = random_uuid();
  EXPECT_NE(a, random_uuid());
  EXPECT_EQ(a[6] >> 4, 4);
  EXPECT_EQ(a[8] >> 6, 2);
  EXPECT_EQ(to_string(samples::uuid()), "00112233-4455-4677-8899-aabbccddeeff");
}

}  // namespace
}  // namespace fdpstore::format
