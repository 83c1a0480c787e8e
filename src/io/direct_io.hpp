// Whether O_DIRECT works on a file system, and with which alignments: tried out, not assumed.
//
// Thread:  any.
// Errors:  of the probe itself (no permission, disk full); that O_DIRECT does not work is an
// answer.
#pragma once

#include <cstdint>
#include <string>

#include "fdpstore/result.hpp"

namespace fdpstore::io {

struct DirectIo {
  bool works = false;
  std::uint32_t offset_align_bytes = 0;  // of file offsets and transfer lengths
  std::uint32_t memory_align_bytes = 0;  // of buffer addresses, and of the lengths of iovec parts
  std::string reason;                    // why not, or how it was found out
};

// Names of files that a probe may leave behind when its process is killed begin with this.
inline constexpr char kProbePrefix[] = ".fdpstore-probe-";

// Writes an aligned block to a nameless temporary file in `directory` and reads it back.
[[nodiscard]] Result<DirectIo> probe_direct_io(const std::string& directory);
// The same by reading only, on an existing file of at least 4096 bytes.
[[nodiscard]] Result<DirectIo> probe_direct_read(const std::string& file);

}  // namespace fdpstore::io
