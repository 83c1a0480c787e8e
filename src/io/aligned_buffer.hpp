// Page-aligned memory for direct I/O.
//
// Thread:  belongs to one thread at a time.
// Owns:    an anonymous mapping, zero-filled when made.
// Errors:  ENOMEM as a Result; nothing throws.
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "fdpstore/result.hpp"

namespace fdpstore::io {

class AlignedBuffer {
 public:
  struct Options {
    std::size_t size_bytes = 0;  // rounded up to whole pages for the mapping, not for size()
    bool huge_pages = false;     // advise; the kernel may not have any
    // Touch every page now: direct I/O into never-touched memory runs at a third of the speed.
    bool populate = false;
  };
  static constexpr std::size_t kAlignBytes = 4096;

  [[nodiscard]] static Result<AlignedBuffer> make(const Options& options);

  AlignedBuffer() = default;
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept;
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { reset(); }

  void reset() noexcept;

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_bytes_; }
  [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, size_bytes_}; }

 private:
  AlignedBuffer(std::byte* data, std::size_t size_bytes) noexcept
      : data_(data), size_bytes_(size_bytes) {}

  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
};

}  // namespace fdpstore::io
