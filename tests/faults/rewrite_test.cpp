// Segments that are to be rewritten, since not all of them reached the device, while the device
// goes on failing; and the order in which opening after a kill makes sure of what it found.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <optional>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "unit/core/core_test.hpp"

namespace fdpstore::test {
namespace {

class Rewrite : public CoreTest {
 protected:
  static constexpr std::uint64_t kObjects = 30;
  static constexpr std::size_t kBytes = 10000;
  static constexpr double kSoon = 5;  // seconds

  // A store of so many objects, from key 1000 on, and kObjects in a segment that comes to be sealed
  // without a summary.
  std::unique_ptr<Store> with_broken_segment(std::uint64_t before = 0) {
    config.fault = [this](const IoRequest& request) -> std::error_code {
      if (request.op == IoOp::write && (failing_ || request.segment.value == broken_)) {
        return std::make_error_code(std::errc::io_error);
      }
      if (request.op != IoOp::read || request.segment.value != broken_) return {};
      if (!unreadable_) return {};
      ++failed_reads_;
      return std::make_error_code(std::errc::timed_out);
    };
    config.hold = [this](const IoRequest& request) {
      const bool held = request.op == IoOp::read && request.segment.value == broken_ &&
                        failed_reads_ >= hold_after_;
      if (held) holding_ = true;
      return held;
    };
    auto store = open();
    for (std::uint64_t n = 0; n < before; ++n) {
      EXPECT_EQ(put(*store, make_key(1000 + n), make_payload(n, kBytes)), KeyStatus::stored);
    }
    for (std::uint64_t n = 0; n < kObjects; ++n) {
      EXPECT_EQ(put(*store, make_key(n), make_payload(n, kBytes)), KeyStatus::stored);
    }
    for (const SegmentUsage& one : store->status().segments) {
      if (one.state == "open" && one.objects != 0) broken_ = one.id;
    }
    EXPECT_EQ(put(*store, make_key(kObjects), make_payload(kObjects, kBytes)), KeyStatus::failed);
    return store;
  }
  static std::string state(Store& store, std::uint32_t id) {
    for (const SegmentUsage& one : store.status().segments) {
      if (one.id == id) return one.state;
    }
    return "absent";
  }

  std::atomic<std::uint32_t> broken_{UINT32_MAX};
  std::atomic<bool> unreadable_{true}, holding_{false}, failing_{false};
  std::atomic<int> failed_reads_{0}, hold_after_{INT32_MAX};
};

// It was sealed again with nothing in it, and nothing looked at it any more: its space was lost
// until the next start.
TEST_F(Rewrite, IsFreedWhenItsObjectsWereErasedWhileTheyCouldNotBeMoved) {
  hold_after_ = 13;  // four more end the attempt
  const auto store = with_broken_segment();
  ASSERT_TRUE(eventually([&] { return holding_.load(); }, kSoon));
  for (std::uint64_t n = 0; n < kObjects; ++n) EXPECT_TRUE(erase(*store, make_key(n))) << n;
  hold_after_ = INT32_MAX;
  EXPECT_TRUE(eventually([&] { return state(*store, broken_) == "free"; }, kSoon))
      << state(*store, broken_);
  EXPECT_GE(failed_reads_, 17);
}

// An empty segment whose record could not be written waited behind it, as if it held something.
TEST_F(Rewrite, OthersAreFreedWhileItCannotBeRewritten) {
  constexpr std::uint64_t kBefore = 2 * (1U << 20) / kBytes;
  const auto store = with_broken_segment(kBefore);
  ASSERT_TRUE(eventually([&] { return failed_reads_ >= 17; }, kSoon));
  std::vector<std::uint32_t> others;
  for (const SegmentUsage& one : store->status().segments) {
    if (one.state == "sealed" && one.id != broken_) others.push_back(one.id);
  }
  ASSERT_FALSE(others.empty());
  failing_ = true;
  for (std::uint64_t n = 0; n < kBefore; ++n) (void)try_erase(*store, make_key(1000 + n));
  failing_ = false;
  for (const std::uint32_t id : others) {
    // Or it is used anew already, for the metadata log.
    EXPECT_TRUE(eventually(
        [&] { return state(*store, id) == "free" || state(*store, id) == "open"; }, kSoon))
        << state(*store, id);
  }
  unreadable_ = false;
}

// Power was lost before it was saved that a segment had been freed: no free one is left, which the
// metadata log would need to go on. All deletes failed from then on, and nothing was ever freed.
TEST_F(Rewrite, AStoreWhoseLastFreeSegmentWasLostGoesOn) {
  options.segment_bytes = 128U << 10;
  options.max_object_bytes = 16U << 10;
  options.capacity_bytes = (1U << 20) + 7 * options.segment_bytes;
  reinsert_budget = 0;
  std::shared_ptr<MemMedium> image, older;
  std::uint64_t count = 0;
  std::uint32_t log = 0;
  {
    const auto store = open();
    const auto log_of = [](const StoreStatus& status) {
      for (const SegmentUsage& one : status.segments) {
        if (one.stream == "metadata" && one.state == "open") return one.id;
      }
      return UINT32_MAX;
    };
    StoreStatus before, after;
    // Until a put reclaims the last free one but for one that was never used.
    while (after.segments.size() < 6 || log_of(before) != log_of(after) ||
           before.info.reclaimed_objects == after.info.reclaimed_objects) {
      older = medium->snapshot();
      before = store->status();
      ASSERT_EQ(put(*store, make_key(count), make_payload(count, kBytes)), KeyStatus::stored);
      ++count;
      after = store->status();
    }
    log = log_of(after);
    image = medium->snapshot();
  }
  image->segments[log] = older->segments[log];      // as the flush before had left it
  options.capacity_bytes -= options.segment_bytes;  // which is taken away
  // What is more, this log takes no writes for now.
  std::atomic<bool> failing{true};
  config.fault = [&failing, log](const IoRequest& request) {
    return failing && request.op == IoOp::write && request.segment.value == log
               ? std::make_error_code(std::errc::io_error)
               : std::error_code{};
  };
  std::set<std::uint64_t> erased;
  {
    const auto store = open(image);
    const auto free_segments = [&] {
      const auto segments = store->status().segments;
      return std::ranges::count(segments, "free", &SegmentUsage::state);
    };
    const std::uint64_t objects = store->status().info.live_objects;
    EXPECT_TRUE(eventually([&] { return free_segments() != 0; }, kSoon));
    failing = false;
    for (std::uint64_t n = 0; n < count; n += 2) {
      const auto done = try_erase(*store, make_key(n));
      ASSERT_TRUE(done) << n << ": " << done.error().message();
      if (*done) erased.insert(n);
    }
    EXPECT_GE(erased.size(), objects / 4);
    EXPECT_EQ(put(*store, make_key(1000), make_payload(1000, kBytes)), KeyStatus::stored);
    for (const std::uint64_t n : erased) EXPECT_FALSE(present(*store, make_key(n))) << n;
    const auto closed = store->close();
    EXPECT_TRUE(closed) << closed.error().message();
  }
  const auto store = open(image);
  EXPECT_EQ(get(*store, make_key(1000), kBytes), make_payload(1000, kBytes));
  for (const std::uint64_t n : erased) EXPECT_FALSE(present(*store, make_key(n))) << n;
}

class Found : public CoreTest {};

// A new metadata log relies on headers that recovery found, and that a killed process may have left
// in the page cache only: a power cut would show what was there before, and was deleted.
TEST_F(Found, WhatAKilledProcessWroteIsFlushedBeforeAnythingIsWritten) {
  options.durability = Durability::device;
  auto store = open();
  for (std::uint64_t n = 0; n < 200; ++n) {
    ObjectKey key = make_key(n);
    key.cache_salt = std::to_string(n % 8);
    ASSERT_EQ(put(*store, key, make_payload(n, 20'000)), KeyStatus::stored);
  }
  std::set<std::uint32_t> used;
  for (const SegmentUsage& one : store->status().segments) {
    if (one.state != "free" && one.state != "absent") used.insert(one.id);
  }
  EXPECT_GT(used.size(), 4U);
  const auto killed = medium->snapshot();
  std::set<std::uint32_t> flushed;
  std::optional<std::size_t> flushed_at_first_write;
  std::mutex mutex;
  config.fault = [&](const IoRequest& request) -> std::error_code {
    const std::lock_guard guard(mutex);
    if (request.op == IoOp::flush) flushed.insert(request.segment.value);
    if (request.op == IoOp::write && !flushed_at_first_write) {
      flushed_at_first_write = flushed.size();
    }
    return {};
  };
  config.handles = 1;  // so that what the second one has open is sealed at once
  auto after = open(killed);
  const std::lock_guard guard(mutex);
  ASSERT_TRUE(flushed_at_first_write) << "nothing was written";
  EXPECT_GE(*flushed_at_first_write, used.size());
}

}  // namespace
}  // namespace fdpstore::test
