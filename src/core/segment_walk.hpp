// SegmentWalk: the records of one segment as they lie, from an offset on.
//
// Thread:  the engine's, at start-up. Reads through the IoQueue, blocking.
// Errors:  none: what cannot be read or verified is a hole.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "core/context.hpp"

namespace fdpstore::core {

class SegmentWalk {
 public:
  // `read_ahead_bytes`: how much to read at once; small where payloads are large, large where
  // records are small and all are wanted.
  SegmentWalk(Context& context, const Segment& segment, std::uint64_t size_bytes,
              std::size_t read_ahead_bytes);

  // Called with each valid record's offset and header.
  using Visit = std::function<void(std::uint64_t, const format::DecodedRecord&)>;
  // Walks from `first`; returns the end of the last valid record (`first` when there is none).
  std::uint64_t run(std::uint64_t first, const Visit& visit);
  // The payload of a record, empty when it cannot be read. Valid until the next call.
  std::span<const std::byte> payload(std::uint64_t record_offset, std::uint64_t bytes);

 private:
  std::span<const std::byte> block(std::uint64_t offset);
  std::span<const std::byte> guessed(std::uint64_t offset);
  void guess(std::uint64_t offset);
  std::span<const std::byte> in_window(std::uint64_t offset, std::uint64_t wanted,
                                       std::uint64_t read_ahead);
  [[nodiscard]] format::Place place(std::uint64_t offset) const;

  Context& context_;
  const Segment& segment_;
  std::uint64_t size_bytes_;
  std::size_t read_ahead_bytes_;
  Buffer window_;  // [window_at_, window_at_ + window_bytes_) of the segment
  std::uint64_t window_at_ = 0;
  std::size_t window_bytes_ = 0;
  // The headers that follow if records go on with one size, read side by side.
  struct Guess {
    std::uint64_t offset_bytes = 0;
    std::error_code error;
  };
  std::vector<Guess> guesses_;
  Buffer guessed_blocks_;
  std::uint64_t last_record_bytes_ = 0;
  std::uint64_t stride_bytes_ = 0;  // of the last two records; 0: they differ
  Buffer payload_;
};

}  // namespace fdpstore::core
