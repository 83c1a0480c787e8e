#include "backends/write_lock.hpp"

#include <cerrno>
#include <chrono>
#include <thread>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace fdpstore::backends {
namespace {

constexpr auto kLockPatience = std::chrono::seconds(2);
constexpr auto kLockPause = std::chrono::milliseconds(10);

}  // namespace

WriteLock::WriteLock(int fd) : fd_(fd), owner_(::getpid()) {}

WriteLock::~WriteLock() {
  if (fd_ < 0 || owner_ != ::getpid()) return;
  struct flock all{};
  all.l_type = F_UNLCK;
  all.l_whence = SEEK_SET;
  ::fcntl(fd_, F_OFD_SETLK, &all);
}

Result<std::optional<WriteLock>> WriteLock::acquire(int fd, std::uint64_t begin,
                                                    std::uint64_t length, const std::string& path) {
  const auto give_up = std::chrono::steady_clock::now() + kLockPatience;
  do {
    struct flock range{};
    range.l_type = F_WRLCK;
    range.l_whence = SEEK_SET;
    range.l_start = static_cast<off_t>(begin);
    range.l_len = static_cast<off_t>(length);
    if (::fcntl(fd, F_OFD_SETLK, &range) == 0) return WriteLock(fd);
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EACCES) {
      return fail_errno(errno, fmt::format("cannot lock {}; use a file system with locks", path));
    }
    std::this_thread::sleep_for(kLockPause);
  } while (std::chrono::steady_clock::now() < give_up);
  return std::nullopt;
}

}  // namespace fdpstore::backends
