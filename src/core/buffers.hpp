// Buffers: aligned memory for headers, tails and payloads that cannot travel as they are.
//
// Thread:  the engine's.
// Owns:    a list of spare 4096-byte blocks; larger buffers are allocated and freed each time.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <new>
#include <span>
#include <vector>

#include "format/codec.hpp"

namespace fdpstore::core {

struct AlignedFree {
  void operator()(std::byte* memory) const { std::free(memory); }
};

// Memory at a multiple of 4096, its length rounded up to one.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t bytes)
      : size_(format::round_up_block(bytes == 0 ? 1 : bytes)),
        memory_(static_cast<std::byte*>(std::aligned_alloc(format::kBlockBytes, size_))) {
    if (memory_ == nullptr) throw std::bad_alloc();
  }
  [[nodiscard]] std::span<std::byte> span() const { return {memory_.get(), size_}; }
  [[nodiscard]] std::byte* data() const { return memory_.get(); }
  explicit operator bool() const { return memory_ != nullptr; }

 private:
  std::size_t size_ = 0;
  std::unique_ptr<std::byte, AlignedFree> memory_;
};

class BlockPool {
 public:
  Buffer take() {
    if (spare_.empty()) return Buffer(format::kBlockBytes);
    Buffer block = std::move(spare_.back());
    spare_.pop_back();
    return block;
  }
  void give(Buffer block) {
    if (block && block.span().size() == format::kBlockBytes && spare_.size() < kMaxSpare) {
      spare_.push_back(std::move(block));
    }
  }

 private:
  static constexpr std::size_t kMaxSpare = 1024;
  std::vector<Buffer> spare_;
};

}  // namespace fdpstore::core
