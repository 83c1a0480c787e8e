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

// A reclaim unit where there is one, or as many as the largest object needs; a part of one where
// that would leave fewer than kMinSegments. Else 257 MiB, so that objects of powers of two fit with
// their headers (8 of 32 MiB; in 256 MiB there are 7); smaller where that would leave fewer than 64
// segments, but with room for two of the largest objects.
inline std::uint64_t default_segment_bytes(const Options& options, std::uint64_t unit_bytes) {
  constexpr std::uint64_t kMiB = 1U << 20;
  const std::uint64_t record = format::record_bytes(options.max_object_bytes);
  if (unit_bytes != 0) {
    const std::uint64_t one_object = record + kSegmentOverheadBytes;
    std::uint64_t bytes = (one_object + unit_bytes - 1) / unit_bytes * unit_bytes;
    while (segments_in(options.capacity_bytes, bytes) < kMinSegments && bytes % (2 * kMiB) == 0 &&
           bytes / 2 >= one_object) {
      bytes /= 2;
    }
    return bytes;
  }
  const std::uint64_t two_objects = 2 * record + kSegmentOverheadBytes;
  std::uint64_t bytes = std::clamp<std::uint64_t>(options.capacity_bytes / 64, kMiB, 257 * kMiB);
  bytes = std::max(bytes, two_objects);
  bytes = (bytes + kMiB - 1) / kMiB * kMiB;
  return bytes;
}

}  // namespace fdpstore::core
