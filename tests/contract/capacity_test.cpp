// Capacity is a bound on the disk, whatever is stored; what had to go is reported and gone.
#include <algorithm>
#include <atomic>
#include <set>

#include "fixture.hpp"
#include "support/sanitizers.hpp"

namespace fdpstore::test {
namespace {

// Looks at the disk all the time, so that a short excess is seen as well.
class DiskSampler {
 public:
  explicit DiskSampler(std::function<std::uint64_t()> disk_use)
      : disk_use_(std::move(disk_use)), thread_([this] {
          while (!stop_) {
            most_ = std::max(most_.load(), sample());
            std::this_thread::sleep_for(std::chrono::milliseconds(kSanitized ? 10 : 1));
          }
        }) {}
  ~DiskSampler() {
    stop_ = true;
    thread_.join();
  }
  [[nodiscard]] std::uint64_t most() const { return most_; }

 private:
  // A walk may count a file that goes and the one that takes its place: the least of three is true.
  std::uint64_t sample() { return std::min({disk_use_(), disk_use_(), disk_use_()}); }

  std::function<std::uint64_t()> disk_use_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> most_ = 0;
  std::thread thread_;
};

class Capacity : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (!variant().single_owner()) {
      GTEST_SKIP() << "capacity of a shared directory is best effort (DESIGN §4)";
    }
  }
  // Until nothing more is dropped: reclaim works ahead of need.
  std::set<std::vector<std::byte>> settle() {
    std::uint64_t before = ~0ULL;
    (void)eventually([&] {
      const std::uint64_t now = store().status().info.reclaimed_objects;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      return std::exchange(before, now) == now;
    });
    for (DroppedKey& dropped : client().take_dropped()) {
      EXPECT_TRUE(dropped_.insert(dropped.key.chunk_hash).second) << "reported twice";
      EXPECT_GT(dropped.bytes, 0U);
    }
    return dropped_;
  }

 private:
  std::set<std::vector<std::byte>> dropped_;
};
FDPSTORE_FOR_ALL_VARIANTS(Capacity);

TEST_P(Capacity, TenTimesTheCapacityNeverExceedsIt) {
  open();
  const std::uint64_t capacity = options().capacity_bytes;
  const std::size_t size = 200001;
  const std::uint64_t count = 10 * capacity / size;
  std::uint64_t most = 0;
  {
    const DiskSampler sampler([this] { return disk_use(); });
    for (std::uint64_t n = 0; n < count; n += 8) {
      put_all(n, 8, size);
      if (HasFatalFailure()) return;
      ASSERT_LE(disk_use(), capacity) << "after object " << n;
    }
    most = sampler.most();
  }
  EXPECT_LE(most, capacity);
  EXPECT_GT(most, capacity / 2) << "the capacity should be used";
  // Keeps serving: the latest quarter of what fits is there with the right bytes.
  const std::uint64_t last = (count + 7) / 8 * 8;
  const std::uint64_t recent = capacity / size / 4;
  expect_all_hit(last - recent, recent, size);
  // Every key is either there or was reported as dropped.
  const auto dropped = settle();
  std::uint64_t hits = 0;
  for (std::uint64_t n = 0; n < last; ++n) {
    const bool gone = dropped.contains(make_key(n).chunk_hash);
    ASSERT_EQ(lookup(n), gone ? KeyStatus::miss : KeyStatus::hit) << "object " << n;
    hits += gone ? 0 : 1;
  }
  EXPECT_EQ(store().status().info.live_objects, hits);
  // Of 16 segments some are open, in reserve, or metadata.
  EXPECT_GE(hits * size, capacity / 3) << "too little of the capacity holds payload";
  reopen();
  EXPECT_LE(disk_use(), capacity);
  for (std::uint64_t n = 0; n < last; ++n) {
    if (dropped.contains(make_key(n).chunk_hash)) {
      ASSERT_EQ(lookup(n), KeyStatus::miss) << "object " << n << " came back";
    }
  }
  expect_all_hit(last - recent, recent, size);
}

TEST_P(Capacity, MixedSizesWithDeletesStayWithinIt) {
  open();
  const DiskSampler sampler([this] { return disk_use(); });
  const std::size_t sizes[] = {1, 4096, 5000, 70000, 300000, kMiB};
  std::uint64_t stored = 0;
  for (std::uint64_t n = 0; stored < 4 * options().capacity_bytes; ++n) {
    const std::size_t size = sizes[mix(n) % std::size(sizes)];
    ASSERT_EQ(put(n, size), KeyStatus::stored) << "object " << n << ": " << last_error().message();
    stored += size;
    if (n % 3 == 0) (void)erase(make_key(n / 2));
  }
  EXPECT_LE(sampler.most(), options().capacity_bytes);
}

TEST_P(Capacity, DroppedKeysCanBeStoredAgain) {
  open();
  const std::size_t size = 500000;
  const std::uint64_t count = 2 * options().capacity_bytes / size;
  for (std::uint64_t n = 0; n < count; ++n) ASSERT_EQ(put(n, size), KeyStatus::stored);
  const auto dropped = settle();
  ASSERT_FALSE(dropped.empty());
  std::uint64_t again = 0;
  for (std::uint64_t n = 0; n < count && again < 8; ++n) {
    if (!dropped.contains(make_key(n).chunk_hash)) continue;
    ASSERT_EQ(put(n, size), KeyStatus::stored) << "object " << n;
    ASSERT_EQ(get(n, size), KeyStatus::hit) << "object " << n;
    ++again;
  }
  EXPECT_EQ(again, 8U);
}

TEST_P(Capacity, LockedObjectsSurviveReclaim) {
  open();
  const std::size_t size = 300000;
  for (std::uint64_t n = 0; n < 10; ++n) {
    ASSERT_EQ(put(n, size), KeyStatus::stored);
    ASSERT_EQ(lookup(n, true), KeyStatus::hit);
  }
  const std::uint64_t count = 5 * options().capacity_bytes / size;
  for (std::uint64_t n = 100; n < 100 + count; ++n) {
    ASSERT_EQ(put(n, size), KeyStatus::stored) << last_error().message();
  }
  expect_all_hit(0, 10, size);
  reopen();
  expect_all_hit(0, 10, size);
}

TEST_P(Capacity, EverythingLockedFailsWithNoSpaceAndRecovers) {
  open();
  const std::size_t size = 400000;
  std::uint64_t n = 0;
  KeyStatus status = KeyStatus::stored;
  const std::uint64_t enough = 2 * options().capacity_bytes / size;
  std::chrono::duration<double> longest{0};
  for (; n < enough; ++n) {
    const auto start = std::chrono::steady_clock::now();
    status = put(n, size);
    longest =
        std::max<std::chrono::duration<double>>(longest, std::chrono::steady_clock::now() - start);
    if (status != KeyStatus::stored) break;
    ASSERT_EQ(lookup(n, true), KeyStatus::hit);
  }
  ASSERT_EQ(status, KeyStatus::failed) << "more is locked than the capacity holds";
  EXPECT_EQ(last_error().code, Errc::no_space) << last_error().message();
  EXPECT_LT(longest.count(), 30.0);
  EXPECT_GE(n * size, options().capacity_bytes / 2);
  EXPECT_LE(disk_use(), options().capacity_bytes);
  EXPECT_GE(store().status().info.failed_puts, 1U);
  expect_all_hit(0, n, size);
  for (std::uint64_t i = 0; i < n; ++i) unlock(make_key(i));
  ASSERT_EQ(put(n, size), KeyStatus::stored) << last_error().message();
  EXPECT_EQ(get(n, size), KeyStatus::hit);
}

}  // namespace
}  // namespace fdpstore::test
