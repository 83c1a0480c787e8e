// Write-lifetime hints on files (fcntl F_SET_RW_HINT and its per-descriptor sibling).
//
// Thread:  any.
// Errors:  the errno. Never used on a block device: there the hint sticks to the device's inode,
//          across close and processes, and newer kernels read it as a stream number.
#pragma once

#include <cstdint>
#include <string_view>

#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore::io {

enum class WriteHintMechanism : std::uint8_t {
  none,
  inode,       // F_SET_RW_HINT (1036): a property of the inode, for all who write to it
  descriptor,  // F_SET_FILE_RW_HINT (1038): of the open file; gone since Linux 5.18
};

// "F_SET_RW_HINT", "F_SET_FILE_RW_HINT", "none".
std::string_view to_string(WriteHintMechanism mechanism);

// Whether `mechanism` works on this open file: sets the hint it already has, so nothing changes.
[[nodiscard]] Result<void> try_write_hint(int fd, WriteHintMechanism mechanism);
// The best that works: descriptor, else inode, else none.
[[nodiscard]] WriteHintMechanism probe_write_hint(int fd);

[[nodiscard]] Result<void> set_write_hint(int fd, WriteHintMechanism mechanism, Lifetime lifetime);
[[nodiscard]] Result<Lifetime> get_write_hint(int fd, WriteHintMechanism mechanism);

}  // namespace fdpstore::io
