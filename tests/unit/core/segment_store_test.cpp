#include <atomic>
#include <chrono>
#include <set>
#include <thread>

#include "core_test.hpp"
#include "format/layout.hpp"
#include "support/sanitizers.hpp"

namespace fdpstore::test {
namespace {

using SegmentStore = CoreTest;

TEST_F(SegmentStore, StoredObjectsAreHitsWithTheirBytes) {
  auto store = open();
  for (const std::size_t bytes : {1, 511, 4095, 4096, 4097, 70000, 262144}) {
    const auto key = make_key(bytes);
    const auto payload = make_payload(bytes, bytes);
    EXPECT_FALSE(present(*store, key));
    EXPECT_EQ(put(*store, key, payload), KeyStatus::stored);
    EXPECT_TRUE(present(*store, key));
    EXPECT_EQ(get(*store, key, bytes), payload);
    EXPECT_EQ(get(*store, key, bytes + 1), std::nullopt);
    EXPECT_EQ(put(*store, key, payload), KeyStatus::present);
  }
}

TEST_F(SegmentStore, CleanReopenKeepsEverything) {
  {
    auto store = open();
    for (std::uint64_t i = 0; i < 100; ++i) put(*store, make_key(i), make_payload(i, 50000 + i));
    ASSERT_TRUE(store->close());
  }
  auto store = open();
  EXPECT_TRUE(store->status().info.clean_start);
  EXPECT_EQ(store->status().info.live_objects, 100U);
  for (std::uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(get(*store, make_key(i), 50000 + i), make_payload(i, 50000 + i));
  }
}

TEST_F(SegmentStore, CrashKeepsWhatWasAcknowledged) {
  auto store = open();
  for (std::uint64_t i = 0; i < 60; ++i) {
    put(*store, make_key(i), make_payload(i, 40000));
    if (i % 7 != 0) continue;
    auto after_crash = open(medium->snapshot());
    for (std::uint64_t k = 0; k <= i; ++k) {
      ASSERT_EQ(get(*after_crash, make_key(k), 40000), make_payload(k, 40000)) << k << " of " << i;
    }
  }
}

TEST_F(SegmentStore, CrashKeepsDeletesDeleted) {
  auto store = open();
  for (std::uint64_t i = 0; i < 40; ++i) put(*store, make_key(i), make_payload(i, 40000));
  for (std::uint64_t i = 0; i < 40; i += 2) EXPECT_EQ(erase(*store, make_key(i)), 40000U);
  EXPECT_EQ(erase(*store, make_key(0)), std::nullopt);
  put(*store, make_key(2), make_payload(999, 5000));  // stored again after its delete
  auto after_crash = open(medium->snapshot());
  for (std::uint64_t i = 0; i < 40; ++i) {
    EXPECT_EQ(present(*after_crash, make_key(i)), i % 2 == 1 || i == 2) << i;
  }
  EXPECT_EQ(get(*after_crash, make_key(2), 5000), make_payload(999, 5000));
}

TEST_F(SegmentStore, FlippedPayloadIsAMissAndCanBeStoredAgain) {
  auto store = open();
  const auto payload = make_payload(1, 100000);
  put(*store, make_key(1), payload);
  {
    const std::lock_guard guard(medium->mutex);
    for (auto& [id, bytes] : medium->segments) {
      for (std::size_t at = 0; at + payload.size() <= bytes.size(); at += 4096) {
        if (std::memcmp(bytes.data() + at, payload.data(), payload.size()) == 0) {
          bytes[at + 54321] ^= std::byte{1};
        }
      }
    }
  }
  EXPECT_EQ(get(*store, make_key(1), payload.size()), std::nullopt);
  EXPECT_FALSE(present(*store, make_key(1)));
  EXPECT_EQ(store->take_dropped().size(), 1U);
  EXPECT_EQ(store->status().info.damaged_objects, 1U);
  EXPECT_EQ(put(*store, make_key(1), payload), KeyStatus::stored);
  EXPECT_EQ(get(*store, make_key(1), payload.size()), payload);
  auto after_crash = open(medium->snapshot());
  EXPECT_EQ(get(*after_crash, make_key(1), payload.size()), payload);
}

TEST_F(SegmentStore, FailedWriteFailsOnlyItsStore) {
  std::atomic<int> fail_next{0};
  config.fault = [&](const IoRequest& request) {
    const bool payload_write = request.op == IoOp::write && request.spans.size() > 1;
    if (payload_write && fail_next > 0 && --fail_next == 0) {
      return std::make_error_code(std::errc::io_error);
    }
    return std::error_code{};
  };
  auto store = open();
  put(*store, make_key(1), make_payload(1, 5000));
  fail_next = 1;
  EXPECT_EQ(put(*store, make_key(2), make_payload(2, 5000)), KeyStatus::failed);
  EXPECT_FALSE(present(*store, make_key(2)));
  EXPECT_EQ(put(*store, make_key(3), make_payload(3, 5000)), KeyStatus::stored);
  EXPECT_EQ(put(*store, make_key(2), make_payload(2, 5000)), KeyStatus::stored);
  auto after_crash = open(medium->snapshot());
  for (std::uint64_t i = 1; i <= 3; ++i) {
    EXPECT_EQ(get(*after_crash, make_key(i), 5000), make_payload(i, 5000)) << i;
  }
}

// A store whose write failed, though its bytes are on the medium, must not come back after the key
// was stored again and deleted, however many segments have been freed since.
TEST_F(SegmentStore, FailedStoreStaysAwayAfterALaterDelete) {
  std::atomic<bool> fail_next{false};
  std::atomic<std::uint32_t> bad_segment{UINT32_MAX};
  config.late_fault = [&](const IoRequest& request) {
    const bool payload_write = request.op == IoOp::write && request.spans.size() > 1;
    if (!payload_write || !fail_next.exchange(false)) return std::error_code{};
    bad_segment = request.segment.value;
    return std::make_error_code(std::errc::io_error);
  };
  config.fault = [&](const IoRequest& request) {  // summary and footer fail, too
    return request.op == IoOp::write && request.segment.value == bad_segment
               ? std::make_error_code(std::errc::io_error)
               : std::error_code{};
  };
  auto store = open();
  put(*store, make_key(7, "org/model", "a"),
      make_payload(7, 5000));  // acknowledged, in the same segment
  fail_next = true;
  ASSERT_EQ(put(*store, make_key(1, "org/model", "a"), make_payload(1, 5000)), KeyStatus::failed);
  ASSERT_EQ(put(*store, make_key(1, "org/model", "a"), make_payload(1, 5000)), KeyStatus::stored);
  for (std::uint64_t i = 100; i < 120; ++i)
    put(*store, make_key(i, "org/model", "a"), make_payload(i, 100000));
  ASSERT_EQ(erase(*store, make_key(1, "org/model", "a")), 5000U);
  for (std::uint64_t i = 100; i < 120; ++i) erase(*store, make_key(i, "org/model", "a"));
  // Enough deletes, one by one, for the metadata log to be rewritten without what no longer counts.
  for (std::uint64_t i = 200; i < 500; ++i)
    put(*store, make_key(i, "org/model", "a"), make_payload(i, 10));
  for (std::uint64_t i = 200; i < 500; ++i) erase(*store, make_key(i, "org/model", "a"));
  config.fault = nullptr;
  auto after_crash = open(medium->snapshot());
  EXPECT_FALSE(present(*after_crash, make_key(1, "org/model", "a")));
  EXPECT_EQ(get(*after_crash, make_key(7, "org/model", "a"), 5000), make_payload(7, 5000));
}

// The metadata log goes on in another segment, and the faulty one is the last to be taken again.
TEST_F(SegmentStore, DeletesAreRecordedWhereAnEarlierPlaceFails) {
  std::atomic<std::uint32_t> bad_segment{UINT32_MAX};
  std::atomic<bool> fail_next{false};
  std::atomic<int> failures{0};
  config.fault = [&](const IoRequest& request) {
    if (request.op != IoOp::write) return std::error_code{};
    if (fail_next.exchange(false)) bad_segment = request.segment.value;
    if (request.segment.value != bad_segment) return std::error_code{};
    ++failures;
    return std::make_error_code(std::errc::io_error);
  };
  auto store = open();
  put(*store, make_key(1), make_payload(1, 5000));
  put(*store, make_key(2), make_payload(2, 5000));
  fail_next = true;
  EXPECT_EQ(erase(*store, make_key(1)), 5000U);
  EXPECT_EQ(failures, 1);
  for (std::uint64_t i = 100; i < 220; ++i) {
    ASSERT_EQ(put(*store, make_key(i), make_payload(i, 200000)), KeyStatus::stored) << i;
  }
  EXPECT_EQ(failures, 1);
  auto after_crash = open(medium->snapshot());
  EXPECT_FALSE(present(*after_crash, make_key(1)));
  EXPECT_EQ(get(*after_crash, make_key(219), 200000), make_payload(219, 200000));
}

// Every store fails with the device's reason, and none waits for room that will not come.
TEST_F(SegmentStore, DeviceThatIsGoneFailsEveryStoreSoon) {
  std::atomic<bool> gone{false};
  config.fault = [&](const IoRequest&) {
    return gone ? std::make_error_code(std::errc::no_such_device) : std::error_code{};
  };
  options.capacity_bytes = 7U << 20;  // few enough segments to run out of them
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), make_payload(1, 5000)), KeyStatus::stored);
  gone = true;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 2; i < 8; ++i) {
    const ObjectKey key = make_key(i);
    const auto bytes = make_payload(i, 5000);
    const PutItem item{key.ref(), bytes, std::nullopt, {}};
    const auto result = put_and_wait(*store, {&item, 1});
    ASSERT_EQ(result->keys[0], KeyStatus::failed) << i;
    ASSERT_TRUE(result->error);
    EXPECT_EQ(result->error->code, std::errc::no_such_device) << result->error->message();
  }
  // Four of them find no room: one second each, not the thirty of a device that still works.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(100));
  EXPECT_FALSE(store->close());
}

// Between taking a freed segment and writing its new header, the old header is all there is: the
// record that it is dead must not get lost when the metadata log is rewritten in that time.
TEST_F(SegmentStore, DeletedObjectsStayAwayWhileTheirSegmentIsTakenAgain) {
  std::atomic<bool> holding{false};
  config.hold = [&](const IoRequest& request) {
    if (!holding || request.op != IoOp::write || request.offset_bytes != 0) return false;
    format::SegmentHeader header;
    std::memcpy(&header, request.spans[0].iov_base, sizeof(header));
    return header.kind == static_cast<std::uint16_t>(format::SegmentKind::data);
  };
  options.capacity_bytes = 65U << 20;  // four open segments
  auto store = open();
  for (std::uint64_t i = 200; i < 700; ++i) put(*store, make_key(i), make_payload(i, 10));
  for (std::uint64_t i = 0; i < 30; ++i) put(*store, make_key(i), make_payload(i, 100000));
  for (std::uint64_t i = 0; i < 30; ++i) ASSERT_EQ(erase(*store, make_key(i)), 100000U);
  holding = true;
  // One store for each of several tenants: they take segments that were freed.
  std::vector<ObjectKey> keys;
  const auto payload = make_payload(1, 100);
  for (std::uint64_t i = 0; i < 16; ++i) {
    keys.push_back(make_key(1000 + i, "org/model", "tenant" + std::to_string(i)));
  }
  for (const ObjectKey& key : keys) {
    const PutItem item{key.ref(), payload, std::nullopt, {}};
    ASSERT_TRUE(store->submit_put({&item, 1}));
  }
  for (std::uint64_t i = 200; i < 700; ++i) erase(*store, make_key(i));
  {
    auto after_crash = open(medium->snapshot());
    for (std::uint64_t i = 0; i < 30; ++i) EXPECT_FALSE(present(*after_crash, make_key(i))) << i;
  }
  holding = false;
}

TEST_F(SegmentStore, TenTimesTheCapacityStaysInside) {
  auto store = open();
  std::set<std::vector<std::byte>> dropped;
  std::uint64_t stored = 0;
  for (std::uint64_t i = 0; i < 3300; ++i) {
    ASSERT_EQ(put(*store, make_key(i), make_payload(i, 100000)), KeyStatus::stored) << i;
    ++stored;
    ASSERT_LE(medium->allocated(), options.capacity_bytes);
    for (DroppedKey& key : store->take_dropped()) dropped.insert(key.key.chunk_hash);
  }
  const StoreStatus status = store->status();
  for (DroppedKey& key : store->take_dropped()) dropped.insert(key.key.chunk_hash);
  EXPECT_EQ(status.info.live_objects + dropped.size(), stored);
  EXPECT_GT(status.info.live_bytes, options.capacity_bytes * 2 / 3);
  EXPECT_EQ(get(*store, make_key(3299), 100000), make_payload(3299, 100000));
  for (std::uint64_t i = 0; i < 3300; ++i) {
    EXPECT_EQ(present(*store, make_key(i)), !dropped.contains(make_key(i).chunk_hash)) << i;
  }
}

TEST_F(SegmentStore, HotObjectsAreReinserted) {
  reinsert_budget = 0.2;
  auto store = open();
  put(*store, make_key(0), make_payload(0, 30000));
  for (std::uint64_t i = 1; i < 2000; ++i) {
    put(*store, make_key(i), make_payload(i, 100000));
    if (i % 50 == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(12));  // recency has ticks of 10 ms
      ASSERT_EQ(get(*store, make_key(0), 30000), make_payload(0, 30000)) << i;
      ASSERT_TRUE(present(*store, make_key(0)));
    }
  }
  EXPECT_GT(store->status().info.reinserted_objects, 0U);
  auto after_crash = open(medium->snapshot());
  EXPECT_EQ(get(*after_crash, make_key(0), 30000), make_payload(0, 30000));
}

TEST_F(SegmentStore, LockedObjectsSurviveReclaimAndErase) {
  auto store = open();
  put(*store, make_key(0), make_payload(0, 30000));
  ASSERT_TRUE(present(*store, make_key(0), true));
  EXPECT_EQ(erase(*store, make_key(0)), std::nullopt);
  for (std::uint64_t i = 1; i < 1000; ++i) put(*store, make_key(i), make_payload(i, 100000));
  EXPECT_EQ(get(*store, make_key(0), 30000), make_payload(0, 30000));
  const auto ref = make_key(0);
  const KeyRef key = ref.ref();
  store->unlock({&key, 1});
  store->unlock({&key, 1});  // not locked any more: no effect
  EXPECT_EQ(erase(*store, make_key(0)), 30000U);
}

TEST_F(SegmentStore, EverythingLockedFailsWithNoSpaceAndRecovers) {
  options.capacity_bytes = 9U << 20;
  auto store = open();
  std::vector<ObjectKey> locked;
  KeyStatus status = KeyStatus::stored;
  for (std::uint64_t i = 0; i < 200 && status == KeyStatus::stored; ++i) {
    status = put(*store, make_key(i), make_payload(i, 100000));
    if (status == KeyStatus::stored) {
      locked.push_back(make_key(i));
      ASSERT_TRUE(present(*store, make_key(i), true));
    }
  }
  EXPECT_EQ(status, KeyStatus::failed);
  for (std::size_t i = 0; i < locked.size(); ++i) EXPECT_TRUE(present(*store, locked[i])) << i;
  for (const ObjectKey& key : locked) {
    const KeyRef ref = key.ref();
    store->unlock({&ref, 1});
  }
  EXPECT_EQ(put(*store, make_key(5000), make_payload(1, 100000)), KeyStatus::stored);
}

TEST_F(SegmentStore, LocksEndWithTheirLease) {
  options.lock_timeout_s = 0.05;
  auto store = open();
  put(*store, make_key(0), make_payload(0, 1000));
  ASSERT_TRUE(present(*store, make_key(0), true));
  EXPECT_EQ(erase(*store, make_key(0)), std::nullopt);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(erase(*store, make_key(0)), 1000U);
  EXPECT_EQ(store->status().info.expired_locks, 1U);
}

TEST_F(SegmentStore, ManyDeletesDoNotFillTheMetadataLog) {
  constexpr std::uint64_t kDeletes = repeated(30000);
  options.capacity_bytes = 9U << 20;
  auto store = open();
  for (std::uint64_t i = 0; i < kDeletes; ++i) {
    ASSERT_EQ(put(*store, make_key(i), make_payload(i, 10)), KeyStatus::stored) << i;
    ASSERT_EQ(erase(*store, make_key(i)), 10U) << i;
  }
  EXPECT_TRUE(store->status().info.healthy) << store->status().info.unhealthy_reason;
  EXPECT_LE(medium->allocated(), options.capacity_bytes);
  auto after_crash = open(medium->snapshot());
  EXPECT_EQ(after_crash->status().info.live_objects, 0U);
}

TEST_F(SegmentStore, SegmentsWithoutLiveObjectsAreFreed) {
  auto store = open();
  for (std::uint64_t i = 0; i < 200; ++i) put(*store, make_key(i), make_payload(i, 100000));
  for (std::uint64_t i = 0; i < 200; ++i) erase(*store, make_key(i));
  std::size_t used = 0;
  for (int tries = 0; tries < 100; ++tries) {
    used = 0;
    for (const SegmentUsage& s : store->status().segments) used += s.state == "free" ? 0U : 1U;
    if (used <= 3) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LE(used, 3U);  // the open one and the metadata
}

TEST_F(SegmentStore, FullMediumFailsTheStoreAndRecovers) {
  std::atomic<bool> full{false};
  config.allocate_fault = [&] {
    return full ? std::make_error_code(std::errc::no_space_on_device) : std::error_code{};
  };
  auto store = open();
  put(*store, make_key(0), make_payload(0, 100000));
  ASSERT_TRUE(present(*store, make_key(0), true));
  full = true;
  KeyStatus status = KeyStatus::stored;
  std::uint64_t i = 1;
  for (; i < 50 && status == KeyStatus::stored; ++i) {
    status = put(*store, make_key(i), make_payload(i, 100000));
    present(*store, make_key(i), true);
  }
  EXPECT_EQ(status, KeyStatus::failed);
  EXPECT_EQ(get(*store, make_key(0), 100000), make_payload(0, 100000));
  full = false;
  std::this_thread::sleep_for(std::chrono::milliseconds(600));
  EXPECT_EQ(put(*store, make_key(99), make_payload(99, 100000)), KeyStatus::stored);
}

TEST_F(SegmentStore, PromptFilesGrowAndGoWithTheirLastObject) {
  options.layout = Layout::prompt;
  config.fixed_size = false;
  auto store = open();
  lineage->current.prompt = PromptId{77};
  lineage->current.seen_in = 1;
  for (std::uint64_t i = 0; i < 5; ++i) put(*store, make_key(i), make_payload(i, 10000));
  const std::uint64_t with_prompt = medium->allocated();
  EXPECT_LT(with_prompt, 2U << 20);  // metadata, and a small file
  {
    auto after_crash = open(medium->snapshot());
    for (std::uint64_t i = 0; i < 5; ++i) {
      EXPECT_EQ(get(*after_crash, make_key(i), 10000), make_payload(i, 10000));
    }
  }
  for (std::uint64_t i = 0; i < 5; ++i) erase(*store, make_key(i));
  for (int tries = 0; tries < 100 && medium->snapshot()->segments.size() > 1; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(medium->segments.size(), 1U);
}

TEST_F(SegmentStore, OpenPromptsAreReclaimedWhenTheyHoldEverything) {
  options.layout = Layout::prompt;
  config.fixed_size = false;
  options.capacity_bytes = 9U << 20;
  auto store = open();
  lineage->current.seen_in = 1;
  for (std::uint32_t i = 1; i < 200; ++i) {  // a prompt each, none idle for long
    lineage->current.prompt = PromptId{i};
    ASSERT_EQ(put(*store, make_key(i), make_payload(i, 100000)), KeyStatus::stored) << i;
    ASSERT_LE(medium->allocated(), options.capacity_bytes);
  }
}

TEST_F(SegmentStore, ListGivesEveryKeyOnce) {
  auto store = open();
  for (std::uint64_t i = 0; i < 50; ++i) {
    put(*store, make_key(i, "org/model", i % 2 == 0 ? "a" : "b"), make_payload(i, 100));
  }
  std::set<std::pair<std::vector<std::byte>, std::string>> seen;
  std::string cursor;
  do {
    const auto page = store->list(cursor, 7, "org/model");
    ASSERT_TRUE(page);
    EXPECT_LE(page->keys.size(), 7U);
    for (const ListedKey& one : page->keys) {
      EXPECT_TRUE(seen.insert({one.key.chunk_hash, one.key.cache_salt}).second);
    }
    cursor = page->next;
  } while (!cursor.empty());
  EXPECT_EQ(seen.size(), 50U);
  EXPECT_TRUE(store->list("", 100, "other")->keys.empty());
  EXPECT_FALSE(store->list("zz", 100, ""));
}

TEST_F(SegmentStore, CapacityBelowTheMinimumNamesIt) {
  options.capacity_bytes = 4U << 20;
  const auto store = try_open(medium);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Errc::invalid_option);
  EXPECT_NE(store.error().message().find(std::to_string((4U << 20) + (1U << 20))),
            std::string::npos)
      << store.error().message();
}

TEST_F(SegmentStore, SmallerCapacityIsReachedAfterReopen) {
  {
    auto store = open();
    for (std::uint64_t i = 0; i < 320; ++i) put(*store, make_key(i), make_payload(i, 100000));
  }
  options.capacity_bytes = 13U << 20;
  auto store = open();
  for (int tries = 0; tries < 300 && medium->allocated() > options.capacity_bytes; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_LE(medium->allocated(), options.capacity_bytes);
  EXPECT_EQ(put(*store, make_key(9999), make_payload(1, 100000)), KeyStatus::stored);
}

TEST_F(SegmentStore, AfterCloseNothingIsTaken) {
  auto store = open();
  ASSERT_TRUE(store->close());
  ASSERT_TRUE(store->close());
  const auto key = make_key(1);
  const KeyRef ref = key.ref();
  EXPECT_EQ(store->submit_lookup({&ref, 1}, false).error().code, Errc::closed);
  EXPECT_EQ(store->erase({&ref, 1}).error().code, Errc::closed);
  EXPECT_EQ(store->submit_put({}).error().code, Errc::closed);
}

TEST_F(SegmentStore, UnalignedBuffersWorkOnDirectBackends) {
  config.memory_align = 512;
  auto store = open();
  const auto payload = make_payload(5, 70001);
  std::vector<std::byte> shifted(payload.size() + 1);
  std::memcpy(shifted.data() + 1, payload.data(), payload.size());
  EXPECT_EQ(put(*store, make_key(5), std::span(shifted).subspan(1)), KeyStatus::stored);
  std::vector<std::byte> out(payload.size() + 3);
  const auto key = make_key(5);
  const GetItem item{key.ref(), std::span(out).subspan(3)};
  ASSERT_EQ(get_and_wait(*store, {&item, 1})->keys[0], KeyStatus::hit);
  EXPECT_TRUE(std::equal(payload.begin(), payload.end(), out.begin() + 3));
}

}  // namespace
}  // namespace fdpstore::test
