// An NVMe namespace asked about itself: identify data and everything about Flexible Data Placement.
//
// Thread:  any; every call waits for the device (microseconds to milliseconds).
// Borrows: the descriptor, of /dev/ngXnY or /dev/nvmeXnY (a partition will do: commands go to the
//          namespace as a whole), which must outlive it.
// Units:   as nvme_data.hpp.
// Errors:  an NVMe status (category "nvme"), or the errno: EACCES where admin commands are refused
//          (they need CAP_SYS_ADMIN but for some identifies), ENOTTY where the path is no
//          namespace.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fdpstore/result.hpp"
#include "io/nvme_command.hpp"
#include "io/nvme_data.hpp"

namespace fdpstore::io {

// All at once. What the device or the kernel refused is absent, and its error says why.
struct NvmeDescription {
  std::uint32_t nsid = 0;
  NamespaceIdentity identity;
  Result<ControllerIdentity> controller;
  Result<DeallocateLimits> deallocate_limits;  // absent: split by kMaxNvmeRanges alone
  Result<std::vector<HandleStatus>> handles;   // absent with NvmeStatus::fdp_disabled: no FDP
  Result<FdpFeature> fdp;
  Result<FdpConfiguration> configuration;  // the one in use
  Result<FdpStatistics> statistics;
};

class NvmeDevice {
 public:
  // Asks for the namespace id. `path` serves messages.
  [[nodiscard]] static Result<NvmeDevice> open(int fd, std::string path);

  [[nodiscard]] std::uint32_t nsid() const { return nsid_; }
  [[nodiscard]] const std::string& path() const { return path_; }

  [[nodiscard]] Result<NvmeDescription> describe() const;

  [[nodiscard]] Result<NamespaceIdentity> identify_namespace() const;
  [[nodiscard]] Result<ControllerIdentity> identify_controller() const;
  [[nodiscard]] Result<DeallocateLimits> deallocate_limits() const;

  // I/O commands: permission on the device suffices (RUH Update needs it open for writing).
  [[nodiscard]] Result<std::vector<HandleStatus>> handle_status() const;
  // Each named handle starts a fresh reclaim unit.
  [[nodiscard]] Result<void> update_handles(std::span<const PlacementId> pids) const;
  // Any I/O command, synchronously, with one buffer (or none).
  [[nodiscard]] Result<void> execute(NvmeCommand command, std::span<std::byte> data) const;

  // Admin commands about an endurance group.
  [[nodiscard]] Result<FdpFeature> fdp_feature(std::uint16_t endurance_group) const;
  [[nodiscard]] Result<std::vector<FdpConfiguration>> fdp_configurations(
      std::uint16_t endurance_group) const;
  [[nodiscard]] Result<FdpStatistics> fdp_statistics(std::uint16_t endurance_group) const;

  enum class EventSource : std::uint8_t { host, controller };
  [[nodiscard]] Result<std::vector<FdpEvent>> fdp_events(std::uint16_t endurance_group,
                                                         EventSource source) const;
  struct EventSupport {
    FdpEventType type = FdpEventType::unit_not_fully_written;
    bool enabled = false;
  };
  // `placement_handle` is FdpConfiguration::placement_handle(pid).
  [[nodiscard]] Result<std::vector<EventSupport>> supported_events(
      std::uint16_t placement_handle) const;
  [[nodiscard]] Result<void> enable_events(std::uint16_t placement_handle,
                                           std::span<const FdpEventType> types, bool on) const;

 private:
  NvmeDevice(int fd, std::uint32_t nsid, std::string path)
      : fd_(fd), nsid_(nsid), path_(std::move(path)) {}
  [[nodiscard]] Result<void> run(NvmeCommand command, std::span<std::byte> data,
                                 std::string what) const;

  int fd_;
  std::uint32_t nsid_;
  std::string path_;
};

}  // namespace fdpstore::io
