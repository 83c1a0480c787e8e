#include "ftl/sim_device.hpp"

#include <cassert>
#include <map>
#include <utility>

#include <fmt/format.h>

namespace fdpstore::ftl {

Result<std::shared_ptr<SimDevice>> SimDevice::make(const SimParameters& parameters) {
  FtlParameters flash = parameters.ftl;
  if (!parameters.fdp) flash.handles = 1;
  auto ftl = Ftl::make(flash);
  if (!ftl) return fail(Error{ftl.error().code, "sim: " + ftl.error().what});
  return std::shared_ptr<SimDevice>(new SimDevice(parameters, std::move(*ftl)));
}

Result<std::shared_ptr<SimDevice>> SimDevice::find_or_make(const SimParameters& parameters) {
  if (parameters.name.empty()) return make(parameters);
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<SimDevice>, std::less<>> devices;
  const std::lock_guard guard(mutex);
  std::erase_if(devices, [](const auto& entry) { return entry.second.expired(); });
  if (auto found = devices[parameters.name].lock()) {
    if (found->parameters() == parameters) return found;
    return fail(Errc::invalid_option,
                fmt::format("sim: name = {}: it is in use as {}, and was asked for as {}: use "
                            "another name, or the same parameters",
                            parameters.name, found->uri(), to_string(parameters)));
  }
  auto made = make(parameters);
  if (made) devices[parameters.name] = *made;
  return made;
}

SimDevice::SimDevice(const SimParameters& parameters, Ftl ftl)
    : parameters_(parameters),
      ftl_(std::move(ftl)),
      content_(parameters.ftl.capacity_bytes),
      time_(parameters.time, parameters.ftl) {
  ftl_.set_log(&ops_);
}

double SimDevice::write(std::uint64_t offset_bytes, std::span<const iovec> spans,
                        std::uint32_t handle) {
  const std::lock_guard guard(mutex_);
  if (cut_) return clock_.now_s();
  std::uint64_t bytes = 0;
  for (const iovec& span : spans) {
    assert(span.iov_base != nullptr || !parameters_.keep_payload);
    if (span.iov_base == nullptr) {
      content_.forget(offset_bytes + bytes, span.iov_len);
    } else {
      content_.write(offset_bytes + bytes,
                     {static_cast<const std::byte*>(span.iov_base), span.iov_len});
    }
    bytes += span.iov_len;
  }
  ops_.clear();
  ftl_.write(offset_bytes, bytes, parameters_.fdp ? handle : 0);
  return time_.write(clock_.now_s(), bytes, ops_);
}

double SimDevice::read(std::uint64_t offset_bytes, std::span<const iovec> spans) {
  const std::lock_guard guard(mutex_);
  std::uint64_t bytes = 0;
  for (const iovec& span : spans) {
    if (span.iov_base != nullptr) {
      content_.read(offset_bytes + bytes, {static_cast<std::byte*>(span.iov_base), span.iov_len});
    }
    bytes += span.iov_len;
  }
  places_.clear();
  const std::uint64_t unit = parameters_.ftl.map_bytes;
  for (std::uint64_t at = offset_bytes / unit; at * unit < offset_bytes + bytes; ++at) {
    if (const auto place = ftl_.place_of(static_cast<std::uint32_t>(at))) {
      places_.push_back(*place);
    }
  }
  return time_.read(clock_.now_s(), bytes, places_);
}

double SimDevice::deallocate(std::uint64_t offset_bytes, std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  if (cut_) return clock_.now_s();
  content_.forget(offset_bytes, bytes);
  ops_.clear();
  ftl_.deallocate(offset_bytes, bytes);
  return time_.control(clock_.now_s(), ops_);
}

double SimDevice::flush() {
  const std::lock_guard guard(mutex_);
  return time_.control(clock_.now_s(), {});  // the buffer survives a loss of power
}

double SimDevice::update_handle(std::uint32_t handle) {
  const std::lock_guard guard(mutex_);
  if (cut_) return clock_.now_s();
  ops_.clear();
  ftl_.update_handle(parameters_.fdp ? handle : 0);
  return time_.control(clock_.now_s(), ops_);
}

std::uint64_t SimDevice::available_bytes(std::uint32_t handle) const {
  const std::lock_guard guard(mutex_);
  return ftl_.available_bytes(parameters_.fdp ? handle : 0);
}

FtlCounters SimDevice::counters() const {
  const std::lock_guard guard(mutex_);
  return ftl_.counters();
}

std::uint64_t SimDevice::kept_bytes() const {
  const std::lock_guard guard(mutex_);
  return content_.kept_bytes();
}

void SimDevice::peek(std::uint64_t offset_bytes, std::span<std::byte> out) const {
  const std::lock_guard guard(mutex_);
  content_.read(offset_bytes, out);
}

void SimDevice::poke(std::uint64_t offset_bytes, std::span<const std::byte> bytes) {
  const std::lock_guard guard(mutex_);
  content_.write(offset_bytes, bytes);
}

}  // namespace fdpstore::ftl
