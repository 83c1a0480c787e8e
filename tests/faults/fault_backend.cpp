#include "support/fault_backend.hpp"

#include <algorithm>
#include <cstring>
#include <span>

#include <fmt/format.h>

#include "io/nvme_status.hpp"

namespace fdpstore::test {
namespace {

using format::kBlockBytes;

std::uint64_t bytes_of(const IoRequest& request) {
  std::uint64_t sum = 0;
  for (const iovec& span : request.spans) sum += span.iov_len;
  return sum;
}

// Memory that direct I/O takes.
struct Aligned {
  explicit Aligned(std::uint64_t bytes)
      : size((bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes),
        data(static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, size))) {
    std::memset(data, 0, size);
  }
  ~Aligned() { std::free(data); }
  Aligned(const Aligned&) = delete;
  Aligned& operator=(const Aligned&) = delete;
  [[nodiscard]] std::span<std::byte> span() const { return {data, size}; }
  std::uint64_t size;
  std::byte* data;
};

const std::error_code kGone = std::make_error_code(std::errc::no_such_device);

}  // namespace

FaultBackend::FaultBackend(std::shared_ptr<FaultMedium> medium, std::unique_ptr<Backend> inner,
                           Config config)
    : medium_(std::move(medium)),
      inner_(std::move(inner)),
      config_(config),
      capabilities_(inner_->capabilities()) {
  if (config_.cached_writes) capabilities_.cached_writes = true;
}

Result<void> FaultBackend::read_superblock(std::size_t copy, std::span<std::byte> out) {
  if (medium_->dead()) return fail(Error{kGone, "superblock"});
  return inner_->read_superblock(copy, out);
}

// A cut tears it: a superblock has more than one sector.
Result<void> FaultBackend::write_superblock(std::size_t copy, std::span<const std::byte> bytes) {
  const std::lock_guard guard(medium_->mutex_);
  if (medium_->dead_) return fail(Error{kGone, "superblock"});
  if (!medium_->count_request()) return inner_->write_superblock(copy, bytes);
  Aligned torn(kSuperblockBytes);
  if (inner_->read_superblock(copy, torn.span())) {
    const std::size_t sectors = medium_->pick(kSuperblockBytes / 512 + 1);
    std::memcpy(torn.data, bytes.data(), sectors * 512);
    (void)inner_->write_superblock(copy, torn.span());
  }
  medium_->cut_locked(medium_->armed_);
  return fail(Error{kGone, "superblock"});
}

Result<void> FaultBackend::set_segment_bytes(std::uint64_t bytes) {
  return inner_->set_segment_bytes(bytes);
}

Result<std::vector<ExistingSegment>> FaultBackend::existing_segments() {
  auto existing = inner_->existing_segments();
  if (!existing) return existing;
  const std::lock_guard guard(medium_->mutex_);
  if (config_.release_at_seal) {
    // What an earlier process left in the cache: sealed segments take no writes later on.
    for (const ExistingSegment& one : *existing) {
      auto& segment = medium_->segments_[one.id.value];
      if (segment.cache.empty()) continue;
      const std::uint64_t end =
          std::max(one.size_bytes, segment.cache.rbegin()->first + kBlockBytes);
      if (auto ok = inner_->reopen(one.id, {}); !ok) return fail(std::move(ok.error()));
      open_.insert(one.id.value);
      if (const auto error = push_out(one.id.value)) return fail(Error{error, "write-back"});
      open_.erase(one.id.value);
      inner_->seal(one.id, end);
    }
    existing = inner_->existing_segments();
    if (!existing) return existing;
  }
  for (ExistingSegment& one : *existing) {
    const auto& cache = medium_->segments_[one.id.value].cache;
    if (cache.empty()) continue;
    const std::uint64_t end = cache.rbegin()->first + kBlockBytes;
    one.size_bytes = std::max(one.size_bytes, end);
    one.allocated_bytes = std::max(one.allocated_bytes, end);
  }
  return existing;
}

Result<void> FaultBackend::allocate(SegmentId segment, const SegmentUse& use) {
  const std::lock_guard guard(medium_->mutex_);
  if (medium_->dead_) return fail(Error{kGone, "allocate"});
  if (medium_->chance(medium_->plan_.failed_allocates)) {
    return fail(Error{std::make_error_code(medium_->pick(2) == 0 ? std::errc::no_space_on_device
                                                                 : std::errc::io_error),
                      "allocate"});
  }
  if (auto made = inner_->allocate(segment, use); !made) return made;
  open_.insert(segment.value);
  return {};
}

Result<void> FaultBackend::reopen(SegmentId segment, const SegmentUse& use) {
  if (medium_->dead()) return fail(Error{kGone, "reopen"});
  if (auto opened = inner_->reopen(segment, use); !opened) return opened;
  open_.insert(segment.value);
  return {};
}

void FaultBackend::seal(SegmentId segment, std::uint64_t used_bytes) {
  const std::lock_guard guard(medium_->mutex_);
  if (medium_->dead_) return;
  if (config_.release_at_seal) (void)push_out(segment.value);
  open_.erase(segment.value);
  inner_->seal(segment, used_bytes);
}

void FaultBackend::submit(std::span<const IoRequest> requests) {
  const std::lock_guard guard(medium_->mutex_);
  const std::uint32_t most = medium_->calm_ ? 0 : medium_->plan_.max_delay;
  for (const IoRequest& request : requests) {
    queue_.push_back({request, static_cast<std::uint32_t>(medium_->pick(most + 1))});
  }
}

// In any order; some wait for others.
std::size_t FaultBackend::reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) {
  if (queue_.empty()) {
    idle(timeout);
    return 0;
  }
  medium_->clock_us_ += 200;
  const std::lock_guard guard(medium_->mutex_);
  std::size_t count = 0;
  while (count < out.size() && !queue_.empty()) {
    const std::size_t at = medium_->plan_.max_delay == 0 ? 0 : medium_->pick(queue_.size());
    if (queue_[at].delay > 0 && !medium_->dead_) {
      --queue_[at].delay;
      if (count == 0) continue;  // something has to be done
      break;
    }
    const IoRequest request = queue_[at].request;
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    out[count++] = {request.user_data, carry_out(request)};
  }
  return count;
}

// Short waits are those of blocked stores: their time passes at once.
void FaultBackend::idle(std::chrono::microseconds timeout) {
  constexpr auto kShort = std::chrono::milliseconds(50);
  if (timeout < kShort) {
    medium_->clock_us_ += static_cast<std::uint64_t>(timeout.count());
    return;
  }
  std::unique_lock lock(medium_->rest_mutex_);
  medium_->resting_ = true;
  medium_->rest_.notify_all();
  medium_->rest_.wait_for(lock, kShort, [this] { return medium_->woken_ && !medium_->held_; });
  medium_->rest_.wait(lock, [this] { return !medium_->held_; });
  medium_->woken_ = false;
  medium_->resting_ = false;
}

void FaultBackend::wake() {
  const std::lock_guard guard(medium_->rest_mutex_);
  medium_->woken_ = true;
  medium_->rest_.notify_all();
}

std::error_code FaultBackend::carry_out(const IoRequest& request) {
  if (medium_->dead_) return kGone;
  if (medium_->count_request()) {
    const Cut cut = medium_->armed_;
    die_with(request);
    for (const Queued& other : queue_) die_with(other.request);
    medium_->cut_locked(cut);
    return kGone;
  }
  const std::uint64_t faults = medium_->injected_;
  if (medium_->chance(medium_->plan_.rot)) rot_somewhere();
  const std::error_code error = answer(request);
  if (medium_->verbose_) {
    static constexpr std::array<const char*, 4> kNames{"read", "write", "flush", "free"};
    fmt::print("    {} segment {} at {}, {} bytes{}{}\n", kNames[static_cast<int>(request.op)],
               request.segment.value, request.offset_bytes, bytes_of(request),
               medium_->injected_ != faults ? " FAULT" : "", error ? " " + error.message() : "");
  }
  return error;
}

std::error_code FaultBackend::answer(const IoRequest& request) {
  switch (request.op) {
    case IoOp::read: return read(request);
    case IoOp::write: return write(request);
    case IoOp::flush: return flush(request.segment);
    case IoOp::free: return free(request);
  }
  return {};
}

// In flight when the end comes: any part of it may have been done.
void FaultBackend::die_with(const IoRequest& request) {
  if (request.op == IoOp::write) {
    Aligned bytes(bytes_of(request));
    std::uint64_t at = 0;
    for (const iovec& span : request.spans) {
      std::memcpy(bytes.data + at, span.iov_base, span.iov_len);
      at += span.iov_len;
    }
    some_blocks(request, bytes.span());
  } else if (request.op == IoOp::flush && medium_->pick(2) == 0) {
    (void)push_out(request.segment.value);
  } else if (request.op == IoOp::free && medium_->pick(2) == 0) {
    (void)free(request);
  }
}

std::error_code FaultBackend::error_of(IoOp op) {
  const std::error_code media =
      op == IoOp::read ? io::NvmeStatus::unrecovered_read_error : io::NvmeStatus::write_fault;
  const std::array errors = {
      std::make_error_code(std::errc::io_error), media,
      std::make_error_code(op == IoOp::read ? std::errc::timed_out
                                            : std::errc::no_space_on_device)};
  return errors[medium_->pick(errors.size())];
}

std::error_code FaultBackend::write(const IoRequest& request) {
  Aligned gathered(bytes_of(request));
  std::uint64_t at = 0;
  for (const iovec& span : request.spans) {
    std::memcpy(gathered.data + at, span.iov_base, span.iov_len);
    at += span.iov_len;
  }
  const std::uint32_t segment = request.segment.value;
  const std::span<const std::byte> bytes = gathered.span();
  const FaultPlan& plan = medium_->plan_;
  if (request.offset_bytes + bytes.size() > geometry().segment_bytes) {
    return std::make_error_code(std::errc::file_too_large);  // a mistake of ours, never to happen
  }
  if (medium_->chance(plan.failed_writes)) {
    some_blocks(request, bytes);
    return error_of(IoOp::write);
  }
  if (medium_->chance(plan.lost_writes)) {
    for (std::uint64_t i = 0; i < bytes.size(); i += kBlockBytes) {
      medium_->note_record(segment, bytes.data() + i);
    }
    medium_->damaged_.insert(segment);
    if (medium_->pick(2) == 0) some_blocks(request, bytes);
    return {};
  }
  if (medium_->chance(plan.misdirected_writes)) {
    for (std::uint64_t i = 0; i < bytes.size(); i += kBlockBytes) {
      medium_->note_record(segment, bytes.data() + i);
    }
    medium_->damaged_.insert(segment);
    auto other = medium_->segments_.begin();
    std::advance(other, medium_->pick(medium_->segments_.size()));
    if (other != medium_->segments_.end() && other->second.end_bytes >= bytes.size()) {
      medium_->damaged_.insert(other->first);
      const std::uint64_t room = (other->second.end_bytes - bytes.size()) / kBlockBytes;
      all_blocks(other->first, medium_->pick(room + 1) * kBlockBytes, bytes);
    }
    return {};
  }
  all_blocks(segment, request.offset_bytes, bytes);
  return {};
}

void FaultBackend::all_blocks(std::uint32_t segment, std::uint64_t offset,
                              std::span<const std::byte> bytes) {
  for (std::uint64_t i = 0; i < bytes.size(); i += kBlockBytes) {
    medium_->note_record(segment, bytes.data() + i);
    medium_->put(segment, offset + i, bytes.data() + i, false);
  }
}

// The first ones (none … all), or any.
void FaultBackend::some_blocks(const IoRequest& request, std::span<const std::byte> bytes) {
  const std::uint64_t blocks = bytes.size() / kBlockBytes;
  const bool any = medium_->pick(2) == 0;
  const std::uint64_t first = medium_->pick(blocks + 1);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    if (any ? medium_->pick(2) != 0 : i >= first) continue;
    all_blocks(request.segment.value, request.offset_bytes + i * kBlockBytes,
               bytes.subspan(i * kBlockBytes, kBlockBytes));
  }
}

std::error_code FaultBackend::read_block(std::uint32_t segment, std::uint64_t offset,
                                         std::span<std::byte> out) {
  auto& from = medium_->segments_[segment];
  const auto cached = from.cache.find(offset);
  if (cached != from.cache.end()) {
    std::memcpy(out.data(), cached->second->bytes.data(), kBlockBytes);
    return {};
  }
  const iovec span{out.data(), kBlockBytes};
  const auto error = inner_io({.op = IoOp::read,
                               .segment = SegmentId{segment},
                               .offset_bytes = offset,
                               .spans = {&span, 1}});
  if (!error || offset >= from.end_bytes) return error;
  std::ranges::fill(out, std::byte{});  // a hole: later blocks are in the cache
  return {};
}

std::error_code FaultBackend::read(const IoRequest& request) {
  if (medium_->chance(medium_->plan_.failed_reads)) return error_of(IoOp::read);
  const std::uint64_t bytes = bytes_of(request);
  Aligned whole(bytes);
  for (std::uint64_t i = 0; i < whole.size; i += kBlockBytes) {
    const auto error = read_block(request.segment.value, request.offset_bytes + i,
                                  whole.span().subspan(i, kBlockBytes));
    if (error) return error;
  }
  if (bytes != 0 && medium_->chance(medium_->plan_.rotten_reads)) {
    medium_->damaged_.insert(request.segment.value);
    whole.data[medium_->pick(bytes)] ^= static_cast<std::byte>(1U << medium_->pick(8));
  }
  std::uint64_t at = 0;
  for (const iovec& span : request.spans) {
    std::memcpy(span.iov_base, whole.data + at, span.iov_len);
    at += span.iov_len;
  }
  return {};
}

std::error_code FaultBackend::push_out(std::uint32_t segment) {
  if (config_.release_at_seal && !open_.contains(segment)) return {};  // blocks that have rotted
  auto& from = medium_->segments_[segment];
  std::error_code failed;
  for (const auto& [offset, block] : from.cache) {
    const iovec span{block->bytes.data(), kBlockBytes};
    const auto error = inner_io({.op = IoOp::write,
                                 .segment = SegmentId{segment},
                                 .offset_bytes = offset,
                                 .spans = {&span, 1}});
    if (error) failed = error;
  }
  if (!failed) from.cache.clear();
  return failed;
}

std::error_code FaultBackend::flush(SegmentId segment) {
  ++medium_->flushes_;
  if (medium_->chance(medium_->plan_.failed_flushes)) {
    if (!config_.flush_promised) medium_->damaged_.insert(segment.value);
    // As Linux does: what could not be written is dropped, and the next flush says nothing of it.
    std::erase_if(medium_->segments_[segment.value].cache, [this](const auto& entry) {
      return !entry.second->durable && medium_->pick(2) == 0;
    });
    return error_of(IoOp::flush);
  }
  if (const auto error = push_out(segment.value)) return error;
  return inner_io({.op = IoOp::flush, .segment = segment});
}

std::error_code FaultBackend::free(const IoRequest& request) {
  if (medium_->chance(medium_->plan_.failed_frees)) return error_of(IoOp::free);
  auto& segment = medium_->segments_[request.segment.value];
  if (request.release) segment.cache.clear();
  if (request.release || medium_->pick(2) == 0) {
    segment.written.clear();
    segment.end_bytes = 0;
  }
  if (auto error =
          inner_io({.op = IoOp::free, .release = request.release, .segment = request.segment})) {
    return error;
  }
  if (request.release) return {};
  // What was deallocated reads as it was, or as zeros, block by block.
  static constexpr std::array<std::byte, kBlockBytes> kZeros{};
  for (const std::uint64_t offset : std::set<std::uint64_t>(segment.written)) {
    if (medium_->pick(2) == 0) medium_->put(request.segment.value, offset, kZeros.data(), true);
  }
  return {};
}

void FaultBackend::rot_somewhere() {
  if (medium_->segments_.empty()) return;
  auto segment = medium_->segments_.begin();
  std::advance(segment, medium_->pick(medium_->segments_.size()));
  const auto& written = segment->second.written;
  if (written.empty()) return;
  auto offset = written.begin();
  std::advance(offset, medium_->pick(written.size()));
  Aligned block(kBlockBytes);
  if (read_block(segment->first, *offset, block.span())) return;
  block.data[medium_->pick(kBlockBytes)] ^= static_cast<std::byte>(1U << medium_->pick(8));
  medium_->damaged_.insert(segment->first);
  medium_->put(segment->first, *offset, block.data, true);
}

std::error_code FaultBackend::inner_io(IoRequest request) {
  request.user_data = 1;
  inner_->submit({&request, 1});
  IoCompletion done;
  while (inner_->reap({&done, 1}, std::chrono::seconds(1)) == 0) {
  }
  return done.error;
}

}  // namespace fdpstore::test
