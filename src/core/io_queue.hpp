// IoQueue: the engine's requests to the backend, with a callback each.
//
// Thread:  the engine's.
// Owns:    span arrays and callbacks of requests in flight. Borrows the Backend and all buffers.
// Units:   bytes. Requests beyond the backend's transfer limits are split; the callback comes once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <system_error>
#include <vector>

#include "fdpstore/backend.hpp"

namespace fdpstore::core {

class IoQueue {
 public:
  using Done = std::move_only_function<void(std::error_code)>;
  using Arrived = std::move_only_function<void(std::uint64_t bytes)>;
  // What is told of as it arrives comes in such pieces, and is summed up in them: 0.1 ms for each,
  // so that the engine is not kept from the device for longer.
  static constexpr std::size_t kPieceBytes = 1U << 20;

  explicit IoQueue(Backend& backend);
  ~IoQueue();
  IoQueue(const IoQueue&) = delete;
  IoQueue& operator=(const IoQueue&) = delete;

  // `arrived` learns how many bytes, from the first on, have come while others are on their way.
  void read(SegmentId segment, std::uint64_t offset_bytes, const std::vector<iovec>& spans,
            Done done, Arrived arrived = {});
  // With `make_first`, that makes the first span while the device is at the others already: what
  // was queued before is submitted, too.
  void write(SegmentId segment, std::uint64_t offset_bytes, const std::vector<iovec>& spans,
             Done done, const std::function<void()>& make_first = {});
  void flush(SegmentId segment, Done done);
  void free(SegmentId segment, bool release, Done done);

  // Memory that the backend has registered: spans inside it travel alone, since only a transfer of
  // one span can use it.
  void set_fixed_memory(std::span<std::byte> memory) { fixed_ = memory; }

  // Hands queued requests to the backend.
  void submit();
  // Submits, waits up to `timeout` for something to happen, runs callbacks. Returns how many ran.
  std::size_t poll(std::chrono::microseconds timeout);
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  // Polls until nothing is in flight, whatever callbacks ask for meanwhile included.
  void finish_all();

  // Blocking read, for start-up; other callbacks run meanwhile.
  [[nodiscard]] std::error_code read_now(SegmentId segment, std::uint64_t offset_bytes,
                                         std::span<std::byte> out);

 private:
  struct Pending;
  struct Part;
  static bool finish(Part& part, std::error_code error);
  [[nodiscard]] std::vector<IoRequest> cut(IoOp op, SegmentId segment, std::uint64_t offset_bytes,
                                           const std::vector<iovec>& spans, Done done,
                                           Arrived arrived) const;
  void queue(std::span<const IoRequest> requests);
  void simple(IoRequest request, Done done);

  [[nodiscard]] bool is_fixed(const iovec& span) const;

  Backend& backend_;
  std::span<std::byte> fixed_;
  std::vector<IoRequest> queued_;
  std::size_t in_flight_ = 0;
};

}  // namespace fdpstore::core
