// Inside of Writer, shared by writer.cpp and writer_seal.cpp.
#pragma once

#include <span>
#include <vector>

#include "core/writer.hpp"

namespace fdpstore::core {

inline iovec as_iovec(std::span<const std::byte> bytes) {
  return {const_cast<std::byte*>(bytes.data()), bytes.size()};
}

inline std::uint64_t summary_record_bytes(std::uint64_t entries_bytes) {
  return entries_bytes == 0 ? 0 : format::record_bytes(entries_bytes);
}

// What seals a segment: the summary of entries of so many bytes, and the footer.
inline std::uint64_t closing_bytes(std::uint64_t entries_bytes) {
  return summary_record_bytes(entries_bytes) + format::kBlockBytes;
}

struct Writer::InFlightRecord {
  std::uint64_t offset_bytes = 0;
  Append append;
  Placed placed;
  std::vector<std::byte> summary_entry;
};

// Neighbouring records, written by one request.
struct Writer::Batch {
  Segment* segment = nullptr;
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
  std::vector<iovec> spans;
  std::vector<InFlightRecord> records;
  std::vector<Buffer> blocks;
};

}  // namespace fdpstore::core
