#include "ftl/sim_backend.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "ftl/sim_backend_impl.hpp"

namespace fdpstore::ftl {
namespace {

// As the raw backend has them.
constexpr std::uint64_t kHeadBytes = 1U << 20;
constexpr std::uint64_t kCopyDistanceBytes = kHeadBytes / 2;
constexpr std::uint64_t kMaxTransferBytes = 1U << 20;
// Without placement all writes make one stream on the device: several open segments would only be
// mixed up there (chat, 7 % spare: total WA 1.21 with four, 1.07 with one).
constexpr std::uint32_t kPlainHandles = 1;
constexpr std::string_view kSuperblockMagic = "FDPSUPER";
constexpr std::uint32_t kMetadataHandle = 0;

}  // namespace

Result<std::unique_ptr<Backend>> open_sim_backend(std::shared_ptr<SimDevice> device,
                                                  const SimBackendOptions& options) {
  auto backend = std::make_unique<SimBackend>(std::move(device), options);
  if (auto ready = backend->set_up(); !ready) return fail(std::move(ready.error()));
  return std::unique_ptr<Backend>(std::move(backend));
}

SimBackend::SimBackend(std::shared_ptr<SimDevice> device, const SimBackendOptions& options)
    : device_(std::move(device)), options_(options) {}

SimBackend::~SimBackend() {
  if (claimed_) device_->release();
}

// --------------------------------------------------------------------------------------- opening

Result<void> SimBackend::set_up() {
  const std::uint64_t size = device_->size_bytes();
  const std::uint64_t base = options_.base_offset_bytes;
  const std::uint64_t room = base < size ? size - base : 0;
  if (base % kBlockBytes != 0 || room <= kHeadBytes || options_.capacity_bytes > room) {
    return fail(Errc::invalid_option,
                fmt::format("{} has {} bytes from base_offset_bytes = {} on: lower capacity_bytes "
                            "= {} or base_offset_bytes (a multiple of {}), or raise capacity in "
                            "the URI",
                            describe(), room, base, options_.capacity_bytes, kBlockBytes));
  }
  window_bytes_ = options_.capacity_bytes != 0 ? options_.capacity_bytes : room;
  choose_placement();
  if (options_.placement == Strictness::require && !placement_.reaches_device &&
      options_.write_mode != WriteMode::plain && !options_.read_only) {
    return fail(Errc::unsupported, fmt::format("{}: placement = require cannot be kept: {}",
                                               describe(), placement_.reason));
  }
  set_limits();
  if (!options_.read_only) {
    claimed_ = device_->claim();
    if (!claimed_) {
      return fail(Errc::busy, fmt::format("{}: another store has this simulated device; close it "
                                          "first, or use another name",
                                          describe()));
    }
  }
  return check_content();
}

void SimBackend::choose_placement() {
  const SimParameters& p = device_->parameters();
  placed_ = p.fdp && options_.write_mode != WriteMode::plain;
  placement_.asked = options_.write_mode;
  placement_.strictness = options_.placement;
  if (!placed_) {
    placement_.effective = WriteMode::plain;
    placement_.mechanism = "none";
    placement_.reason = p.fdp ? "write_mode = plain: no write carries a placement id"
                              : "the simulated device has no FDP (fdp=off)";
    return;
  }
  placement_.effective = WriteMode::uring_cmd;
  placement_.mechanism = "simulated FDP";
  placement_.reaches_device = true;
  placement_.reason =
      p.ftl.handles > 1
          ? fmt::format("every write carries its RUH: data 1 … {}, metadata {}", p.ftl.handles - 1,
                        kMetadataHandle)
          : "every write carries RUH 0; metadata shares it with data, so write amplification 1.0 "
            "is not promised";
}

void SimBackend::set_limits() {
  const FtlParameters& p = device_->parameters().ftl;
  capabilities_.fixed_size_segments = true;
  capabilities_.flushes_all = true;
  capabilities_.phantom_payload = !device_->parameters().keep_payload;
  capabilities_.must_fill = placed_;
  capabilities_.begins_units = placed_;
  geometry_.align_bytes = kBlockBytes;
  geometry_.memory_align_bytes = 1;
  const std::uint64_t most = options_.max_transfer_bytes != 0
                                 ? std::min(kMaxTransferBytes, options_.max_transfer_bytes)
                                 : kMaxTransferBytes;
  geometry_.max_transfer_bytes =
      static_cast<std::uint32_t>(std::max(most / kBlockBytes * kBlockBytes, kBlockBytes));
  geometry_.handles = placed_ ? std::max(1U, p.handles - 1) : kPlainHandles;
  geometry_.medium_bytes = window_bytes_;
  // Without FDP nobody could ask a drive for it.
  geometry_.unit_bytes = device_->parameters().fdp ? p.unit_bytes : 0;
  lanes_.resize(p.handles);
}

// A store, nothing, or what must not be overwritten.
Result<void> SimBackend::check_content() {
  std::array<std::byte, kSuperblockBytes> block{};
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    if (read_superblock(copy, block)) return {};
  }
  if (options_.read_only) {
    return fail(Errc::not_found, fmt::format("{} holds no fdpstore store", describe()));
  }
  std::vector<std::byte> head(std::min(kHeadBytes, window_bytes_));
  device_->peek(options_.base_offset_bytes, head);
  const bool blank = std::ranges::all_of(head, [](std::byte b) { return b == std::byte{}; });
  if (blank) return {};
  if (!options_.format) {
    return fail(Errc::foreign,
                fmt::format("device_path {} holds data that is not fdpstore's; choose another "
                            "device or window, or set format = true to destroy that and make a "
                            "store",
                            describe()));
  }
  pass(device_->deallocate(options_.base_offset_bytes, window_bytes_));
  return {};
}

// ------------------------------------------------------------------------------------- superblock

Result<void> SimBackend::read_superblock(std::size_t copy, std::span<std::byte> out) {
  assert(copy < kSuperblockCopies && out.size() == kSuperblockBytes);
  const iovec span{out.data(), out.size()};
  pass(device_->read(options_.base_offset_bytes + copy * kCopyDistanceBytes, {&span, 1}));
  if (std::memcmp(out.data(), kSuperblockMagic.data(), kSuperblockMagic.size()) != 0) {
    return fail(Errc::not_found, fmt::format("{}: copy {} was never written", describe(), copy));
  }
  return {};
}

Result<void> SimBackend::write_superblock(std::size_t copy, std::span<const std::byte> bytes) {
  assert(copy < kSuperblockCopies && bytes.size() == kSuperblockBytes);
  std::vector<std::byte> block(bytes.begin(), bytes.end());
  const iovec span{block.data(), block.size()};
  pass(device_->write(options_.base_offset_bytes + copy * kCopyDistanceBytes, {&span, 1},
                      kMetadataHandle));
  pass(device_->flush());
  return {};
}

// --------------------------------------------------------------------------------------- segments

Result<void> SimBackend::set_segment_bytes(std::uint64_t segment_bytes) {
  if (segment_bytes == 0 || segment_bytes % kBlockBytes != 0) {
    return fail(Errc::invalid_option, fmt::format("segment_bytes is {}; use a multiple of {}",
                                                  segment_bytes, kBlockBytes));
  }
  if (window_bytes_ < kHeadBytes + segment_bytes) {
    return fail(Errc::invalid_option,
                fmt::format("{} has room for {} bytes, less than one segment ({} bytes)",
                            describe(), window_bytes_, segment_bytes));
  }
  geometry_.segment_bytes = segment_bytes;
  geometry_.max_segments = static_cast<std::uint32_t>(
      std::min<std::uint64_t>((window_bytes_ - kHeadBytes) / segment_bytes, UINT32_MAX - 1));
  lane_by_segment_.assign(geometry_.max_segments, kNoLane);
  handle_by_segment_.assign(geometry_.max_segments, kMetadataHandle);
  return {};
}

Result<std::vector<ExistingSegment>> SimBackend::existing_segments() {
  std::vector<ExistingSegment> segments;
  segments.reserve(geometry_.max_segments);
  for (std::uint32_t id = 0; id < geometry_.max_segments; ++id) {
    segments.push_back({SegmentId{id}, geometry_.segment_bytes, geometry_.segment_bytes});
  }
  return segments;
}

std::uint64_t SimBackend::offset_of(SegmentId segment) const {
  return options_.base_offset_bytes + kHeadBytes + segment.value * geometry_.segment_bytes;
}

bool SimBackend::in_step(const SegmentUse& use) const {
  return placed_ && use.lifetime != Lifetime::not_set;
}

std::uint32_t SimBackend::handle_of(const SegmentUse& use) const {
  const std::uint32_t handles = device_->parameters().ftl.handles;
  if (!in_step(use) || handles == 1) return 0;
  if (use.metadata && use.handle >= geometry_.handles) return kMetadataHandle;
  return 1 + use.handle % geometry_.handles;
}

Result<void> SimBackend::allocate(SegmentId segment, const SegmentUse& use) {
  assert(!options_.read_only && segment.value < geometry_.max_segments);
  const std::uint32_t handle = handle_of(use);
  handle_by_segment_[segment.value] = handle;
  lane_by_segment_[segment.value] = kNoLane;
  if (!in_step(use)) return {};
  if (use.metadata) {  // its old segment ends only when the new one has taken over
    start_unit(handle, handle != kMetadataHandle);
    return {};
  }
  lane_by_segment_[segment.value] = static_cast<std::int32_t>(handle);
  auto& segments = lanes_[handle].segments;
  segments.push_back({segment, false});
  if (segments.size() == 1) start_unit(handle, true);
  return {};
}

Result<void> SimBackend::reopen(SegmentId segment, const SegmentUse& use) {
  assert(!options_.read_only && segment.value < geometry_.max_segments);
  const std::uint32_t handle = handle_of(use);
  const bool lane = in_step(use) && !use.metadata;
  handle_by_segment_[segment.value] = handle;
  lane_by_segment_[segment.value] = lane ? static_cast<std::int32_t>(handle) : kNoLane;
  if (lane) lanes_[handle].segments.push_front({segment, true});
  return {};
}

void SimBackend::seal(SegmentId segment, std::uint64_t used_bytes) {
  const std::int32_t number = lane_by_segment_[segment.value];
  lane_by_segment_[segment.value] = kNoLane;
  if (number == kNoLane) return;
  Lane& lane = lanes_[static_cast<std::size_t>(number)];
  lane.short_unit = used_bytes < geometry_.segment_bytes;
  const bool was_front = !lane.segments.empty() && lane.segments.front().id == segment;
  std::erase_if(lane.segments, [segment](const Lane::Entry& entry) { return entry.id == segment; });
  if (!was_front || lane.segments.empty() || lane.segments.front().continued) return;
  // Its turn: all that came before in this reclaim unit's order is written.
  start_unit(static_cast<std::uint32_t>(number), true);
  for (const IoRequest& request : std::exchange(lane.waiting, {})) start(request);
}

// Makes sure that the segment that begins now has a fresh reclaim unit before it.
void SimBackend::start_unit(std::uint32_t handle, bool data) {
  if (device_->available_bytes(handle) == geometry_.unit_bytes) return;
  pass(device_->update_handle(handle));
  // One that was left part empty on purpose is in step.
  if (data && !std::exchange(lanes_[handle].short_unit, false)) ++data_unit_updates_;
}

Result<DeviceStatistics> SimBackend::statistics() const {
  const FtlCounters counters = device_->counters();
  return DeviceStatistics{.host_written_bytes = counters.host_bytes,
                          .media_written_bytes = counters.media_bytes,
                          .media_erased_bytes = counters.erased_bytes};
}

std::vector<std::string> SimBackend::warnings() const {
  std::vector<std::string> out;
  if (geometry_.unit_bytes != 0 && geometry_.segment_bytes % geometry_.unit_bytes != 0) {
    out.push_back(fmt::format(
        "segment_bytes = {} is no multiple of the reclaim unit ({} bytes): a segment that is freed "
        "leaves part of a unit alive, which the device has to copy; make the store anew without "
        "segment_bytes",
        geometry_.segment_bytes, geometry_.unit_bytes));
  }
  if (placed_ && device_->parameters().ftl.handles == 1) {
    out.emplace_back(
        "data and metadata share a placement id: write amplification 1.0 is not promised");
  }
  if (data_unit_updates_ != 0) {
    out.push_back(
        fmt::format("{} reclaim units were closed before they were full, to keep them in step with "
                    "segments",
                    data_unit_updates_));
  }
  return out;
}

Result<void> SimBackend::register_buffers(std::span<const iovec> /*buffers*/) {
  return fail(Errc::unsupported, "a simulated device transfers nothing");
}

// --------------------------------------------------------------------------------------- requests

void SimBackend::submit(std::span<const IoRequest> requests) {
  for (const IoRequest& request : requests) start(request);
}

void SimBackend::start(const IoRequest& request) {
  if (request.segment.value >= geometry_.max_segments) {
    return finish(request, device_->clock().now_s(), make_error_code(Errc::not_found));
  }
  const std::uint64_t offset = offset_of(request.segment);
  switch (request.op) {
    case IoOp::read:
      return finish(request, device_->read(offset + request.offset_bytes, request.spans));
    case IoOp::write: {
      // A reclaim unit takes writes in the order in which they come: a segment waits until the one
      // before it is complete.
      const std::int32_t number = lane_by_segment_[request.segment.value];
      if (number != kNoLane) {
        Lane& lane = lanes_[static_cast<std::size_t>(number)];
        const auto entry = std::ranges::find(lane.segments, request.segment, &Lane::Entry::id);
        assert(entry != lane.segments.end());
        if (!entry->continued && entry != lane.segments.begin()) {
          lane.waiting.push_back(request);
          return;
        }
      }
      return finish(request, device_->write(offset + request.offset_bytes, request.spans,
                                            handle_by_segment_[request.segment.value]));
    }
    case IoOp::flush: return finish(request, device_->flush());
    case IoOp::free:
      handle_by_segment_[request.segment.value] = kMetadataHandle;
      return finish(request, device_->deallocate(offset, geometry_.segment_bytes));
  }
}

void SimBackend::finish(const IoRequest& request, double time_s, std::error_code error) {
  done_.push({time_s, submitted_++, {request.user_data, error}});
}

std::size_t SimBackend::reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) {
  std::unique_lock lock(mutex_);
  if (done_.empty()) {
    // A wait whose time is over takes the kernel 50 us none the less.
    if (timeout.count() != 0) changed_.wait_for(lock, timeout, [this] { return woken_; });
    const bool woken = std::exchange(woken_, false);
    if (!woken) {
      const double waited = std::chrono::duration<double>(timeout).count();
      pass(device_->clock().now_s() + waited);
    }
    return 0;
  }
  woken_ = false;
  lock.unlock();
  const double now = std::max(done_.top().time_s, device_->clock().now_s());
  pass(now);
  std::size_t count = 0;
  while (count < out.size() && !done_.empty() && done_.top().time_s <= now) {
    out[count++] = done_.top().completion;
    done_.pop();
  }
  return count;
}

void SimBackend::wake() {
  const std::lock_guard guard(mutex_);
  woken_ = true;
  changed_.notify_one();
}

}  // namespace fdpstore::ftl
