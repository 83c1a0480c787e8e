// Opening, geometry, superblock, segments. Requests are in raw_backend_io.cpp.
#include "backends/raw_backend.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include <fcntl.h>
#include <fmt/format.h>

#include "backends/directory_content.hpp"
#include "backends/raw_backend_impl.hpp"
#include "io/direct_io.hpp"

namespace fdpstore::backends {
namespace {

constexpr std::uint64_t kHeadBytes = 1U << 20;  // superblocks; segments begin behind it
constexpr std::uint64_t kCopyDistanceBytes = kHeadBytes / 2;
constexpr std::uint64_t kPageBytes = 4096;
// More in one request gains nothing, and several requests let the device work in parallel.
constexpr std::uint64_t kMaxTransferBytes = 4U << 20;
// Without placement all writes make one stream on the device: several open segments would only be
// mixed up there (chat, 7 % spare: total WA 1.21 with four, 1.07 with one).
constexpr std::uint32_t kPlainHandles = 1;

}  // namespace

Result<std::unique_ptr<Backend>> open_raw_backend(const RawBackendOptions& options) {
  auto backend = RawBackend::open(options);
  if (!backend) return fail(std::move(backend.error()));
  auto store = (*backend)->has_store();
  if (!store) return fail(std::move(store.error()));
  if (!*store) {
    if (options.read_only) {
      return fail(Errc::not_found, fmt::format("{} holds no fdpstore store", options.device_path));
    }
    auto foreign = (*backend)->foreign_content();
    if (!foreign) return fail(std::move(foreign.error()));
    if (!foreign->empty() && !options.format) {
      return fail(Errc::foreign,
                  fmt::format("device_path {} holds {}; choose another device or window, or set "
                              "format = true to destroy that and make a store",
                              options.device_path, *foreign));
    }
    // What an earlier store or another program left must not be taken for ours.
    if (!foreign->empty()) {
      if (auto wiped = (*backend)->wipe(); !wiped) return fail(std::move(wiped.error()));
    }
  }
  return std::unique_ptr<Backend>(std::move(*backend));
}

Result<RawDeviceLook> look_at_raw_device(const RawBackendOptions& options) {
  auto backend = RawBackend::open(options);
  if (!backend) return fail(std::move(backend.error()));
  auto store = (*backend)->has_store();
  if (!store) return fail(std::move(store.error()));
  auto content = *store ? Result<std::string>("") : (*backend)->foreign_content();
  if (!content) return fail(std::move(content.error()));
  return RawDeviceLook{*store, std::move(*content), (*backend)->effective_placement()};
}

Result<void> wipe_raw_device(const RawBackendOptions& options, bool force) {
  auto backend = RawBackend::open(options);
  if (!backend) return fail(std::move(backend.error()));
  if (!force) {
    auto store = (*backend)->has_store();
    if (!store) return fail(std::move(store.error()));
    auto foreign =
        *store ? Result<std::string>("another fdpstore store") : (*backend)->foreign_content();
    if (!foreign) return fail(std::move(foreign.error()));
    if (!foreign->empty()) {
      return fail(Errc::foreign,
                  fmt::format("{} holds {}; --force destroys it", options.device_path, *foreign));
    }
  }
  return (*backend)->wipe();
}

Result<std::unique_ptr<RawBackend>> RawBackend::open(const RawBackendOptions& options) {
  auto device = RawDevice::open({.path = options.device_path,
                                 .base_offset_bytes = options.base_offset_bytes,
                                 .capacity_bytes = options.capacity_bytes,
                                 .direct = options.use_odirect.value_or(true),
                                 .read_only = options.read_only});
  if (!device) return fail(std::move(device.error()));
  std::unique_ptr<RawBackend> backend(new RawBackend(options, std::move(*device)));
  if (auto ready = backend->set_up(); !ready) return fail(std::move(ready.error()));
  return backend;
}

RawBackend::~RawBackend() {
  if (ring_ == nullptr || !ring_->is_own()) return;
  std::array<IoCompletion, 64> ignored;
  while (ring_->pending() > 0) reap(ignored, std::chrono::seconds(1));
  discarder_.reset();  // it wakes the ring
}

Result<void> RawBackend::set_up() {
  const RawPlacementFacts facts = device_.placement_facts();
  auto placement = choose_raw_placement(
      {.path = device_.path(),
       .write_mode = options_.write_mode,
       // Somebody who only reads must be able to look at a store that could not be opened.
       .strictness = options_.read_only ? Strictness::prefer : options_.placement,
       .directives = options_.directives},
      facts);
  if (!placement) return fail(std::move(placement.error()));
  placement_ = std::move(*placement);
  placement_.effective.strictness = options_.placement;
  placement_.effective.reason += options_.chosen_because;
  // What was named is used, unless the mechanism needs the other node of the namespace.
  const bool named_character = device_.description().kind == io::PathKind::nvme_character;
  switch (placement_.effective.effective) {
    case WriteMode::uring_cmd: commands_ = true; break;
    case WriteMode::write_stream: commands_ = false; break;
    default: commands_ = named_character || device_.block_fd() < 0; break;
  }
  fd_ = commands_ ? device_.character_fd() : device_.block_fd();
  if (const auto& nvme = device_.nvme()) {
    nsid_ = nvme->nsid;
    block_bytes_ = nvme->identity.block_bytes;
    if (nvme->deallocate_limits) deallocate_limits_ = *nvme->deallocate_limits;
  }
  if (!commands_) {
    mapping_ =
        io::Mapping::of(fd_, device_.base_bytes() + device_.window_bytes(), !options_.read_only);
  }
  set_limits();
  auto ring = io::Ring::open({.depth = options_.queue_depth, .commands = commands_});
  if (!ring) return fail(std::move(ring.error()));
  ring_ = std::move(*ring);
  if (discards_ && !commands_) {
    discarder_ = std::make_unique<Discarder>(fd_, [this] { ring_->wake(); });
  }
  if (options_.read_only) return {};
  watch_events();
  // The lock must outlast a killed process for as long as the kernel still writes for it.
  const int lock = device_.lock_fd();
  return ring_->register_files({&lock, 1});
}

void RawBackend::set_limits() {
  const bool streams = !placement_.data.empty();
  capabilities_.fixed_size_segments = true;
  capabilities_.fixed_buffers = true;
  capabilities_.flushes_all = true;
  capabilities_.must_fill = streams;
  capabilities_.begins_units =
      streams && device_.nvme_device() && device_.nvme() && device_.nvme()->handles;
  geometry_.align_bytes = kBlockBytes;
  geometry_.handles = streams ? static_cast<std::uint32_t>(placement_.data.size()) : kPlainHandles;
  geometry_.medium_bytes = device_.window_bytes();
  geometry_.unit_bytes = device_.unit_bytes();
  lanes_.resize(placement_.data.size() + 1);

  std::uint64_t most = kMaxTransferBytes;
  const auto lower = [&most](std::uint64_t limit) {
    if (limit != 0) most = std::min(most, limit / kBlockBytes * kBlockBytes);
  };
  const auto& device = device_.description().device;
  if (commands_) {
    if (device) {
      lower(device->queue.max_hw_transfer_bytes.value_or(0));
      // Memory may lie in scattered pages, one piece each.
      lower(device->queue.max_segments.value_or(0) * kPageBytes);
    }
    const auto& controller = device_.nvme()->controller;
    if (controller) lower(controller->max_transfer_bytes);
    geometry_.memory_align_bytes = kPageBytes;
    discards_ = !controller || controller->deallocate;
  } else {
    capabilities_.cached_writes = options_.use_odirect == false || !mapping_.empty();
    if (!capabilities_.cached_writes) {
      geometry_.memory_align_bytes =
          device ? device->queue.logical_block_bytes.value_or(512) : kPageBytes;
    }
    // A loop device would hand the blocks of its file back, and fresh ones are slower to write.
    discards_ = device && device->queue.discard_max_bytes.value_or(0) > 0 &&
                !device->name.starts_with("loop");
  }
  lower(options_.max_transfer_bytes);
  geometry_.max_transfer_bytes =
      static_cast<std::uint32_t>(std::max<std::uint64_t>(most, kBlockBytes));
}

std::uint64_t RawBackend::absolute(std::uint64_t offset_in_window) const {
  return (commands_ ? device_.command_base_bytes() : device_.base_bytes()) + offset_in_window;
}

std::uint64_t RawBackend::offset_of(SegmentId segment) const {
  return kHeadBytes + segment.value * geometry_.segment_bytes;
}

// ------------------------------------------------------------------------------------- superblock

Result<void> RawBackend::transfer_now(IoOp op, std::uint64_t offset_in_window,
                                      std::span<std::byte> bytes) {
  const std::string what =
      fmt::format("{}: {} {} bytes at {}", device_.path(), op == IoOp::read ? "reading" : "writing",
                  bytes.size(), offset_in_window);
  auto memory = io::AlignedBuffer::make({.size_bytes = bytes.size()});
  if (!memory) return fail(std::move(memory.error()));
  if (op == IoOp::write) std::ranges::copy(bytes, memory->data());
  const Directive directive = placement_.metadata;
  for (std::size_t at = 0; at < bytes.size(); at += geometry_.max_transfer_bytes) {
    const std::size_t length =
        std::min<std::size_t>(geometry_.max_transfer_bytes, bytes.size() - at);
    const iovec span{memory->data() + at, length};
    if (auto done = run_now(
            transfer_request(op, absolute(offset_in_window + at), {&span, 1}, directive), what);
        !done) {
      return done;
    }
  }
  if (op == IoOp::read) std::ranges::copy(memory->span(), bytes.begin());
  return {};
}

Result<void> RawBackend::run_now(io::RingRequest request, const std::string& what) {
  ring_->push(std::move(request));
  std::array<IoCompletion, 1> done;
  while (ring_->reap(done, std::chrono::seconds(1)) == 0) {
  }
  if (done[0].error) return fail(Error{done[0].error, what});
  return {};
}

Result<void> RawBackend::read_superblock(std::size_t copy, std::span<std::byte> out) {
  assert(copy < kSuperblockCopies && out.size() == kSuperblockBytes);
  if (auto read = transfer_now(IoOp::read, copy * kCopyDistanceBytes, out); !read) return read;
  if (std::memcmp(out.data(), kSuperblockMagic.data(), kSuperblockMagic.size()) != 0) {
    return fail(Errc::not_found,
                fmt::format("{}: copy {} was never written", device_.path(), copy));
  }
  return {};
}

Result<void> RawBackend::write_superblock(std::size_t copy, std::span<const std::byte> bytes) {
  assert(copy < kSuperblockCopies && bytes.size() == kSuperblockBytes);
  std::vector<std::byte> block(bytes.begin(), bytes.end());
  if (auto written = transfer_now(IoOp::write, copy * kCopyDistanceBytes, block); !written) {
    return written;
  }
  return run_now(flush_request(), device_.path() + ": flushing");
}

Result<bool> RawBackend::has_store() {
  std::array<std::byte, kSuperblockBytes> block{};
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    const auto read = read_superblock(copy, block);
    if (read) return true;
    if (read.error().code != Errc::not_found) return fail(read.error());
  }
  return false;
}

Result<std::string> RawBackend::foreign_content() {
  std::vector<std::byte> head(std::min(kHeadBytes, device_.window_bytes()));
  if (auto read = transfer_now(IoOp::read, 0, head); !read) return fail(std::move(read.error()));
  return device_.foreign_content(head);
}

Result<void> RawBackend::wipe() {
  std::vector<std::byte> zeros(std::min(kHeadBytes, device_.window_bytes()));
  if (auto written = transfer_now(IoOp::write, 0, zeros); !written) return written;
  if (discards_ && device_.window_bytes() > kHeadBytes) {
    if (auto given = deallocate_now(kHeadBytes, device_.window_bytes() - kHeadBytes); !given) {
      return given;
    }
  }
  return run_now(flush_request(), device_.path() + ": flushing");
}

// --------------------------------------------------------------------------------------- segments

Result<void> RawBackend::set_segment_bytes(std::uint64_t segment_bytes) {
  if (segment_bytes == 0 || segment_bytes % kBlockBytes != 0) {
    return fail(Errc::invalid_option, fmt::format("segment_bytes is {}; use a multiple of {}",
                                                  segment_bytes, kBlockBytes));
  }
  if (device_.window_bytes() < kHeadBytes + segment_bytes) {
    return fail(Errc::invalid_option,
                fmt::format("{} has room for {} bytes, less than one segment ({} bytes)",
                            device_.path(), device_.window_bytes(), segment_bytes));
  }
  geometry_.segment_bytes = segment_bytes;
  geometry_.max_segments = static_cast<std::uint32_t>(std::min<std::uint64_t>(
      (device_.window_bytes() - kHeadBytes) / segment_bytes, UINT32_MAX - 1));
  lane_by_segment_.assign(geometry_.max_segments, kNoLane);
  directive_by_segment_.assign(geometry_.max_segments, {});
  return {};
}

Result<std::vector<ExistingSegment>> RawBackend::existing_segments() {
  std::vector<ExistingSegment> segments;
  segments.reserve(geometry_.max_segments);
  for (std::uint32_t id = 0; id < geometry_.max_segments; ++id) {
    segments.push_back({SegmentId{id}, geometry_.segment_bytes, geometry_.segment_bytes});
  }
  return segments;
}

RawBackend::Directive RawBackend::directive_of(const SegmentUse& use) const {
  if (placement_.data.empty() || use.lifetime == Lifetime::not_set) return {};
  if (use.metadata && use.handle >= geometry_.handles && placement_.metadata) {
    return placement_.metadata;
  }
  return placement_.data[use.handle % placement_.data.size()];
}

std::int32_t RawBackend::lane_of(const Directive& directive) const {
  if (!directive) return kNoLane;
  const auto found = std::ranges::find(placement_.data, *directive);
  return static_cast<std::int32_t>(found - placement_.data.begin());
}

Result<void> RawBackend::allocate(SegmentId segment, const SegmentUse& use) {
  assert(!options_.read_only && segment.value < geometry_.max_segments);
  const Directive directive = directive_of(use);
  const std::int32_t lane = lane_of(directive);
  directive_by_segment_[segment.value] = directive;
  lane_by_segment_[segment.value] = use.metadata ? kNoLane : lane;
  if (lane == kNoLane) return {};
  if (use.metadata) {  // its old segment ends only when the new one has taken over
    start_unit(*directive);
    return {};
  }
  auto& segments = lanes_[static_cast<std::size_t>(lane)].segments;
  segments.push_back({segment, false});
  if (segments.size() == 1) start_unit(*directive);
  return {};
}

Result<void> RawBackend::reopen(SegmentId segment, const SegmentUse& use) {
  assert(!options_.read_only && segment.value < geometry_.max_segments);
  const Directive directive = directive_of(use);
  const std::int32_t lane = use.metadata ? kNoLane : lane_of(directive);
  directive_by_segment_[segment.value] = directive;
  lane_by_segment_[segment.value] = lane;
  if (lane != kNoLane) lanes_[static_cast<std::size_t>(lane)].segments.push_front({segment, true});
  return {};
}

void RawBackend::seal(SegmentId segment, std::uint64_t used_bytes) {
  const std::int32_t number = lane_by_segment_[segment.value];
  lane_by_segment_[segment.value] = kNoLane;
  if (number == kNoLane) return;
  Lane& lane = lanes_[static_cast<std::size_t>(number)];
  lane.short_unit = used_bytes < geometry_.segment_bytes;
  const bool was_front = !lane.segments.empty() && lane.segments.front().id == segment;
  std::erase_if(lane.segments, [segment](const Lane::Entry& entry) { return entry.id == segment; });
  if (!was_front || lane.segments.empty() || lane.segments.front().continued) return;
  // Its turn: all that came before in this reclaim unit's order is written.
  const SegmentId next = lane.segments.front().id;
  start_unit(*directive_by_segment_[next.value]);
  for (const IoRequest& request : std::exchange(lane.waiting, {})) start(request);
  ring_->flush();
}

Result<void> RawBackend::register_buffers(std::span<const iovec> buffers) {
  return ring_->register_buffers(buffers);
}

}  // namespace fdpstore::backends
