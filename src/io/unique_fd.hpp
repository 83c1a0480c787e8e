// Descriptors that close themselves, and checked system calls on them.
//
// Thread:  as the system calls; a UniqueFd belongs to one thread at a time.
// Owns:    the descriptor.
// Units:   offsets and lengths in bytes.
// Errors:  the errno, in a message that names the path. Interrupted and short transfers are
// continued.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <sys/types.h>

#include "fdpstore/result.hpp"

namespace fdpstore::io {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) noexcept : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) reset(std::exchange(other.fd_, -1));
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  // Closes what is held. Nothing is lost by it: data is made durable by fsync, never by close.
  void reset(int fd = -1) noexcept;

  // Gives the descriptor away: for callers who must see what close() returns.
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// O_CLOEXEC is always added. `mode` is used when the file is created, and is subject to the umask.
[[nodiscard]] Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0600);
// `name` below the directory `dir_fd`, whose path serves the message.
[[nodiscard]] Result<UniqueFd> open_at(int dir_fd, std::string_view dir_path,
                                       const std::string& name, int flags, mode_t mode = 0600);

[[nodiscard]] Result<std::uint64_t> file_size(int fd, std::string_view path);
// Bytes the file takes on disk, which is what capacity is about.
[[nodiscard]] Result<std::uint64_t> allocated_size(int fd, std::string_view path);

// The whole span, or an error: the end of the file is Errc::corrupt.
[[nodiscard]] Result<void> pread_all(int fd, std::span<std::byte> out, std::uint64_t offset_bytes,
                                     std::string_view path);
[[nodiscard]] Result<void> pwrite_all(int fd, std::span<const std::byte> bytes,
                                      std::uint64_t offset_bytes, std::string_view path);

[[nodiscard]] Result<void> sync_file(int fd, std::string_view path);
[[nodiscard]] Result<void> sync_data(int fd, std::string_view path);
// Makes the names in a directory survive a power cut.
[[nodiscard]] Result<void> sync_directory(const std::string& path);

[[nodiscard]] Result<void> truncate_file(int fd, std::uint64_t size_bytes, std::string_view path);
// Allocates 0 … size_bytes, and makes the file that long. Where the file system has no fallocate,
// Errc::unsupported: capacity could not be kept as promised.
[[nodiscard]] Result<void> allocate_file(int fd, std::uint64_t size_bytes, std::string_view path);

// Event counters (eventfd, non-blocking).
[[nodiscard]] Result<UniqueFd> make_event_fd();
// Any thread; cannot fail: a counter that is full already wakes its reader.
void signal_event_fd(int fd) noexcept;
// Sets the counter to 0 and returns what it was.
std::uint64_t drain_event_fd(int fd) noexcept;

}  // namespace fdpstore::io
