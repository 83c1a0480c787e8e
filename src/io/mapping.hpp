// A file that is memory itself (tmpfs), mapped: a copy takes half the time of a read or a write,
// which find and lock every page, and writes to one file do not wait for each other.
//
// Thread:  copies from any thread, side by side; the mapping belongs to one thread.
// Owns:    the mapping. Borrows the descriptor, which stays open for as long.
// Units:   offsets and lengths in bytes.
// Errors:  none: what is not mapped, or no longer there, has to be read and written, which says
// why.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace fdpstore::io {

class Mapping {
 public:
  Mapping() = default;
  // The first `bytes` of the file, as far as it has them. Nothing on other file systems, whose
  // devices can fail; and where a part has no memory yet, since there may be none to be had by the
  // time it is touched. Either would end the process, as does cutting the file during a copy.
  static Mapping of(int fd, std::uint64_t bytes, bool writable) noexcept;
  Mapping(Mapping&& other) noexcept { *this = std::move(other); }
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  [[nodiscard]] bool empty() const { return memory_.empty(); }
  [[nodiscard]] bool covers(std::uint64_t end_bytes) const { return end_bytes <= memory_.size(); }
  [[nodiscard]] bool is_writable() const { return writable_ && !empty(); }
  // From `offset_bytes` on. False: not all of it is mapped, somebody has cut the file, or it is
  // mapped to be read only; nothing has been copied.
  [[nodiscard]] bool read(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept;
  [[nodiscard]] bool write(std::uint64_t offset_bytes,
                           std::span<const std::byte> bytes) const noexcept;

 private:
  [[nodiscard]] bool is_there(std::uint64_t end_bytes) const noexcept;

  int fd_ = -1;
  std::span<std::byte> memory_;
  bool writable_ = false;
};

}  // namespace fdpstore::io
