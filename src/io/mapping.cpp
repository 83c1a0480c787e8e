#include "io/mapping.hpp"

#include <algorithm>
#include <cstring>

#include <sys/mman.h>
#include <sys/stat.h>

namespace fdpstore::io {

Mapping Mapping::of(int fd, std::uint64_t bytes, bool writable) noexcept {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return {};
  const auto size = static_cast<std::uint64_t>(info.st_size);
  bytes = std::min(bytes, size);
  if (bytes == 0 || static_cast<std::uint64_t>(info.st_blocks) * 512 < size) return {};
  void* const memory =
      ::mmap(nullptr, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (memory == MAP_FAILED) return {};
  // What is stored is no part of a core.
  ::madvise(memory, bytes, MADV_DONTDUMP);
  return {{static_cast<std::byte*>(memory), bytes}, writable};
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(writable_, other.writable_);
  return *this;
}

Mapping::~Mapping() {
  if (!memory_.empty()) ::munmap(memory_.data(), memory_.size());
}

void Mapping::read(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept {
  std::memcpy(out.data(), memory_.data() + offset_bytes, out.size());
}

void Mapping::write(std::uint64_t offset_bytes, std::span<const std::byte> bytes) const noexcept {
  std::memcpy(memory_.data() + offset_bytes, bytes.data(), bytes.size());
}

}  // namespace fdpstore::io
