#include "io/nvme_command.hpp"

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <limits>

#include <linux/nvme_ioctl.h>
#include <sys/ioctl.h>

namespace fdpstore::io {
namespace {

// Opcodes of the NVM command set (NVM Command Set Specification, "I/O Commands").
constexpr std::uint8_t kFlush = 0x00;
constexpr std::uint8_t kWrite = 0x01;
constexpr std::uint8_t kRead = 0x02;
constexpr std::uint8_t kDatasetManagement = 0x09;
constexpr std::uint8_t kIoManagementReceive = 0x12;
constexpr std::uint8_t kIoManagementSend = 0x1D;

constexpr std::uint32_t kDeallocate = 1U << 2;          // cdw11 of Dataset Management
constexpr std::uint32_t kManageReclaimUnitHandles = 1;  // MO: Status of Receive, Update of Send

NvmeCommand encode_transfer(std::uint8_t opcode, std::uint32_t nsid, const NvmeBlocks& blocks) {
  assert(blocks.count >= 1 && blocks.count <= kMaxNvmeBlocks);
  return {.opcode = opcode,
          .nsid = nsid,
          .cdw10 = static_cast<std::uint32_t>(blocks.first),
          .cdw11 = static_cast<std::uint32_t>(blocks.first >> 32),
          .cdw12 = static_cast<std::uint32_t>(blocks.count - 1)};
}

}  // namespace

NvmeCommand encode_read(std::uint32_t nsid, const NvmeBlocks& blocks) {
  return encode_transfer(kRead, nsid, blocks);
}

NvmeCommand encode_write(std::uint32_t nsid, const NvmeBlocks& blocks,
                         std::optional<PlacementId> placement) {
  NvmeCommand command = encode_transfer(kWrite, nsid, blocks);
  if (placement) {
    command.cdw12 |= std::uint32_t{kPlacementDirective} << 20;
    command.cdw13 = std::uint32_t{placement->value} << 16;
  }
  return command;
}

NvmeCommand encode_flush(std::uint32_t nsid) {
  return {.opcode = kFlush, .nsid = nsid};
}

NvmeCommand encode_deallocate(std::uint32_t nsid, std::size_t ranges) {
  assert(ranges >= 1 && ranges <= kMaxNvmeRanges);
  return {.opcode = kDatasetManagement,
          .nsid = nsid,
          .cdw10 = static_cast<std::uint32_t>(ranges - 1),
          .cdw11 = kDeallocate};
}

std::vector<std::vector<NvmeRange>> split_deallocate(const NvmeBlocks& blocks,
                                                     const DeallocateLimits& limits) {
  const std::size_t most_ranges =
      limits.ranges == 0 ? kMaxNvmeRanges : std::min<std::size_t>(limits.ranges, kMaxNvmeRanges);
  const std::uint64_t most_of_range =
      limits.range_blocks == 0 ? std::numeric_limits<std::uint32_t>::max() : limits.range_blocks;
  const std::uint64_t most_of_command =
      limits.blocks == 0 ? std::numeric_limits<std::uint64_t>::max() : limits.blocks;
  std::vector<std::vector<NvmeRange>> commands;
  std::uint64_t in_command = 0;
  for (std::uint64_t done = 0; done < blocks.count;) {
    if (commands.empty() || commands.back().size() == most_ranges ||
        in_command == most_of_command) {
      commands.emplace_back();
      in_command = 0;
    }
    const std::uint64_t count =
        std::min({blocks.count - done, most_of_range, most_of_command - in_command});
    commands.back().push_back(
        {.blocks = static_cast<std::uint32_t>(count), .first = blocks.first + done});
    done += count;
    in_command += count;
  }
  return commands;
}

NvmeCommand encode_handle_status(std::uint32_t nsid, std::size_t data_bytes) {
  assert(data_bytes >= 4 && data_bytes % 4 == 0);
  return {.opcode = kIoManagementReceive,
          .nsid = nsid,
          .cdw10 = kManageReclaimUnitHandles,
          .cdw11 = static_cast<std::uint32_t>(data_bytes / 4 - 1)};
}

NvmeCommand encode_handle_update(std::uint32_t nsid, std::size_t pids) {
  assert(pids >= 1 && pids <= 65536);
  const auto operation_specific = static_cast<std::uint32_t>(pids - 1);
  return {.opcode = kIoManagementSend,
          .nsid = nsid,
          .cdw10 = operation_specific << 16 | kManageReclaimUnitHandles};
}

void attach_data(NvmeCommand& command, std::span<const iovec> spans) {
  const bool vectored = spans.size() > 1;
  const void* data = spans.empty() ? nullptr : vectored ? spans.data() : spans[0].iov_base;
  const std::size_t length = spans.empty() ? 0 : vectored ? spans.size() : spans[0].iov_len;
  command.addr = reinterpret_cast<std::uintptr_t>(data);
  command.data_len = static_cast<std::uint32_t>(length);
}

std::uint32_t uring_operation(std::span<const iovec> spans) {
  return spans.size() > 1 ? NVME_URING_CMD_IO_VEC : NVME_URING_CMD_IO;
}

}  // namespace fdpstore::io
