// What reclaim gives up, what it keeps, and what that costs.
#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "core_test.hpp"
#include "format/codec.hpp"
#include "support/eventually.hpp"
#include "support/sanitizers.hpp"

namespace fdpstore::test {
namespace {

constexpr std::size_t kBytes = 100'000;
constexpr std::size_t kHotBytes = 2000;
constexpr std::uint64_t kPerSegment = 9;  // records of that size in a segment of 1 MiB

// What lookups say of their keys: the place in the lookup, and the class that the test has set.
class ClassLineage final : public Lineage {
 public:
  void on_lookup(std::span<const LookupKey> keys, double) override {
    const std::lock_guard guard(mutex_);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      PromptFacts& facts = known_[keys[i].digest];
      if (!keys[i].hit) facts.reuse_class = current_class;
      facts.prompt = PromptId{1};
      facts.position = first_position + static_cast<std::uint32_t>(i);
      facts.use = keys[i].use;
    }
  }
  PromptFacts facts(std::uint64_t digest) const override {
    const std::lock_guard guard(mutex_);
    const auto it = known_.find(digest);
    return it == known_.end() ? PromptFacts{} : it->second;
  }
  double reuse_chance(std::uint16_t reuse_class, std::uint32_t) const override {
    ++asked;
    return reuse_class / 100.0;
  }
  mutable std::atomic<std::uint64_t> asked{0};
  std::uint16_t current_class = 50;  // per cent
  std::uint32_t first_position = 0;

 private:
  mutable std::mutex mutex_;
  std::map<std::uint64_t, PromptFacts> known_;
};

using Deletes = CoreTest;

class ReclaimChoice : public CoreTest {
 protected:
  void start() {
    auto made = std::make_unique<ClassLineage>();
    classes = made.get();
    auto opened = core::open_segment_store(options, std::make_unique<MemBackend>(medium, config),
                                           policy_factory(), std::move(made));
    ASSERT_TRUE(opened) << opened.error().message();
    store = std::move(*opened);
  }
  // One lookup of all, as a prompt would have it.
  std::uint64_t look_up(std::uint64_t first, std::uint64_t count) {
    std::vector<ObjectKey> keys;
    std::vector<KeyRef> refs;
    for (std::uint64_t n = first; n < first + count; ++n) keys.push_back(make_key(n));
    for (const ObjectKey& key : keys) refs.push_back(key.ref());
    const auto found = lookup_and_wait(*store, refs)->keys;
    return static_cast<std::uint64_t>(std::ranges::count(found, KeyStatus::hit));
  }
  void put_new(std::uint64_t first, std::uint64_t count, std::uint16_t reuse_class,
               std::size_t bytes = kBytes) {
    classes->current_class = reuse_class;
    for (std::uint64_t n = first; n < first + count; ++n) {
      look_up(n, 1);
      ASSERT_EQ(put(*store, make_key(n), make_payload(n, bytes)), KeyStatus::stored) << n;
    }
  }
  // The same as one prompt.
  void put_prompt(std::uint64_t first, std::uint64_t count, std::uint16_t reuse_class) {
    classes->current_class = reuse_class;
    look_up(first, count);
    for (std::uint64_t n = first; n < first + count; ++n) {
      ASSERT_EQ(put(*store, make_key(n), make_payload(n, kBytes)), KeyStatus::stored) << n;
    }
  }
  // Numbers of the objects that have left, in order, without looking any up.
  std::vector<std::uint64_t> take_dropped() const {
    std::vector<std::uint64_t> out;
    for (const DroppedKey& dropped : store->take_dropped()) {
      std::uint64_t number = 0;
      std::memcpy(&number, dropped.key.chunk_hash.data(), sizeof(number));
      out.push_back(number);
    }
    return out;
  }

  std::unique_ptr<Store> store;
  ClassLineage* classes = nullptr;  // the store's
};

TEST_F(ReclaimChoice, HotObjectsSurviveWhileColdOnesGo) {
  reinsert_budget = 0.1;
  start();
  for (std::uint64_t round = 0; round < 200; ++round) {
    put_new(1000 + round * 10, 10, 10);
    // Hot ones arrive among the cold, and are asked for all the time from then on. They are small,
    // so that the segments in which they lie are not worth keeping.
    if (round < 8) put_new(round, 1, 90, kHotBytes);
    ASSERT_EQ(look_up(0, 8), std::min<std::uint64_t>(round + 1, 8)) << round;
  }
  const StoreInfo info = store->status().info;
  EXPECT_GE(info.reinserted_objects, 8U);
  EXPECT_GT(info.reclaimed_objects, 1000U);
  std::set<std::uint64_t> dropped;
  for (const std::uint64_t number : take_dropped()) dropped.insert(number);
  for (std::uint64_t n = 0; n < 500; ++n) EXPECT_TRUE(dropped.contains(1000 + n)) << n;
  for (std::uint64_t n = 0; n < 8; ++n) {
    EXPECT_EQ(get(*store, make_key(n), kHotBytes), make_payload(n, kHotBytes)) << n;
  }
}

TEST_F(ReclaimChoice, WithoutABudgetNothingIsWrittenAgain) {
  reinsert_budget = 0;
  start();
  for (std::uint64_t round = 0; round < 100; ++round) {
    put_new(1000 + round * 10, 10, 10);
    if (round < 8) put_new(round, 1, 90);
    look_up(0, 8);
  }
  EXPECT_EQ(store->status().info.reinserted_objects, 0U);
  EXPECT_GT(store->status().info.reclaimed_objects, 300U);
}

// So many deletes are to be remembered that segments are freed for their sake.
TEST_F(Deletes, CostNoOtherObjectWhileThereIsRoom) {
  options.capacity_bytes = 129U << 20;
  const std::string model(1000, 'm');
  auto store = open();
  const auto bytes = make_payload(1, 100);
  constexpr std::uint64_t kObjects = 3000;
  for (std::uint64_t n = 0; n < kObjects; ++n) {
    ASSERT_EQ(put(*store, make_key(n, model), bytes), KeyStatus::stored) << n;
  }
  for (std::uint64_t n = 0; n < kObjects; n += 4) {
    ASSERT_EQ(erase(*store, make_key(n, model)), 100U) << n;
  }
  EXPECT_TRUE(eventually([&] {
    const StoreInfo info = store->status().info;
    return info.reinserted_objects + info.reclaimed_objects >= 100;
  }));
  for (std::uint64_t n = 0; n < kObjects; ++n) {
    EXPECT_EQ(present(*store, make_key(n, model)), n % 4 != 0) << n;
  }
}

// A device that takes long to free a segment gets no more of them to free for that.
TEST_F(ReclaimChoice, NoMoreIsFreedWhileFreeingTakesLong) {
  std::atomic<bool> slow{false};
  config.hold = [&](const IoRequest& request) { return slow && request.op == IoOp::free; };
  start();
  std::uint64_t next = 0;
  const auto live = [&] { return store->status().info.live_objects; };
  for (; next < 1000; next += 10) put_new(next, 10, 10);
  const std::uint64_t full = live();
  slow = true;
  // More than the free segments take: the rest waits for those that are being freed.
  constexpr std::uint64_t kMore = 6 * kPerSegment;
  const auto bytes = make_payload(1, kBytes);
  ASSERT_TRUE(submit_puts(*store, next, kMore, bytes));
  std::uint64_t least = full;
  for (int i = 0; i < 200; ++i) {
    least = std::min(least, live());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_GE(least + 5 * kPerSegment, full);
  EXPECT_LT(live(), full + kMore) << "nothing had to wait";
  slow = false;
  for (int i = 0; i < 3000 && store->status().info.waiting_puts != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(store->status().info.waiting_puts, 0U);
  store.reset();  // which looks at `slow`
}

TEST_F(ReclaimChoice, ObjectsThatAreNoBetterThanTheirNeighboursAreNotWrittenAgain) {
  reinsert_budget = 0.3;
  start();
  for (std::uint64_t round = 0; round < 60; ++round) {
    put_new(round * 18, 18, 50);
    look_up(round * 18, 18);
  }
  EXPECT_EQ(store->status().info.reinserted_objects, 0U);
}

TEST_F(ReclaimChoice, LikelierObjectsOutliveNewerOnes) {
  reinsert_budget = 0;
  start();
  put_new(0, 4 * kPerSegment, 90);
  put_new(1000, 60 * kPerSegment, 5);
  EXPECT_EQ(look_up(0, 4 * kPerSegment), 4 * kPerSegment);
  const std::vector<std::uint64_t> dropped = take_dropped();
  EXPECT_GT(dropped.size(), 30 * kPerSegment);
}

// A segment that has been emptied and is still being sealed will be free soon.
TEST_F(ReclaimChoice, NothingIsDroppedWhileAnEmptiedSegmentIsSealed) {
  constexpr std::uint64_t kSegments = 5;  // of 8: metadata and the reserve have the others
  options.capacity_bytes = 9U << 20;
  std::atomic<bool> slow = false;
  config.hold = [&](const IoRequest& request) { return slow && request.op == IoOp::write; };
  start();
  constexpr std::uint64_t kFirstOfLast = (kSegments - 1) * kPerSegment;
  put_new(0, kSegments * kPerSegment, 50);
  for (std::uint64_t n = kFirstOfLast; n < kSegments * kPerSegment; ++n) {
    ASSERT_TRUE(erase(*store, make_key(n)));
  }
  slow = true;
  const auto bytes = make_payload(1000, kBytes);
  ASSERT_TRUE(submit_puts(*store, 1000, 1, bytes));  // it has to wait for room
  EXPECT_FALSE(eventually([&] { return store->status().info.reclaimed_objects != 0; }, 0.3));
  slow = false;
  EXPECT_TRUE(eventually([&] { return present(*store, make_key(1000)); }));
  EXPECT_EQ(take_dropped(), std::vector<std::uint64_t>{});
  EXPECT_EQ(store->status().info.live_objects, kFirstOfLast + 1);
  store.reset();  // which looks at `slow`
}

// A search for a victim looks at many thousands of objects, and a segment can hold as many: loads
// do not wait for all of them to be looked at, or dropped.
TEST_F(ReclaimChoice, ManyObjectsTakeManySteps) {
  constexpr std::size_t kSmall = 4096;
  constexpr std::uint64_t kInSegment = (16U << 20) / (kSmall + 4096);  // and less
  constexpr std::uint64_t kMostAtOnce = 1024;
  options.segment_bytes = 16U << 20;
  options.capacity_bytes = 81U << 20;
  std::uint64_t asked_before = 0, most_looked_at = 0, most_dropped = 0, dropped = 0;
  std::atomic<bool> started = false;
  config.reaping = [&] {
    if (!started) return;
    const std::uint64_t now = classes->asked;
    most_looked_at = std::max(most_looked_at, now - asked_before);
    asked_before = now;
    const std::uint64_t left = store->take_dropped().size();
    most_dropped = std::max(most_dropped, left);
    dropped += left;
  };
  start();
  started = true;
  const auto payload = make_payload(1, kSmall);
  for (std::uint64_t n = 0; n < 7 * kInSegment; ++n) {
    ASSERT_EQ(put(*store, make_key(n), payload), KeyStatus::stored) << n;
  }
  ASSERT_TRUE(store->close());  // whose thread counts
  EXPECT_GT(dropped, kInSegment);
  EXPECT_GT(most_looked_at, 500U) << "the search is seen";
  EXPECT_LE(most_looked_at, kMostAtOnce + 10) << "and what a store asks";
  EXPECT_GT(most_dropped, 500U);
  EXPECT_LE(most_dropped, kMostAtOnce);
}

class Gaps : public ReclaimChoice {
 protected:
  // Two segments of objects that nobody wants (the first reclaim empties two), then prompt A of 9
  // chunks or more, then B, which was used before A and would go first. Returns who went first of
  // the two: 'A' or 'B'.
  char first_to_go(bool head_lies_in_front) {
    reinsert_budget = 0;
    start();
    const std::uint64_t fillers = 2 * kPerSegment - (head_lies_in_front ? 1 : 0);
    put_new(0, fillers, 1);
    const std::uint64_t chunks = kPerSegment + (head_lies_in_front ? 1 : 0);
    put_prompt(100, chunks, 50);        // A
    put_prompt(200, kPerSegment, 50);   // B
    put_new(300, 2 * kPerSegment, 90);  // seals B's segment
    EXPECT_EQ(look_up(200, kPerSegment), kPerSegment);
    EXPECT_EQ(look_up(100, chunks), chunks);
    for (std::uint64_t n = 1000; n < 1400; ++n) {
      put_new(n, 1, 90);
      for (const std::uint64_t number : take_dropped()) {
        if (number < fillers || (head_lies_in_front && number == 100)) continue;
        if (number < 100 + chunks) return 'A';
        return number < 300 ? 'B' : '?';
      }
    }
    return '-';
  }
};

TEST_F(Gaps, OlderPromptGoesFirstWhileBothAreWhole) {
  EXPECT_EQ(first_to_go(false), 'B');
}

TEST_F(Gaps, PromptWhoseHeadIsGoneGoesFirst) {
  EXPECT_EQ(first_to_go(true), 'A');
}

// ---------------------------------------------------------------------------------------- budget

class Budget : public ReclaimChoice {
 protected:
  Budget() {
    config.must_fill = true;
    config.begins_units = true;
    options.capacity_bytes = 65U << 20;
  }
  std::uint64_t random() {
    x_ ^= x_ << 13, x_ ^= x_ >> 7, x_ ^= x_ << 17;
    return x_;
  }
  // Some keys are asked for far more often than others; what is missing is stored.
  void serve(std::uint64_t requests, std::size_t most_bytes, std::uint64_t keys) {
    for (std::uint64_t i = 0; i < requests; ++i) {
      const std::uint64_t n = random() % (1 + random() % keys);
      if (look_up(n, 1) != 0) continue;
      const std::size_t bytes = 1 + (n * 7919 + n) % most_bytes;
      ASSERT_EQ(put(*store, make_key(n), payload_.first(bytes)), KeyStatus::stored) << n;
      record_bytes_ += format::record_bytes(bytes);
      stored_bytes_ += bytes;
    }
  }
  struct Spent {
    double beside = 0;  // bytes written beside the objects' own records
    double stored = 0;
  };
  Spent spent() const {
    const StoreInfo info = store->status().info;
    return {static_cast<double>(info.host_written_bytes) - static_cast<double>(record_bytes_),
            static_cast<double>(stored_bytes_)};
  }

  std::vector<std::byte> memory_ = make_payload(1, 256U << 10);
  std::span<const std::byte> payload_ = memory_;
  std::uint64_t x_ = 88172645463325252ULL;
  std::uint64_t record_bytes_ = 0, stored_bytes_ = 0;
};

TEST_F(Budget, WhatIsWrittenBesideObjectsStaysWithinIt) {
  const std::vector<double> budgets =
      kSanitized ? std::vector{0.03} : std::vector{0.03, 0.032, 0.1};
  for (const double budget : budgets) {
    medium = std::make_shared<MemMedium>();
    record_bytes_ = stored_bytes_ = 0;
    reinsert_budget = budget;
    start();
    serve(12'000, 150'000, 4000);
    const Spent all = spent();
    EXPECT_GT(all.stored, 6.0 * static_cast<double>(options.capacity_bytes));
    EXPECT_LT(all.beside, budget * all.stored + static_cast<double>(options.segment_bytes));
    EXPECT_GT(store->status().info.reinserted_objects, 20U) << "it is used, too";
  }
}

TEST_F(Budget, SmallObjectsCostTheirWholeRecords) {
  reinsert_budget = 0.6;
  options.capacity_bytes = 17U << 20;
  start();
  serve(repeated(30'000), 1500, 20'000);
  const Spent all = spent();
  EXPECT_GT(store->status().info.reinserted_objects, 100U);
  EXPECT_LT(all.beside, reinsert_budget * all.stored + static_cast<double>(options.segment_bytes));
}

TEST_F(Budget, SavingsOfOneStretchDoNotPayForAnother) {
  reinsert_budget = 0.03;
  start();
  for (std::uint64_t n = 100'000; n < 112'000; ++n) {  // nothing of this is worth keeping
    ASSERT_EQ(put(*store, make_key(n), payload_.first(kBytes)), KeyStatus::stored);
    record_bytes_ += format::record_bytes(kBytes);
    stored_bytes_ += kBytes;
  }
  const Spent before = spent();
  const double saved = reinsert_budget * before.stored - before.beside;
  ASSERT_GT(saved, 3.0 * static_cast<double>(options.segment_bytes));
  serve(repeated(12'000), 150'000, 4000);
  const Spent after = spent();
  EXPECT_LT(after.beside - before.beside, reinsert_budget * (after.stored - before.stored) +
                                              2.5 * static_cast<double>(options.segment_bytes));
}

// ------------------------------------------------------------------------------------ long tails

TEST_F(Budget, LongTailsAreLeftToAFreshUnit) {
  options.max_object_bytes = 250U << 10;
  reinsert_budget = 0;
  start();
  // 4 objects of 230 KiB and a tail of some 70 KiB: longer than a 256th.
  for (std::uint64_t n = 0; n < 400; ++n) {
    ASSERT_EQ(put(*store, make_key(n), payload_.first(230U << 10)), KeyStatus::stored);
  }
  const std::lock_guard guard(medium->mutex);
  std::size_t data = 0, left = 0;
  for (const MemMedium::Sealed& sealed : medium->sealed) {
    if (sealed.use.metadata) continue;
    ++data;
    const auto never = std::ranges::count(sealed.writes, 0);
    left += never > 8 ? 1 : 0;
    EXPECT_LT(*std::ranges::max_element(sealed.writes), 2);
  }
  EXPECT_GT(data, 80U);
  EXPECT_EQ(left, data);
}

TEST_F(Budget, ShortTailsAreFilled) {
  reinsert_budget = 0;
  start();
  // Records of one header and one block each: what is left at the end is short.
  for (std::uint64_t n = 0; n < 3000; ++n) {
    ASSERT_EQ(put(*store, make_key(n), payload_.first(4096)), KeyStatus::stored);
  }
  const std::lock_guard guard(medium->mutex);
  std::size_t data = 0, whole = 0;
  for (const MemMedium::Sealed& sealed : medium->sealed) {
    if (sealed.use.metadata) continue;
    ++data;
    const auto [least, most] = std::ranges::minmax(sealed.writes);
    whole += least == 1 && most == 1 ? 1 : 0;
  }
  EXPECT_GT(data, 15U);
  EXPECT_EQ(whole, data);
}

}  // namespace
}  // namespace fdpstore::test
