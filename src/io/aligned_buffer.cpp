#include "io/aligned_buffer.hpp"

#include <cerrno>

#include <fmt/format.h>
#include <sys/mman.h>

namespace fdpstore::io {

Result<AlignedBuffer> AlignedBuffer::make(const Options& options) {
  if (options.size_bytes == 0) return AlignedBuffer();
  // With huge pages the advice must come before the first touch, so population is a second step.
  const bool populate_now = options.populate && !options.huge_pages;
  void* memory = ::mmap(nullptr, options.size_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | (populate_now ? MAP_POPULATE : 0), -1, 0);
  if (memory == MAP_FAILED) {
    return fail_errno(errno, fmt::format("cannot map {} bytes of memory", options.size_bytes));
  }
  AlignedBuffer buffer(static_cast<std::byte*>(memory), options.size_bytes);
  if (options.huge_pages) {
    // Advice only: a kernel without transparent huge pages answers EINVAL and loses nothing.
    static_cast<void>(::madvise(memory, options.size_bytes, MADV_HUGEPAGE));
    if (options.populate) {
      for (std::size_t i = 0; i < buffer.size(); i += kAlignBytes) {
        *static_cast<volatile std::byte*>(buffer.data() + i) = std::byte{0};
      }
    }
  }
  return buffer;
}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  if (this != &other) {
    reset();
    data_ = std::exchange(other.data_, nullptr);
    size_bytes_ = std::exchange(other.size_bytes_, 0);
  }
  return *this;
}

void AlignedBuffer::reset() noexcept {
  if (data_ != nullptr) ::munmap(data_, size_bytes_);
  data_ = nullptr;
  size_bytes_ = 0;
}

}  // namespace fdpstore::io
