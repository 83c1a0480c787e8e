#include "core/index.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "core_test.hpp"

namespace fdpstore::core {
namespace {

std::vector<std::byte> hash_of(std::uint64_t number, std::size_t bytes = 32) {
  std::vector<std::byte> out(bytes);
  for (std::size_t i = 0; i < bytes; ++i) out[i] = static_cast<std::byte>(number >> (i % 8 * 8));
  return out;
}

ObjectState state_at(std::uint64_t number) {
  return {.location = {SegmentId{static_cast<std::uint32_t>(number)}, number * 4096, number + 1},
          .sequence = number,
          .checksum = ~number,
          .prompt = {}};
}

TEST(Index, FindsWhatWasInsertedAndNothingElse) {
  Index index;
  for (const std::size_t bytes : {4, 32, 33, 128}) {
    const Key key(ScopeId{7}, hash_of(bytes, bytes));
    index.insert(key, state_at(bytes));
    const auto found = index.find(key);
    ASSERT_TRUE(found);
    EXPECT_EQ(found->state.location, state_at(bytes).location);
    EXPECT_EQ(found->state.checksum, ~std::uint64_t{bytes});
    EXPECT_FALSE(index.find(Key(ScopeId{8}, hash_of(bytes, bytes))));
    EXPECT_FALSE(index.find(Key(ScopeId{7}, hash_of(bytes + 1, bytes))));
  }
  EXPECT_EQ(index.size(), 4U);
}

TEST(Index, RemovedEntriesAreGoneAndTheirSlotsUsedAgain) {
  Index index;
  const Key first(ScopeId{0}, hash_of(1, 100));
  const EntryId id = index.insert(first, state_at(1)).id;
  EXPECT_EQ(index.remove(first, 1, false).result, Index::Removal::removed);
  EXPECT_EQ(index.remove(first, 1, false).result, Index::Removal::absent);
  EXPECT_FALSE(index.get(id, 1));
  EXPECT_EQ(index.size(), 0U);
  index.insert(first, state_at(2));
  EXPECT_EQ(index.find(first)->state.sequence, 2U);
}

TEST(Index, InsertingAKeyThatIsThereChangesNothingAndSaysWhatIs) {
  Index index;
  const Key key(ScopeId{0}, hash_of(1));
  const Index::Inserted first = index.insert(key, state_at(1));
  EXPECT_FALSE(first.present);
  const Index::Inserted second = index.insert(key, state_at(2));
  ASSERT_TRUE(second.present);
  EXPECT_EQ(second.id.value, first.id.value);
  EXPECT_EQ(second.present->location, state_at(1).location);
  EXPECT_EQ(index.find(key)->state.location, state_at(1).location);
  EXPECT_EQ(index.size(), 1U);
}

TEST(Index, MoveNeedsTheOldLocation) {
  Index index;
  const Key key(ScopeId{0}, hash_of(1));
  const EntryId id = index.insert(key, state_at(1)).id;
  const Location to{SegmentId{9}, 8192, 2};
  EXPECT_FALSE(index.move(id, state_at(2).location, to));
  EXPECT_TRUE(index.move(id, state_at(1).location, to));
  EXPECT_EQ(index.find(key)->state.location, to);
}

TEST(Index, LocksAreCountedAndEnd) {
  Index index;
  const auto hash = hash_of(1);
  const Key key(ScopeId{0}, hash);
  index.insert(key, state_at(1));
  EXPECT_TRUE(index.lookup(ScopeId{0}, hash, 1, {10, 100}));
  EXPECT_TRUE(index.lookup(ScopeId{0}, hash, 1, {10, 100}));
  EXPECT_EQ(index.locked(10), 1U);
  index.unlock(ScopeId{0}, hash, 10);
  EXPECT_EQ(index.remove(key, 10, false).result, Index::Removal::locked);
  EXPECT_EQ(index.locked(100), 0U);
  EXPECT_EQ(index.remove(key, 100, false).result, Index::Removal::removed);
  EXPECT_EQ(index.expired_locks(), 1U);
}

TEST(Index, AnObjectCostsAtMost64BytesBeyondItsHash) {
  // Just after a hash set has grown is the worst moment, so many sizes are looked at.
  for (const std::uint64_t objects : {10'000U, 500'000U}) {
    Index index(objects);
    double worst = 0;
    for (std::uint64_t i = 0; i < objects; ++i) {
      index.insert(Key(ScopeId{0}, hash_of(i * 0x9E3779B97F4A7C15ULL)), state_at(i & 0xFFFF));
      if (i >= objects / 5 && i % (objects / 40) == 0) {
        worst = std::max(worst, index.bytes_per_object());
      }
    }
    RecordProperty("worst_bytes_per_object", std::to_string(worst));
    EXPECT_LE(worst, 60.0) << objects << " objects";  // with 4 in the segment's list that is 64
  }
}

TEST(Index, RoomMadeForThoseThatComeIsWhatTheyWouldHaveTaken) {
  constexpr std::uint64_t kObjects = 100'000;
  Index grown(kObjects), ready(kObjects);
  ready.expect(kObjects);
  for (std::uint64_t i = 0; i < kObjects; ++i) {
    const Key key(ScopeId{0}, hash_of(i * 0x9E3779B97F4A7C15ULL));
    grown.insert(key, state_at(i & 0xFFFF));
    ready.insert(key, state_at(i & 0xFFFF));
    if (i == kObjects / 2) ready.expect(kObjects / 4);
  }
  EXPECT_EQ(ready.size(), kObjects);
  EXPECT_LE(ready.bytes_per_object(), 60.0);
  EXPECT_NEAR(ready.bytes_per_object(), grown.bytes_per_object(), 0.5);
}

// However many there are: a rehash is of one shard, and a lookup may have to wait for it.
TEST(Index, NoShardHoldsManyOfTheObjectsExpected) {
  for (const std::uint64_t objects : {std::uint64_t{1} << 20, std::uint64_t{1} << 24}) {
    const Index index(objects);
    std::vector<std::uint64_t> keys(index.places());
    constexpr std::uint64_t kSample = std::uint64_t{1} << 20;
    for (std::uint64_t i = 0; i < kSample; ++i) {
      ++keys[index.place_of(Key(ScopeId{0}, hash_of(i * 0x9E3779B97F4A7C15ULL)))];
    }
    const std::uint64_t most = std::ranges::max(keys) * (objects / kSample);
    EXPECT_LE(most, 4096U) << objects;
    EXPECT_GT(std::ranges::min(keys), 0U) << objects;
  }
}

TEST(Index, ScanVisitsEachObjectOnce) {
  Index index;
  for (std::uint64_t i = 0; i < 1000; ++i) index.insert(Key(ScopeId{0}, hash_of(i)), state_at(i));
  std::uint64_t seen = 0, calls = 0;
  std::optional<std::uint64_t> cursor = 0;
  while (cursor) {
    cursor = index.scan(*cursor, 33, [&](const Key&, const ObjectState&) { ++seen; });
    ++calls;
  }
  EXPECT_EQ(seen, 1000U);
  EXPECT_GE(calls, 30U);
}

}  // namespace
}  // namespace fdpstore::core
