#include "io/nvme_command.hpp"

#include <array>
#include <cstring>
#include <numeric>

#include <gtest/gtest.h>
#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

namespace fdpstore::io {
namespace {

using Words = std::array<std::uint32_t, 18>;

// The command as the 32-bit words that stand in an SQE.
Words words(const NvmeCommand& command) {
  Words all{};
  std::memcpy(all.data(), &command, sizeof(command));
  return all;
}

// Where the words stand: 0 opcode and flags, 1 NSID, 2-3 cdw2-3, 4-5 metadata, 6-7 address, 8
// metadata length, 9 data length, 10-15 cdw10-15, 16 timeout, 17 reserved.
TEST(NvmeCommand, HasTheLayoutOfTheKernel) {
  EXPECT_EQ(sizeof(NvmeCommand), sizeof(nvme_uring_cmd));
  nvme_uring_cmd kernel{};
  kernel.opcode = 0x01;
  kernel.nsid = 2;
  kernel.addr = 0x3333333344444444;
  kernel.data_len = 5;
  kernel.cdw10 = 6;
  kernel.cdw13 = 7;
  kernel.timeout_ms = 8;
  const NvmeCommand ours{.opcode = 0x01,
                         .nsid = 2,
                         .addr = 0x3333333344444444,
                         .data_len = 5,
                         .cdw10 = 6,
                         .cdw13 = 7,
                         .timeout_ms = 8};
  EXPECT_EQ(std::memcmp(&ours, &kernel, sizeof(ours)), 0);
}

TEST(NvmeCommand, ReadCarriesBlocksFromZero) {
  EXPECT_EQ(words(encode_read(1, {.first = 0x1122334455667788, .count = 1})),
            (Words{0x02, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x55667788, 0x11223344, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(words(encode_read(7, {.first = 8, .count = kMaxNvmeBlocks})),
            (Words{0x02, 7, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0xFFFF, 0, 0, 0, 0, 0}));
}

TEST(NvmeCommand, WriteNamesThePlacementOrNone) {
  EXPECT_EQ(words(encode_write(1, {.first = 1000, .count = 16})),
            (Words{0x01, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 15, 0, 0, 0, 0, 0}));
  EXPECT_EQ(words(encode_write(1, {.first = 1000, .count = 16}, PlacementId{3})),
            (Words{0x01, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1000, 0, 0x0020000F, 0x00030000, 0, 0, 0, 0}));
  EXPECT_EQ(words(encode_write(1, {.first = 0, .count = 65536}, PlacementId{0xFFFF}))[12],
            0x0020FFFFU);
  EXPECT_EQ(words(encode_write(1, {.first = 0, .count = 65536}, PlacementId{0xFFFF}))[13],
            0xFFFF0000U);
  EXPECT_EQ(words(encode_write(1, {.first = 0, .count = 1}, PlacementId{0}))[12], 0x00200000U)
      << "PID 0 is a placement too";
}

TEST(NvmeCommand, FlushIsForTheNamespace) {
  EXPECT_EQ(words(encode_flush(5)),
            (Words{0x00, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}));
}

TEST(NvmeCommand, DeallocateCountsItsRanges) {
  EXPECT_EQ(words(encode_deallocate(1, 1)),
            (Words{0x09, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(words(encode_deallocate(1, kMaxNvmeRanges))[10], 255U);
  const NvmeRange range{.blocks = 0x100, .first = 0x1122334455667788};
  std::array<std::uint32_t, 4> bytes{};
  std::memcpy(bytes.data(), &range, sizeof(range));
  EXPECT_EQ(bytes, (std::array<std::uint32_t, 4>{0, 0x100, 0x55667788, 0x11223344}));
}

TEST(NvmeCommand, ManagementOfHandles) {
  EXPECT_EQ(words(encode_handle_status(1)),
            (Words{0x12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1023, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(words(encode_handle_status(1, 16))[11], 3U);
  EXPECT_EQ(words(encode_handle_update(1, 1)),
            (Words{0x1D, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(words(encode_handle_update(1, 3))[10], 0x00020001U);
}

TEST(NvmeCommand, DataIsNothingABufferOrAnArray) {
  std::array<std::byte, 8> a{}, b{};
  const std::array<iovec, 2> spans = {iovec{a.data(), 8}, iovec{b.data(), 4}};
  NvmeCommand command = encode_write(1, {.first = 0, .count = 1});
  attach_data(command, spans);
  EXPECT_EQ(command.addr, reinterpret_cast<std::uintptr_t>(spans.data()));
  EXPECT_EQ(command.data_len, 2U) << "entries";
  EXPECT_EQ(uring_operation(spans), NVME_URING_CMD_IO_VEC);
  attach_data(command, std::span(spans).first(1));
  EXPECT_EQ(command.addr, reinterpret_cast<std::uintptr_t>(a.data()));
  EXPECT_EQ(command.data_len, 8U) << "bytes";
  EXPECT_EQ(uring_operation(std::span(spans).first(1)), NVME_URING_CMD_IO);
  attach_data(command, {});
  EXPECT_EQ(command.addr, 0U);
  EXPECT_EQ(command.data_len, 0U);
  EXPECT_EQ(uring_operation({}), NVME_URING_CMD_IO);
  EXPECT_EQ(NVME_URING_CMD_IO, 0xC0484E80U);
  EXPECT_EQ(NVME_URING_CMD_IO_VEC, 0xC0484E81U);
}

// Every block once, in order, within the limits.
void expect_split(const NvmeBlocks& blocks, const DeallocateLimits& limits, std::size_t commands) {
  const auto split = split_deallocate(blocks, limits);
  EXPECT_EQ(split.size(), commands);
  std::uint64_t next = blocks.first;
  for (const auto& ranges : split) {
    EXPECT_GE(ranges.size(), 1U);
    EXPECT_LE(ranges.size(), limits.ranges == 0 ? kMaxNvmeRanges : limits.ranges);
    std::uint64_t sum = 0;
    for (const NvmeRange& range : ranges) {
      EXPECT_EQ(range.first, next);
      EXPECT_EQ(range.attributes, 0U);
      EXPECT_GE(range.blocks, 1U);
      if (limits.range_blocks != 0) {
        EXPECT_LE(range.blocks, limits.range_blocks);
      }
      next += range.blocks;
      sum += range.blocks;
    }
    if (limits.blocks != 0) {
      EXPECT_LE(sum, limits.blocks);
    }
  }
  EXPECT_EQ(next, blocks.first + blocks.count);
}

TEST(SplitDeallocate, KeepsWithinEveryLimit) {
  expect_split({.first = 5, .count = 0}, {}, 0);
  expect_split({.first = 5, .count = 1000}, {}, 1);
  expect_split({.first = 5, .count = 1000}, {.ranges = 0, .range_blocks = 100, .blocks = 0}, 1);
  expect_split({.first = 5, .count = 1001}, {.ranges = 2, .range_blocks = 100, .blocks = 0}, 6);
  expect_split({.first = 5, .count = 1000}, {.ranges = 4, .range_blocks = 100, .blocks = 250}, 4);
  expect_split({.first = 5, .count = 257}, {.ranges = 0, .range_blocks = 1, .blocks = 0}, 2);
  expect_split({.first = 5, .count = 600}, {.ranges = 65535, .range_blocks = 1, .blocks = 0}, 3);
  // A range's count has 32 bits.
  const auto big = split_deallocate({.first = 0, .count = 1ULL << 33}, {});
  ASSERT_EQ(big.size(), 1U);
  ASSERT_EQ(big[0].size(), 3U);
  EXPECT_EQ(big[0][1].first, 0xFFFFFFFFULL);
  EXPECT_EQ(big[0][2].blocks, 2U);
}

}  // namespace
}  // namespace fdpstore::io
