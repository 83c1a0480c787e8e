// Backends with reclaim units behind their segments: every block of a segment is written once.
#include <algorithm>
#include <atomic>

#include "core_test.hpp"

namespace fdpstore::test {
namespace {

class MustFill : public CoreTest {
 protected:
  MustFill() { config.must_fill = true; }

  // Objects of all odd sizes, so that segments end with all kinds of tails.
  static std::size_t size_of(std::uint64_t n) {
    static constexpr std::size_t kLargest = 256U << 10;
    const std::uint64_t random = n * 0x9E3779B97F4A7C15ULL >> 20;
    return n % 5 == 0 ? kLargest - n % 4096 : 1 + random % kLargest;
  }
  static ObjectKey key_of(std::uint64_t n) {
    return make_key(n, "org/model", "tenant" + std::to_string(n % 3));
  }
  static void put_some(Store& store, std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t n = first; n < first + count; ++n) {
      ASSERT_EQ(put(store, key_of(n), make_payload(n, size_of(n))), KeyStatus::stored) << n;
    }
  }

  struct Ends {
    std::size_t whole = 0;  // every block once
    std::size_t holes = 0;  // some never
    std::size_t twice = 0;  // some more than once
    [[nodiscard]] std::size_t all() const { return whole + holes + twice; }
  };
  // How segments with data ended.
  static Ends ends(MemMedium& on) {
    const std::lock_guard guard(on.mutex);
    Ends out;
    for (const MemMedium::Sealed& sealed : on.sealed) {
      if (sealed.use.metadata) continue;
      const auto [least, most] = std::ranges::minmax(sealed.writes);
      ++(most > 1 ? out.twice : least == 0 ? out.holes : out.whole);
    }
    return out;
  }
};

TEST_F(MustFill, EveryBlockOfASealedSegmentIsWrittenOnce) {
  options.capacity_bytes = 65U << 20;  // four open segments
  auto store = open();
  put_some(*store, 0, 1200);
  const Ends seen = ends(*medium);
  EXPECT_GT(seen.all(), 100U);
  EXPECT_EQ(seen.holes, 0U);
  EXPECT_EQ(seen.twice, 0U);
}

TEST_F(MustFill, OtherBackendsAreSparedThePadding) {
  config.must_fill = false;
  auto store = open();
  put_some(*store, 0, 200);
  const Ends seen = ends(*medium);
  EXPECT_GT(seen.holes, 10U);
  EXPECT_EQ(seen.twice, 0U);
}

TEST_F(MustFill, DeletesAndSurvivorsLeaveNoHoleEither) {
  reinsert_budget = 0.2;
  auto store = open();
  for (std::uint64_t n = 0; n < 900; ++n) {
    put_some(*store, n, 1);
    if (n % 4 == 3) erase(*store, key_of(n - 2));
    if (n % 7 == 0) present(*store, key_of(0));
  }
  const Ends seen = ends(*medium);
  EXPECT_GT(seen.whole, 50U);
  EXPECT_EQ(seen.holes + seen.twice, 0U);
}

TEST_F(MustFill, SegmentContinuedAfterARestartIsWrittenOnceAsWell) {
  std::uint64_t n = 0;
  for (int round = 0; round < 12; ++round) {
    auto store = open();
    put_some(*store, n, 7);
    n += 7;
    ASSERT_TRUE(store->close());
  }
  const Ends clean = ends(*medium);
  EXPECT_GT(clean.all(), 3U);
  EXPECT_EQ(clean.holes + clean.twice, 0U);
  for (int round = 0; round < 12; ++round) {  // and after crashes
    auto store = open();
    put_some(*store, n, 7);
    n += 7;
    medium = medium->snapshot();
  }
  auto store = open();
  put_some(*store, n, 30);
  const Ends crashed = ends(*medium);
  EXPECT_GT(crashed.all(), 3U);
  EXPECT_EQ(crashed.holes + crashed.twice, 0U);
}

TEST_F(MustFill, RecoveryReadsWhatWasPadded) {
  auto store = open();
  put_some(*store, 0, 60);
  ASSERT_GT(ends(*medium).whole, 3U);
  auto after_crash = open(medium->snapshot());
  for (std::uint64_t n = 0; n < 60; ++n) {
    ASSERT_EQ(get(*after_crash, key_of(n), size_of(n)), make_payload(n, size_of(n))) << n;
  }
  put_some(*after_crash, 60, 60);
}

// The end of a unit that lost a write is lost anyway; what comes next begins a fresh one.
TEST_F(MustFill, SegmentWithAFailedWriteIsNotPadded) {
  options.capacity_bytes = 17U << 20;  // one open segment
  std::atomic<bool> fail_next{false};
  config.fault = [&](const IoRequest& request) {
    const bool payload_write = request.op == IoOp::write && request.spans.size() > 1;
    return payload_write && fail_next.exchange(false) ? std::make_error_code(std::errc::io_error)
                                                      : std::error_code{};
  };
  auto store = open();
  put_some(*store, 0, 2);
  ASSERT_EQ(ends(*medium).all(), 0U);
  fail_next = true;
  EXPECT_EQ(put(*store, key_of(2), make_payload(2, 5000)), KeyStatus::failed);
  put_some(*store, 2, 30);
  const Ends seen = ends(*medium);
  EXPECT_EQ(seen.holes, 1U);
  EXPECT_EQ(seen.twice, 0U);
  EXPECT_GT(seen.whole, 3U);
  // Not filled either: what lies behind the failed write was never written.
  const auto lost = std::ranges::find_if(medium->sealed, [](const MemMedium::Sealed& sealed) {
    return !sealed.use.metadata && std::ranges::count(sealed.writes, 0) > 2;
  });
  EXPECT_NE(lost, medium->sealed.end()) << "only the failed record is a hole: it was padded";
  auto after_crash = open(medium->snapshot());
  for (std::uint64_t n = 0; n < 10; ++n) {
    EXPECT_EQ(get(*after_crash, key_of(n), size_of(n)), make_payload(n, size_of(n))) << n;
  }
}

TEST_F(MustFill, FailedPaddingHarmsNothing) {
  // Padding is one block of zeros, many times.
  std::atomic<int> failures{0};
  config.fault = [&](const IoRequest& request) {
    if (request.op != IoOp::write) return std::error_code{};
    for (const iovec& span : request.spans) {
      const auto* bytes = static_cast<const std::byte*>(span.iov_base);
      if (!std::all_of(bytes, bytes + span.iov_len, [](std::byte b) { return b == std::byte{}; })) {
        return std::error_code{};
      }
    }
    ++failures;
    return std::make_error_code(std::errc::io_error);
  };
  auto store = open();
  put_some(*store, 0, 60);
  EXPECT_GT(failures, 3);
  for (std::uint64_t n = 0; n < 60; ++n) {
    ASSERT_EQ(get(*store, key_of(n), size_of(n)), make_payload(n, size_of(n))) << n;
  }
  auto after_crash = open(medium->snapshot());
  for (std::uint64_t n = 0; n < 60; ++n) {
    ASSERT_EQ(get(*after_crash, key_of(n), size_of(n)), make_payload(n, size_of(n))) << n;
  }
}

TEST_F(MustFill, FreedSegmentIsGivenBackBeforeItIsTakenAgain) {
  options.capacity_bytes = 9U << 20;
  auto store = open();
  put_some(*store, 0, 200);
  const std::lock_guard guard(medium->mutex);
  EXPECT_GT(medium->freed, 16U);
  EXPECT_EQ(medium->taken_unfreed, 0U);
}

TEST_F(MustFill, RefusedFreeKeepsTheStoreGoing) {
  options.capacity_bytes = 9U << 20;
  std::atomic<int> refused{0};
  config.fault = [&](const IoRequest& request) {
    if (request.op != IoOp::free) return std::error_code{};
    ++refused;
    return std::make_error_code(std::errc::operation_not_supported);
  };
  auto store = open();
  put_some(*store, 0, 200);
  EXPECT_GT(refused, 10);
  EXPECT_TRUE(store->status().info.healthy) << store->status().info.unhealthy_reason;
  EXPECT_EQ(get(*store, key_of(199), size_of(199)), make_payload(199, size_of(199)));
  const Ends seen = ends(*medium);
  EXPECT_EQ(seen.holes + seen.twice, 0U);
}

}  // namespace
}  // namespace fdpstore::test
