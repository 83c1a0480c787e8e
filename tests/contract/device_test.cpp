// Stores on devices: what opening refuses and leaves alone, several in one device, other sizes.
#include <cstdlib>
#include <cstring>

#include "fixture.hpp"
#include "format/layout.hpp"

namespace fdpstore::test {
namespace {

class Device : public StoreTest {
 protected:
  static Error error_of(const Options& options) {
    const auto opened = open_store(options);
    EXPECT_FALSE(opened) << "it opened";
    return opened ? Error{} : opened.error();
  }
  // The first MiB of the store's part, where all that tells what it holds stands.
  [[nodiscard]] std::vector<std::byte> head() const {
    std::vector<std::byte> bytes(kMiB);
    device().read(bytes, kWindowAt);
    return bytes;
  }
  // What `command` (with the file's name behind it) makes of an empty file, at its begin.
  [[nodiscard]] std::vector<std::byte> made_by(const std::string& command) const {
    const TempDir dir;
    const auto image = dir.path() / "image";
    {
      const File file(image, O_CREAT | O_RDWR);
      if (::ftruncate(file.fd(), 16 * kMiB) != 0) throw_errno("ftruncate");
    }
    const std::string line = command + " '" + image.string() + "' >/dev/null 2>&1";
    if (std::system(line.c_str()) != 0) return {};  // NOLINT(concurrency-mt-unsafe)
    std::vector<std::byte> bytes(kMiB);
    File(image, O_RDONLY).read(bytes, 0);
    return bytes;
  }
  // What is there is refused by name and left; format = true makes a store of it.
  void expect_refused(const std::vector<std::byte>& bytes, const std::string& named) {
    SCOPED_TRACE(named);
    device().write(bytes, kWindowAt);
    const auto before = head();
    const Error refused = error_of(options());
    EXPECT_EQ(refused.code, Errc::foreign) << refused.message();
    for (const std::string& part : {named, where(), std::string("format = true")}) {
      EXPECT_NE(refused.message().find(part), std::string::npos) << refused.message();
    }
    const auto not_formatted = format_device(options(), false);
    ASSERT_FALSE(not_formatted);
    EXPECT_EQ(not_formatted.error().code, Errc::foreign);
    EXPECT_NE(not_formatted.error().message().find(named), std::string::npos);
    EXPECT_TRUE(before == head()) << "what was refused was written to";

    Options force = options();
    force.format = true;
    open(force);
    ASSERT_EQ(put(1, 100), KeyStatus::stored);
    open();
    EXPECT_EQ(get(1, 100), KeyStatus::hit);
    close();
    device().write(std::vector<std::byte>(kMiB), kWindowAt);
  }
};
INSTANTIATE_TEST_SUITE_P(All, Device, ::testing::ValuesIn(device_variants()), variant_name);

TEST_P(Device, FileSystemIsRefusedAndLeft) {
  const auto ext4 = made_by("mkfs.ext4 -q -L data");
  if (ext4.empty()) GTEST_SKIP() << "no mkfs.ext4";
  expect_refused(ext4, "ext4 file system labelled 'data'");
}

TEST_P(Device, SwapAreaIsRefusedAndLeft) {
  const auto swap = made_by("mkswap");
  if (swap.empty()) GTEST_SKIP() << "no mkswap";
  expect_refused(swap, "swap");
}

TEST_P(Device, PartitionTableIsRefusedAndLeft) {
  std::vector<std::byte> table(kMiB);
  // One Linux partition from block 8 on, 1000 blocks; and the signature of the boot record.
  const unsigned char entry[16] = {0, 0, 0, 0, 0x83, 0, 0, 0, 8, 0, 0, 0, 0xE8, 3, 0, 0};
  std::memcpy(table.data() + 446, entry, sizeof entry);
  table[510] = std::byte{0x55};
  table[511] = std::byte{0xAA};
  expect_refused(table, "dos partition table");
}

TEST_P(Device, UnknownBytesAreRefusedAndLeft) {
  std::vector<std::byte> bytes(kMiB);
  bytes[kMiB - 1] = std::byte{1};
  expect_refused(bytes, "data that is not fdpstore's");
  fill(bytes, 7);
  expect_refused(bytes, "data that is not fdpstore's");
}

TEST_P(Device, ErasedFlashIsAsGoodAsBlank) {
  device().write(std::vector<std::byte>(kMiB, std::byte{0xFF}), kWindowAt);
  open();
  EXPECT_EQ(put(1, 100), KeyStatus::stored);
}

TEST_P(Device, WhatStandsBehindTheHeadIsNotTakenForOurs) {
  const Buffer garbage = payload(31 * kMiB, 3);
  device().write(garbage.span(), kWindowAt + kMiB);
  open();
  EXPECT_EQ(store().status().info.live_objects, 0U);
  put_all(1, 20, 300000);
  reopen();
  expect_all_hit(1, 20, 300000);
}

TEST_P(Device, FormatNeedsForceWhereAStoreIs) {
  open();
  put_all(1, 20, 100000);
  close();
  const auto refused = format_device(options(), false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::foreign);
  EXPECT_NE(refused.error().message().find("another fdpstore store"), std::string::npos);
  open();
  expect_all_hit(1, 20, 100000);
  const std::string uuid = store().status().info.store_uuid;
  close();
  const auto formatted = format_device(options(), true);
  ASSERT_TRUE(formatted) << formatted.error().message();
  open();
  EXPECT_NE(store().status().info.store_uuid, uuid);
  EXPECT_EQ(store().status().info.live_objects, 0U);
  for (std::uint64_t n = 1; n <= 20; ++n) EXPECT_EQ(lookup(n), KeyStatus::miss) << n;
  EXPECT_EQ(put(1, 100000), KeyStatus::stored);
}

TEST_P(Device, FormatIsRefusedWhileTheStoreIsOpen) {
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  const auto refused = format_device(options(), true);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::busy) << refused.error().message();
  reopen();
  EXPECT_EQ(get(1, 100), KeyStatus::hit);
}

TEST_P(Device, ReadOnlyOpenOfABlankDeviceFindsNothing) {
  Options look = options();
  look.read_only = true;
  EXPECT_EQ(error_of(look).code, Errc::not_found);
  const auto now = head();
  EXPECT_TRUE(std::ranges::all_of(now, [](std::byte b) { return b == std::byte{}; }));
}

TEST_P(Device, AbsentDeviceIsNamedAndNotMade) {
  Options absent = options();
  absent.device_path = (path().parent_path() / "absent").string();
  const Error error = error_of(absent);
  EXPECT_EQ(error.code, std::errc::no_such_file_or_directory);
  EXPECT_NE(error.message().find(absent.device_path), std::string::npos) << error.message();
  EXPECT_FALSE(std::filesystem::exists(absent.device_path));
}

TEST_P(Device, DirectoryAndOtherKindsAreRefused) {
  Options wrong = options();
  for (const std::string& path : {path().parent_path().string(), std::string("/dev/null")}) {
    wrong.device_path = path;
    const Error error = error_of(wrong);
    EXPECT_EQ(error.code, Errc::invalid_option) << error.message();
    EXPECT_NE(error.message().find(path), std::string::npos) << error.message();
  }
}

TEST_P(Device, WindowThatLeavesTheDeviceNamesWhatThereIs) {
  Options wrong = options();
  wrong.capacity_bytes = device().size_bytes();
  const Error error = error_of(wrong);
  EXPECT_EQ(error.code, Errc::invalid_option);
  EXPECT_NE(error.message().find(std::to_string(device().size_bytes() - kWindowAt)),
            std::string::npos)
      << error.message();
  wrong = options();
  wrong.base_offset_bytes = device().size_bytes();
  EXPECT_EQ(error_of(wrong).code, Errc::invalid_option);
  wrong.base_offset_bytes = kWindowAt + 512;
  EXPECT_EQ(error_of(wrong).code, Errc::invalid_option);
  EXPECT_TRUE(std::ranges::all_of(head(), [](std::byte b) { return b == std::byte{}; }));
}

TEST_P(Device, CapacityLeftOutTakesAllTheRest) {
  Options all = options();
  all.capacity_bytes = 0;
  all.base_offset_bytes = device().size_bytes() - 40 * kMiB;
  device().write(std::vector<std::byte>(kMiB), all.base_offset_bytes);
  open(all);
  EXPECT_EQ(store().status().info.capacity_bytes, 40 * kMiB);
  put_all(1, 20, 100000);
  reopen();
  expect_all_hit(1, 20, 100000);
}

TEST_P(Device, StoresSideBySideDoNotDisturbEachOther) {
  Options other = options();
  other.base_offset_bytes = kWindowAt + options().capacity_bytes;
  device().guard(kWindowAt, 2 * options().capacity_bytes);
  // The last guard stands where the other one begins.
  device().write(std::vector<std::byte>(kMiB), other.base_offset_bytes);
  auto first = open_store(options());
  ASSERT_TRUE(first) << first.error().message();
  auto second = open_store(other);
  ASSERT_TRUE(second) << second.error().message();
  const std::size_t size = 200000;
  const std::uint64_t count = 3 * options().capacity_bytes / size;
  {
    Client one(**first);
    Client two(**second);
    const auto put_in = [&](Client& client, std::uint64_t n, std::uint64_t seed) {
      const ObjectKey key = make_key(n);
      const Buffer bytes = payload(size, seed);
      const PutItem item{
          .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
      ASSERT_EQ(expect_done(client.put({&item, 1})).keys[0], KeyStatus::stored);
    };
    for (std::uint64_t n = 0; n < count; ++n) {  // the same keys, other bytes
      put_in(one, n, n);
      put_in(two, n, n + 1'000'000);
    }
  }
  ASSERT_TRUE((*first)->close());
  ASSERT_TRUE((*second)->close());
  first->reset();
  second->reset();
  const auto expect_own = [&](const Options& which, std::uint64_t seed) {
    auto opened = open_store(which);
    ASSERT_TRUE(opened) << opened.error().message();
    Client client(**opened);
    for (std::uint64_t n = count - 20; n < count; ++n) {
      const ObjectKey key = make_key(n);
      Buffer bytes(size);
      const GetItem item{.key = key.ref(), .buffer = bytes.span()};
      ASSERT_EQ(expect_done(client.get({&item, 1})).keys[0], KeyStatus::hit) << n;
      EXPECT_TRUE(matches(bytes.span(), n + seed)) << n;
    }
    EXPECT_EQ((*opened)->status().info.damaged_objects, 0U);
  };
  expect_own(options(), 0);
  expect_own(other, 1'000'000);
}

TEST_P(Device, OverlappingWindowIsBusyAndNamesTheRemedy) {
  open();
  for (const std::uint64_t at : {kWindowAt - kMiB, kWindowAt + 4 * kMiB}) {
    Options overlapping = options();
    overlapping.base_offset_bytes = at;
    const Error error = error_of(overlapping);
    EXPECT_EQ(error.code, Errc::busy) << error.message();
    EXPECT_NE(error.message().find("base_offset_bytes"), std::string::npos) << error.message();
  }
}

TEST_P(Device, SmallerThanAtCreationSaysSo) {
  open();
  put_all(1, 20, 100000);
  close();
  Options less = options();
  less.capacity_bytes = 24 * kMiB;
  const Error shrunk = error_of(less);
  EXPECT_EQ(shrunk.code, Errc::invalid_option);
  EXPECT_NE(shrunk.message().find(std::to_string(32 * kMiB)), std::string::npos)
      << shrunk.message();
  if (variant().medium == Medium::raw_file) {
    const std::uint64_t size = device().size_bytes();
    std::filesystem::resize_file(path(), kWindowAt + 24 * kMiB);
    EXPECT_EQ(error_of(options()).code, Errc::invalid_option);
    Options rest = options();
    rest.capacity_bytes = 0;
    EXPECT_NE(error_of(rest).message().find("cannot shrink"), std::string::npos);
    std::filesystem::resize_file(path(), size);
    device().guard(0, 0);  // the earlier one went with the end of the file
  }
  open();
  expect_all_hit(1, 20, 100000);
}

TEST_P(Device, OtherSegmentSizeIsRefused) {
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  close();
  Options other = options();
  other.segment_bytes = 4 * kMiB;
  const Error error = error_of(other);
  EXPECT_EQ(error.code, Errc::invalid_option);
  EXPECT_NE(error.message().find("segment_bytes = 2097152"), std::string::npos) << error.message();
  other.segment_bytes = 0;
  open(other);
  EXPECT_EQ(get(1, 100), KeyStatus::hit);
}

TEST_P(Device, SmallTransfersCarryLargeObjects) {
  Options small = options();
  small.max_transfer_bytes = 8192;
  open(small);
  put_all(1, 5, 900001);
  expect_all_hit(1, 5, 900001);
  reopen();
  expect_all_hit(1, 5, 900001);
}

TEST_P(Device, HintsAreRefused) {
  Options hint = options();
  hint.write_mode = WriteMode::hint;
  const Error error = error_of(hint);
  EXPECT_EQ(error.code, Errc::invalid_option);
  EXPECT_NE(error.message().find("write_mode = hint"), std::string::npos) << error.message();
}

TEST_P(Device, WhatIsRequiredAndCannotBeIsAnError) {
  if (variant().medium == Medium::device) GTEST_SKIP() << "the device may be able to";
  for (const WriteMode mode :
       {WriteMode::automatic, WriteMode::uring_cmd, WriteMode::write_stream}) {
    Options strict = options();
    strict.write_mode = mode;
    strict.placement = Strictness::require;
    const Error error = error_of(strict);
    EXPECT_EQ(error.code, Errc::unsupported) << error.message();
    EXPECT_NE(error.message().find("placement = require"), std::string::npos) << error.message();
    strict.placement = Strictness::prefer;
    open(strict);
    const auto placement = store().status().info.placement;
    EXPECT_EQ(placement.asked, mode);
    EXPECT_EQ(placement.effective, WriteMode::plain);
    EXPECT_FALSE(placement.reaches_device);
    EXPECT_FALSE(placement.reason.empty());
    close();
  }
}

}  // namespace
}  // namespace fdpstore::test
