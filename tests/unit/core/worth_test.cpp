// What objects and segments are worth, on a context made by hand.
#include "core/worth.hpp"

#include <cmath>

#include "core_test.hpp"

namespace fdpstore::test {
namespace {

using core::Context;
using core::EntryId;
using core::Key;
using core::ObjectState;
using core::Segment;
using core::Worth;

// The chance of a class is a hundredth of its number; uses add a whole.
class NumberedLineage final : public Lineage {
 public:
  void on_lookup(std::span<const LookupKey>, double) override {}
  PromptFacts facts(std::uint64_t) const override { return {}; }
  double reuse_chance(std::uint16_t reuse_class, std::uint32_t uses) const override {
    return reuse_class / 100.0 + uses;
  }
};

struct Object {
  std::uint16_t reuse_class = 50;
  std::uint32_t position = 0;
  std::uint32_t last_use = 1;
  std::uint32_t bytes = 100'000;
};

class WorthTest : public ::testing::Test {
 protected:
  WorthTest() {
    backend_.set_segment_bytes(1U << 20).value();
    context.emplace(options_, backend_, 32U << 20);
  }
  Segment& segment() { return *context->segments.take({}, false); }
  EntryId add(Segment& in, const Object& object) {
    const ObjectKey key = make_key(++count_);
    const Key made(context->scopes.intern(key.ref()), key.chunk_hash);
    ObjectState state;
    state.location = {in.id, count_ * 4096, object.bytes};
    state.last_use = object.last_use;
    state.prompt.position = object.position;
    state.prompt.reuse_class = object.reuse_class;
    return context->add_object(made, state).id;
  }
  core::Index::Entry entry(EntryId id) { return *context->index.get(id, context->now_ticks()); }
  static ObjectState dropped(std::uint32_t last_use, std::uint32_t position) {
    ObjectState state;
    state.last_use = last_use;
    state.prompt.position = position;
    return state;
  }
  void lock(EntryId id) {
    const core::Index::Entry found = entry(id);
    context->index.lookup(found.key.scope(), found.key.hash(), 1,
                          {context->now_ticks(), context->now_ticks() + 1'000'000});
  }

  Options options_;
  MemBackend backend_{std::make_shared<MemMedium>(), {}};
  NumberedLineage lineage_;
  std::uint64_t count_ = 0;
  std::optional<Context> context;
};

TEST_F(WorthTest, LikelierAndYoungerObjectsAreWorthMore) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId poor = add(one, {.reuse_class = 10, .last_use = 90});
  const EntryId rich = add(one, {.reuse_class = 90, .last_use = 90});
  const EntryId old = add(one, {.reuse_class = 90, .last_use = 2});
  context->keys_used = 100;
  EXPECT_GT(worth.of(entry(rich)), worth.of(entry(poor)));
  EXPECT_GT(worth.of(entry(rich)), worth.of(entry(old)));
  // Three objects: an age of 10 / 3 turnovers.
  EXPECT_NEAR(worth.of(entry(rich)), 0.9 / (0.1 + 10 / 3.0), 1e-9);
}

TEST_F(WorthTest, AgesAreRightAcrossTheEndOfTheClocksLowHalf) {
  Segment& one = segment();
  for (int i = 0; i < 10; ++i) add(one, {});
  context->keys_used = (std::uint64_t{1} << 32) + 5;
  EXPECT_NEAR(context->age_of(UINT32_MAX - 4), 1.0, 1e-9);
  context->keys_used = UINT32_MAX;
  EXPECT_NE(context->use_key(), 0U) << "0 is no moment";
}

TEST_F(WorthTest, SegmentIsTheSumOfItsLiveObjectsByBytes) {
  const Worth worth(*context, lineage_);
  Segment& both = segment();
  Segment& half = segment();
  const EntryId a = add(both, {.reuse_class = 50, .bytes = 200'000});
  const EntryId b = add(both, {.reuse_class = 20, .bytes = 100'000});
  add(half, {.reuse_class = 50, .bytes = 200'000});
  const double expected = (worth.of(entry(a)) * 200'000 + worth.of(entry(b)) * 100'000) / (1 << 20);
  EXPECT_NEAR(worth.of(both), expected, 1e-9);
  EXPECT_LT(worth.of(half), worth.of(both));
  const Key gone = entry(a).key;
  context->remove_object(gone, true);
  EXPECT_LT(worth.of(both), expected / 2) << "what has left is worth nothing";
  EXPECT_EQ(worth.of(segment()), 0);
}

TEST_F(WorthTest, LockedObjectsMakeASegmentDearer) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  std::vector<EntryId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(add(one, {}));
  const double before = worth.of(one);
  lock(ids[0]);
  const double with_one = worth.of(one);
  EXPECT_GT(with_one, before * 1.5);
  EXPECT_TRUE(std::isfinite(with_one));
  for (int i = 1; i < 6; ++i) lock(ids[static_cast<std::size_t>(i)]);
  EXPECT_TRUE(std::isinf(worth.of(one))) << "more than half is locked";
}

TEST_F(WorthTest, ObjectsBehindAGapAreWorthLess) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  constexpr std::uint32_t kLookup = 7;
  const EntryId before = add(one, {.position = 2, .last_use = kLookup});
  const EntryId missing = add(one, {.position = 3, .last_use = kLookup});
  const EntryId behind = add(one, {.position = 4, .last_use = kLookup});
  const EntryId elsewhere = add(one, {.position = 4, .last_use = kLookup + 1});
  context->keys_used = 10;
  const double whole = worth.of(entry(behind));
  const double whole_before = worth.of(entry(before));
  worth.note_gap(entry(missing).state);
  EXPECT_EQ(worth.of(entry(before)), whole_before) << "it still helps";
  EXPECT_LT(worth.of(entry(behind)), whole * 0.2);
  EXPECT_GT(worth.of(entry(behind)), 0);
  EXPECT_GT(worth.of(entry(elsewhere)), whole * 0.99) << "another lookup has no gap";
  // The first gap counts: one further on changes nothing, one before it does.
  worth.note_gap(dropped(kLookup, 9));
  EXPECT_LT(worth.of(entry(behind)), whole * 0.2);
  worth.note_gap(dropped(kLookup, 1));
  EXPECT_LT(worth.of(entry(before)), whole_before * 0.2);
}

TEST_F(WorthTest, TheTailOfAPromptIsWorthLessThanItsHead) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId head = add(one, {.position = 0, .last_use = 90});
  const EntryId tail = add(one, {.position = 40, .last_use = 90});
  const EntryId as_old = add(one, {.position = 0, .last_use = 50});
  context->keys_used = 100;
  EXPECT_GT(worth.of(entry(head)), worth.of(entry(tail)));
  EXPECT_EQ(worth.of(entry(tail)), worth.of(entry(as_old))) << "as if used a key earlier for each";
}

TEST_F(WorthTest, ASegmentCountsNoMoreForAnObjectThanItsPrice) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId poor = add(one, {.reuse_class = 10});
  const EntryId rich = add(one, {.reuse_class = 90});
  const double price = (worth.of(entry(poor)) + worth.of(entry(rich))) / 2;
  worth.set_price(price);
  EXPECT_NEAR(worth.of(one), (worth.of(entry(poor)) + price) * 100'000 / (1 << 20), 1e-9);
  EXPECT_GT(worth.of(entry(rich)), price) << "the object itself is worth what it is";
}

TEST_F(WorthTest, LaterLookupOfTheKeyEndsTheGap) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId behind = add(one, {.position = 4, .last_use = 7});
  worth.note_gap(dropped(7, 3));
  context->keys_used = 20;
  const double with_gap = worth.of(entry(behind));
  const core::Index::Entry found = entry(behind);
  context->index.lookup(found.key.scope(), found.key.hash(), 8, {});
  EXPECT_GT(worth.of(entry(behind)), 5 * with_gap);
}

// After a start nobody knows which of them were looked up together.
TEST_F(WorthTest, RecoveredObjectsAreNotBehindOneAnothersGaps) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId kept = add(one, {.position = 4, .last_use = 0});
  const double whole = worth.of(entry(kept));
  worth.note_gap(dropped(0, 0));
  EXPECT_EQ(worth.of(entry(kept)), whole);
}

TEST_F(WorthTest, ManyGapsForgetTheOldOnesFirst) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  for (int i = 0; i < 1000; ++i) add(one, {.last_use = 400'000});
  for (std::uint32_t use = 1; use <= 400'000; ++use) {
    context->keys_used = use;
    worth.note_gap(dropped(use, 0));
  }
  const EntryId recent = add(one, {.position = 9, .last_use = 399'990});
  const EntryId head = add(one, {.position = 0, .last_use = 399'990});
  EXPECT_LT(worth.of(entry(recent)), 0.2 * worth.of(entry(head))) << "the last ones are known …";
  const EntryId old = add(one, {.position = 9, .last_use = 100});
  const EntryId as_old = add(one, {.position = 0, .last_use = 91});
  EXPECT_EQ(worth.of(entry(old)), worth.of(entry(as_old))) << "… and the first is forgotten";
}

TEST_F(WorthTest, GuessGrowsOldAsTheObjectsDo) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  for (int i = 0; i < 100; ++i) add(one, {.last_use = 10});
  context->keys_used = 11;
  const double first = worth.look_at(one);
  EXPECT_EQ(first, worth.of(one));
  EXPECT_DOUBLE_EQ(worth.guess(one), first);
  for (const std::uint64_t later : {50, 200, 3000}) {
    context->keys_used = 11 + later;
    EXPECT_LT(worth.of(one), first);
    EXPECT_NEAR(worth.guess(one), worth.of(one), 1e-9) << "all of one age: exact";
  }
  // One that is used meanwhile is guessed too low, until it is looked at.
  add(one, {.last_use = 3010});
  EXPECT_LT(worth.guess(one), worth.of(one));
  EXPECT_EQ(worth.look_at(one), worth.of(one));
  EXPECT_DOUBLE_EQ(worth.guess(one), worth.of(one));
}

}  // namespace
}  // namespace fdpstore::test
