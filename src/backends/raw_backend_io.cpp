// Requests: from IoRequest to the ring and back.
#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "backends/mapped_transfer.hpp"
#include "backends/raw_backend_impl.hpp"
#include "io/nvme_command.hpp"

namespace fdpstore::backends {
namespace {

class MappedSegment final : public CachedSegment {
 public:
  MappedSegment(const io::Mapping& mapping, std::uint64_t at_bytes)
      : mapping_(mapping), at_bytes_(at_bytes) {}
  std::size_t copy(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept override {
    return mapping_.read(at_bytes_ + offset_bytes, out) ? out.size() : 0;
  }

 private:
  const io::Mapping& mapping_;
  std::uint64_t at_bytes_;
};

}  // namespace

std::unique_ptr<CachedSegment> RawBackend::cached(SegmentId segment, std::uint64_t offset_bytes,
                                                  std::uint64_t bytes) {
  const std::uint64_t at = absolute(offset_of(segment));
  if (!mapping_.covers(at + offset_bytes + bytes)) return nullptr;
  return std::make_unique<MappedSegment>(mapping_, at);
}

void RawBackend::submit(std::span<const IoRequest> requests) {
  for (const IoRequest& request : requests) start(request);
  ring_->flush();
}

void RawBackend::start(const IoRequest& request) {
  if (request.segment.value >= geometry_.max_segments) {
    done_.push_back({request.user_data, make_error_code(Errc::not_found)});
    return;
  }
  switch (request.op) {
    case IoOp::read: transfer(request, {}); return;
    case IoOp::write: write(request); return;
    case IoOp::flush: push(begin(request), flush_request()); return;
    case IoOp::free: free_segment(request); return;
  }
}

// A reclaim unit takes writes in the order in which they come: a segment waits until the one before
// it is complete.
void RawBackend::write(const IoRequest& request) {
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
  transfer(request, directive_by_segment_[request.segment.value]);
}

void RawBackend::transfer(const IoRequest& request, const Directive& directive) {
  const std::uint64_t at = absolute(offset_of(request.segment) + request.offset_bytes);
  if (transfer_mapped(mapping_, at, request)) {
    done_.push_back({request.user_data, {}});
    return;
  }
  push(begin(request), transfer_request(request.op, at, request.spans, directive));
}

io::RingRequest RawBackend::transfer_request(IoOp op, std::uint64_t absolute_bytes,
                                             std::span<const iovec> spans,
                                             const Directive& directive) const {
  io::RingRequest out{.fd = fd_, .spans = spans};
  if (!commands_) {
    out.op = op == IoOp::read ? io::RingOp::read : io::RingOp::write;
    out.offset_bytes = absolute_bytes;
    if (op == IoOp::write && directive) out.write_stream = static_cast<std::uint8_t>(*directive);
    return out;
  }
  std::uint64_t bytes = 0;
  for (const iovec& span : spans) bytes += span.iov_len;
  assert(absolute_bytes % block_bytes_ == 0 && bytes % block_bytes_ == 0);
  const io::NvmeBlocks blocks{absolute_bytes / block_bytes_, bytes / block_bytes_};
  out.op = io::RingOp::command;
  if (op == IoOp::read) {
    out.command = io::encode_read(nsid_, blocks);
  } else {
    out.command = io::encode_write(
        nsid_, blocks, directive ? std::optional(io::PlacementId{*directive}) : std::nullopt);
  }
  return out;
}

io::RingRequest RawBackend::flush_request() const {
  if (!commands_) return {.op = io::RingOp::sync_data, .fd = fd_};
  return {.op = io::RingOp::command, .fd = fd_, .command = io::encode_flush(nsid_)};
}

std::uint32_t RawBackend::begin(const IoRequest& request) {
  if (free_operations_.empty()) {
    free_operations_.push_back(static_cast<std::uint32_t>(operations_.size()));
    operations_.emplace_back();
  }
  const std::uint32_t index = free_operations_.back();
  free_operations_.pop_back();
  operations_[index] = Operation{.request = request};
  return index;
}

void RawBackend::push(std::uint32_t operation, io::RingRequest part) {
  ++operations_[operation].parts;
  part.user_data = operation;
  ring_->push(std::move(part));
}

std::vector<RawBackend::DeallocateData> RawBackend::deallocate_data(std::uint64_t offset_in_window,
                                                                    std::uint64_t bytes) const {
  std::vector<DeallocateData> out;
  const io::NvmeBlocks blocks{absolute(offset_in_window) / block_bytes_, bytes / block_bytes_};
  for (const auto& ranges : io::split_deallocate(blocks, deallocate_limits_)) {
    auto memory = io::AlignedBuffer::make({.size_bytes = ranges.size() * sizeof(io::NvmeRange)});
    if (!memory) return {};
    std::memcpy(memory->data(), ranges.data(), memory->size());
    const iovec span{memory->data(), memory->size()};
    out.push_back({std::move(*memory), span, ranges.size()});
  }
  return out;
}

void RawBackend::free_segment(const IoRequest& request) {
  directive_by_segment_[request.segment.value] = {};
  if (!discards_) {
    done_.push_back({request.user_data, {}});
    return;
  }
  const std::uint64_t offset = offset_of(request.segment);
  if (!commands_) {
    discarder_->push(absolute(offset), geometry_.segment_bytes, request.user_data);
    return;
  }
  auto data = deallocate_data(offset, geometry_.segment_bytes);
  if (data.empty()) {
    done_.push_back({request.user_data, std::make_error_code(std::errc::not_enough_memory)});
    return;
  }
  const std::uint32_t index = begin(request);
  operations_[index].deallocations = std::move(data);
  // By number: push() of a part may not see the vector move, but `operations_` may.
  const std::size_t count = operations_[index].deallocations.size();
  for (std::size_t i = 0; i < count; ++i) {
    const DeallocateData& part = operations_[index].deallocations[i];
    push(index, {.op = io::RingOp::command,
                 .fd = fd_,
                 .spans = {&part.span, 1},
                 .command = io::encode_deallocate(nsid_, part.ranges)});
  }
}

Result<void> RawBackend::deallocate_now(std::uint64_t offset_in_window, std::uint64_t bytes) {
  const std::string what = device_.path() + ": giving blocks back";
  if (!commands_) {
    const int error = discard_range(fd_, absolute(offset_in_window), bytes);
    if (error != 0) return fail_errno(error, what);
    return {};
  }
  for (const DeallocateData& part : deallocate_data(offset_in_window, bytes)) {
    auto done = run_now({.op = io::RingOp::command,
                         .fd = fd_,
                         .spans = {&part.span, 1},
                         .command = io::encode_deallocate(nsid_, part.ranges)},
                        what);
    if (!done) return done;
  }
  return {};
}

void RawBackend::part_done(const IoCompletion& completion) {
  const auto index = static_cast<std::uint32_t>(completion.user_data);
  Operation& operation = operations_[index];
  if (completion.error && !operation.error) operation.error = completion.error;
  if (--operation.parts > 0) return;
  done_.push_back({operation.request.user_data, operation.error});
  operation.deallocations.clear();
  free_operations_.push_back(index);
}

std::size_t RawBackend::reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) {
  const auto take_discarded = [this] {
    if (discarder_) std::ranges::copy(discarder_->take(), std::back_inserter(done_));
  };
  take_discarded();
  std::array<IoCompletion, 64> parts;
  const std::size_t count =
      ring_->reap(parts, done_.empty() ? timeout : std::chrono::microseconds(0));
  for (const IoCompletion& part : std::span(parts).first(count)) part_done(part);
  take_discarded();
  const std::size_t given = std::min(out.size(), done_.size());
  std::copy_n(done_.begin(), given, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(given));
  return given;
}

}  // namespace fdpstore::backends
