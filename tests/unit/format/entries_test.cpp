// Payloads of summary, tombstones, freed and footers records.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "samples.hpp"

namespace fdpstore::format {
namespace {

using Bytes = std::vector<std::byte>;

Result<std::size_t> count_summary(std::span<const std::byte> payload) {
  std::size_t seen = 0;
  auto result = visit_summary(payload, [&](const SummaryItem&) { ++seen; });
  if (!result) return fail(result.error());
  return seen;
}
Result<std::size_t> count_tombstones(std::span<const std::byte> payload) {
  std::size_t seen = 0;
  auto result = visit_tombstones(payload, [&](const Tombstone&) { ++seen; });
  if (!result) return fail(result.error());
  return seen;
}

// Keys of every tail length, so that all paddings occur.
std::vector<std::string> hashes() {
  std::vector<std::string> out;
  for (std::size_t n = 1; n <= 24; ++n) out.emplace_back(n, static_cast<char>('a' + n));
  return out;
}

TEST(Summary, RoundTripKeepsEveryEntry) {
  Bytes payload;
  const auto keys = hashes();
  std::size_t expected_size = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    SummaryItem item = samples::summary_item();
    item.object.key.chunk_hash = samples::bytes_of(keys[i]);
    item.offset_bytes = (i + 1) * kBlockBytes;
    append_summary(payload, item);
    expected_size += summary_bytes(item.object.key);
  }
  EXPECT_EQ(payload.size(), expected_size);
  std::size_t i = 0;
  const auto result = visit_summary(payload, [&](const SummaryItem& item) {
    ASSERT_LT(i, keys.size());
    SummaryItem in = samples::summary_item();
    in.object.key.chunk_hash = samples::bytes_of(keys[i]);
    EXPECT_EQ(item.offset_bytes, (i + 1) * kBlockBytes);
    EXPECT_EQ(ObjectKey(item.object.key), ObjectKey(in.object.key));
    EXPECT_EQ(item.object.sequence, in.object.sequence);
    EXPECT_EQ(item.object.payload_bytes, in.object.payload_bytes);
    EXPECT_EQ(item.object.payload_xxh3, in.object.payload_xxh3);
    EXPECT_EQ(item.object.stream, in.object.stream);
    EXPECT_EQ(item.object.prompt, in.object.prompt);
    EXPECT_EQ(item.object.position, in.object.position);
    EXPECT_EQ(item.object.seen_in, in.object.seen_in);
    ++i;
  });
  EXPECT_TRUE(result.has_value());
  EXPECT_EQ(i, keys.size());
}

TEST(Summary, EmptyPayloadHasNoEntries) {
  EXPECT_EQ(count_summary({}).value(), 0U);
  EXPECT_EQ(count_tombstones({}).value(), 0U);
}

TEST(Summary, TruncatedAnywhereIsRejected) {
  Bytes payload = samples::summary_payload();
  const std::size_t first = payload.size();
  append_summary(payload, samples::summary_item());
  for (std::size_t size = 1; size < payload.size(); ++size) {
    const auto result = count_summary(std::span(payload).first(size));
    EXPECT_EQ(result.has_value(), size == first) << size;
  }
}

TEST(Summary, EntriesBeforeTheDamageAreVisited) {
  Bytes payload = samples::summary_payload();
  payload.resize(payload.size() + 10, std::byte{1});
  std::size_t seen = 0;
  EXPECT_FALSE(visit_summary(payload, [&](const SummaryItem&) { ++seen; }).has_value());
  EXPECT_EQ(seen, 1U);
}

TEST(Summary, HostileFieldsAreRejected) {
  const auto with = [](std::size_t at, std::uint64_t value, std::size_t size) {
    Bytes payload = samples::summary_payload();
    std::memcpy(payload.data() + at, &value, size);
    return count_summary(payload);
  };
  EXPECT_TRUE(with(offsetof(SummaryEntry, offset_bytes), 4096, 8).has_value());
  for (const std::uint64_t at : {0ULL, 1ULL, 4097ULL, ~0ULL, ~0ULL << 12}) {
    EXPECT_FALSE(with(offsetof(SummaryEntry, offset_bytes), at, 8).has_value()) << at;
  }
  for (const std::uint64_t bytes : {0ULL, ~0ULL, kMaxLengthBytes + 1ULL}) {
    EXPECT_FALSE(with(offsetof(SummaryEntry, payload_bytes), bytes, 8).has_value()) << bytes;
  }
  for (const std::uint64_t bytes : {0ULL, 3ULL, 20ULL, 129ULL, 65535ULL}) {
    EXPECT_FALSE(with(offsetof(SummaryEntry, hash_bytes), bytes, 2).has_value()) << bytes;
  }
  EXPECT_FALSE(with(offsetof(SummaryEntry, model_bytes), 65535, 2).has_value());
  EXPECT_FALSE(with(offsetof(SummaryEntry, salt_bytes), 65535, 2).has_value());
  EXPECT_FALSE(with(offsetof(SummaryEntry, reserved0), 1, 2).has_value());
  // Padding behind the 15 bytes of the key.
  EXPECT_FALSE(with(sizeof(SummaryEntry) + 15, 1, 1).has_value());
}

TEST(Tombstones, RoundTripKeepsEveryEntry) {
  Bytes payload;
  const auto keys = hashes();
  for (const std::string& hash : keys) {
    Tombstone in = samples::tombstone();
    in.key.chunk_hash = samples::bytes_of(hash);
    append_tombstone(payload, in);
  }
  std::size_t i = 0;
  const auto result = visit_tombstones(payload, [&](const Tombstone& out) {
    ASSERT_LT(i, keys.size());
    Tombstone in = samples::tombstone();
    in.key.chunk_hash = samples::bytes_of(keys[i]);
    EXPECT_EQ(ObjectKey(out.key), ObjectKey(in.key));
    EXPECT_EQ(out.sequence, in.sequence);
    EXPECT_EQ(out.segment, in.segment);
    EXPECT_EQ(out.segment_sequence, in.segment_sequence);
    ++i;
  });
  EXPECT_TRUE(result.has_value());
  EXPECT_EQ(i, keys.size());
}

TEST(Tombstones, TruncatedOrHostileIsRejected) {
  Bytes payload;
  append_tombstone(payload, samples::tombstone());
  for (std::size_t size = 1; size < payload.size(); ++size) {
    EXPECT_FALSE(count_tombstones(std::span(payload).first(size)).has_value()) << size;
  }
  for (const std::size_t at :
       {offsetof(TombstoneEntry, hash_bytes), offsetof(TombstoneEntry, model_bytes),
        offsetof(TombstoneEntry, salt_bytes), offsetof(TombstoneEntry, reserved0)}) {
    Bytes hostile = payload;
    std::memset(hostile.data() + at, 0xFF, 2);
    EXPECT_FALSE(count_tombstones(hostile).has_value()) << at;
  }
}

TEST(Freed, RoundTripAndDamage) {
  Bytes payload;
  append_freed(payload, samples::freed());
  append_freed(payload, {.segment = 9, .reserved0 = 0, .sequence = 1});
  std::vector<FreedEntry> seen;
  const auto visit = [&](const FreedEntry& entry) { seen.push_back(entry); };
  ASSERT_TRUE(visit_freed(payload, visit).has_value());
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].segment, 5U);
  EXPECT_EQ(seen[0].sequence, 42U);
  EXPECT_EQ(seen[1].segment, 9U);
  EXPECT_FALSE(visit_freed(std::span(payload).first(31), visit).has_value());
  payload[offsetof(FreedEntry, reserved0)] = std::byte{1};
  EXPECT_FALSE(visit_freed(payload, visit).has_value());
}

TEST(Footers, RoundTripAndDamage) {
  Bytes payload;
  append_footer(payload, samples::footer());
  SegmentFooter second = samples::footer();
  second.segment = 6;
  append_footer(payload, second);
  ASSERT_EQ(payload.size(), 2 * sizeof(SegmentFooter));
  std::vector<SegmentFooter> seen;
  const auto visit = [&](const SegmentFooter& footer) { seen.push_back(footer); };
  ASSERT_TRUE(visit_footers(payload, samples::uuid(), visit).has_value());
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[0].used_bytes, samples::footer().used_bytes);
  EXPECT_EQ(seen[1].segment, 6U);
  EXPECT_FALSE(visit_footers(std::span(payload).first(65), samples::uuid(), visit).has_value());
  EXPECT_FALSE(visit_footers(payload, Uuid{}, visit).has_value());
  for (const std::size_t at :
       {offsetof(SegmentFooter, magic), offsetof(SegmentFooter, version),
        offsetof(SegmentFooter, reserved0), offsetof(SegmentFooter, last_summary),
        offsetof(SegmentFooter, used_bytes), offsetof(SegmentFooter, xxh3)}) {
    Bytes hostile = payload;
    hostile[at] ^= std::byte{1};
    EXPECT_FALSE(visit_footers(hostile, samples::uuid(), visit).has_value()) << at;
  }
}

}  // namespace
}  // namespace fdpstore::format
