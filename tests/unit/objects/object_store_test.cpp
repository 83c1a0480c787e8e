// Objects in and out: sizes, exchange with fs, damage, names, durability, placement.
#include "objects/object_store.hpp"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "io/aligned_buffer.hpp"
#include "io/direct_io.hpp"
#include "io/write_hint.hpp"
#include "objects/object_check.hpp"
#include "objects_test.hpp"

namespace fdpstore::objects {
namespace {

class ObjectStoreIo : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    const auto direct = io::probe_direct_io(directory_.path());
    if (GetParam() && !(direct && direct->works)) GTEST_SKIP() << "no O_DIRECT below $TMPDIR";
    options_ = options_for(directory_);
    options_.use_odirect = GetParam();
  }
  std::string path_of(const ObjectKey& key) { return directory_ / file_name(key); }

  TempDir directory_;
  Options options_;
};
INSTANTIATE_TEST_SUITE_P(BufferedAndDirect, ObjectStoreIo, testing::Bool(),
                         [](const auto& test) { return test.param ? "Direct" : "Buffered"; });

// It has to be read from the disk then, but on tmpfs, which is one.
void drop_pages(const std::string& path) {
  const io::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::fdatasync(fd.get()), 0);
  ASSERT_EQ(::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_DONTNEED), 0);
}

TEST_P(ObjectStoreIo, AnySizeAndAlignmentComesBackAsTheFileOfFs) {
  auto store = open(options_);
  std::uint64_t number = 0;
  for (const std::size_t size : {1UL, 511UL, 4095UL, 4096UL, 4097UL, 65536UL, 262144UL, 1000003UL,
                                 (1UL << 20) + 1, 16UL << 20, (16UL << 20) - 1}) {
    for (const std::size_t misalignment : {0UL, 1UL}) {
      auto buffer = io::AlignedBuffer::make({.size_bytes = size + misalignment});
      ASSERT_TRUE(buffer);
      const Bytes bytes = make_bytes(size, size);
      const auto in = buffer->span().subspan(misalignment);
      std::memcpy(in.data(), bytes.data(), size);
      const ObjectKey key = make_key(++number);
      const TaskResult stored = put(*store, key, in);
      ASSERT_EQ(stored.keys.at(0), KeyStatus::stored) << size;
      EXPECT_EQ(stored.transferred_bytes, size);
      EXPECT_TRUE(same(read_file(path_of(key)), bytes)) << size;
      std::memset(in.data(), 0, size);
      ASSERT_EQ(get(*store, key, in).keys.at(0), KeyStatus::hit) << size;
      EXPECT_TRUE(same(in, bytes)) << size << " at " << misalignment;
      drop_pages(path_of(key));
      std::memset(in.data(), 0, size);
      ASSERT_EQ(get(*store, key, in).keys.at(0), KeyStatus::hit) << size;
      EXPECT_TRUE(same(in, bytes)) << size << " at " << misalignment << ", not in memory";
    }
  }
  EXPECT_EQ(store->status().info.unverified_objects, 0);
}

TEST_P(ObjectStoreIo, FilesOfFsAreServedUnverified) {
  auto store = open(options_);
  for (const std::size_t size : {1UL, 4096UL, 100001UL}) {
    const ObjectKey key = make_key(size);
    const Bytes bytes = make_bytes(size, size);
    write_file(path_of(key), bytes);
    EXPECT_EQ(look(*store, key), KeyStatus::hit);
    EXPECT_EQ(fetch(*store, key, size), bytes);
    EXPECT_EQ(put(*store, key, bytes).keys.at(0), KeyStatus::present);
  }
  EXPECT_EQ(store->status().info.unverified_objects, 3);
}

TEST_P(ObjectStoreIo, AnotherSizeIsAMissAndLeavesTheObject) {
  auto store = open(options_);
  const ObjectKey key = make_key(1);
  const Bytes bytes = make_bytes(5000, 1);
  ASSERT_TRUE(put(*store, key, bytes).ok());
  EXPECT_FALSE(fetch(*store, key, 4999));
  EXPECT_FALSE(fetch(*store, key, 5001));
  EXPECT_EQ(fetch(*store, key, 5000), bytes);
  EXPECT_EQ(store->status().info.damaged_objects, 0);
}

TEST_P(ObjectStoreIo, FlippedByteIsAMissReportedAndStorableAgain) {
  auto store = open(options_);
  for (const std::size_t size : {1UL, 4096UL, 300001UL}) {
    const ObjectKey key = make_key(size);
    const Bytes bytes = make_bytes(size, size);
    ASSERT_TRUE(put(*store, key, bytes).ok());
    flip_byte(path_of(key), size / 2);
    EXPECT_FALSE(fetch(*store, key, size));
    EXPECT_EQ(look(*store, key), KeyStatus::miss);
    const auto dropped = store->take_dropped();
    ASSERT_EQ(dropped.size(), 1);
    EXPECT_EQ(dropped[0].key, key);
    EXPECT_EQ(dropped[0].bytes, size);
    EXPECT_EQ(put(*store, key, bytes).keys.at(0), KeyStatus::stored);
    EXPECT_EQ(fetch(*store, key, size), bytes);
  }
  EXPECT_EQ(store->status().info.damaged_objects, 3);
}

TEST_P(ObjectStoreIo, TruncatedFileIsAMissForLookupAndReplaced) {
  auto store = open(options_);
  const Bytes bytes = make_bytes(9000, 1);
  for (const std::uint64_t left : {0ULL, 1ULL, 8999ULL}) {
    const ObjectKey key = make_key(left);
    ASSERT_TRUE(put(*store, key, bytes).ok());
    fs::resize_file(path_of(key), left);
    EXPECT_EQ(look(*store, key), KeyStatus::miss) << left;
    EXPECT_EQ(put(*store, key, bytes).keys.at(0), KeyStatus::stored);
    // The same without a lookup in between.
    fs::resize_file(path_of(key), left);
    EXPECT_EQ(put(*store, key, bytes).keys.at(0), KeyStatus::stored);
    EXPECT_EQ(fetch(*store, key, bytes.size()), bytes);
  }
  EXPECT_EQ(store->take_dropped().size(), 6);
}

TEST_P(ObjectStoreIo, SwappedFilesAreMisses) {
  auto store = open(options_);
  const ObjectKey a = make_key(1), b = make_key(2);
  const Bytes bytes_a = make_bytes(8192, 1), bytes_b = make_bytes(8192, 2);
  ASSERT_TRUE(put(*store, a, bytes_a).ok() && put(*store, b, bytes_b).ok());
  fs::rename(path_of(a), directory_ / "x");
  fs::rename(path_of(b), path_of(a));
  fs::rename(directory_ / "x", path_of(b));
  EXPECT_FALSE(fetch(*store, a, 8192));
  EXPECT_FALSE(fetch(*store, b, 8192));
  EXPECT_EQ(put(*store, a, bytes_a).keys.at(0), KeyStatus::stored);
  EXPECT_EQ(fetch(*store, a, 8192), bytes_a);
}

TEST_P(ObjectStoreIo, EmptyFileOfFsIsReplaced) {
  auto store = open(options_);
  const ObjectKey key = make_key(1);
  write_file(path_of(key), {});
  EXPECT_EQ(look(*store, key), KeyStatus::miss);
  EXPECT_EQ(put(*store, key, make_bytes(10, 1)).keys.at(0), KeyStatus::stored);
}

TEST_P(ObjectStoreIo, ReopenedStoreHasEverythingVerified) {
  const Bytes bytes = make_bytes(70000, 1);
  ASSERT_TRUE(put(*open(options_), make_key(1), bytes).ok());
  auto store = open(options_);
  EXPECT_EQ(fetch(*store, make_key(1), bytes.size()), bytes);
  const StoreInfo info = store->status().info;
  EXPECT_EQ(info.unverified_objects, 0);
  EXPECT_EQ(info.live_objects, 1);
  EXPECT_EQ(info.live_bytes, bytes.size());
}

TEST_P(ObjectStoreIo, DurabilityDeviceStoresAndErases) {
  options_.durability = Durability::device;
  auto store = open(options_);
  const Bytes bytes = make_bytes(50001, 1);
  ASSERT_EQ(put(*store, make_key(1), bytes).keys.at(0), KeyStatus::stored);
  EXPECT_EQ(fetch(*store, make_key(1), bytes.size()), bytes);
  EXPECT_EQ(erase(*store, make_key(1)), bytes.size());
}

TEST(ObjectStore, PresentObjectIsNotWrittenAgain) {
  TempDir directory;
  auto store = open(options_for(directory));
  const ObjectKey key = make_key(1);
  const Bytes bytes = make_bytes(4096, 1);
  ASSERT_TRUE(put(*store, key, bytes).ok());
  struct stat before{}, after{};
  ASSERT_EQ(::stat((directory / file_name(key)).c_str(), &before), 0);
  const TaskResult again = put(*store, key, bytes);
  EXPECT_EQ(again.keys.at(0), KeyStatus::present);
  EXPECT_EQ(again.transferred_bytes, 0);
  ASSERT_EQ(::stat((directory / file_name(key)).c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  EXPECT_EQ(before.st_mtim.tv_nsec, after.st_mtim.tv_nsec);
}

TEST(ObjectStore, TouchedFileStaysVerified) {
  TempDir directory;
  auto store = open(options_for(directory));
  const Bytes bytes = make_bytes(4096, 1);
  ASSERT_TRUE(put(*store, make_key(1), bytes).ok());
  fs::last_write_time(directory / file_name(make_key(1)), fs::file_time_type::clock::now());
  EXPECT_EQ(fetch(*store, make_key(1), 4096), bytes);
  EXPECT_EQ(store->status().info.unverified_objects, 0);
}

TEST(ObjectStore, DamagedAttributeIsAMiss) {
  TempDir directory;
  auto store = open(options_for(directory));
  const Bytes bytes = make_bytes(4096, 1);
  ASSERT_TRUE(put(*store, make_key(1), bytes).ok());
  const std::string path = directory / file_name(make_key(1));
  std::array<char, 40> attribute{};
  if (::getxattr(path.c_str(), "user.fdpstore", attribute.data(), attribute.size()) < 0) {
    GTEST_SKIP() << "no user attributes below $TMPDIR";
  }
  attribute[20] = static_cast<char>(attribute[20] ^ 1);
  ASSERT_EQ(::setxattr(path.c_str(), "user.fdpstore", attribute.data(), attribute.size(), 0), 0);
  EXPECT_EQ(look(*store, make_key(1)), KeyStatus::miss);
  EXPECT_EQ(put(*store, make_key(1), bytes).keys.at(0), KeyStatus::stored);
}

TEST(ObjectStore, ChecksumOffServesUnverified) {
  TempDir directory;
  Options options = options_for(directory);
  options.checksum = false;
  auto store = open(options);
  const Bytes bytes = make_bytes(4096, 1);
  ASSERT_TRUE(put(*store, make_key(1), bytes).ok());
  EXPECT_EQ(fetch(*store, make_key(1), 4096), bytes);
  EXPECT_EQ(store->status().info.unverified_objects, 1);
  fs::resize_file(directory / file_name(make_key(1)), 4095);
  EXPECT_EQ(look(*store, make_key(1)), KeyStatus::miss);
}

TEST(ObjectStore, CollidingAndLongNamesAreKeptApartAndListed) {
  TempDir directory;
  auto store = open(options_for(directory));
  std::vector<ObjectKey> keys = {make_key(1, "a/b"),
                                 make_key(1, "a-SEP-b"),
                                 make_key(1, std::string(300, 'm')),
                                 make_key(1, "m", "../../up"),
                                 make_key(1, std::string("n\0l", 3)),
                                 make_key(1, "..")};
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const TaskResult stored = put(*store, keys[i], make_bytes(100, i));
    if (!stored.ok() && stored.error->code == Errc::unsupported) GTEST_SKIP() << stored.error->what;
    ASSERT_EQ(stored.keys.at(0), KeyStatus::stored) << i;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(fetch(*store, keys[i], 100), make_bytes(100, i)) << i;
  }
  std::vector<ObjectKey> listed;
  std::string cursor;
  do {
    const KeyPage page = store->list(cursor, 2, "").value();
    EXPECT_LE(page.keys.size(), 2);
    for (const ListedKey& item : page.keys) listed.push_back(item.key);
    cursor = page.next;
  } while (!cursor.empty());
  EXPECT_TRUE(std::ranges::is_permutation(listed, keys));
  EXPECT_EQ(store->list("", 10, "a-SEP-b")->keys.size(), 1);
  EXPECT_EQ(fs::exists(fs::path(directory.path()).parent_path() / "up"), false);
  EXPECT_EQ(erase(*store, keys[1]), 100);
  EXPECT_EQ(look(*store, keys[0]), KeyStatus::hit);
}

TEST(ObjectStore, OwnNameWithoutItsKeyIsAMiss) {
  TempDir directory;
  auto store = open(options_for(directory));
  const ObjectKey key = make_key(1, "a-SEP-b");
  write_file(directory / file_name(key), make_bytes(100, 1));
  EXPECT_EQ(look(*store, key), KeyStatus::miss);
}

TEST(ObjectStore, LinkInPlaceOfAnObjectIsNotFollowed) {
  TempDir directory, elsewhere;
  write_file(elsewhere / "secret", make_bytes(100, 1));
  const ObjectKey key = make_key(1);
  fs::create_symlink(elsewhere / "secret", directory / file_name(key));
  auto store = open(options_for(directory));
  EXPECT_EQ(look(*store, key), KeyStatus::miss);
  EXPECT_FALSE(fetch(*store, key, 100));
  EXPECT_EQ(put(*store, key, make_bytes(100, 2)).keys.at(0), KeyStatus::stored);
  EXPECT_EQ(read_file(elsewhere / "secret"), make_bytes(100, 1));
}

TEST(ObjectStore, BadItemsFailAloneInATask) {
  TempDir directory;
  Options options = options_for(directory);
  options.max_object_bytes = 1000;
  auto store = open(options);
  const Bytes small = make_bytes(10, 1), large = make_bytes(1001, 1);
  ObjectKey no_hash = make_key(3);
  no_hash.chunk_hash.clear();
  const ObjectKey first = make_key(1), second = make_key(2), last = make_key(4);
  const std::vector<PutItem> items = {{first.ref(), large, {}, ""},
                                      {second.ref(), {}, {}, ""},
                                      {no_hash.ref(), small, {}, ""},
                                      {last.ref(), small, {}, ""},
                                      {last.ref(), small, {}, ""}};
  const TaskResult result = wait_for(*store, TaskKind::put, *store->submit_put(items));
  using enum KeyStatus;
  EXPECT_EQ(result.keys, (std::vector{failed, failed, failed, stored, stored}));
  EXPECT_FALSE(result.ok());
  ASSERT_TRUE(result.error);
  EXPECT_EQ(result.transferred_bytes, 10);
  EXPECT_EQ(store->status().info.failed_puts, 3);
  EXPECT_TRUE(store->status().info.healthy);
  EXPECT_TRUE(wait_for(*store, TaskKind::put, *store->submit_put({})).ok());
}

TEST(ObjectStore, ObstacleFailsTheKeyAndLeavesNoTemporaryFile) {
  TempDir directory;
  auto store = open(options_for(directory));
  fs::create_directory(directory / file_name(make_key(1)));
  const TaskResult result = put(*store, make_key(1), make_bytes(10, 1));
  EXPECT_EQ(result.keys.at(0), KeyStatus::failed);
  EXPECT_EQ(result.error->code, std::errc::is_a_directory);
  EXPECT_EQ(count_files(directory.path(), ".tmp"), 0);
}

TEST(ObjectStore, HintOfTheStreamIsOnTheInode) {
  TempDir directory;
  auto store = open(options_for(directory));
  if (store->status().info.placement.effective != WriteMode::hint) {
    GTEST_SKIP() << store->status().info.placement.reason;
  }
  ASSERT_TRUE(put(*store, make_key(1), make_bytes(10, 1)).ok());
  ASSERT_TRUE(put(*store, make_key(2), make_bytes(10, 1), "odd").ok());
  const auto lifetime = [&](std::uint64_t number) {
    const auto file = io::open_file(directory / file_name(make_key(number)), O_RDONLY);
    return io::get_write_hint(file->get(), io::WriteHintMechanism::inode).value();
  };
  if (store->status().info.placement.mechanism == "F_SET_RW_HINT") {
    EXPECT_EQ(lifetime(1), Lifetime::short_lived);
    EXPECT_EQ(lifetime(2), Lifetime::extreme);
  }
  const auto streams = store->status().streams;
  ASSERT_EQ(streams.size(), 2);
  EXPECT_EQ(streams[0].written_bytes, 10);
  EXPECT_EQ(streams[1].written_bytes, 10);
}

TEST(ObjectStore, PolicyStateSurvivesARestart) {
  TempDir directory;
  {
    auto store = open(options_for(directory));
    for (std::uint64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(put(*store, make_key(i), make_bytes(10, 1)).ok());
    }
  }
  ParityPolicy::restored = 0;
  open(options_for(directory));
  EXPECT_EQ(ParityPolicy::restored, 3);
}

TEST(ObjectStore, RepeatedUnderOpenIsCheckedClean) {
  TempDir directory;
  Options options = options_for(directory);
  auto store = open(options);
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(put(*store, make_key(i), make_bytes(5000, i)).ok());
  }
  auto report = check_object_directory(options, false, {});
  ASSERT_TRUE(report);
  EXPECT_TRUE(report->clean());
  EXPECT_EQ(report->objects, 4);
  EXPECT_EQ(report->bytes, 20000);
  EXPECT_EQ(check_object_directory(options, true, {}).error().code, Errc::busy);
}

TEST(ObjectStore, CheckFindsAndRepairsDamage) {
  TempDir directory;
  Options options = options_for(directory);
  auto store = open(options);
  for (std::uint64_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(put(*store, make_key(i), make_bytes(5000, i)).ok());
  }
  ASSERT_TRUE(store->close());
  store.reset();
  flip_byte(directory / file_name(make_key(1)), 100);
  fs::resize_file(directory / file_name(make_key(2)), 10);
  write_file(directory / file_name(make_key(9)), make_bytes(10, 1));
  write_file(directory / "m@0x00000001@0@00.tmp", make_bytes(10, 1));
  options.tmp_max_age_s = 0;
  const auto found = check_object_directory(options, false, {}).value();
  EXPECT_EQ(found.findings.size(), 3);
  EXPECT_EQ(found.unverified, 1);
  const auto repaired = check_object_directory(options, true, {}).value();
  EXPECT_EQ(repaired.findings.size(), 3);
  for (const CheckFinding& finding : repaired.findings) EXPECT_TRUE(finding.repaired);
  const auto after = check_object_directory(options, false, {}).value();
  EXPECT_TRUE(after.clean());
  EXPECT_EQ(after.objects, 3);
}

}  // namespace
}  // namespace fdpstore::objects
