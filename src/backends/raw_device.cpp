#include "backends/raw_device.hpp"

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include "fdpstore/backend.hpp"
#include "io/device_content.hpp"
#include "io/nvme_status.hpp"

namespace fdpstore::backends {
namespace {

Error cannot_open(int error, const std::string& path) {
  std::string what = fmt::format("cannot open device_path {}", path);
  if (error == EACCES || error == EPERM) {
    what += fmt::format(
        ": not permitted to this user (uid {}); add the user to the device's group, or have a udev "
        "rule set its owner",
        ::geteuid());
  } else if (error == EROFS) {
    what += ": it is read-only; make it writable (blockdev --setrw), or name another one";
  } else if (error == ENXIO || error == ENODEV) {
    what += ": there is no device behind it";
  }
  return {std::error_code(error, std::generic_category()), std::move(what)};
}

}  // namespace

Result<RawDevice> RawDevice::open(const Options& options) {
  RawDevice device(options);
  auto description = io::describe_path(options.path);
  if (!description) return fail(std::move(description.error()));
  device.description_ = std::move(*description);
  Result<void> opened;
  switch (device.description_.kind) {
    case io::PathKind::absent:
      return fail_errno(ENOENT,
                        fmt::format("device_path {} does not exist; name a device, or make a file "
                                    "of the size wanted (fallocate -l SIZE {})",
                                    options.path, options.path));
    case io::PathKind::directory:
      return fail(Errc::invalid_option,
                  fmt::format("device_path {} is a directory; give it as base_path, or name a "
                              "device",
                              options.path));
    case io::PathKind::other:
      return fail(Errc::invalid_option,
                  fmt::format("device_path {} is neither a block device, nor the character device "
                              "of an NVMe namespace (/dev/ngXnY), nor a file",
                              options.path));
    case io::PathKind::regular_file: opened = device.open_file(); break;
    case io::PathKind::block_device:
    case io::PathKind::nvme_character: opened = device.open_device(); break;
  }
  if (opened) opened = device.set_window();
  if (opened && !options.read_only) opened = device.lock();
  if (!opened) return fail(std::move(opened.error()));
  return device;
}

Result<void> RawDevice::open_file() {
  const int access = options_.read_only ? O_RDONLY : O_RDWR;
  auto file = io::open_file(options_.path, access | (options_.direct ? O_DIRECT : 0));
  if (!file) return fail(cannot_open(file.error().code.value(), options_.path));
  block_ = std::move(*file);
  block_path_ = options_.path;
  character_reason_ = options_.path + " is a file, not an NVMe namespace";
  auto lock = io::open_file(options_.path, access);
  if (!lock) return fail(cannot_open(lock.error().code.value(), options_.path));
  lock_ = std::move(*lock);
  return {};
}

Result<void> RawDevice::open_device() {
  if (!description_.device) {
    return fail(
        Errc::invalid_option,
        fmt::format("{} is not known to the kernel's /sys; name a device that is", options_.path));
  }
  if (auto free = check_users(); !free) return free;
  if (auto opened = open_nodes(); !opened) return opened;
  if (description_.device->nvme || description_.kind == io::PathKind::nvme_character) {
    if (auto described = describe_namespace(); !described) return described;
  }
  if (block_) {
    if (const auto hint = io::sticky_write_hint(block_.get())) {
      warnings_.push_back(fmt::format(
          "somebody left write hint {} on {}: newer kernels send every write without a stream to "
          "that one; reset it (F_SET_RW_HINT, 0)",
          *hint, options_.path));
    }
  }
  return {};
}

Result<void> RawDevice::check_users() const {
  if (options_.read_only) return {};
  const auto uses = io::device_uses(*description_.device, options_.roots);
  if (uses.empty()) return {};
  std::vector<std::string> what;
  what.reserve(uses.size());
  for (const io::DeviceUse& use : uses) what.push_back(use.what);
  return fail(Errc::busy, fmt::format("device_path {} is in use: {}; unmount or detach it, or name "
                                      "another device",
                                      options_.path, fmt::join(what, "; ")));
}

// Both nodes of a namespace, as far as they can be had; the one that was named has to be.
Result<void> RawDevice::open_nodes() {
  const io::BlockDevice& device = *description_.device;
  const bool named_character = description_.kind == io::PathKind::nvme_character;
  const int access = options_.read_only ? O_RDONLY : O_RDWR;
  const std::string character = named_character ? options_.path : device.character_path;
  const std::string block = named_character ? device.block_path : options_.path;
  if (!character.empty()) {
    auto opened = io::open_file(character, access);
    if (opened) {
      character_ = std::move(*opened);
    } else if (named_character) {
      return fail(cannot_open(opened.error().code.value(), character));
    } else {
      character_reason_ = cannot_open(opened.error().code.value(), character).message();
    }
  } else {
    character_reason_ = options_.path + " is no NVMe namespace";
  }
  if (!block.empty()) {
    auto opened = io::open_file(block, access | (options_.direct ? O_DIRECT : 0));
    if (opened) {
      block_ = std::move(*opened);
      block_path_ = block;
    } else {
      const int error = opened.error().code.value();
      if (!named_character) return fail(cannot_open(error, block));
      block_reason_ = cannot_open(error, block).message();
    }
  } else {
    block_reason_ = options_.path + " has no block device";
  }
  if (device.partition && !named_character) start_bytes_ = device.start_bytes;
  // One node for all windows and partitions of a disk.
  const std::string whole = device.block_path.empty() ? block : device.block_path;
  const std::string lock_path = block_ ? whole : character;
  auto lock = io::open_file(lock_path, access);
  if (!lock && block_) lock = io::open_file(block, access);
  if (!lock) return fail(cannot_open(lock.error().code.value(), lock_path));
  lock_ = std::move(*lock);
  if (!block_) {  // who opens the block device will not see the lock
    warnings_.push_back(fmt::format("the lock is on {} only: {}", character, block_reason_));
  }
  return {};
}

Result<void> RawDevice::describe_namespace() {
  const int fd = character_ ? character_.get() : block_.get();
  auto device = io::NvmeDevice::open(fd, options_.path);
  if (!device) {
    if (!block_) return fail(std::move(device.error()));
    character_reason_ = device.error().message();
    character_.reset();
    return {};
  }
  device_.emplace(std::move(*device));
  auto described = device_->describe();
  if (!described) {
    if (!block_) return fail(std::move(described.error()));
    character_reason_ = described.error().message();
    character_.reset();
    device_.reset();
    return {};
  }
  nvme_.emplace(std::move(*described));
  const std::string unusable = io::unusable_format(nvme_->identity);
  if (!unusable.empty()) {
    return fail(Errc::unsupported, fmt::format("device_path {}: {}", options_.path, unusable));
  }
  if (nvme_->identity.block_bytes > kBlockBytes) {
    return fail(Errc::unsupported,
                fmt::format("device_path {} has blocks of {} bytes, and records are made of {}; "
                            "format the namespace with smaller ones (nvme format --lbaf=…)",
                            options_.path, nvme_->identity.block_bytes, kBlockBytes));
  }
  return {};
}

Result<void> RawDevice::set_window() {
  std::uint64_t size = description_.size_bytes;
  if (nvme_ && start_bytes_ == 0 && description_.kind == io::PathKind::nvme_character) {
    size = nvme_->identity.size_bytes();
  }
  if (options_.base_offset_bytes % kBlockBytes != 0) {
    return fail(Errc::invalid_option, fmt::format("base_offset_bytes = {} is no multiple of {}",
                                                  options_.base_offset_bytes, kBlockBytes));
  }
  if (options_.base_offset_bytes >= size) {
    return fail(Errc::invalid_option,
                fmt::format("base_offset_bytes = {} lies beyond {}, which has {} bytes{}",
                            options_.base_offset_bytes, options_.path, size,
                            size == 0 ? "; give the file a size (fallocate -l SIZE)" : ""));
  }
  medium_bytes_ = size;
  const std::uint64_t room = (size - options_.base_offset_bytes) / kBlockBytes * kBlockBytes;
  if (options_.capacity_bytes > room) {
    return fail(
        Errc::invalid_option,
        fmt::format("capacity_bytes = {} from offset {} on is more than {} has ({} bytes in all): "
                    "lower it to {}, or leave it out to take all",
                    options_.capacity_bytes, options_.base_offset_bytes, options_.path, size,
                    room));
  }
  window_bytes_ = options_.capacity_bytes == 0 ? room : options_.capacity_bytes;
  return {};
}

Result<void> RawDevice::lock() {
  auto taken = WriteLock::acquire(lock_.get(), command_base_bytes(), window_bytes_, options_.path);
  if (!taken) return fail(std::move(taken.error()));
  if (*taken) {
    locked_.emplace(std::move(**taken));
    return {};
  }
  return fail(
      Errc::busy,
      fmt::format("device_path {}: another fdpstore process has bytes {} to {} in use "
                  "('fuser {}' shows who has it open); close that one, or choose another "
                  "window (base_offset_bytes, capacity_bytes)",
                  options_.path, base_bytes(), base_bytes() + window_bytes_, options_.path));
}

RawPlacementFacts RawDevice::placement_facts() const {
  RawPlacementFacts facts;
  facts.passthrough = static_cast<bool>(character_) && nvme_.has_value();
  facts.passthrough_reason = character_reason_;
  if (nvme_ && nvme_->handles) {
    facts.handles = *nvme_->handles;
    if (facts.handles.empty()) facts.fdp_reason = "the namespace has no placement handles";
  } else if (nvme_) {
    facts.fdp_reason =
        nvme_->handles.error().code == io::NvmeStatus::fdp_disabled
            ? "FDP is not enabled on this namespace (" + nvme_->handles.error().message() + ")"
            : nvme_->handles.error().message();
  }
  facts.block = static_cast<bool>(block_) && description_.device.has_value();
  if (!description_.device) {
    facts.write_stream_reason = options_.path + " is a file";
  } else if (!block_) {
    facts.write_stream_reason = block_reason_;
  } else if (!description_.device->queue.max_write_streams) {
    facts.write_stream_reason = "this kernel has none (Linux 6.16 and later)";
  } else if (*description_.device->queue.max_write_streams == 0) {
    facts.write_stream_reason = "the kernel sees none on this device (max_write_streams is 0)";
  } else {
    facts.write_streams = *description_.device->queue.max_write_streams;
  }
  return facts;
}

std::uint64_t RawDevice::unit_bytes() const {
  if (nvme_ && nvme_->configuration && nvme_->configuration->reclaim_unit_bytes != 0 &&
      nvme_->handles) {
    return nvme_->configuration->reclaim_unit_bytes;
  }
  if (description_.device && description_.device->queue.max_write_streams.value_or(0) > 0) {
    return description_.device->queue.write_stream_granularity_bytes.value_or(0);
  }
  return 0;
}

Result<std::string> RawDevice::foreign_content(std::span<const std::byte> head) const {
  if (block_) {
    auto fd = io::open_file(block_path_, O_RDONLY);
    if (!fd) return fail(cannot_open(fd.error().code.value(), block_path_));
    auto found = io::probe_content(fd->get(), {base_bytes(), window_bytes_}, options_.path);
    if (!found) return fail(std::move(found.error()));
    if (*found) return (*found)->what;
  }
  const auto blank = [&](std::byte value) {
    return std::ranges::all_of(head, [value](std::byte b) { return b == value; });
  };
  if (blank(std::byte{0}) || blank(std::byte{0xFF})) return std::string();
  return std::string("data that is not fdpstore's");
}

}  // namespace fdpstore::backends
