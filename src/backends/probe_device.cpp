#include "backends/probe_device.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "backends/raw_backend.hpp"
#include "backends/raw_device.hpp"
#include "backends/raw_placement.hpp"
#include "io/block_device.hpp"

namespace fdpstore::backends {
namespace {

void fill_queue(DeviceInfo& out, const io::BlockDevice& device) {
  out.model = device.model;
  out.size_bytes = device.size_bytes;
  out.block_bytes = device.queue.logical_block_bytes.value_or(0);
  out.max_transfer_bytes = device.queue.max_hw_transfer_bytes.value_or(0);
  out.max_segments = device.queue.max_segments.value_or(0);
  out.max_write_streams = device.queue.max_write_streams;
  for (const io::DeviceUse& use : io::device_uses(device)) out.users.push_back(use.what);
}

void fill_namespace(DeviceInfo& out, const io::NvmeDescription& nvme) {
  out.nsid = nvme.nsid;
  out.endurance_group = nvme.identity.endurance_group;
  out.size_bytes = nvme.identity.size_bytes();
  out.block_bytes = nvme.identity.block_bytes;
  if (nvme.controller) {
    out.model = nvme.controller->model;
    out.serial = nvme.controller->serial;
    out.firmware = nvme.controller->firmware;
    const std::uint64_t most = nvme.controller->max_transfer_bytes;
    if (most != 0) {
      out.max_transfer_bytes =
          out.max_transfer_bytes == 0 ? most : std::min(out.max_transfer_bytes, most);
    }
  }
  out.fdp = nvme.handles.has_value();
  if (!nvme.handles) {
    out.fdp_reason = nvme.handles.error().message();
    out.statistics_reason = "FDP is not enabled";
    return;
  }
  for (const io::HandleStatus& handle : *nvme.handles) {
    out.handles.push_back({.pid = handle.pid.value,
                           .ruh = handle.handle,
                           .available_bytes = handle.available_blocks * out.block_bytes});
  }
  if (nvme.configuration) {
    out.reclaim_unit_bytes = nvme.configuration->reclaim_unit_bytes;
    if (!nvme.configuration->handles.empty()) {
      out.isolation = io::to_string(nvme.configuration->handles.front());
    }
  } else {
    out.fdp_reason = "its configuration cannot be read: " + nvme.configuration.error().message();
  }
  out.statistics = nvme.statistics.has_value();
  if (nvme.statistics) {
    out.host_written_bytes = nvme.statistics->host_written_bytes;
    out.media_written_bytes = nvme.statistics->media_written_bytes;
    out.media_erased_bytes = nvme.statistics->media_erased_bytes;
  } else {
    out.statistics_reason = nvme.statistics.error().message();
  }
}

void add_refused(PathInfo& info, const std::string& why) {
  for (const char* name : {"uring_cmd", "write_stream"}) {
    info.mechanisms.push_back({.name = name, .reason = why});
  }
}

void add_hint(PathInfo& info) {
  info.mechanisms.push_back(
      {.name = "F_SET_RW_HINT",
       .reason = "never used on a device: it would stick to it, for all programs"});
}

void add_mechanisms(PathInfo& info, const RawPlacementFacts& facts) {
  const bool commands = facts.passthrough && !facts.handles.empty();
  info.mechanisms.push_back(
      {.name = "uring_cmd",
       .works = facts.passthrough,
       .reaches_device = commands,
       .reason = commands            ? fmt::format("every write can carry one of {} placement ids",
                                                   facts.handles.size())
                 : facts.passthrough ? facts.fdp_reason
                                     : facts.passthrough_reason});
  info.mechanisms.push_back(
      {.name = "write_stream",
       .works = facts.write_streams > 0,
       .reaches_device = facts.write_streams > 0,
       .reason = facts.write_streams > 0
                     ? fmt::format("the kernel turns {} streams of the block device into placement "
                                   "ids",
                                   facts.write_streams)
                     : facts.write_stream_reason});
}

void describe_content(PathInfo& info) {
  const auto look = look_at_raw_device({.device_path = info.path, .read_only = true});
  if (!look) {
    info.content = "cannot be looked at: " + look.error().message();
  } else if (look->has_store) {
    info.content = "an fdpstore store";
  } else {
    info.content = look->content.empty() ? "blank" : look->content;
  }
}

std::string recommend(const PathInfo& info, const EffectivePlacement& automatic) {
  if (!info.device_info->users.empty()) {
    return "It is in use: unmount or detach it first, or name another device.";
  }
  if (!info.writable) {
    return "Give this user permission on the device (its group, or a udev rule).";
  }
  std::string use = fmt::format("device_path = {}{}", info.path,
                                automatic.reaches_device
                                    ? ", placement = require"
                                    : "; streams cannot be told apart here, so placement = prefer");
  if (info.content == "blank" || info.content == "an fdpstore store") return use;
  return fmt::format(
      "`fdpstore format {} --force` destroys what is there and makes a store; then "
      "{}",
      info.path, use);
}

}  // namespace

void probe_device(PathInfo& info) {
  const auto description = io::describe_path(info.path);
  if (!description || (description->kind != io::PathKind::block_device &&
                       description->kind != io::PathKind::nvme_character)) {
    info.content = "not looked at";
    const std::string why =
        fmt::format("{} is no block device and no NVMe namespace (/dev/ngXnY)", info.path);
    for (const char* name : {"uring_cmd", "write_stream"}) {
      info.mechanisms.push_back({.name = name, .reason = why});
    }
    info.recommended = "Name a directory, a block device, or the character device of a namespace.";
    return;
  }
  info.kind = io::to_string(description->kind);
  info.device = info.path;
  info.total_bytes = description->size_bytes;
  DeviceInfo& out = info.device_info.emplace();
  if (description->device) fill_queue(out, *description->device);
  auto device = RawDevice::open({.path = info.path, .read_only = true});
  if (!device) {
    info.content = "cannot be looked at: " + device.error().message();
    out.fdp_reason = out.statistics_reason = device.error().message();
    add_refused(info, device.error().message());
    add_hint(info);
    info.recommended = device.error().message();
    return;
  }
  if (device->nvme()) {
    fill_namespace(out, *device->nvme());
  } else {
    out.fdp_reason = out.statistics_reason = "it is no NVMe namespace";
  }
  out.warnings = device->warnings();
  if (info.total_bytes == 0) info.total_bytes = out.size_bytes;
  const RawPlacementFacts facts = device->placement_facts();
  add_mechanisms(info, facts);
  add_hint(info);
  describe_content(info);
  const auto automatic = choose_raw_placement({.path = info.path}, facts);
  if (automatic) {
    info.automatic = fmt::format("{}: {}", to_string(automatic->effective.effective),
                                 automatic->effective.reason);
    info.recommended = recommend(info, automatic->effective);
  } else {
    info.automatic = automatic.error().message();
  }
}

}  // namespace fdpstore::backends
