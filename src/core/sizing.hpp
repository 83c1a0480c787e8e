// How a capacity becomes segments.
#pragma once

#include <algorithm>
#include <cstdint>

#include "fdpstore/options.hpp"
#include "format/codec.hpp"

namespace fdpstore::core {

// Superblock, directories and their growth: part of the capacity that is in no segment.
inline constexpr std::uint64_t kOverheadBytes = 1U << 20;
// Of a segment beside records: header, a summary, footer.
inline constexpr std::uint64_t kSegmentOverheadBytes = 4 * format::kBlockBytes;
// One being written, one for metadata, two in reserve.
inline constexpr std::uint64_t kMinSegments = 4;

constexpr std::uint64_t segments_in(std::uint64_t capacity_bytes, std::uint64_t segment_bytes) {
  return capacity_bytes <= kOverheadBytes ? 0 : (capacity_bytes - kOverheadBytes) / segment_bytes;
}

// 256 MiB; smaller where that would leave fewer than 64 segments, but with room for two of the
// largest objects, and in any case small enough for kMinSegments where that is possible.
inline std::uint64_t default_segment_bytes(const Options& options) {
  constexpr std::uint64_t kMiB = 1U << 20;
  const std::uint64_t record = format::record_bytes(options.max_object_bytes);
  const std::uint64_t two_objects = 2 * record + kSegmentOverheadBytes;
  std::uint64_t bytes = std::clamp<std::uint64_t>(options.capacity_bytes / 64, kMiB, 256 * kMiB);
  bytes = std::max(bytes, two_objects);
  bytes = (bytes + kMiB - 1) / kMiB * kMiB;
  return bytes;
}

}  // namespace fdpstore::core
