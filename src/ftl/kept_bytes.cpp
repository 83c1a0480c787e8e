#include "ftl/kept_bytes.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>

namespace fdpstore::ftl {

KeptBytes::KeptBytes(std::uint64_t size_bytes)
    : chunks_((size_bytes + kChunkBytes - 1) / kChunkBytes) {}

void KeptBytes::write(std::uint64_t offset_bytes, std::span<const std::byte> bytes) {
  put(offset_bytes, bytes.data(), bytes.size());
}

void KeptBytes::forget(std::uint64_t offset_bytes, std::uint64_t bytes) {
  put(offset_bytes, nullptr, bytes);
}

void KeptBytes::put(std::uint64_t offset_bytes, const std::byte* from, std::uint64_t length) {
  while (length > 0) {
    if (from == nullptr && offset_bytes % kChunkBytes == 0 && length >= kChunkBytes) {
      Chunk& chunk = chunks_.at(offset_bytes / kChunkBytes);
      for (const Block& block : chunk) kept_bytes_ -= block.length;
      Chunk().swap(chunk);
      offset_bytes += kChunkBytes;
      length -= kChunkBytes;
      continue;
    }
    const std::uint64_t at = offset_bytes % kBlockBytes;
    const std::uint64_t part = std::min(length, kBlockBytes - at);
    put_in_block(offset_bytes / kBlockBytes, at, from, part);
    offset_bytes += part;
    length -= part;
    if (from != nullptr) from += part;
  }
}

void KeptBytes::put_in_block(std::uint64_t block, std::uint64_t at, const std::byte* from,
                             std::uint64_t length) {
  Chunk& chunk = chunks_.at(block / kChunkBlocks);
  const auto number = static_cast<std::uint16_t>(block % kChunkBlocks);
  auto place = std::ranges::lower_bound(chunk, number, {}, &Block::number);
  const bool there = place != chunk.end() && place->number == number;
  if (!there && from == nullptr) return;
  std::array<std::byte, kBlockBytes> whole{};
  if (there) std::memcpy(whole.data(), place->bytes.get(), place->length);
  if (from == nullptr) {
    std::memset(whole.data() + at, 0, length);
  } else {
    std::memcpy(whole.data() + at, from, length);
  }
  std::uint64_t used = kBlockBytes;
  while (used > 0 && whole[used - 1] == std::byte{}) --used;
  if (there) kept_bytes_ -= place->length;
  if (used == 0) {
    if (there) chunk.erase(place);
    return;
  }
  kept_bytes_ += used;
  if (!there) {
    place = chunk.insert(place, Block{});
    place->number = number;
  }
  if (place->length != used) {
    place->bytes = std::make_unique_for_overwrite<std::byte[]>(used);
    place->length = static_cast<std::uint16_t>(used);
  }
  std::memcpy(place->bytes.get(), whole.data(), used);
}

const KeptBytes::Block* KeptBytes::find(std::uint64_t block) const {
  const Chunk& chunk = chunks_.at(block / kChunkBlocks);
  const auto number = static_cast<std::uint16_t>(block % kChunkBlocks);
  const auto place = std::ranges::lower_bound(chunk, number, {}, &Block::number);
  return place != chunk.end() && place->number == number ? &*place : nullptr;
}

void KeptBytes::read(std::uint64_t offset_bytes, std::span<std::byte> out) const {
  while (!out.empty()) {
    const std::uint64_t at = offset_bytes % kBlockBytes;
    const std::uint64_t part = std::min<std::uint64_t>(out.size(), kBlockBytes - at);
    const Block* block = find(offset_bytes / kBlockBytes);
    const std::uint64_t kept = block != nullptr && block->length > at
                                   ? std::min<std::uint64_t>(part, block->length - at)
                                   : 0;
    if (kept != 0) std::memcpy(out.data(), block->bytes.get() + at, kept);
    std::memset(out.data() + kept, 0, part - kept);
    offset_bytes += part;
    out = out.subspan(part);
  }
}

}  // namespace fdpstore::ftl
