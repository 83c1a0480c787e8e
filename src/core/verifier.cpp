#include "core/verifier.hpp"

#include <algorithm>
#include <system_error>
#include <utility>

#include "common/xxh3.hpp"
#include "core/io_queue.hpp"

namespace fdpstore::core {
namespace {

// Of what a device brings, the engine leaves no more waiting than this: to wake a helper for less
// costs more than it gains (4 MiB objects from a disk: CPU 1.6 x). Of copies it takes the first.
constexpr std::size_t kMostAlone = 8;
constexpr unsigned kMostHelpers = 7;

}  // namespace

unsigned Verifier::helpers_here() {
  return std::clamp(std::thread::hardware_concurrency(), 1U, kMostHelpers + 1) - 1;
}

Verifier::~Verifier() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  more_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Verifier::copy(Payload& payload, const CachedSegment& from, std::uint64_t offset_bytes) {
  payload.from_ = &from;
  payload.from_offset_bytes_ = offset_bytes;
  arrived(payload, payload.bytes_.size());
}

void Verifier::arrived(Payload& payload, std::uint64_t bytes) {
  bool wanted = false, begin = false;
  {
    const std::lock_guard lock(mutex_);
    payload.arrived_ = bytes;
    queue(payload);
    wanted = queue_.size() > (payload.from_ != nullptr ? 1 : kMostAlone);
    begin = wanted && resting_ == 0 && helpers_.size() < most_helpers_;
  }
  if (begin) begin_helper();
  if (wanted) more_.notify_one();
}

void Verifier::give_up(Payload& payload) {
  const std::lock_guard lock(mutex_);
  payload.given_up_ = true;
  queue(payload);
}

void Verifier::queue(Payload& payload) {
  if (!std::exchange(payload.queued_, true)) queue_.push_back(&payload);
}

bool Verifier::help() {
  std::unique_lock lock(mutex_);
  if (queue_.empty()) return false;
  (void)work_on_next(lock);
  return true;
}

bool Verifier::work_on_next(std::unique_lock<std::mutex>& lock) {
  Payload& payload = *queue_.front();
  queue_.pop_front();
  const std::uint64_t end = payload.given_up_
                                ? payload.done_
                                : std::min(payload.arrived_, payload.done_ + IoQueue::kPieceBytes);
  lock.unlock();
  std::uint64_t at = payload.done_;
  bool missing = false;
  while (at < end && !missing) {
    std::span<std::byte> piece = payload.bytes_.subspan(at, std::min(kXxh3CachedBytes, end - at));
    if (payload.from_ != nullptr) {
      const std::size_t copied = payload.from_->copy(payload.from_offset_bytes_ + at, piece);
      missing = copied < piece.size();
      piece = piece.first(copied);
    }
    if (payload.sum_) payload.sum_->add(piece);
    at += piece.size();
  }
  lock.lock();
  payload.done_ = at;
  if (missing) payload.from_ = nullptr;
  if (payload.given_up_ || missing || at == payload.bytes_.size()) {
    payload.queued_ = false;
    done_.push_back(&payload);
    return done_.size() == 1;
  }
  payload.queued_ = at < payload.arrived_;
  if (payload.queued_) queue_.push_back(&payload);
  return false;
}

std::vector<Verifier::Payload*> Verifier::take_done() {
  const std::lock_guard lock(mutex_);
  return std::exchange(done_, {});
}

bool Verifier::waiting() const {
  const std::lock_guard lock(mutex_);
  return !queue_.empty();
}

void Verifier::begin_helper() {
  try {
    helpers_.emplace_back([this] { run(); });
  } catch (const std::system_error&) {
    most_helpers_ = static_cast<unsigned>(helpers_.size());
  }
}

void Verifier::run() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    if (queue_.empty()) {
      ++resting_;
      more_.wait(lock);
      --resting_;
      continue;
    }
    if (!work_on_next(lock)) continue;
    lock.unlock();
    wake_();
    lock.lock();
  }
}

}  // namespace fdpstore::core
