// A file that is memory itself (tmpfs), mapped: a copy takes half the time of a read or a write,
// which find and lock every page, and writes to one file do not wait for each other.
//
// Thread:  copies from any thread, side by side; the mapping belongs to one thread.
// Owns:    the mapping. The descriptor may be closed before it.
// Units:   offsets and lengths in bytes.
// Errors:  none: what cannot be mapped is read and written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace fdpstore::io {

class Mapping {
 public:
  Mapping() = default;
  // The first `bytes` of the file, as far as it has them. Nothing where a part has no memory yet,
  // since there may be none to be had by the time it is touched, which would end the process; so
  // would somebody else's truncating the file.
  static Mapping of(int fd, std::uint64_t bytes, bool writable) noexcept;
  Mapping(Mapping&& other) noexcept
      : memory_(std::exchange(other.memory_, {})), writable_(other.writable_) {}
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] bool covers(std::uint64_t end_bytes) const { return end_bytes <= memory_.size(); }
  [[nodiscard]] bool is_writable() const { return writable_ && !memory_.empty(); }
  // From `offset_bytes` on; both within what is covered.
  void read(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept;
  void write(std::uint64_t offset_bytes, std::span<const std::byte> bytes) const noexcept;

 private:
  Mapping(std::span<std::byte> memory, bool writable) : memory_(memory), writable_(writable) {}

  std::span<std::byte> memory_;
  bool writable_ = false;
};

}  // namespace fdpstore::io
