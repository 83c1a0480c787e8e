// What a device, partition or file holds before it is formatted, as libblkid sees it: file systems,
// RAID, LVM, LUKS and swap signatures, partition tables. fdpstore's own superblock is not among
// them.
//
// Thread:  any; reads some hundred KiB, waits for the device, and moves the descriptor's position.
// Errors:  the errno of reading; Errc::invalid_argument for a window that leaves the device.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "fdpstore/result.hpp"

namespace fdpstore::io {

struct DeviceContent {
  std::string type;   // libblkid's name: "ext4", "LVM2_member", "crypto_LUKS", "swap", "gpt", …
  std::string usage;  // "filesystem", "raid", "crypto", "partition table", "other"
  std::string label;  // empty when it has none
  std::string what;   // "an ext4 file system labelled 'data'", "a gpt partition table"
};

struct ContentRange {
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;  // 0: to the end
};
// `fd` is a block device or file, readable, without O_DIRECT (not /dev/ngXnY: use its block
// device). Nothing found is nullopt. Signatures that contradict each other are reported together,
// as one.
[[nodiscard]] Result<std::optional<DeviceContent>> probe_content(int fd, const ContentRange& range,
                                                                 std::string_view path);

}  // namespace fdpstore::io
