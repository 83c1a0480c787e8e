// Raw backend: segments as ranges of an NVMe namespace, a block device, or a pre-sized file.
//
//   window + 0         superblock copy 0        window + 512 KiB   superblock copy 1
//   window + 1 MiB     segment 0, then the others, back to back
//
// Segments have the size of reclaim units, but need not begin at a multiple of it: a reclaim unit
// is not a range of addresses, it takes what is written with its placement id, in that order. So a
// segment and a unit stay in step when, for each placement id, segments are written one after the
// other, in full, and each begins in a fresh unit. This backend sees to the first and the last.
//
// Thread:  as Backend says.
// Owns:    the device (locked), ring.
// Errors:  messages name the path and the remedy; NVMe statuses are spelled out.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "backends/raw_placement.hpp"
#include "fdpstore/backend.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore::backends {

struct RawBackendOptions {
  std::string device_path;
  std::uint64_t base_offset_bytes = 0;
  std::uint64_t capacity_bytes = 0;  // 0: to the end of the device
  WriteMode write_mode = WriteMode::automatic;
  Strictness placement = Strictness::prefer;
  DirectiveOptions directives = {};
  std::uint64_t max_transfer_bytes = 0;  // lowers what the device allows
  std::optional<bool> use_odirect = {};  // false: through the page cache (no character device)
  std::uint32_t queue_depth = 64;
  bool format = false;              // may make a store where something else is
  bool read_only = false;           // no lock, only reads
  std::string chosen_because = {};  // for status: why this place, where there was a choice
};

// busy (mounted, swap, held, another process), foreign (something else is there, and no `format`),
// unsupported (block format, placement that was required, no io_uring), invalid_option, or the
// errno or NVMe status of the device.
[[nodiscard]] Result<std::unique_ptr<Backend>> open_raw_backend(const RawBackendOptions& options);

// What is there, without changing anything.
struct RawDeviceLook {
  bool has_store = false;
  std::string content;  // otherwise: what is there that is not ours; empty: nothing
  EffectivePlacement placement;
};
[[nodiscard]] Result<RawDeviceLook> look_at_raw_device(const RawBackendOptions& options);

// Makes the window blank: deallocates all of it and wipes what says that there is a store. Whatever
// was there is gone. `force`: even when something was there; else Errc::foreign names it.
[[nodiscard]] Result<void> wipe_raw_device(const RawBackendOptions& options, bool force);

}  // namespace fdpstore::backends
