// What objects and segments are worth, on a context made by hand.
#include "core/worth.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>
#include <vector>

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
  static Worth::Sum sum_of(const Worth& worth, Segment& segment) {
    Worth::Look look(worth, segment);
    for (std::size_t one = 1; !look.go_on(one); one = 1) {
    }
    return worth.sum_up(look);
  }
  static double of(const Worth& worth, Segment& segment) { return sum_of(worth, segment).worth; }
  void note_gap(std::uint32_t use, std::uint32_t position) {
    context->lookups.note_gap(use, position);
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
  const EntryId b = add(both, {.reuse_class = 20, .last_use = 2, .bytes = 100'000});
  add(half, {.reuse_class = 50, .bytes = 200'000});
  context->keys_used = 10;
  const double expected = (worth.of(entry(a)) * 200'000 + worth.of(entry(b)) * 100'000) / (1 << 20);
  EXPECT_NEAR(of(worth, both), expected, 1e-9);
  EXPECT_LT(of(worth, half), of(worth, both));
  const Key gone = entry(a).key;
  context->remove_object(gone, true);
  EXPECT_LT(of(worth, both), expected / 2) << "what has left is worth nothing";
  EXPECT_EQ(of(worth, segment()), 0);
}

TEST_F(WorthTest, AnObjectDeletedAndStoredAgainCountsOnce) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId other = add(one, {});
  const EntryId first = add(one, {});
  context->remove_object(entry(first).key, true);
  --count_;  // the same key
  const EntryId again = add(one, {});
  ASSERT_EQ(again.value, first.value);
  ASSERT_EQ(one.entries.size(), 3U);
  context->keys_used = 10;
  const double both = worth.of(entry(other)) + worth.of(entry(again));
  EXPECT_NEAR(of(worth, one), both * 100'000 / (1 << 20), 1e-9);
}

TEST_F(WorthTest, LockedObjectsMakeASegmentDearer) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  std::vector<EntryId> ids;
  for (int i = 0; i < 10; ++i) ids.push_back(add(one, {}));
  const double before = of(worth, one);
  lock(ids[0]);
  const double with_one = of(worth, one);
  EXPECT_GT(with_one, before * 1.5);
  EXPECT_TRUE(std::isfinite(with_one));
  for (int i = 1; i < 6; ++i) lock(ids[static_cast<std::size_t>(i)]);
  EXPECT_TRUE(std::isinf(of(worth, one))) << "more than half is locked";
}

TEST_F(WorthTest, ObjectsBehindAGapAreWorthLess) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  constexpr std::uint32_t kLookup = 7;
  const EntryId before = add(one, {.position = 2, .last_use = kLookup});
  add(one, {.position = 3, .last_use = kLookup});
  const EntryId behind = add(one, {.position = 4, .last_use = kLookup});
  const EntryId elsewhere = add(one, {.position = 4, .last_use = kLookup + 1});
  context->keys_used = 10;
  const double whole = worth.of(entry(behind));
  const double whole_before = worth.of(entry(before));
  note_gap(kLookup, 3);
  EXPECT_EQ(worth.of(entry(before)), whole_before) << "it still helps";
  EXPECT_LT(worth.of(entry(behind)), whole * 0.2);
  EXPECT_GT(worth.of(entry(behind)), 0);
  EXPECT_GT(worth.of(entry(elsewhere)), whole * 0.99) << "another lookup has no gap";
  // The first gap counts: one further on changes nothing, one before it does.
  note_gap(kLookup, 9);
  EXPECT_LT(worth.of(entry(behind)), whole * 0.2);
  note_gap(kLookup, 1);
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
  const EntryId rich = add(one, {.reuse_class = 90, .last_use = 2});
  context->keys_used = 10;
  const double price = (worth.of(entry(poor)) + worth.of(entry(rich))) / 2;
  worth.set_price(price);
  EXPECT_NEAR(of(worth, one), (worth.of(entry(poor)) + price) * 100'000 / (1 << 20), 1e-9);
  EXPECT_GT(worth.of(entry(rich)), price) << "the object itself is worth what it is";
}

TEST_F(WorthTest, LaterLookupOfTheKeyEndsTheGap) {
  Worth worth(*context, lineage_);
  Segment& one = segment();
  const EntryId behind = add(one, {.position = 4, .last_use = 7});
  note_gap(7, 3);
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
  note_gap(0, 0);
  EXPECT_EQ(worth.of(entry(kept)), whole);
}

TEST_F(WorthTest, ObjectsAreWorthPartOfWhatLiesBehindThemInThePrompt) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  constexpr std::uint32_t kLookup = 100;
  // Of a prompt of 50 keys: the first three, two of the middle, the last one; and a stranger.
  std::vector<Worth::Object> objects;
  for (const std::uint32_t position : {20U, 0U, 49U, 2U, 21U, 1U}) {
    const EntryId id = add(one, {.position = position, .last_use = kLookup});
    objects.push_back(worth.object(id, entry(id)));
  }
  const EntryId stranger = add(one, {.position = 20, .last_use = kLookup + 1});
  objects.push_back(worth.object(stranger, entry(stranger)));
  const double each = objects[0].worth;  // the lineage's, which is all but the same for all here
  const auto runs_of = [&] {
    std::vector<Worth::Object> copy = objects;
    std::ranges::sort(copy, {},
                      [](const auto& object) { return std::pair(object.use, object.position); });
    std::vector<std::tuple<std::size_t, std::uint64_t, double>> out;
    for (const Worth::Run& run : worth.runs_of(copy)) {
      for (const Worth::Object& object : run.objects) {
        EXPECT_EQ(object.use, run.objects[0].use);
        EXPECT_TRUE(&object == run.objects.data() || (&object)[-1].position < object.position);
      }
      out.emplace_back(run.objects.size(), run.bytes, run.worth / each);
    }
    return out;
  };
  context->keys_used = 1'000'000;  // so that places in a prompt do not tell in the ages
  for (Worth::Object& object : objects) object.worth = each;
  const auto expect = [&](const std::vector<std::pair<std::size_t, double>>& expected) {
    const auto runs = runs_of();
    ASSERT_EQ(runs.size(), expected.size());
    for (std::size_t i = 0; i < runs.size(); ++i) {
      EXPECT_EQ(std::get<0>(runs[i]), expected[i].first) << i;
      EXPECT_EQ(std::get<1>(runs[i]), expected[i].first * 100'000) << i;
      EXPECT_NEAR(std::get<2>(runs[i]), expected[i].second, 1e-9) << i;
    }
  };
  // How long the prompt is is not known; 17 and 27 keys lie between them. The middle gains more
  // than the first three, and does not help without them.
  constexpr double kFirst = 2 + (1 + 0.05 * 17), kMiddle = 1 + (1 + 0.05 * 27);
  expect({{5, (kFirst + kMiddle) / 5}, {1, 1}, {1, 1}});
  context->lookups.note_keys(kLookup, 90);  // 40 lie behind the last
  expect({{6, (kFirst + kMiddle + 3) / 6}, {1, 1}});
  context->lookups.note_keys(kLookup + 1, 20);  // shorter than was known: nothing
  expect({{6, (kFirst + kMiddle + 3) / 6}, {1, 1}});
  // What lies behind a gap is not lost with what lies before it.
  note_gap(kLookup, 10);
  for (Worth::Object& object : objects) {
    object.worth = object.use == kLookup && object.position > 10 ? each * 0.15 : each;
  }
  expect({{3, (2 + (1 + 0.05 * 7)) / 3}, {3, 0.15 * (kMiddle + 3) / 3}, {1, 1}});
}

// After a start nobody knows which of them were looked up together.
TEST_F(WorthTest, RecoveredObjectsAreRunsOfTheirOwn) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  std::vector<Worth::Object> objects;
  for (const std::uint32_t position : {0U, 1U, 30U}) {
    const EntryId id = add(one, {.position = position, .last_use = 0});
    objects.push_back(worth.object(id, entry(id)));
  }
  const auto runs = worth.runs_of(objects);
  ASSERT_EQ(runs.size(), 3U);
  for (const Worth::Run& run : runs) EXPECT_EQ(run.worth, run.objects[0].worth);
}

TEST_F(WorthTest, ASegmentWithTheHeadOfALongPromptIsWorthMoreThanOneWithItsTail) {
  const Worth worth(*context, lineage_);
  Segment& head = segment();
  Segment& tail = segment();
  for (std::uint32_t i = 0; i < 4; ++i) {
    add(head, {.position = i, .last_use = 1000});
    add(tail, {.position = 96 + i, .last_use = 1000 + 96});  // as young as the head
  }
  context->keys_used = 2000;
  EXPECT_NEAR(of(worth, head), of(worth, tail), 1e-9);
  context->lookups.note_keys(1000, 100);
  EXPECT_NEAR(of(worth, head) / of(worth, tail), (4 + 0.05 * 96) / 4, 0.01);
}

TEST_F(WorthTest, GuessGrowsOldAsTheObjectsDo) {
  const Worth worth(*context, lineage_);
  Segment& one = segment();
  for (int i = 0; i < 100; ++i) add(one, {.last_use = 10});
  context->keys_used = 11;
  const double first = of(worth, one);
  worth.remember(one, sum_of(worth, one));
  EXPECT_DOUBLE_EQ(worth.guess(one), first);
  for (const std::uint64_t later : {50, 200, 3000}) {
    context->keys_used = 11 + later;
    EXPECT_LT(of(worth, one), first);
    EXPECT_NEAR(worth.guess(one), of(worth, one), 1e-9) << "all of one age: exact";
  }
  // One that is used meanwhile is guessed too low, until it is looked at.
  add(one, {.last_use = 3010});
  EXPECT_LT(worth.guess(one), of(worth, one));
  worth.remember(one, sum_of(worth, one));
  EXPECT_DOUBLE_EQ(worth.guess(one), of(worth, one));
}

}  // namespace
}  // namespace fdpstore::test
