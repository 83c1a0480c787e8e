// What an NVMe namespace says about itself, decoded from its bytes. Pure functions, no device.
//
// Thread:  any.
// Units:   bytes, unless a name says blocks; blocks are those of the format in use.
// Errors:  Errc::corrupt for data that contradicts itself or is too short.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/result.hpp"
#include "io/nvme_command.hpp"

namespace fdpstore::io {

struct NamespaceIdentity {
  std::uint64_t size_blocks = 0;      // NSZE: addressable
  std::uint64_t capacity_blocks = 0;  // NCAP: may be less with thin provisioning
  std::uint32_t block_bytes = 0;      // data of one block
  std::uint16_t metadata_bytes = 0;   // beside each block; 0 is what we can use
  bool extended_blocks = false;       // the metadata is the tail of the block, not a second buffer
  std::uint8_t protection_type = 0;   // end-to-end protection information in use: 0 none, 1 … 3
  std::uint16_t endurance_group = 0;  // ENDGID; 0: none
  std::uint32_t preferred_write_blocks = 0;       // NPWG; 0: not stated
  std::uint32_t deallocate_blocks = 0;            // NPDG, granularity; 0: not stated
  std::uint32_t deallocate_alignment_blocks = 0;  // NPDA; 0: not stated
  // How deallocated blocks read (DLFEAT): nothing when they may read as anything, old data too.
  std::optional<std::byte> deallocated_reads;
  [[nodiscard]] std::uint64_t size_bytes() const { return size_blocks * block_bytes; }
};
// `data` is Identify Namespace, 4096 bytes.
[[nodiscard]] Result<NamespaceIdentity> parse_identify_namespace(std::span<const std::byte> data);
// Why a namespace of this format cannot be used, and what to do; empty when it can.
std::string unusable_format(const NamespaceIdentity& identity);

struct ControllerIdentity {
  std::string model, serial, firmware;
  // MDTS, with memory pages of 4 KiB: larger ones (CAP.MPSMIN), which a host cannot ask for, would
  // only raise it. 0: no limit.
  std::uint64_t max_transfer_bytes = 0;
  bool deallocate = false;  // ONCS: Dataset Management
  bool volatile_write_cache = false;
  bool fdp = false;  // CTRATT: the controller supports Flexible Data Placement
  std::uint16_t nvme_major = 0, nvme_minor = 0;
};
[[nodiscard]] Result<ControllerIdentity> parse_identify_controller(std::span<const std::byte> data);
// `data` is Identify Controller of the NVM command set, 4096 bytes.
[[nodiscard]] Result<DeallocateLimits> parse_deallocate_limits(std::span<const std::byte> data);

// One placement handle of the namespace, in the order of its placement handle list.
struct HandleStatus {
  PlacementId pid;
  std::uint16_t handle = 0;            // RUH identifier; not always the PID
  std::uint32_t time_left_s = 0;       // EARUTR; 0: not reported
  std::uint64_t available_blocks = 0;  // RUAMW: left in the reclaim unit it points to now
  bool operator==(const HandleStatus&) const = default;
};
// I/O Management Receive's data; what does not fit the buffer is left out.
[[nodiscard]] Result<std::vector<HandleStatus>> parse_handle_status(
    std::span<const std::byte> data);

enum class Isolation : std::uint8_t { initial = 1, persistent = 2 };
std::string_view to_string(Isolation isolation);  // "initially isolated", …

// The FDP feature of an endurance group (Get Features 0x1D).
struct FdpFeature {
  bool enabled = false;
  std::uint8_t configuration = 0;  // index in the configurations log
};
FdpFeature parse_fdp_feature(std::uint32_t result);

struct FdpConfiguration {
  std::uint8_t index = 0;
  bool valid = false;
  std::uint64_t reclaim_unit_bytes = 0;  // RUNS
  std::uint32_t reclaim_groups = 0;
  std::uint8_t group_id_bits = 0;  // RGIF: upper bits of a PID that name the reclaim group
  std::uint32_t time_limit_s = 0;  // ERUTL; 0: not reported
  std::vector<Isolation> handles;  // one per RUH of the endurance group
  // The placement handle in a PID.
  [[nodiscard]] std::uint16_t placement_handle(PlacementId pid) const;
};
// The FDP configurations log (0x20).
[[nodiscard]] Result<std::vector<FdpConfiguration>> parse_fdp_configurations(
    std::span<const std::byte> data);

// The FDP statistics log (0x22). All of an endurance group, whoever wrote. Numbers beyond 64 bits
// (16 EiB) stay at the largest.
struct FdpStatistics {
  std::uint16_t endurance_group = 0;
  std::uint64_t host_written_bytes = 0;   // HBMW
  std::uint64_t media_written_bytes = 0;  // MBMW
  std::uint64_t media_erased_bytes = 0;   // MBE
};
[[nodiscard]] Result<FdpStatistics> parse_fdp_statistics(std::span<const std::byte> data,
                                                         std::uint16_t endurance_group);

enum class FdpEventType : std::uint8_t {
  unit_not_fully_written = 0x00,  // host events
  unit_time_limit = 0x01,
  reset_modified_handles = 0x02,
  invalid_placement_id = 0x03,
  media_reallocated = 0x80,  // controller events
  handle_implicitly_modified = 0x81,
};
std::string to_string(FdpEventType type);  // "reclaim unit not fully written", …

struct FdpEvent {
  FdpEventType type = FdpEventType::unit_not_fully_written;
  std::optional<PlacementId> pid;
  std::optional<std::uint32_t> nsid;
  std::optional<std::uint16_t> reclaim_group;  // with `handle`
  std::optional<std::uint16_t> handle;         // RUH identifier
  // Of the controller's clock: since 1970 where the host set it, else since its last reset.
  std::uint64_t timestamp_ms = 0;
  bool host_clock = false;
  bool operator==(const FdpEvent&) const = default;
};
// The FDP events log (0x23), oldest first as the device lists them.
[[nodiscard]] Result<std::vector<FdpEvent>> parse_fdp_events(std::span<const std::byte> data);

}  // namespace fdpstore::io
