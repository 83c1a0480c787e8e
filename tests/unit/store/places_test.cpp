// Where a store is, when options name both a directory and a device. No device here can tell
// streams apart: what choosing the device for its placement looks like is seen in the guest.
#include "store/places.hpp"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fdpstore/store.hpp"
#include "support/bytes.hpp"
#include "support/client.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"
#include "support/units.hpp"

namespace fdpstore::test {
namespace {

using store::choose_place;
using testing::AllOf;
using testing::HasSubstr;

class Places : public ::testing::Test {
 protected:
  Places() {
    {
      const File made(device(), O_CREAT | O_RDWR);
    }
    std::filesystem::resize_file(device(), 64 * kMiB);
  }
  [[nodiscard]] std::string device() const { return (dir_.path() / "device").string(); }
  [[nodiscard]] std::string directory() const { return (dir_.path() / "directory").string(); }
  [[nodiscard]] Options both() const {
    Options options;
    options.base_path = directory();
    options.device_path = device();
    options.layout = Layout::segment;
    options.capacity_bytes = 32 * kMiB;
    options.segment_bytes = 2 * kMiB;
    options.max_object_bytes = kMiB;
    return options;
  }
  [[nodiscard]] Options with(WriteMode mode, Strictness strictness = Strictness::prefer) const {
    Options options = both();
    options.write_mode = mode;
    options.placement = strictness;
    return options;
  }
  [[nodiscard]] Options only_device() const {
    Options options = both();
    options.base_path.clear();
    return options;
  }
  [[nodiscard]] Options only_directory() const {
    Options options = both();
    options.device_path.clear();
    return options;
  }
  // Makes a store with object 1 in it.
  static void make(const Options& options) {
    auto store = open_store(options);
    ASSERT_TRUE(store) << store.error().message();
    const ObjectKey key = make_key(1);
    const Buffer bytes = payload(10000, 1);
    const PutItem item{
        .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
    ASSERT_EQ(put_and_wait(**store, {&item, 1})->keys[0], KeyStatus::stored);
    ASSERT_TRUE((*store)->close());
  }
  static bool has_object(Store& store) {
    const ObjectKey key = make_key(1);
    const KeyRef ref = key.ref();
    return lookup_and_wait(store, {&ref, 1}, false)->keys[0] == KeyStatus::hit;
  }
  static void expect(const Options& options, bool device, const std::string& because) {
    const auto place = choose_place(options);
    ASSERT_TRUE(place) << place.error().message();
    EXPECT_EQ(place->device, device) << place->because;
    EXPECT_THAT(place->because, HasSubstr(because));
  }

 private:
  TempDir dir_;
};

TEST_F(Places, DeviceThatCannotTellStreamsApartLeavesItToTheDirectory) {
  expect(both(), false, device() + " cannot tell streams apart");
  EXPECT_FALSE(std::filesystem::exists(directory())) << "choosing makes nothing";
  auto store = open_store(both());
  ASSERT_TRUE(store) << store.error().message();
  const StoreInfo info = (*store)->status().info;
  EXPECT_EQ(info.path, directory());
  EXPECT_THAT(info.placement.reason,
              AllOf(HasSubstr(directory() + " is used because"), HasSubstr("is a file")));
}

TEST_F(Places, PlainWritesGoToTheDevice) {
  expect(with(WriteMode::plain), true, "plain writes");
  auto store = open_store(with(WriteMode::plain));
  ASSERT_TRUE(store) << store.error().message();
  const StoreInfo info = (*store)->status().info;
  EXPECT_EQ(info.path, device());
  EXPECT_THAT(info.placement.reason, HasSubstr(device() + " is used because"));
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(Places, HintsAreForTheDirectory) {
  expect(with(WriteMode::hint), false, "hint");
}

TEST_F(Places, WhatOnlyADeviceCanFallsBackUnderPrefer) {
  for (const WriteMode mode : {WriteMode::uring_cmd, WriteMode::write_stream}) {
    expect(with(mode), false, "cannot tell streams apart");
  }
}

TEST_F(Places, WhatOnlyADeviceCanFailsUnderRequire) {
  for (const WriteMode mode : {WriteMode::uring_cmd, WriteMode::write_stream}) {
    const auto store = open_store(with(mode, Strictness::require));
    ASSERT_FALSE(store);
    EXPECT_EQ(store.error().code, Errc::unsupported) << store.error().message();
    EXPECT_THAT(store.error().message(),
                AllOf(HasSubstr("placement = require"), HasSubstr(device())));
    EXPECT_FALSE(std::filesystem::exists(directory()));
  }
}

TEST_F(Places, StoreOnTheDeviceStaysThere) {
  make(only_device());
  for (const WriteMode mode :
       {WriteMode::automatic, WriteMode::plain, WriteMode::uring_cmd, WriteMode::write_stream}) {
    expect(with(mode), true, "the store is there already");
    auto store = open_store(with(mode));
    ASSERT_TRUE(store) << store.error().message();
    EXPECT_EQ((*store)->status().info.path, device());
    EXPECT_TRUE(has_object(**store));
  }
}

TEST_F(Places, StoreInTheDirectoryStaysThere) {
  make(only_directory());
  for (const WriteMode mode : {WriteMode::automatic, WriteMode::plain, WriteMode::hint}) {
    expect(with(mode), false, "the store is there already");
    auto store = open_store(with(mode));
    ASSERT_TRUE(store) << store.error().message();
    EXPECT_EQ((*store)->status().info.path, directory());
    EXPECT_TRUE(has_object(**store));
  }
}

// A second store beside the first one, in silence, would be worse than an error.
TEST_F(Places, StoreThatIsInUseIsBusyNotElsewhere) {
  auto first = open_store(only_device());
  ASSERT_TRUE(first) << first.error().message();
  const auto second = open_store(both());
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::busy) << second.error().message();
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(Places, AbsentDeviceLeavesItToTheDirectoryOrFails) {
  Options options = both();
  options.device_path = device() + "-absent";
  expect(options, false, "does not exist");
  options.write_mode = WriteMode::uring_cmd;
  options.placement = Strictness::require;
  const auto place = choose_place(options);
  ASSERT_FALSE(place);
  EXPECT_EQ(place.error().code, std::errc::no_such_file_or_directory);
}

TEST_F(Places, ForeignContentOfTheDeviceIsNotOverwritten) {
  {
    const File file(device(), O_RDWR);
    file.write(payload(100, 1).span(), 5000);
  }
  const auto store = open_store(with(WriteMode::plain));
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Errc::foreign) << store.error().message();
}

TEST_F(Places, EmptyDirectoryIsNoStore) {
  std::filesystem::create_directory(directory());
  make(only_device());
  expect(both(), true, "the store is there already");
}

}  // namespace
}  // namespace fdpstore::test
