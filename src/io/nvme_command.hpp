// NVMe commands as words: what goes into an SQE or an ioctl. Pure functions, no device.
//
// Thread:  any.
// Units:   logical blocks of the namespace's format, counted from 0; counts are real counts (the
//          encoding subtracts the 1 that NVMe wants).
// Errors:  none: counts out of range are programmer errors and assert.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include <sys/uio.h>

namespace fdpstore::io {

// What an FDP write carries to name a reclaim unit handle (`dspec` with directive type 2).
struct PlacementId {
  std::uint16_t value = 0;
  auto operator<=>(const PlacementId&) const = default;
};

// The kernel's struct nvme_uring_cmd, word by word (linux/nvme_ioctl.h).
struct NvmeCommand {
  std::uint8_t opcode = 0;
  std::uint8_t flags = 0;
  std::uint16_t reserved1 = 0;
  std::uint32_t nsid = 0;
  std::uint32_t cdw2 = 0;
  std::uint32_t cdw3 = 0;
  std::uint64_t metadata = 0;
  std::uint64_t addr = 0;  // see attach_data()
  std::uint32_t metadata_len = 0;
  std::uint32_t data_len = 0;  // bytes, or entries of an iovec array
  std::uint32_t cdw10 = 0;
  std::uint32_t cdw11 = 0;
  std::uint32_t cdw12 = 0;
  std::uint32_t cdw13 = 0;
  std::uint32_t cdw14 = 0;
  std::uint32_t cdw15 = 0;
  std::uint32_t timeout_ms = 0;  // 0: the kernel's default
  std::uint32_t reserved2 = 0;
  bool operator==(const NvmeCommand&) const = default;
};
static_assert(sizeof(NvmeCommand) == 72 && std::has_unique_object_representations_v<NvmeCommand>);

inline constexpr std::uint32_t kMaxNvmeBlocks = 65536;  // of one read or write
inline constexpr std::size_t kMaxNvmeRanges = 256;      // of one deallocate
inline constexpr std::uint8_t kPlacementDirective = 2;  // the only directive type that names a PID

struct NvmeBlocks {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// `blocks.count` is 1 … kMaxNvmeBlocks. The data is attached by the ring, or attach_data(), and has
// exactly so many blocks: nobody checks, and a device would write past the end of a shorter buffer.
NvmeCommand encode_read(std::uint32_t nsid, const NvmeBlocks& blocks);
NvmeCommand encode_write(std::uint32_t nsid, const NvmeBlocks& blocks,
                         std::optional<PlacementId> placement = {});
NvmeCommand encode_flush(std::uint32_t nsid);

// One entry of a deallocate's data, as the device reads it (little-endian).
struct NvmeRange {
  std::uint32_t attributes = 0;
  std::uint32_t blocks = 0;
  std::uint64_t first = 0;
  bool operator==(const NvmeRange&) const = default;
};
static_assert(sizeof(NvmeRange) == 16);
// The data is an array of `ranges` NvmeRange, 1 … kMaxNvmeRanges.
NvmeCommand encode_deallocate(std::uint32_t nsid, std::size_t ranges);

// What one deallocate may carry; 0: no limit stated.
struct DeallocateLimits {
  std::uint32_t ranges = 0;        // DMRL: ranges of a command
  std::uint32_t range_blocks = 0;  // DMRSL: blocks of a range
  std::uint64_t blocks = 0;        // DMSL: blocks of a command
};
// The ranges of the commands that together deallocate `blocks`: one inner list per command.
std::vector<std::vector<NvmeRange>> split_deallocate(const NvmeBlocks& blocks,
                                                     const DeallocateLimits& limits);

// I/O Management Receive, Reclaim Unit Handle Status. `data_bytes` is a multiple of 4. Use one
// page, aligned: QEMU refuses a longer buffer that crosses a page.
inline constexpr std::size_t kHandleStatusBytes = 4096;
NvmeCommand encode_handle_status(std::uint32_t nsid, std::size_t data_bytes = kHandleStatusBytes);
// I/O Management Send, Reclaim Unit Handle Update: each named handle gets a fresh reclaim unit. The
// data is an array of `pids` 16-bit PIDs, at least 1. QEMU refuses as many as it has handles.
NvmeCommand encode_handle_update(std::uint32_t nsid, std::size_t pids);

// Points a command at its data: nothing, one buffer, or an array of several, which stays valid
// until the command is done.
void attach_data(NvmeCommand& command, std::span<const iovec> spans);
// The io_uring operation for data attached so: NVME_URING_CMD_IO_VEC for several spans, else _IO.
std::uint32_t uring_operation(std::span<const iovec> spans);

}  // namespace fdpstore::io
