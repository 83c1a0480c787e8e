// SummaryReader: the summaries of many segments, their reads side by side. A segment's lie in a
// chain, each known by the one after it, so a drive full of them would take minutes one at a time.
//
// Thread:  the engine's, at start-up. Reads through the IoQueue, blocking.
// Errors:  none: where a chain is damaged, that is told and the chain ends. A last summary that may
//          be torn is no damage.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "core/context.hpp"

namespace fdpstore::core {

struct SummaryChain {
  Segment* segment = nullptr;
  std::uint64_t size_bytes = 0;   // of what is there of the segment
  std::uint64_t last_offset = 0;  // of the last summary; 0: there is none
  bool may_be_torn = false;       // the last one: the process ended while it was written
  bool whole = false;             // out: every link was read, and visited without an error
};

class SummaryReader {
 public:
  // Gets the verified entries of one summary. An error ends the chain.
  using Visit = std::function<Result<void>(const SummaryChain& chain, std::uint64_t offset,
                                           std::span<const std::byte> entries)>;
  using Damaged =
      std::function<void(const Segment& segment, std::uint64_t offset, std::string what)>;
  SummaryReader(Context& context, Visit visit, Damaged damaged)
      : context_(context), visit_(std::move(visit)), damaged_(std::move(damaged)) {}

  // Follows each chain back to its begin. The order of visits is that of the reads' ends.
  void read(std::span<SummaryChain> chains);

 private:
  // One chain under way.
  struct Lane {
    SummaryChain* chain = nullptr;
    std::uint64_t offset_bytes = 0;  // of the summary that is being read
    std::uint64_t end_bytes = 0;     // of what may be its own: summaries do not overlap
    std::size_t needed_bytes = 0;    // of it, as far as is known
    std::size_t read_bytes = 0;
    Buffer buffer;
  };
  void begin_next(Lane& lane);
  bool begin_link(Lane& lane);
  void read(Lane& lane, std::size_t bytes);
  void arrived(Lane& lane, std::error_code error);
  bool take(Lane& lane);
  bool unverified(const Lane& lane, std::string what);
  bool damaged(const Lane& lane, std::string what);

  Context& context_;
  Visit visit_;
  Damaged damaged_;
  std::span<SummaryChain> waiting_;
  std::size_t likely_bytes_ = 16U << 10;  // of a summary: as much as the last one
};

}  // namespace fdpstore::core
