// RawBackend: reclaim units, and what the device says of them.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "backends/raw_backend_impl.hpp"

namespace fdpstore::backends {

std::optional<io::PlacementId> RawBackend::pid_of(std::uint16_t directive) const {
  if (commands_) return io::PlacementId{directive};
  const auto& nvme = device_.nvme();
  if (!nvme || !nvme->handles || directive == 0 || directive > nvme->handles->size()) return {};
  return (*nvme->handles)[directive - 1U].pid;
}

// Makes sure that the segment that begins now has a fresh reclaim unit before it.
void RawBackend::start_unit(std::uint16_t directive) {
  const auto pid = pid_of(directive);
  if (!pid || !device_.nvme_device()) {
    if (unit_problem_.empty()) {
      unit_problem_ =
          "the device cannot be asked how full a reclaim unit is, so segments and "
          "reclaim units may drift apart";
    }
    return;
  }
  const io::NvmeDevice& device = *device_.nvme_device();
  auto handles = device.handle_status();
  const std::uint64_t unit =
      geometry_.unit_bytes != 0 ? geometry_.unit_bytes : geometry_.segment_bytes;
  if (handles) {
    const auto found = std::ranges::find(*handles, *pid, &io::HandleStatus::pid);
    if (found == handles->end() || found->available_blocks * block_bytes_ == unit) return;
    auto updated = device.update_handles({&*pid, 1});
    if (updated) {
      ++unit_updates_;
      // One that was left part empty on purpose is in step.
      const std::int32_t lane = lane_of(directive);
      const bool on_purpose =
          lane != kNoLane &&
          std::exchange(lanes_[static_cast<std::size_t>(lane)].short_unit, false);
      if (placement_.metadata != directive && !on_purpose) ++data_unit_updates_;
      return;
    }
    handles = fail(std::move(updated.error()));
  }
  unit_problem_ = "segments and reclaim units may drift apart: " + handles.error().message();
}

// Events are how a device says that a unit was closed before it was full, or that a placement id
// was not valid: on real drives such a write succeeds.
void RawBackend::watch_events() {
  if (placement_.data.empty() || !device_.nvme_device() || !device_.nvme() ||
      !device_.nvme()->configuration) {
    return;
  }
  const io::NvmeDevice& device = *device_.nvme_device();
  const io::FdpConfiguration& configuration = *device_.nvme()->configuration;
  std::vector<std::uint16_t> directives = placement_.data;
  if (placement_.metadata) directives.push_back(*placement_.metadata);
  for (const std::uint16_t directive : directives) {
    const auto pid = pid_of(directive);
    if (!pid) continue;
    const std::uint16_t handle = configuration.placement_handle(*pid);
    const auto supported = device.supported_events(handle);
    if (!supported) {
      event_problem_ = supported.error().message();
      return;
    }
    std::vector<io::FdpEventType> types;
    for (const auto& event : *supported) {
      if (!event.enabled && event.type < io::FdpEventType::media_reallocated) {
        types.push_back(event.type);
      }
    }
    if (types.empty()) continue;
    if (auto enabled = device.enable_events(handle, types, true); !enabled) {
      event_problem_ = enabled.error().message();
      return;
    }
  }
  const auto events = read_events();
  for (const io::FdpEvent& event : events) {
    events_seen_ms_ = std::max(events_seen_ms_, event.timestamp_ms);
  }
}

std::vector<io::FdpEvent> RawBackend::read_events() const {
  if (options_.read_only || !device_.nvme_device() || !device_.nvme()) return {};
  if (!event_problem_.empty()) return {};
  auto events = device_.nvme_device()->fdp_events(device_.nvme()->identity.endurance_group,
                                                  io::NvmeDevice::EventSource::host);
  return events ? std::move(*events) : std::vector<io::FdpEvent>();
}

Result<DeviceStatistics> RawBackend::statistics() const {
  if (!device_.nvme_device() || !device_.nvme()) {
    return fail(Errc::unsupported, describe() + " is no NVMe namespace that can be asked");
  }
  const auto log = device_.nvme_device()->fdp_statistics(device_.nvme()->identity.endurance_group);
  if (!log) return fail(log.error());
  return DeviceStatistics{.host_written_bytes = log->host_written_bytes,
                          .media_written_bytes = log->media_written_bytes,
                          .media_erased_bytes = log->media_erased_bytes};
}

std::vector<std::string> RawBackend::warnings() const {
  std::vector<std::string> out = device_.warnings();
  if (geometry_.unit_bytes != 0 && geometry_.segment_bytes % geometry_.unit_bytes != 0) {
    out.push_back(fmt::format(
        "segment_bytes = {} is no multiple of the reclaim unit ({} bytes): a segment that is freed "
        "leaves part of a unit alive, which the device has to copy; make the store anew without "
        "segment_bytes",
        geometry_.segment_bytes, geometry_.unit_bytes));
  }
  const bool part = device_.base_bytes() + device_.window_bytes() + geometry_.align_bytes <=
                        device_.medium_bytes() ||
                    device_.base_bytes() != 0 ||
                    (device_.description().device && device_.description().device->partition);
  const bool ids_given =
      !options_.directives.placement_ids.empty() || !options_.directives.data_ruh_ids.empty();
  if (!placement_.data.empty() && part && !ids_given) {
    out.emplace_back(
        "the store has a part of the device: others on it need placement ids of their "
        "own (fdp_placement_ids in each), else write amplification 1.0 is not "
        "promised");
  }
  if (!placement_.data.empty() && !placement_.metadata) {
    out.emplace_back(
        "data and metadata share a placement id: write amplification 1.0 is not "
        "promised");
  }
  if (!unit_problem_.empty()) out.push_back(unit_problem_);
  if (data_unit_updates_ != 0) {
    out.push_back(
        fmt::format("{} reclaim units were closed before they were full, to keep them in step with "
                    "segments",
                    data_unit_updates_));
  }
  std::uint64_t events = 0, expected = unit_updates_;
  std::string last;
  for (const io::FdpEvent& event : read_events()) {
    if (event.timestamp_ms <= events_seen_ms_) continue;
    // Each unit that we close early makes one.
    if (event.type == io::FdpEventType::unit_not_fully_written && expected > 0) {
      --expected;
      continue;
    }
    ++events;
    last = to_string(event.type);
  }
  if (events != 0) {
    out.push_back(
        fmt::format("the device reported {} placement events since open (the last one: "
                    "{}); its endurance group may have other writers",
                    events, last));
  }
  return out;
}

}  // namespace fdpstore::backends
