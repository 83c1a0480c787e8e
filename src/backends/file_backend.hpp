// File backend: segments as files of a directory, for layouts `segment` and `prompt`.
//
//   <base_path>/superblock                          two copies of 4096 bytes; the lock is on it
//   <base_path>/segments/00000012.seg               an ordinary segment, allocated in full
//   <base_path>/segments/prompt-1f2e3d4c-00000013.seg   one that serves a prompt, and grows
//
// Thread:  as Backend says; opening may happen on another thread than use.
// Owns:    the lock, descriptors and ring. At most one store has a directory open for writing.
// Errors:  messages name the path and the remedy; see open_file_backend().
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "fdpstore/backend.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore::backends {

struct FileBackendOptions {
  std::string base_path;
  bool prompt_files = false;         // layout `prompt`: segments of a prompt get files that grow
  std::uint64_t capacity_bytes = 0;  // gives max_segments; the core keeps the bound
  std::optional<bool> use_odirect = {};  // unset: where a probe succeeds
  WriteMode write_mode = WriteMode::automatic;
  Strictness placement = Strictness::prefer;
  std::uint32_t queue_depth = 64;
  std::uint32_t file_mode = 0600;
  std::uint32_t max_sealed_descriptors = 256;  // open files of sealed segments; others are reopened
  bool format = false;                         // may create a store beside what is not ours
  bool read_only = false;                      // no lock, nothing created, only reads
  std::string chosen_because = {};  // for status: why this place, where there was a choice
};

// not_found (read_only and no store there), busy (another process has it open), foreign (other
// programs' files, and no `format`), unsupported (O_DIRECT or placement that was required, no
// io_uring), invalid_option, or the errno of the file system.
[[nodiscard]] Result<std::unique_ptr<Backend>> open_file_backend(const FileBackendOptions& options);

}  // namespace fdpstore::backends
