#include "io/device_content.hpp"

#include <array>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/unique_fd.hpp"
#include "loop_device.hpp"
#include "support/nameless_file.hpp"

namespace fdpstore::io {
namespace {

using testing::HasSubstr;

constexpr std::size_t kSize = 16 << 20;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

void put(int fd, std::uint64_t at, std::span<const std::byte> bytes) {
  ASSERT_TRUE(pwrite_all(fd, bytes, at, "file"));
}
void put(int fd, std::uint64_t at, std::string_view text) {
  put(fd, at, bytes_of(text));
}

UniqueFd make_file(std::uint64_t size = kSize) {
  return test::nameless_file(size);
}

std::string what_is_in(int fd, const ContentRange& range = {}) {
  const auto content = probe_content(fd, range, "the file");
  EXPECT_TRUE(content) << content.error().message();
  return content && *content ? (*content)->what : "";
}

// Signatures by hand, at the places where mkfs, mkswap and others put them.
void put_ext2(int fd, std::uint64_t base, std::string_view label) {
  std::array<std::byte, 1024> block{};
  const auto set = [&](std::size_t at, std::uint32_t value) {
    std::memcpy(block.data() + at, &value, sizeof(value));
  };
  set(0, 16);         // inodes
  set(4, 1024);       // blocks
  set(0x38, 0xEF53);  // magic
  set(0x4C, 1);       // revision
  std::memcpy(block.data() + 0x78, label.data(), label.size());
  put(fd, base + 1024, block);
}

void put_swap(int fd) {
  put(fd, 4096 - 10, "SWAPSPACE2");
  const std::array<std::uint32_t, 2> header = {1, 100};  // version, last page
  put(fd, 1024, std::as_bytes(std::span(header)));
}

void put_mbr(int fd) {
  std::array<std::byte, 16> partition{};
  partition[4] = std::byte{0x83};
  const std::array<std::uint32_t, 2> extent = {2048, 8192};
  std::memcpy(partition.data() + 8, extent.data(), sizeof(extent));
  put(fd, 446, partition);
  put(fd, 510, "\x55\xAA");
}

TEST(DeviceContent, ZerosAndNoiseAreNothing) {
  const UniqueFd file = make_file();
  EXPECT_EQ(what_is_in(file.get()), "");
  std::vector<std::byte> noise(1 << 20);
  std::uint32_t state = 1;
  for (std::byte& byte : noise)
    byte = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
  put(file.get(), 0, noise);
  EXPECT_EQ(what_is_in(file.get()), "");
  EXPECT_EQ(probe_content(file.get(), {}, "f").value(), std::nullopt);
}

TEST(DeviceContent, FileSystemIsNamedWithItsLabel) {
  const UniqueFd file = make_file();
  put_ext2(file.get(), 0, "data");
  const auto content = probe_content(file.get(), {}, "the file");
  ASSERT_TRUE(content && *content);
  EXPECT_EQ((*content)->type, "ext2");
  EXPECT_EQ((*content)->usage, "filesystem");
  EXPECT_EQ((*content)->label, "data");
  EXPECT_EQ((*content)->what, "ext2 file system labelled 'data'");
}

TEST(DeviceContent, SwapRaidAndEncryptionAreNamed) {
  const UniqueFd swap = make_file(), lvm = make_file(), luks = make_file();
  put_swap(swap.get());
  EXPECT_EQ(what_is_in(swap.get()), "swap signature");
  put(luks.get(), 0, std::string_view("LUKS\xBA\xBE\x00\x01", 8));
  EXPECT_EQ(what_is_in(luks.get()), "encrypted volume (crypto_LUKS)");
  // An LVM label in sector 1: its sector number, its checksum (from offset 20 to its end), type.
  std::array<std::byte, 512> label{};
  std::memcpy(label.data(), "LABELONE", 8);
  label[8] = std::byte{1};
  label[20] = std::byte{32};
  std::memcpy(label.data() + 24, "LVM2 001", 8);
  std::memcpy(label.data() + 32, "0123456789abcdef0123456789abcdef", 32);
  std::uint32_t crc = 0xF597A6CF;  // as lib/misc/crc.c of LVM2 starts
  for (std::size_t i = 20; i < label.size(); ++i) {
    crc ^= static_cast<std::uint32_t>(label[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320 : 0);
  }
  std::memcpy(label.data() + 16, &crc, sizeof(crc));
  put(lvm.get(), 512, label);
  EXPECT_EQ(what_is_in(lvm.get()), "part of a RAID or volume group (LVM2_member)");
}

TEST(DeviceContent, PartitionTableIsNamed) {
  const UniqueFd file = make_file();
  put_mbr(file.get());
  const auto content = probe_content(file.get(), {}, "the file");
  ASSERT_TRUE(content && *content);
  EXPECT_EQ((*content)->type, "dos");
  EXPECT_EQ((*content)->usage, "partition table");
  EXPECT_EQ((*content)->what, "dos partition table");
}

TEST(DeviceContent, ContradictionsAreReportedTogether) {
  const UniqueFd file = make_file();
  put_ext2(file.get(), 0, "old");
  put_swap(file.get());
  const auto content = probe_content(file.get(), {}, "the file");
  ASSERT_TRUE(content && *content) << "found, whatever it is";
  EXPECT_EQ((*content)->type, "ambiguous");
  EXPECT_THAT((*content)->what, HasSubstr("ext2 file system labelled 'old'"));
  EXPECT_THAT((*content)->what, HasSubstr("swap signature"));
}

TEST(DeviceContent, OnlyTheWindowIsLookedAt) {
  const UniqueFd file = make_file();
  put_ext2(file.get(), 4 << 20, "inside");
  EXPECT_EQ(what_is_in(file.get()), "");
  const ContentRange window{.offset_bytes = 4 << 20, .size_bytes = 4 << 20};
  EXPECT_EQ(what_is_in(file.get(), window), "ext2 file system labelled 'inside'");
  EXPECT_EQ(what_is_in(file.get(), {.offset_bytes = 8 << 20, .size_bytes = 4 << 20}), "");
}

TEST(DeviceContent, WhatCannotBeReadIsAnError) {
  const UniqueFd file = make_file();
  const auto beyond = probe_content(file.get(), {.offset_bytes = kSize + 4096}, "the file");
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, Errc::invalid_argument);
  EXPECT_THAT(beyond.error().message(), HasSubstr("the file has 16777216 bytes"));
  EXPECT_FALSE(probe_content(file.get(), {.offset_bytes = 4096, .size_bytes = kSize}, "the file"));
  EXPECT_FALSE(probe_content(9999, {}, "the file"));
}

TEST(DeviceContent, LoopDeviceIsProbedAsAFile) {
  const LoopDevice loop(kSize);
  if (!loop.why_not().empty()) GTEST_SKIP() << loop.why_not();
  const auto device = open_file(loop.path(), O_RDWR);
  ASSERT_TRUE(device);
  EXPECT_EQ(what_is_in(device->get()), "");
  put_ext2(device->get(), 0, "loop");
  EXPECT_EQ(what_is_in(device->get()), "ext2 file system labelled 'loop'");
}

}  // namespace
}  // namespace fdpstore::io
