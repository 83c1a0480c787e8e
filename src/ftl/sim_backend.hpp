// Sim backend: segments on a simulated SSD, laid out and kept in step with reclaim units as the raw
// backend does it on a namespace with FDP (backends/raw_backend.hpp):
//
//   window + 0         superblock copy 0        window + 512 KiB   superblock copy 1
//   window + 1 MiB     segment 0, then the others, back to back
//
// RUH 0 takes metadata and what carries no directive, the others take data, one handle each; a
// device with one RUH has both on it. With `fdp=off` all writes make one stream.
//
// Time is the device's: completions come in the order of their time there, and reap() moves the
// clock to the one it gives (together with those of the same moment). With nothing in flight it
// waits in real time, and only a wait that was not cut short by wake() passes for the device too.
//
// Thread:  as Backend says.
// Owns:    a share of the device, and the claim to it.
// Errors:  busy (another backend has the device), foreign, unsupported (placement that was
//          required), invalid_option; they name the device's URI.
#pragma once

#include <cstdint>
#include <memory>

#include "fdpstore/backend.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"
#include "ftl/sim_device.hpp"

namespace fdpstore::ftl {

struct SimBackendOptions {
  std::uint64_t base_offset_bytes = 0;
  std::uint64_t capacity_bytes = 0;             // 0: to the end of the device
  WriteMode write_mode = WriteMode::automatic;  // automatic, uring_cmd: placed; plain: not
  Strictness placement = Strictness::prefer;
  std::uint64_t max_transfer_bytes = 0;  // lowers what one command takes
  bool format = false;                   // may make a store where something else is
  bool read_only = false;                // claims nothing, only reads
};

[[nodiscard]] Result<std::unique_ptr<Backend>> open_sim_backend(std::shared_ptr<SimDevice> device,
                                                                const SimBackendOptions& options);

}  // namespace fdpstore::ftl
