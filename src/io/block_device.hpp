// What a path is, told by looking (stat, sysfs, /proc), not by its name; and who uses a device.
//
// Thread:  any. Reads small files only; changes nothing.
// Units:   bytes.
// Errors:  the errno of the path itself. What sysfs does not say is absent (nullopt).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include "fdpstore/result.hpp"

namespace fdpstore::io {

// Where the kernel's trees are mounted; tests put made-up ones here.
struct SystemRoots {
  std::string sys = "/sys";
  std::string proc = "/proc";
  std::string dev = "/dev";
};

enum class PathKind : std::uint8_t {
  absent,
  regular_file,
  directory,
  block_device,    // a whole disk or a partition
  nvme_character,  // /dev/ngXnY: a namespace for passthrough
  other,           // another character device, a socket, …
};
std::string_view to_string(PathKind kind);  // "regular file", "NVMe character device", …

// Limits of a disk's queue, from sysfs.
struct QueueLimits {
  std::optional<std::uint32_t> logical_block_bytes, physical_block_bytes;
  std::optional<std::uint64_t> max_hw_transfer_bytes;  // max_hw_sectors_kb: bounds passthrough too
  std::optional<std::uint64_t> max_transfer_bytes;     // max_sectors_kb: of one ordinary request
  std::optional<std::uint32_t> max_segments;  // pieces of memory in one command, ≤ a page each when
                                              // memory is scattered
  std::optional<std::uint64_t> discard_granularity_bytes, discard_max_bytes;  // max 0: no discard
  std::optional<std::uint32_t> max_write_streams;               // absent before Linux 6.16; 0: none
  std::optional<std::uint64_t> write_stream_granularity_bytes;  // the reclaim unit
  std::optional<bool> rotational;
};

// A disk, partition or NVMe namespace as the kernel has it.
struct BlockDevice {
  std::string name;  // kernel name of what the path is: "nvme0n1", "nvme0n1p1", "ng0n1"
  std::string disk;  // kernel name of the whole disk: "nvme0n1"; empty when it has none
  bool partition = false;
  std::uint64_t start_bytes = 0;  // of a partition within its disk
  std::uint64_t size_bytes = 0;   // of the partition or disk
  bool read_only = false;
  bool nvme = false;           // the disk is an NVMe namespace
  std::string character_path;  // "/dev/ng0n1": its passthrough device, or empty
  std::string block_path;      // "/dev/nvme0n1": of the whole disk, or empty
  std::string model;           // empty when unknown
  QueueLimits queue;
};

struct PathDescription {
  std::string path;
  PathKind kind = PathKind::absent;
  std::uint64_t size_bytes = 0;       // of a file, disk, partition or namespace
  std::optional<BlockDevice> device;  // block_device and nvme_character
};
// An absent path is an answer; one that cannot be looked at (EACCES, ENOTDIR, ELOOP) is an error.
[[nodiscard]] Result<PathDescription> describe_path(const std::string& path,
                                                    const SystemRoots& roots = {});
// The same by number; nothing when sysfs does not know it, or when a character device is no NVMe
// namespace.
std::optional<BlockDevice> describe_device(dev_t number, bool character,
                                           const SystemRoots& roots = {});

// Who else uses a device: mounts and swap on it, on its partitions, or (of a partition) on its
// whole disk, and devices stacked on it (RAID, LVM, dm-crypt, loop). Neighbouring partitions do not
// count.
struct DeviceUse {
  enum class Kind : std::uint8_t { mount, swap, holder };
  Kind kind = Kind::mount;
  std::string what;  // "/dev/nvme0n1p1 is mounted on /srv"
};
std::vector<DeviceUse> device_uses(const BlockDevice& device, const SystemRoots& roots = {});

// A write hint that somebody left on the device's inode (F_SET_RW_HINT): it sticks across close and
// processes, and newer kernels take it for the stream of every write that names none. The number,
// 1 … 5, or nothing. We never set one.
std::optional<std::uint64_t> sticky_write_hint(int fd);

}  // namespace fdpstore::io
