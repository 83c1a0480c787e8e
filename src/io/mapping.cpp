#include "io/mapping.hpp"

#include <algorithm>
#include <cstring>

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>

namespace fdpstore::io {

Mapping Mapping::of(int fd, std::uint64_t bytes, bool writable) noexcept {
  struct stat info{};
  struct statfs file_system{};
  if (::fstat(fd, &info) != 0 || ::fstatfs(fd, &file_system) != 0) return {};
  if (file_system.f_type != TMPFS_MAGIC) return {};
  const auto size = static_cast<std::uint64_t>(info.st_size);
  bytes = std::min(bytes, size);
  if (bytes == 0 || static_cast<std::uint64_t>(info.st_blocks) * 512 < size) return {};
  void* const memory =
      ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return {};
  // What is stored is no part of a core.
  ::madvise(memory, bytes, MADV_DONTDUMP);
  Mapping out;
  out.fd_ = fd;
  out.memory_ = {static_cast<std::byte*>(memory), bytes};
  out.writable_ = writable;
  return out;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(memory_, other.memory_);
  std::swap(writable_, other.writable_);
  return *this;
}

Mapping::~Mapping() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

bool Mapping::is_there(std::uint64_t end_bytes) const noexcept {
  struct stat info{};
  return covers(end_bytes) && ::fstat(fd_, &info) == 0 &&
         end_bytes <= static_cast<std::uint64_t>(info.st_size);
}

bool Mapping::read(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept {
  if (!is_there(offset_bytes + out.size())) return false;
  std::memcpy(out.data(), memory_.data() + offset_bytes, out.size());
  return true;
}

bool Mapping::write(std::uint64_t offset_bytes, std::span<const std::byte> bytes) const noexcept {
  if (!writable_ || !is_there(offset_bytes + bytes.size())) return false;
  std::memcpy(memory_.data() + offset_bytes, bytes.data(), bytes.size());
  return true;
}

}  // namespace fdpstore::io
