// What lies below a path: file system, device, and whether write hints get through to it.
//
// Thread:  any.
// Errors:  of the path itself; what cannot be found out is left empty.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "fdpstore/result.hpp"

namespace fdpstore::backends {

struct FileSystem {
  std::string name;    // "ext4", "xfs", …; "" when unknown
  std::string device;  // "/dev/nvme0n1p1", "tmpfs", …
  std::uint64_t total_bytes = 0;
  std::uint64_t free_bytes = 0;  // for this user: less what is reserved for root
  bool read_only = false;
  // Write streams of the device's queue (sysfs, Linux ≥ 6.16); nothing when it does not say.
  std::optional<std::uint32_t> max_write_streams;
};
[[nodiscard]] Result<FileSystem> file_system_of(const std::string& path);

// queue/max_write_streams of a block device, or of the disk that a partition belongs to.
std::optional<std::uint32_t> max_write_streams(std::uint32_t major, std::uint32_t minor);

struct HintReach {
  bool reaches_device = false;
  std::string reason;  // one sentence
};
// What becomes of a hint that the inode has accepted.
HintReach hint_reach(const FileSystem& file_system);

}  // namespace fdpstore::backends
