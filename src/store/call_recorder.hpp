// CallRecorder: keeps what a store is asked until another process takes it, as frames of a
// recording (trace/write_lct.hpp).
//
// Recording must not slow the store down: a call is encoded by its own thread, and put into a
// buffer of bounded size under a lock that is held for a copy only. When the buffer is full, calls
// are left out and counted. Taking moves whole pieces out of the buffer. A recording that nobody
// takes from for kLeaseS ends by itself.
//
// Thread:  any.
// Owns:    while it is on, at most kMaxBytes.
// Errors:  start() of a second recording: busy; take() and stop() of one that has ended: not_found.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <string>

#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"
#include "trace/write_lct.hpp"

namespace fdpstore::store {

class CallRecorder {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMaxBytes = 64U << 20;
  static constexpr double kLeaseS = 15;

  struct Taken {
    std::string frames;
    std::uint64_t calls = 0, lost_calls = 0;  // since the recording began
  };

  explicit CallRecorder(std::size_t max_bytes = kMaxBytes) : max_bytes_(max_bytes) {}

  [[nodiscard]] bool on() const { return on_.load(std::memory_order_relaxed); }
  // Only while it is on. `sizes`: of each key, or none.
  void record(trace::LctCall call, std::span<const KeyRef> keys,
              std::span<const std::uint64_t> sizes);

  // The number of the recording.
  [[nodiscard]] Result<std::uint64_t> start();
  // What was recorded since the last time, in pieces: at most one of them beyond `max_bytes`.
  [[nodiscard]] Result<Taken> take(std::uint64_t recording, std::size_t max_bytes);
  // As take(), of everything that is left; then it is off.
  [[nodiscard]] Result<Taken> stop(std::uint64_t recording);

 private:
  [[nodiscard]] Result<void> check(std::uint64_t recording) const;
  void append(const std::string& frame);
  [[nodiscard]] bool expired(Clock::time_point now) const;
  void end();

  const std::size_t max_bytes_;
  std::atomic<bool> on_ = false;
  std::mutex mutex_;  // guards all below
  std::uint64_t recording_ = 0;
  Clock::time_point began_, taken_;
  std::deque<std::string> pieces_;                         // of whole frames
  std::size_t bytes_ = 0;                                  // in all of them
  std::uint64_t calls_ = 0, lost_calls_ = 0, untold_ = 0;  // untold: lost, without a gap yet
};

}  // namespace fdpstore::store
