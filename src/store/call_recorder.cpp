#include "store/call_recorder.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace fdpstore::store {
namespace {

double wall_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

double seconds(CallRecorder::Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

constexpr std::size_t kPieceBytes = 256U << 10;

}  // namespace

bool CallRecorder::expired(Clock::time_point now) const {
  return seconds(now - taken_) > kLeaseS;
}

void CallRecorder::end() {
  on_.store(false, std::memory_order_relaxed);
  pieces_.clear();
  bytes_ = 0;
}

void CallRecorder::append(const std::string& frame) {
  if (pieces_.empty() || pieces_.back().size() + frame.size() > kPieceBytes) {
    pieces_.emplace_back().reserve(std::max(kPieceBytes, frame.size()));
  }
  pieces_.back() += frame;
  bytes_ += frame.size();
}

void CallRecorder::record(trace::LctCall call, std::span<const KeyRef> keys,
                          std::span<const std::uint64_t> sizes) {
  const auto now = Clock::now();
  Clock::time_point began;
  std::uint64_t recording = 0;
  {
    const std::lock_guard guard(mutex_);
    if (!on()) return;
    if (expired(now)) return end();
    began = began_;
    recording = recording_;
    // Not even worth the encoding.
    if (bytes_ >= max_bytes_) {
      ++lost_calls_;
      ++untold_;
      return;
    }
  }
  const double time_s = std::max(0.0, seconds(now - began)), wall_s = wall_now();
  const std::string frame = trace::lct_record(time_s, wall_s, call, keys, sizes);
  const std::lock_guard guard(mutex_);
  if (!on() || recording != recording_) return;
  if (bytes_ + frame.size() > max_bytes_) {
    ++lost_calls_;
    ++untold_;
    return;
  }
  if (untold_ != 0) append(trace::lct_gap(time_s, wall_s, std::exchange(untold_, 0)));
  append(frame);
  ++calls_;
}

Result<std::uint64_t> CallRecorder::start() {
  const std::lock_guard guard(mutex_);
  const auto now = Clock::now();
  if (on() && !expired(now)) {
    return fail(Errc::busy, "another process records it already; wait for that one to end");
  }
  end();
  began_ = taken_ = now;
  calls_ = lost_calls_ = untold_ = 0;
  on_.store(true, std::memory_order_relaxed);
  return ++recording_;
}

Result<void> CallRecorder::check(std::uint64_t recording) const {
  if (on() && recording == recording_) return {};
  return fail(Errc::not_found, fmt::format("recording {} has ended: nobody took from it for {} s",
                                           recording, kLeaseS));
}

Result<CallRecorder::Taken> CallRecorder::take(std::uint64_t recording, std::size_t max_bytes) {
  std::deque<std::string> pieces;
  Taken taken;
  {
    const std::lock_guard guard(mutex_);
    if (auto mine = check(recording); !mine) return fail(std::move(mine.error()));
    taken_ = Clock::now();
    taken.calls = calls_;
    taken.lost_calls = lost_calls_;
    for (std::size_t bytes = 0; bytes < max_bytes && !pieces_.empty();) {
      bytes += pieces_.front().size();
      bytes_ -= pieces_.front().size();
      pieces.push_back(std::move(pieces_.front()));
      pieces_.pop_front();
    }
  }
  for (const std::string& piece : pieces) taken.frames += piece;
  return taken;
}

Result<CallRecorder::Taken> CallRecorder::stop(std::uint64_t recording) {
  auto rest = take(recording, SIZE_MAX);
  const std::lock_guard guard(mutex_);
  if (!rest) return rest;
  if (untold_ != 0) {
    rest->frames += trace::lct_gap(seconds(Clock::now() - began_), wall_now(), untold_);
  }
  end();
  return rest;
}

}  // namespace fdpstore::store
