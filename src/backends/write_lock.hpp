// The lock that a store holds on its superblock file or on its part of a device.
//
// Source:  fcntl(2), F_OFD_SETLK.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include <sys/types.h>

#include "fdpstore/result.hpp"

namespace fdpstore::backends {

class WriteLock {
 public:
  // Locks `length` bytes from `begin` on (0: to the end of the file). While another process has
  // some of them, tries again for two seconds: one that was killed keeps them until the kernel has
  // ended its last write. Nothing when they are still taken; an error where there are no locks.
  // `fd` must outlive the lock.
  static Result<std::optional<WriteLock>> acquire(int fd, std::uint64_t begin, std::uint64_t length,
                                                  const std::string& path);
  WriteLock(WriteLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)), owner_(other.owner_) {}
  WriteLock& operator=(WriteLock&&) = delete;
  WriteLock(const WriteLock&) = delete;
  WriteLock& operator=(const WriteLock&) = delete;
  // Gives it up at once, though a ring that lives on for a moment may still refer to the file.
  ~WriteLock();

 private:
  explicit WriteLock(int fd);

  int fd_;
  pid_t owner_;  // a forked child shares the lock, and must not give it up for its parent
};

}  // namespace fdpstore::backends
