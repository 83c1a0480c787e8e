// KeptBytes: what a simulated medium remembers. Bytes never written, or forgotten, are zeros.
//
// A block of 4096 bytes takes what it holds less the zeros at its end, and 16 bytes; a MiB of
// nothing takes 24. So a drive of 1 TB that keeps a header for each MiB takes some 400 MB.
//
// Thread:  one at a time.
// Units:   bytes; offsets at any alignment.
// Errors:  none; ranges beyond the size assert.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace fdpstore::ftl {

class KeptBytes {
 public:
  explicit KeptBytes(std::uint64_t size_bytes);

  void write(std::uint64_t offset_bytes, std::span<const std::byte> bytes);
  void read(std::uint64_t offset_bytes, std::span<std::byte> out) const;
  void forget(std::uint64_t offset_bytes, std::uint64_t bytes);
  // What is kept, without what keeping it takes.
  [[nodiscard]] std::uint64_t kept_bytes() const { return kept_bytes_; }

 private:
  static constexpr std::uint64_t kBlockBytes = 4096;
  static constexpr std::uint64_t kChunkBlocks = 256;
  static constexpr std::uint64_t kChunkBytes = kBlockBytes * kChunkBlocks;
  struct Block {
    std::unique_ptr<std::byte[]> bytes;
    std::uint16_t number = 0;  // within its chunk
    std::uint16_t length = 0;
  };
  using Chunk = std::vector<Block>;  // by number; those with nothing in them are left out

  // `from` null: zeros.
  void put(std::uint64_t offset_bytes, const std::byte* from, std::uint64_t length);
  void put_in_block(std::uint64_t block, std::uint64_t at, const std::byte* from,
                    std::uint64_t length);
  [[nodiscard]] const Block* find(std::uint64_t block) const;

  std::vector<Chunk> chunks_;
  std::uint64_t kept_bytes_ = 0;
};

}  // namespace fdpstore::ftl
