// Discarder: gives ranges of a block device back (BLKDISCARD), which blocks, on a thread of its
// own.
//
// Thread:  push() and take() by one thread; `wake` is called on the discarder's.
// Borrows: the descriptor.
// Units:   bytes.
// Errors:  the errno, in the completion.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "fdpstore/backend.hpp"

namespace fdpstore::backends {

class Discarder {
 public:
  Discarder(int fd, std::function<void()> wake);
  ~Discarder();  // finishes what was pushed
  Discarder(const Discarder&) = delete;
  Discarder& operator=(const Discarder&) = delete;

  void push(std::uint64_t offset_bytes, std::uint64_t bytes, std::uint64_t user_data);
  // What is done since the last call.
  std::vector<IoCompletion> take();
  [[nodiscard]] std::size_t pending() const;

 private:
  struct Range {
    std::uint64_t offset_bytes, bytes, user_data;
  };
  void run();

  int fd_;
  std::function<void()> wake_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Range> queue_;
  std::vector<IoCompletion> done_;
  std::size_t pending_ = 0;
  bool stop_ = false;
  std::thread thread_;
};

// 0, or the errno.
int discard_range(int fd, std::uint64_t offset_bytes, std::uint64_t bytes);

}  // namespace fdpstore::backends
