// What the campaign has found, each by itself.
#include <algorithm>
#include <atomic>
#include <thread>

#include "support/fault_backend.hpp"
#include "support/sanitizers.hpp"
#include "unit/core/core_test.hpp"

namespace fdpstore::test {
namespace {

constexpr std::uint64_t kSeeds = repeated(60);

// A store on a faulty medium over memory, reopened at will.
class Power : public CoreTest {
 protected:
  void use(std::uint64_t seed, FaultPlan plan) {
    memory_ = std::make_shared<MemMedium>();
    faults_ = std::make_shared<FaultMedium>(seed, plan);
  }
  std::unique_ptr<Backend> backend() {
    return std::make_unique<FaultBackend>(
        faults_, std::make_unique<MemBackend>(memory_, config),
        FaultBackend::Config{.flush_promised = options.durability == Durability::device});
  }
  std::unique_ptr<Store> open_faulty() {
    auto store = core::open_segment_store(options, backend(), policy_factory(),
                                          std::make_unique<FixedLineage>());
    if (!store) throw std::runtime_error(store.error().message());
    return std::move(*store);
  }
  // The process or the power ends now; a new process opens the store.
  std::unique_ptr<Store> after(Cut cut, std::unique_ptr<Store> store) {
    faults_->cut(cut);
    (void)store->close();
    store.reset();
    faults_->calm(true);
    faults_->revive();
    return open_faulty();
  }
  std::shared_ptr<FaultMedium> faults_;
  std::shared_ptr<MemMedium> memory_;
};

TEST_F(Power, TheSegmentHeaderIsAsDurableAsWhatIsAcknowledged) {
  options.durability = Durability::device;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    use(seed, {.max_delay = 8});  // in any order
    auto store = open_faulty();
    ASSERT_EQ(put(*store, make_key(1), make_payload(1, 5000)), KeyStatus::stored);
    store = after(Cut::power, std::move(store));
    ASSERT_EQ(get(*store, make_key(1), 5000), make_payload(1, 5000)) << "seed " << seed;
  }
}

TEST_F(Power, AFailedFlushIsNotForgottenByTheNext) {
  options.durability = Durability::device;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    use(seed, {.failed_flushes = 3000, .max_delay = 8});
    faults_->calm(true);
    auto store = open_faulty();
    faults_->calm(false);
    std::vector<std::uint64_t> stored;
    for (std::uint64_t first = 0; first < 40; first += 4) {
      std::vector<std::vector<std::byte>> payloads;
      std::vector<ObjectKey> keys;
      std::vector<PutItem> items;
      for (std::uint64_t n = first; n < first + 4; ++n) {
        keys.push_back(make_key(n));
        payloads.push_back(make_payload(n, 20000));
      }
      for (std::size_t i = 0; i < 4; ++i) {
        items.push_back({keys[i].ref(), payloads[i], std::nullopt, {}});
      }
      const auto result = put_and_wait(*store, items);
      for (std::size_t i = 0; i < 4; ++i) {
        if (result->keys[i] == KeyStatus::stored) stored.push_back(first + i);
      }
    }
    ASSERT_TRUE(store->take_dropped().empty()) << "seed " << seed;
    store = after(Cut::power, std::move(store));
    for (const std::uint64_t n : stored) {
      ASSERT_TRUE(get(*store, make_key(n), 20000) == make_payload(n, 20000))
          << "seed " << seed << ", key " << n;
    }
    // What failed is not half there either.
    for (std::uint64_t n = 0; n < 40; ++n) {
      if (!present(*store, make_key(n))) continue;
      ASSERT_TRUE(get(*store, make_key(n), 20000)) << "seed " << seed << ", key " << n;
    }
  }
}

TEST_F(Power, WhatIsFoundAfterAKillStaysThroughAPowerCut) {
  options.durability = Durability::device;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    use(seed, {.max_delay = 4});
    auto store = open_faulty();
    faults_->arm(Cut::kill, 2 + seed % 8);
    (void)put(*store, make_key(1), make_payload(1, 70000));
    (void)put(*store, make_key(2), make_payload(2, 70000));
    store = after(Cut::kill, std::move(store));
    const bool found = put(*store, make_key(1), make_payload(1, 70000)) == KeyStatus::present;
    store = after(Cut::power, std::move(store));
    if (found) {
      ASSERT_EQ(get(*store, make_key(1), 70000), make_payload(1, 70000)) << "seed " << seed;
    }
  }
}

// A power cut may take a segment's header and leave its records and its footer; the next life of
// that segment must not have the same sequence.
TEST_F(Power, RecordsWithoutAHeaderAreNotTakenForThoseOfALaterLife) {
  options.capacity_bytes = 9U << 20;
  const auto fill = [&](Store& store, std::uint64_t first) {
    for (std::uint64_t n = first; n < first + 12; ++n) {
      ASSERT_EQ(put(store, make_key(n), make_payload(n, 100000)), KeyStatus::stored);
    }
  };
  use(1, {});
  auto store = open_faulty();
  fill(*store, 0);
  ASSERT_TRUE(store->close());
  store.reset();
  for (auto& [id, bytes] : memory_->segments) {
    if (id != 0) std::ranges::fill(std::span(bytes).first(4096), std::byte{});
  }
  store = open_faulty();
  fill(*store, 100);
  store = after(Cut::kill, std::move(store));
  for (std::uint64_t n = 0; n < 12; ++n) EXPECT_FALSE(present(*store, make_key(n))) << n;
  for (std::uint64_t n = 100; n < 112; ++n) {
    EXPECT_TRUE(get(*store, make_key(n), 100000) == make_payload(n, 100000)) << n;
  }
}

TEST_F(Power, CloseMakesSealedSegmentsDurable) {
  options.capacity_bytes = 33U << 20;
  use(1, {});
  auto store = open_faulty();
  for (std::uint64_t n = 0; n < 60; ++n) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 100000)), KeyStatus::stored);
  }
  ASSERT_TRUE(store->close());
  store = after(Cut::power, std::move(store));
  for (std::uint64_t n = 0; n < 60; ++n) {
    ASSERT_EQ(get(*store, make_key(n), 100000), make_payload(n, 100000)) << n;
  }
}

// ------------------------------------------------------------------------ on memory, step by step

class Mended : public CoreTest {
 protected:
  static TaskResult put_result(Store& store, const ObjectKey& key,
                               std::span<const std::byte> bytes) {
    const PutItem item{key.ref(), bytes, std::nullopt, {}};
    return *put_and_wait(store, {&item, 1});
  }
};

TEST_F(Mended, NothingIsAcknowledgedOverAHeaderThatWasNotWritten) {
  std::atomic<bool> fail_headers{false};
  config.fault = [&](const IoRequest& request) {
    const bool header = request.op == IoOp::write && request.offset_bytes == 0;
    return header && fail_headers ? std::make_error_code(std::errc::io_error) : std::error_code{};
  };
  auto store = open();
  fail_headers = true;
  const KeyStatus status = put(*store, make_key(1), make_payload(1, 5000));
  fail_headers = false;
  auto crashed = open(medium->snapshot());
  const auto there = get(*crashed, make_key(1), 5000);
  EXPECT_TRUE(status == KeyStatus::failed || there.has_value());
}

// An object that was deleted and stored again in one segment stood in the segment's list twice; it
// was moved twice, and the second copy was taken for one of a deleted object.
TEST_F(Mended, AnObjectThatIsMovedOutlivesARestart) {
  options.capacity_bytes = 9U << 20;
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), make_payload(1, 9000)), KeyStatus::stored);
  ASSERT_TRUE(erase(*store, make_key(1)));
  ASSERT_EQ(put(*store, make_key(1), make_payload(2, 9000)), KeyStatus::stored);
  ASSERT_TRUE(present(*store, make_key(1), true));  // locked: it has to be moved
  for (std::uint64_t n = 100; n < 300; ++n) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 100000)), KeyStatus::stored);
  }
  ASSERT_GE(store->status().info.reinserted_objects, 1U);
  EXPECT_EQ(get(*store, make_key(1), 9000), make_payload(2, 9000));
  auto crashed = open(medium->snapshot());
  EXPECT_EQ(get(*crashed, make_key(1), 9000), make_payload(2, 9000));
}

TEST_F(Mended, CloseEndsOnADeadDeviceWithLockedObjects) {
  options.capacity_bytes = 9U << 20;
  std::atomic<bool> unreadable{false};
  config.fault = [&](const IoRequest& request) {
    return unreadable && request.op == IoOp::read ? std::make_error_code(std::errc::timed_out)
                                                  : std::error_code{};
  };
  auto store = open();
  // Every segment has one locked object, so that each reclaim has to move one.
  for (std::uint64_t n = 0; n < 40; ++n) {
    if (put(*store, make_key(n), make_payload(n, 100000)) != KeyStatus::stored) break;
    if (n % 9 == 0) {
      ASSERT_TRUE(present(*store, make_key(n), true));
    }
  }
  unreadable = true;
  std::atomic<bool> closed{false};
  std::vector<std::vector<std::byte>> payloads;
  for (std::uint64_t n = 1000; n < 1030; ++n) payloads.push_back(make_payload(n, 100000));
  std::vector<ObjectKey> keys;
  std::vector<PutItem> items;
  for (std::uint64_t n = 0; n < 30; ++n) keys.push_back(make_key(1000 + n));
  for (std::size_t n = 0; n < 30; ++n) items.push_back({keys[n].ref(), payloads[n], {}, {}});
  ASSERT_TRUE(store->submit_put(items));
  std::thread closing([&] {
    (void)store->close();
    closed = true;
  });
  for (int i = 0; i < 100 && !closed; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_TRUE(closed) << "close() does not end";
  unreadable = false;
  closing.join();
}

TEST_F(Mended, AReadOnlyLookWritesNothingWhereCopiesWereLeft) {
  // Reclaim is cut short between the copy and the record that the segment was freed.
  options.capacity_bytes = 9U << 20;
  std::atomic<bool> hold{false};
  config.hold = [&](const IoRequest& request) {
    return hold && request.op == IoOp::write && request.segment.value == 0;  // the metadata log
  };
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), make_payload(1, 9000)), KeyStatus::stored);
  ASSERT_TRUE(present(*store, make_key(1), true));
  std::uint64_t n = 100;
  while (store->status().segments.size() < 7) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 100000)), KeyStatus::stored);
    ++n;
  }
  hold = true;
  std::vector<std::vector<std::byte>> payloads;
  std::vector<ObjectKey> keys;
  std::vector<PutItem> items;
  for (std::uint64_t i = 0; i < 20; ++i) {
    keys.push_back(make_key(1000 + i));
    payloads.push_back(make_payload(1000 + i, 100000));
  }
  for (std::size_t i = 0; i < 20; ++i) items.push_back({keys[i].ref(), payloads[i], {}, {}});
  ASSERT_TRUE(store->submit_put(items));
  for (int i = 0; i < 500 && store->status().info.reinserted_objects == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_GE(store->status().info.reinserted_objects, 1U);
  auto image = medium->snapshot();
  hold = false;
  const auto before = image->segments;
  options.read_only = true;
  config.hold = nullptr;
  const auto report = core::check_segments(options, std::make_unique<MemBackend>(image, config),
                                           policy_factory(), false, {});
  options.read_only = false;
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->clean());
  EXPECT_TRUE(image->segments == before) << "something was written";
  ASSERT_TRUE(store->close());  // before the payloads go
}

// A device that answers nothing for a while: lookups and status do not wait for it, what is being
// written is bounded, and the rest waits where status shows it.
TEST_F(Mended, AStuckDeviceHoldsBackStoresAndNothingElse) {
  std::atomic<bool> stuck{false};
  config.hold = [&](const IoRequest&) { return stuck.load(); };
  options.capacity_bytes = 257U << 20;
  options.segment_bytes = 8U << 20;
  options.max_object_bytes = 2U << 20;
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), make_payload(1, 5000)), KeyStatus::stored);
  stuck = true;
  constexpr std::uint64_t kObjects = 80;  // 160 MiB
  const std::vector<std::byte> bytes = make_payload(7, 2U << 20);
  ASSERT_TRUE(submit_puts(*store, 1000, kObjects, bytes));
  StoreInfo info;
  for (int i = 0; i < 500 && info.writing_bytes < (32U << 20); ++i) {
    info = store->status().info;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_GT(info.waiting_puts, 20U);
  EXPECT_GT(info.writing_bytes, 32U << 20);
  EXPECT_LE(info.writing_bytes, (64U << 20) + (2U << 20) + (1U << 20));
  for (int i = 0; i < 20000; ++i) ASSERT_TRUE(present(*store, make_key(1)));
  EXPECT_TRUE(store->take_completed(TaskKind::put).empty()) << "nothing was written meanwhile";
  stuck = false;
  for (int i = 0; i < 3000 && store->status().info.stored_objects < kObjects + 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  info = store->status().info;
  EXPECT_EQ(info.stored_objects, kObjects + 1);
  EXPECT_EQ(info.waiting_puts, 0U);
  EXPECT_TRUE(store->close());
}

// A segment that was taken and could not be made ready is as dead as before: its last life is to
// be told as freed by each new metadata log.
TEST_F(Mended, WhatWasFreedStaysSoWhenASegmentCannotBeMadeReady) {
  options.capacity_bytes = 9U << 20;
  std::atomic<int> refusals{0};
  config.allocate_fault = [&]() -> std::error_code {
    return refusals > 0 && refusals-- > 0 ? std::make_error_code(std::errc::io_error)
                                          : std::error_code{};
  };
  auto store = open();
  constexpr std::uint64_t kDeleted = 25;  // five segments
  for (std::uint64_t n = 0; n < kDeleted; ++n) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 200000)), KeyStatus::stored);
  }
  for (std::uint64_t n = 0; n < kDeleted; ++n) ASSERT_TRUE(erase(*store, make_key(n)));
  const auto free_segments = [&] {
    std::size_t count = 0;
    for (const SegmentUsage& one : store->status().segments) count += one.state == "free" ? 1 : 0;
    return count;
  };
  for (int i = 0; i < 300 && free_segments() < 4; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ASSERT_GE(free_segments(), 4U);
  refusals = 1;  // the first free segment goes behind the others
  ASSERT_EQ(put(*store, make_key(100), make_payload(100, 250000)), KeyStatus::stored);
  ASSERT_EQ(refusals, 0);
  // Deletes until the metadata log has begun anew, without those of the segments freed above.
  std::uint64_t logs = 0;
  std::uint64_t last = 0;
  for (std::uint64_t n = 1000; logs < 2 && n < 4000; ++n) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 10)), KeyStatus::stored);
    ASSERT_TRUE(erase(*store, make_key(n)));
    if (n % 50 != 0) continue;
    for (const SegmentUsage& one : store->status().segments) {
      if (one.stream != "metadata" || one.sequence == last) continue;
      last = one.sequence;
      ++logs;
    }
  }
  ASSERT_GE(logs, 2U);
  auto crashed = open(medium->snapshot());
  for (std::uint64_t n = 0; n < kDeleted; ++n) EXPECT_FALSE(present(*crashed, make_key(n))) << n;
}

TEST_F(Mended, SealedSegmentsWithoutObjectsAreFreed) {
  auto store = open();
  for (std::uint64_t n = 0; n < 4; ++n) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 200000)), KeyStatus::stored);
  }
  for (std::uint64_t n = 0; n < 4; ++n) ASSERT_TRUE(erase(*store, make_key(n)));
  // It does not fit: the open segment, which has lost everything, is sealed.
  ASSERT_EQ(put(*store, make_key(10), make_payload(10, 250000)), KeyStatus::stored);
  const auto sealed = [&] {
    std::size_t count = 0;
    for (const SegmentUsage& one : store->status().segments) count += one.state == "sealed" ? 1 : 0;
    return count;
  };
  for (int i = 0; i < 300 && sealed() != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(sealed(), 0U);
}

// A medium that refused a data segment a moment ago is asked again when the metadata log needs one:
// without it nothing could be deleted.
TEST_F(Mended, MetadataLogAsksAMediumAgainThatWasFull) {
  std::atomic<bool> full{false};
  std::atomic<int> refusals{0};
  config.allocate_fault = [&]() -> std::error_code {
    if (!full.exchange(false)) return {};
    ++refusals;
    return std::make_error_code(std::errc::no_space_on_device);
  };
  auto store = open();
  // More than half of each segment is locked, so that none is freed.
  constexpr std::size_t kBytes = 50000;
  const auto locked = [](std::uint64_t n) { return n % 9 < 5; };
  std::uint64_t count = 0;
  for (; store->status().info.allocated_bytes < (28U << 20); ++count) {
    ASSERT_EQ(put(*store, make_key(count), make_payload(count, kBytes)), KeyStatus::stored);
    ASSERT_TRUE(present(*store, make_key(count), locked(count)));
  }
  // The next segment is refused; the stores that need it wait.
  full = true;
  const auto bytes = make_payload(1, kBytes);
  ASSERT_TRUE(submit_puts(*store, 100000, 40, bytes));
  for (int i = 0; i < 5000 && refusals == 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_EQ(refusals, 1);
  std::size_t deletes = 0;  // each with a record of 8 KiB
  for (std::uint64_t n = 0; n < count; ++n) {
    if (locked(n)) continue;
    const auto erased = try_erase(*store, make_key(n));
    ASSERT_TRUE(erased) << n << ": " << erased.error().message();
    deletes += erased->has_value() ? 1U : 0U;
  }
  EXPECT_GT(deletes * 8192, options.segment_bytes) << "the log has not begun another segment";
}

// Likewise when the log could not be rewritten while nothing could be written at all.
TEST_F(Mended, MetadataLogIsRewrittenSoonAfterWritesSucceedAgain) {
  std::atomic<bool> failing{false};
  config.fault = [&](const IoRequest& request) {
    return failing && request.op == IoOp::write ? std::make_error_code(std::errc::io_error)
                                                : std::error_code{};
  };
  auto store = open();
  for (std::uint64_t n = 0; n < 300; ++n) {
    ASSERT_EQ(put(*store, make_key(n), make_payload(n, 10)), KeyStatus::stored);
  }
  failing = true;
  for (std::uint64_t n = 0; n < 3; ++n) {
    (void)try_erase(*store, make_key(n));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  const auto reclaiming = [&] {
    const auto segments = store->status().segments;
    return std::ranges::count_if(segments,
                                 [](const SegmentUsage& one) { return one.state == "reclaiming"; });
  };
  ASSERT_GE(reclaiming(), 1);
  failing = false;
  ASSERT_EQ(put(*store, make_key(1000), make_payload(1000, 10)), KeyStatus::stored);
  for (int i = 0; i < 500 && reclaiming() != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(reclaiming(), 0);
}

// What seals a prompt's file is set aside when it grows: many that are sealed at a time took what
// is kept for the metadata log, and nothing could be freed any more.
TEST_F(Mended, SealingManyPromptsLeavesRoomForTheMetadataLog) {
  options.layout = Layout::prompt;
  options.segment_bytes = 128U << 10;
  options.max_object_bytes = 16U << 10;
  options.prompt_idle_s = 0.3;
  options.capacity_bytes = (1U << 20) + 8 * options.segment_bytes;
  config.fixed_size = false;
  auto store = open();
  lineage->current.seen_in = 1;
  std::uint64_t count = 0;
  const auto put_in = [&](std::uint32_t prompt) {
    lineage->current.prompt = PromptId{prompt};
    ASSERT_EQ(put(*store, make_key(count), make_payload(count, 3000)), KeyStatus::stored);
    ++count;
  };
  for (std::uint32_t prompt = 1; prompt <= 40; ++prompt) put_in(prompt);
  while (store->status().info.reclaimed_objects == 0 && count < 400) put_in(41);
  std::uint64_t most = 0;
  const auto unsealed = [&] {
    const StoreStatus status = store->status();
    most = std::max(most, status.info.allocated_bytes);
    return std::ranges::count_if(status.segments, [](const SegmentUsage& one) {
      return one.stream != "metadata" && (one.state == "open" || one.state == "sealing");
    });
  };
  for (int i = 0; i < 500 && unsealed() != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(unsealed(), 0);
  EXPECT_LE(most, options.capacity_bytes);
  for (std::uint64_t n = 0; n < count; ++n) {
    const auto erased = try_erase(*store, make_key(n));
    ASSERT_TRUE(erased) << n << ": " << erased.error().message();
  }
}

}  // namespace
}  // namespace fdpstore::test
