// A disk that is full in the middle of a store, on a small file system of its own.
#include <algorithm>

#include "fixture.hpp"
#include "support/small_file_system.hpp"

namespace fdpstore::test {
namespace {

class DiskFull : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    if (IsSkipped()) return;
    if (variant().raw()) GTEST_SKIP() << "the space of a device is there from the start";
    disk_ = std::make_unique<SmallFileSystem>(96 * kMiB);
    if (!disk_->mounted()) GTEST_SKIP() << disk_->why_not();
  }
  void TearDown() override {
    close();
    disk_.reset();
  }
  [[nodiscard]] const SmallFileSystem& disk() const { return *disk_; }
  [[nodiscard]] Options on_disk() const {
    return small_options(variant(), disk_->path() / "store");
  }

 private:
  std::unique_ptr<SmallFileSystem> disk_;
};
FDPSTORE_FOR_ALL_VARIANTS(DiskFull);

TEST_P(DiskFull, FailsThatStoreOnlyAndRecovers) {
  open(on_disk());
  const std::size_t size = 300000;
  put_all(1, 8, size);
  // Locked, so that nothing of ours can be given up for the room.
  for (std::uint64_t n = 1; n <= 8; ++n) ASSERT_EQ(lookup(n, true), KeyStatus::hit);
  disk().fill_up_to(8 * kMiB);
  std::uint64_t n = 100;
  KeyStatus status = KeyStatus::stored;
  while (n < 200 && status == KeyStatus::stored) {
    status = put(n, size);
    if (status == KeyStatus::stored) {
      ASSERT_EQ(lookup(n++, true), KeyStatus::hit);
    }
  }
  ASSERT_EQ(status, KeyStatus::failed) << "more was stored than the disk holds";
  EXPECT_EQ(last_error().code, std::errc::no_space_on_device) << last_error().message();
  EXPECT_GE(store().status().info.failed_puts, 1U);
  EXPECT_EQ(lookup(n), KeyStatus::miss);
  const auto expect_earlier = [&] {
    expect_all_hit(1, 8, size);
    expect_all_hit(100, n - 100, size);
  };
  expect_earlier();
  EXPECT_EQ(put(n, size), KeyStatus::failed) << "still full";
  // Space again: the same key can be stored, in the same store.
  std::filesystem::remove(disk().filler());
  ASSERT_TRUE(eventually([&] { return put(n, size) == KeyStatus::stored; }, 10))
      << last_error().message();
  EXPECT_EQ(get(n, size), KeyStatus::hit);
  ++n;
  expect_earlier();
  reopen();
  expect_earlier();
}

TEST_P(DiskFull, OlderObjectsMayMakeRoomButNothingIsLostInSilence) {
  open(on_disk());
  const std::size_t size = 300000;
  put_all(1, 8, size);
  disk().fill_up_to(8 * kMiB);
  std::vector<std::uint64_t> stored{1, 2, 3, 4, 5, 6, 7, 8};
  for (std::uint64_t n = 100; n < 180; ++n) {
    if (put(n, size) == KeyStatus::stored) {
      stored.push_back(n);
    } else {
      ASSERT_EQ(last_error().code, std::errc::no_space_on_device) << last_error().message();
    }
  }
  (void)store().status();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  const auto dropped = client().take_dropped();
  for (const std::uint64_t n : stored) {
    const bool reported =
        std::ranges::any_of(dropped, [&](const DroppedKey& key) { return key.key == make_key(n); });
    EXPECT_EQ(get(n, size), reported ? KeyStatus::miss : KeyStatus::hit) << "object " << n;
  }
}

TEST_P(DiskFull, DeletesWorkOnAFullDisk) {
  open(on_disk());
  put_all(1, 20, 300000);
  disk().fill_up_to(0);
  // What is allocated before use has room for a delete; one file per object is simply unlinked.
  EXPECT_EQ(erase(make_key(1)), 300000U);
  EXPECT_EQ(lookup(1), KeyStatus::miss);
  expect_all_hit(2, 19, 300000);
  reopen();
  EXPECT_EQ(lookup(1), KeyStatus::miss);
  expect_all_hit(2, 19, 300000);
}

}  // namespace
}  // namespace fdpstore::test
