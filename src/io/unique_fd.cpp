#include "io/unique_fd.hpp"

#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fdpstore::io {

void UniqueFd::reset(int fd) noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode) {
  return open_at(AT_FDCWD, "", path, flags, mode);
}

Result<UniqueFd> open_at(int dir_fd, std::string_view dir_path, const std::string& name, int flags,
                         mode_t mode) {
  for (;;) {
    const int fd = ::openat(dir_fd, name.c_str(), flags | O_CLOEXEC, mode);
    if (fd >= 0) return UniqueFd(fd);
    if (errno == EINTR) continue;
    return fail_errno(
        errno, fmt::format("cannot open {}{}{}", dir_path, dir_path.empty() ? "" : "/", name));
  }
}

namespace {

Result<struct stat> stat_fd(int fd, std::string_view path) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, fmt::format("cannot stat {}", path));
  return info;
}

// Repeats `call` while it is interrupted.
template <class Call>
Result<void> checked(Call call, std::string_view verb, std::string_view path) {
  while (call() != 0) {
    if (errno != EINTR) return fail_errno(errno, fmt::format("cannot {} {}", verb, path));
  }
  return {};
}

}  // namespace

Result<std::uint64_t> file_size(int fd, std::string_view path) {
  const auto info = stat_fd(fd, path);
  if (!info) return fail(info.error());
  return static_cast<std::uint64_t>(info->st_size);
}

Result<std::uint64_t> allocated_size(int fd, std::string_view path) {
  const auto info = stat_fd(fd, path);
  if (!info) return fail(info.error());
  return static_cast<std::uint64_t>(info->st_blocks) * 512;  // st_blocks counts 512-byte units
}

Result<void> pread_all(int fd, std::span<std::byte> out, std::uint64_t offset_bytes,
                       std::string_view path) {
  while (!out.empty()) {
    const ssize_t n = ::pread(fd, out.data(), out.size(), static_cast<off_t>(offset_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      return fail_errno(
          errno, fmt::format("cannot read {} bytes at {} of {}", out.size(), offset_bytes, path));
    }
    if (n == 0) {
      return fail(Errc::corrupt, fmt::format("{} ends at byte {}, {} more were expected", path,
                                             offset_bytes, out.size()));
    }
    out = out.subspan(static_cast<std::size_t>(n));
    offset_bytes += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<void> pwrite_all(int fd, std::span<const std::byte> bytes, std::uint64_t offset_bytes,
                        std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      // A write of nothing is not progress: it would loop for ever.
      return fail_errno(n < 0 ? errno : EIO, fmt::format("cannot write {} bytes at {} of {}",
                                                         bytes.size(), offset_bytes, path));
    }
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset_bytes += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<void> sync_file(int fd, std::string_view path) {
  return checked([fd] { return ::fsync(fd); }, "fsync", path);
}

Result<void> sync_data(int fd, std::string_view path) {
  return checked([fd] { return ::fdatasync(fd); }, "fdatasync", path);
}

Result<void> sync_directory(const std::string& path) {
  const auto dir = open_file(path, O_RDONLY | O_DIRECTORY);
  if (!dir) return fail(dir.error());
  return sync_file(dir->get(), path);
}

Result<void> truncate_file(int fd, std::uint64_t size_bytes, std::string_view path) {
  return checked([&] { return ::ftruncate(fd, static_cast<off_t>(size_bytes)); }, "set the size of",
                 path);
}

Result<void> allocate_file(int fd, std::uint64_t size_bytes, std::string_view path) {
  // Not posix_fallocate: glibc would fall back to writing a byte per block, behind our back.
  while (::fallocate(fd, 0, 0, static_cast<off_t>(size_bytes)) != 0) {
    if (errno == EINTR) continue;
    if (errno == EOPNOTSUPP) {
      return fail(Errc::unsupported,
                  fmt::format("{}: this file system cannot preallocate files (fallocate); use one "
                              "that can (ext4, xfs, btrfs, f2fs, tmpfs), or layout object",
                              path));
    }
    return fail_errno(errno, fmt::format("cannot allocate {} bytes for {}", size_bytes, path));
  }
  return {};
}

Result<UniqueFd> make_event_fd() {
  const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (fd < 0) return fail_errno(errno, "cannot make an eventfd");
  return UniqueFd(fd);
}

void signal_event_fd(int fd) noexcept {
  const std::uint64_t one = 1;
  while (::write(fd, &one, sizeof one) < 0 && errno == EINTR) {
  }
}

std::uint64_t drain_event_fd(int fd) noexcept {
  std::uint64_t count = 0;
  ssize_t n = 0;
  do {
    n = ::read(fd, &count, sizeof count);
  } while (n < 0 && errno == EINTR);
  return n == sizeof count ? count : 0;
}

}  // namespace fdpstore::io
