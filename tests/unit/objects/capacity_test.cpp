// Capacity as a bound on disk, eviction, and a disk that is full.
#include <algorithm>
#include <atomic>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include "objects/usage.hpp"
#include "objects_test.hpp"
#include "support/small_file_system.hpp"

namespace fdpstore::objects {
namespace {

constexpr std::size_t kObjectBytes = 50'000;

// Positions 0, 1, 2, … of one prompt, by digest in the order given.
class OnePrompt final : public Lineage {
 public:
  explicit OnePrompt(std::vector<std::uint64_t> digests) : digests_(std::move(digests)) {}
  void on_lookup(std::span<const LookupKey>, double) override {}
  PromptFacts facts(std::uint64_t digest) const override {
    const auto found = std::ranges::find(digests_, digest);
    if (found == digests_.end()) return {};
    return {.prompt = {7}, .position = static_cast<std::uint32_t>(found - digests_.begin())};
  }

 private:
  std::vector<std::uint64_t> digests_;
};

std::uint64_t digest_of(const ObjectKey& key) {
  NameBuilder builder;
  return builder.build(key.ref())->digest;
}

TEST(Capacity, TenTimesAsMuchNeverExceedsItOnDisk) {
  TempDir directory;
  const Options options = exclusive_for(directory, 2 << 20);
  auto store = open(options);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> most{0};
  std::thread watcher([&] {
    // A walk counts a file twice that is renamed meanwhile; three in a row do not all err.
    const auto sample = [&] { return test::disk_bytes(directory.path()); };
    while (!stop) most = std::max<std::uint64_t>(most, std::min({sample(), sample(), sample()}));
  });
  const Bytes bytes = make_bytes(kObjectBytes, 1);
  constexpr std::uint64_t kCount = 10 * (2 << 20) / kObjectBytes;
  std::uint64_t submitted = 0, finished = 0;
  while (finished < kCount) {
    for (; submitted < kCount && submitted - finished < 16; ++submitted) {
      const ObjectKey key = make_key(submitted);
      const PutItem item{key.ref(), bytes, {}, ""};
      ASSERT_TRUE(store->submit_put({&item, 1}));
    }
    for (const TaskResult& result : store->take_completed(TaskKind::put)) {
      EXPECT_TRUE(result.ok()) << result.error->message();
      ++finished;
    }
  }
  stop = true;
  watcher.join();
  EXPECT_LE(most, options.capacity_bytes);
  EXPECT_EQ(look(*store, make_key(0)), KeyStatus::miss);
  EXPECT_EQ(fetch(*store, make_key(kCount - 1), kObjectBytes), bytes);
  const StoreInfo info = store->status().info;
  EXPECT_LE(info.allocated_bytes, options.capacity_bytes);
  EXPECT_EQ(info.reclaimed_objects, kCount - info.live_objects);
  EXPECT_GT(info.live_bytes, options.capacity_bytes / 2);
  EXPECT_EQ(store->take_dropped().size(), info.reclaimed_objects);
  EXPECT_GT(info.memory_bytes_per_object, 0);
}

TEST(Capacity, SmallerOneAtOpenEvictsTheOldest) {
  TempDir directory;
  Options options = options_for(directory);
  const Bytes bytes = make_bytes(kObjectBytes, 1);
  {
    auto store = open(options);
    for (std::uint64_t i = 0; i < 20; ++i) {
      ASSERT_TRUE(put(*store, make_key(i), bytes).ok());
      const auto age = std::chrono::hours(i < 10 ? 10 : 1);
      fs::last_write_time(directory / file_name(make_key(i)),
                          fs::file_time_type::clock::now() - age);
      const std::array<timespec, 2> times = {timespec{.tv_sec = i < 10 ? 100 : 200, .tv_nsec = 0},
                                             timespec{.tv_sec = i < 10 ? 100 : 200, .tv_nsec = 0}};
      ASSERT_EQ(
          ::utimensat(AT_FDCWD, (directory / file_name(make_key(i))).c_str(), times.data(), 0), 0);
    }
  }
  options.exclusive = true;
  options.capacity_bytes = 600'000;
  auto store = open(options);
  EXPECT_LE(test::disk_bytes(directory.path()), options.capacity_bytes);
  EXPECT_EQ(look(*store, make_key(0)), KeyStatus::miss);
  EXPECT_EQ(look(*store, make_key(19)), KeyStatus::hit);
  EXPECT_EQ(store->take_dropped().size(), store->status().info.reclaimed_objects);
}

TEST(Capacity, LockedObjectsStayAndFillingUpFailsWithinABound) {
  TempDir directory;
  Options options = exclusive_for(directory, 400'000);
  auto store = open(options);
  const Bytes bytes = make_bytes(kObjectBytes, 1);
  std::uint64_t locked = 0;
  while (put(*store, make_key(locked), bytes).ok()) {
    ASSERT_EQ(look(*store, make_key(locked), true), KeyStatus::hit);
    ASSERT_LT(++locked, 100);
  }
  const TaskResult failed = put(*store, make_key(locked), bytes);
  EXPECT_EQ(failed.error->code, Errc::no_space);
  EXPECT_TRUE(store->status().info.healthy);
  for (std::uint64_t i = 0; i < locked; ++i) {
    EXPECT_EQ(look(*store, make_key(i)), KeyStatus::hit) << i;
  }
  const ObjectKey first = make_key(0);
  const KeyRef ref = first.ref();
  store->unlock({&ref, 1});
  EXPECT_TRUE(put(*store, make_key(locked), bytes).ok());
  EXPECT_EQ(look(*store, first), KeyStatus::miss);
  // Larger than everything: refused without evicting anything.
  options.max_object_bytes = 1 << 30;
  EXPECT_EQ(put(*store, make_key(1000), make_bytes(500'000, 1)).error->code, Errc::no_space);
  EXPECT_EQ(look(*store, make_key(locked)), KeyStatus::hit);
}

TEST(Capacity, TailOfAPromptGoesBeforeItsHead) {
  std::vector<ObjectName> names;
  NameBuilder builder;
  std::vector<std::uint64_t> digests;
  for (std::uint64_t i = 0; i < 4; ++i) {
    names.push_back(*builder.build(make_key(i).ref()));
    digests.push_back(names.back().digest);
  }
  const OnePrompt lineage(digests);
  Usage usage({.capacity_bytes = 1 << 20, .lineage = &lineage});
  for (const ObjectName& name : names) usage.add(name, "", {1000, 4096});
  const auto any = [](std::uint64_t) { return true; };
  for (const std::size_t expected : {3, 2, 1, 0}) {
    const auto victim = usage.take_victim(any);
    ASSERT_TRUE(victim);
    EXPECT_EQ(victim->name.file, names[expected].file);
    usage.evicted(*victim);
  }
  EXPECT_FALSE(usage.take_victim(any));
  EXPECT_EQ(usage.totals().allocated_bytes, 0);
}

TEST(Capacity, PinnedSpaceCountsUntilTheReadEnds) {
  NameBuilder builder;
  const ObjectName name = *builder.build(make_key(1).ref());
  Usage usage({.capacity_bytes = 10'000, .lineage = nullptr});
  usage.add(name, "", {5000, 8192});
  const auto pin = usage.pin(name.digest);
  ASSERT_TRUE(pin);
  EXPECT_FALSE(usage.take_victim([](std::uint64_t) { return true; }));
  usage.remove(name, "", {5000, 8192});
  EXPECT_FALSE(usage.reserve(4096, 0));
  usage.unpin(*pin);
  EXPECT_TRUE(usage.reserve(4096, 0));
}

TEST(Capacity, LongHashesKeepTheirNames) {
  ObjectKey key = make_key(1);
  key.chunk_hash.resize(64, std::byte{9});
  NameBuilder builder;
  const ObjectName name = *builder.build(key.ref());
  Usage usage({.capacity_bytes = 10'000, .lineage = nullptr});
  usage.add(name, "", {5000, 8192});
  EXPECT_EQ(usage.take_victim([](std::uint64_t) { return true; })->name.file, name.file);
}

TEST(Capacity, SharedDirectoryIsBestEffortAndSaysSo) {
  TempDir directory;
  Options options = options_for(directory);
  options.capacity_bytes = 1 << 20;
  auto store = open(options);
  const Bytes bytes = make_bytes(kObjectBytes, 1);
  for (std::uint64_t i = 0; i < 60; ++i) ASSERT_TRUE(put(*store, make_key(i), bytes).ok());
  EXPECT_LE(test::disk_bytes(directory.path()), options.capacity_bytes);
  const auto warnings = store->status().warnings;
  EXPECT_TRUE(std::ranges::any_of(
      warnings, [](const auto& text) { return text.find("best effort") != text.npos; }));
}

TEST(Capacity, WithoutOneNothingIsKeptPerObject) {
  TempDir directory;
  auto store = open(options_for(directory));
  (void)store->status();  // waits for the scan, which may count what is stored meanwhile, or not
  for (std::uint64_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(put(*store, make_key(i, "m", i % 2 == 0 ? "a" : "b"), make_bytes(100, i)).ok());
  }
  ASSERT_EQ(erase(*store, make_key(0, "m", "a")), 100);
  const StoreStatus status = store->status();
  EXPECT_EQ(status.info.memory_bytes_per_object, 0);
  EXPECT_EQ(status.info.live_objects, 9);
  EXPECT_EQ(status.info.live_bytes, 900);
  ASSERT_EQ(status.salts.size(), 2);
  EXPECT_EQ(status.salts[0].objects, 4);
  EXPECT_EQ(status.salts[1].objects, 5);
}

TEST(FullDisk, StoresFailAloneAndOthersStay) {
  const test::SmallFileSystem small(16U << 20);
  if (!small.mounted()) GTEST_SKIP() << small.why_not();
  Options options;
  options.base_path = small / "store";
  auto store = open(options);
  ASSERT_TRUE(store);
  const Bytes bytes = make_bytes(1 << 20, 1);
  std::uint64_t stored = 0, failed = 0;
  for (std::uint64_t i = 0; i < 40; ++i) {
    const TaskResult result = put(*store, make_key(i), bytes);
    if (result.ok()) {
      ++stored;
      continue;
    }
    ++failed;
    EXPECT_EQ(result.error->code, std::errc::no_space_on_device);
  }
  EXPECT_GT(stored, 4);
  EXPECT_GT(failed, 8);
  EXPECT_FALSE(store->status().info.healthy);
  EXPECT_EQ(count_files(options.base_path, ".tmp"), 0);
  EXPECT_EQ(count_files(options.base_path, ".data"), stored);
  for (std::uint64_t i = 0; i < stored; ++i) EXPECT_EQ(fetch(*store, make_key(i), 1 << 20), bytes);
  ASSERT_TRUE(erase(*store, make_key(0)));
  ASSERT_TRUE(erase(*store, make_key(1)));
  EXPECT_TRUE(put(*store, make_key(100), bytes).ok());
  EXPECT_TRUE(store->status().info.healthy);
}

TEST(ReadOnlyFileSystem, IsRefusedWithTheRemedy) {
  const test::SmallFileSystem small(4U << 20);
  if (!small.mounted()) GTEST_SKIP() << small.why_not();
  ASSERT_TRUE(small.remount_read_only());
  Options options;
  options.base_path = small.string();
  const auto opened = try_open(options);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message().find(small.string()), std::string::npos);
  EXPECT_NE(opened.error().message().find("read-only"), std::string::npos);
}

TEST(Capacity, DigestsOfTestKeysDiffer) {
  EXPECT_NE(digest_of(make_key(1)), digest_of(make_key(2)));
}

}  // namespace
}  // namespace fdpstore::objects
