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

constexpr std::size_t kFrameLengthBytes = 4;

std::size_t frame_bytes(std::string_view frames) {
  std::size_t bytes = 0;
  for (const char c : frames.substr(0, kFrameLengthBytes)) {
    bytes = bytes << 8 | static_cast<unsigned char>(c);
  }
  return kFrameLengthBytes + bytes;
}

}  // namespace

bool CallRecorder::expired(Clock::time_point now) const {
  return seconds(now - taken_) > kLeaseS;
}

void CallRecorder::end() {
  on_.store(false, std::memory_order_relaxed);
  frames_ = {};
  given_ = 0;
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
    if (frames_.size() - given_ >= max_bytes_) {
      ++lost_calls_;
      ++untold_;
      return;
    }
  }
  const double time_s = std::max(0.0, seconds(now - began)), wall_s = wall_now();
  const std::string frame = trace::lct_record(time_s, wall_s, call, keys, sizes);
  const std::lock_guard guard(mutex_);
  if (!on() || recording != recording_) return;
  if (frames_.size() - given_ + frame.size() > max_bytes_) {
    ++lost_calls_;
    ++untold_;
    return;
  }
  if (untold_ != 0) frames_ += trace::lct_gap(time_s, wall_s, std::exchange(untold_, 0));
  frames_ += frame;
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
  const std::lock_guard guard(mutex_);
  if (auto mine = check(recording); !mine) return fail(std::move(mine.error()));
  taken_ = Clock::now();
  Taken taken{.frames = {}, .calls = calls_, .lost_calls = lost_calls_};
  std::string_view rest = std::string_view(frames_).substr(given_);
  std::size_t bytes = 0;
  while (bytes < rest.size() && bytes < max_bytes) bytes += frame_bytes(rest.substr(bytes));
  taken.frames = rest.substr(0, bytes);
  given_ += bytes;
  if (given_ == frames_.size()) {
    frames_.clear();
    given_ = 0;
  } else if (given_ > frames_.size() / 2) {
    frames_.erase(0, std::exchange(given_, 0));
  }
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
