#include "backends/discarder.hpp"

#include <array>
#include <cerrno>
#include <utility>

#include <linux/fs.h>
#include <sys/ioctl.h>

namespace fdpstore::backends {

int discard_range(int fd, std::uint64_t offset_bytes, std::uint64_t bytes) {
  const std::array<std::uint64_t, 2> range{offset_bytes, bytes};
  return ::ioctl(fd, BLKDISCARD, range.data()) == 0 ? 0 : errno;
}

Discarder::Discarder(int fd, std::function<void()> wake)
    : fd_(fd), wake_(std::move(wake)), thread_([this] { run(); }) {}

Discarder::~Discarder() {
  {
    const std::lock_guard guard(mutex_);
    stop_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Discarder::push(std::uint64_t offset_bytes, std::uint64_t bytes, std::uint64_t user_data) {
  {
    const std::lock_guard guard(mutex_);
    queue_.push_back({offset_bytes, bytes, user_data});
    ++pending_;
  }
  changed_.notify_one();
}

std::vector<IoCompletion> Discarder::take() {
  const std::lock_guard guard(mutex_);
  pending_ -= done_.size();
  return std::exchange(done_, {});
}

std::size_t Discarder::pending() const {
  const std::lock_guard guard(mutex_);
  return pending_;
}

void Discarder::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stop_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const Range range = queue_.front();
    queue_.pop_front();
    lock.unlock();
    const int error = discard_range(fd_, range.offset_bytes, range.bytes);
    lock.lock();
    done_.push_back({range.user_data, std::error_code(error, std::generic_category())});
    wake_();
  }
}

}  // namespace fdpstore::backends
