// A medium in memory, to inject what real ones rarely do: failed and delayed requests, and a look
// at the bytes at any instant (what a crash would leave).
#pragma once

#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "fdpstore/backend.hpp"

namespace fdpstore::test {

struct MemMedium {
  // How a segment came to its end: how often each block was written since it was allocated.
  struct Sealed {
    SegmentUse use;
    std::vector<std::uint8_t> writes;
  };
  std::mutex mutex;
  std::map<std::uint32_t, std::vector<std::byte>> segments;
  std::map<std::uint32_t, Sealed> writes;  // of segments in use
  std::vector<Sealed> sealed;              // in the order of their end
  std::uint64_t freed = 0;                 // IoOp::free
  std::uint64_t taken_unfreed = 0;         // segments allocated again without one
  std::array<std::optional<std::vector<std::byte>>, kSuperblockCopies> superblocks;

  // What is there now; a store opened on it sees a crash at this instant.
  std::shared_ptr<MemMedium> snapshot() {
    const std::lock_guard guard(mutex);
    auto copy = std::make_shared<MemMedium>();
    copy->segments = segments;
    copy->superblocks = superblocks;
    copy->writes = writes;
    return copy;
  }
  std::uint64_t allocated() {
    const std::lock_guard guard(mutex);
    std::uint64_t sum = 0;
    for (const auto& [id, bytes] : segments) sum += bytes.size();
    return sum;
  }
};

class MemBackend final : public Backend {
 public:
  struct Config {
    bool fixed_size = true;
    bool must_fill = false;
    bool begins_units = false;
    bool phantoms = false;  // spans may have no address: a write clears, a read leaves alone
    std::uint32_t max_transfer = 1U << 20;
    std::uint32_t handles = 4;
    std::uint32_t memory_align = 1;
    // Asked for every request before it is carried out; an error fails it without effect.
    std::function<std::error_code(const IoRequest&)> fault;
    std::function<std::error_code()> allocate_fault;
    std::function<void()> reaping;  // called by reap(): the engine has come round
    // Asked after it was carried out: the error is reported though the bytes are there.
    std::function<std::error_code(const IoRequest&)> late_fault;
    // Requests for which this is true stay in the queue.
    std::function<bool(const IoRequest&)> hold;
    // How much of such a piece lies in memory, to be copied; any thread asks. Empty: nothing does.
    std::function<std::size_t(std::uint64_t offset_bytes, std::size_t bytes)> cached;
  };

  MemBackend(std::shared_ptr<MemMedium> medium, Config config)
      : medium_(std::move(medium)), config_(std::move(config)) {
    geometry_.max_segments = 1U << 16;
    geometry_.max_transfer_bytes = config_.max_transfer;
    geometry_.memory_align_bytes = config_.memory_align;
    geometry_.handles = config_.handles;
    capabilities_.fixed_size_segments = config_.fixed_size;
    capabilities_.must_fill = config_.must_fill;
    capabilities_.begins_units = config_.begins_units;
    capabilities_.phantom_payload = config_.phantoms;
  }

  const Geometry& geometry() const override { return geometry_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  EffectivePlacement effective_placement() const override { return {}; }
  std::string describe() const override { return "memory"; }

  Result<void> read_superblock(std::size_t copy, std::span<std::byte> out) override {
    const std::lock_guard guard(medium_->mutex);
    if (!medium_->superblocks[copy]) return fail(Errc::not_found, "superblock");
    std::memcpy(out.data(), medium_->superblocks[copy]->data(), out.size());
    return {};
  }
  Result<void> write_superblock(std::size_t copy, std::span<const std::byte> bytes) override {
    const std::lock_guard guard(medium_->mutex);
    medium_->superblocks[copy].emplace(bytes.begin(), bytes.end());
    return {};
  }
  Result<void> set_segment_bytes(std::uint64_t bytes) override {
    geometry_.segment_bytes = bytes;
    return {};
  }
  Result<std::vector<ExistingSegment>> existing_segments() override {
    const std::lock_guard guard(medium_->mutex);
    std::vector<ExistingSegment> out;
    for (const auto& [id, bytes] : medium_->segments) {
      out.push_back({SegmentId{id}, bytes.size(), bytes.size()});
    }
    return out;
  }
  Result<void> allocate(SegmentId segment, const SegmentUse& use) override {
    if (config_.allocate_fault) {
      if (const auto error = config_.allocate_fault()) return fail(Error{error, "allocate"});
    }
    const std::lock_guard guard(medium_->mutex);
    const bool grown = !config_.fixed_size && use.prompt.value != 0;
    auto& bytes = medium_->segments[segment.value];
    if (!grown && bytes.empty()) bytes.resize(geometry_.segment_bytes);
    if (medium_->writes.contains(segment.value)) ++medium_->taken_unfreed;
    medium_->writes[segment.value] = {
        use, std::vector<std::uint8_t>(geometry_.segment_bytes / kSuperblockBytes)};
    return {};
  }
  Result<void> reopen(SegmentId, const SegmentUse&) override { return {}; }
  void seal(SegmentId segment, std::uint64_t) override {
    const std::lock_guard guard(medium_->mutex);
    medium_->sealed.push_back(medium_->writes[segment.value]);
  }

  std::unique_ptr<CachedSegment> cached(SegmentId segment, std::uint64_t, std::uint64_t) override {
    return config_.cached ? std::make_unique<Cached>(*this, segment) : nullptr;
  }

  void submit(std::span<const IoRequest> requests) override {
    const std::lock_guard guard(mutex_);
    for (const IoRequest& request : requests) queue_.push_back(request);
  }
  std::size_t reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) override {
    if (config_.reaping) config_.reaping();
    std::unique_lock lock(mutex_);
    if (queue_.empty()) {
      changed_.wait_for(lock, timeout, [&] { return woken_ || !queue_.empty(); });
      woken_ = false;
    }
    std::size_t count = 0;
    std::deque<IoRequest> held;
    while (count < out.size() && !queue_.empty()) {
      const IoRequest request = queue_.front();
      queue_.pop_front();
      if (config_.hold && config_.hold(request)) {
        held.push_back(request);
        continue;
      }
      std::error_code error = carry_out(request);
      if (!error && config_.late_fault) error = config_.late_fault(request);
      out[count++] = {request.user_data, error};
    }
    queue_.insert(queue_.end(), held.begin(), held.end());
    if (count == 0 && !held.empty()) changed_.wait_for(lock, std::chrono::milliseconds(1));
    return count;
  }
  void wake() override {
    const std::lock_guard guard(mutex_);
    woken_ = true;
    changed_.notify_one();
  }
  Result<void> register_buffers(std::span<const iovec>) override { return {}; }

 private:
  class Cached final : public CachedSegment {
   public:
    Cached(const MemBackend& backend, SegmentId segment) : backend_(backend), segment_(segment) {}
    std::size_t copy(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept override {
      const std::size_t there = backend_.config_.cached(offset_bytes, out.size());
      const std::lock_guard guard(backend_.medium_->mutex);
      const auto& bytes = backend_.medium_->segments.at(segment_.value);
      std::memcpy(out.data(), bytes.data() + offset_bytes, there);
      return there;
    }

   private:
    const MemBackend& backend_;
    SegmentId segment_;
  };

  std::error_code carry_out(const IoRequest& request) {
    if (config_.fault) {
      if (const auto error = config_.fault(request)) return error;
    }
    const std::lock_guard guard(medium_->mutex);
    auto it = medium_->segments.find(request.segment.value);
    if (it == medium_->segments.end()) return std::make_error_code(std::errc::bad_file_descriptor);
    std::vector<std::byte>& bytes = it->second;
    if (request.op == IoOp::free) {
      ++medium_->freed;
      medium_->writes.erase(request.segment.value);
      if (request.release) medium_->segments.erase(it);
      return {};
    }
    std::uint64_t at = request.offset_bytes;
    for (const iovec& span : request.spans) {
      if (request.op == IoOp::write) {
        if (at + span.iov_len > geometry_.segment_bytes) {
          return std::make_error_code(std::errc::file_too_large);
        }
        if (bytes.size() < at + span.iov_len) bytes.resize(at + span.iov_len);
        if (span.iov_base == nullptr) {
          std::memset(bytes.data() + at, 0, span.iov_len);
        } else {
          std::memcpy(bytes.data() + at, span.iov_base, span.iov_len);
        }
        count_blocks(request.segment, at, span.iov_len);
      } else if (request.op == IoOp::read) {
        if (at + span.iov_len > bytes.size()) return std::make_error_code(std::errc::io_error);
        if (span.iov_base != nullptr) {
          std::memcpy(span.iov_base, bytes.data() + at, span.iov_len);
        }
      }
      at += span.iov_len;
    }
    return {};
  }

  // A block that comes in several spans counts once, with its first byte.
  void count_blocks(SegmentId segment, std::uint64_t at, std::uint64_t length) {
    std::vector<std::uint8_t>& writes = medium_->writes[segment.value].writes;
    const std::uint64_t first = (at + kSuperblockBytes - 1) / kSuperblockBytes;
    for (std::uint64_t block = first; block * kSuperblockBytes < at + length; ++block) {
      if (block < writes.size()) ++writes[block];
    }
  }

  std::shared_ptr<MemMedium> medium_;
  Config config_;
  Geometry geometry_;
  Capabilities capabilities_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<IoRequest> queue_;
  bool woken_ = false;
};

}  // namespace fdpstore::test
