// Segments: what each part of the backend is used for, and whether there is room for another one.
//
// Thread:  the engine's; no locks inside.
// Owns:    segment states and accounting. Does no I/O.
// Units:   bytes on the medium unless a name says payload.
// Errors:  none; nullptr or false when there is no room.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/buffers.hpp"
#include "core/index.hpp"
#include "fdpstore/backend.hpp"

namespace fdpstore::core {

enum class SegmentState : std::uint8_t {
  absent,      // nothing on the medium
  free,        // there, its content dead, to be rewritten
  open,        // being appended to
  sealing,     // full; last writes, summary and footer are under way
  sealed,      //
  reclaiming,  // being emptied, then freed
};
std::string_view to_string(SegmentState state);

// A delete that must be remembered as long as the dead copy it covers is on the medium.
struct DeadCopy {
  Key key;
  std::uint64_t sequence = 0;
};

// Needed only while a segment is written to.
struct Appending {
  struct InFlight {
    std::uint64_t offset_bytes = 0;
    bool done = false;
  };
  std::deque<InFlight> window;              // in offset order; the front is never done
  std::vector<std::byte> summary;           // encoded entries of completed records
  std::uint64_t summary_reserve_bytes = 0;  // what the entries of all records since then will take
  std::uint64_t bytes_since_summary = 0;
  std::uint64_t last_summary = 0;  // offset of the last one issued
  bool summary_lost = false;       // one was not written: no footer, start-up will walk
  bool has_footer = false;         // found with one that does not hold: another must replace it
  bool header_done = false;
  std::error_code header_error;
  bool failed = false;          // a write failed: no more appends
  bool filled = false;          // to its last block
  bool closing = false;         // summary and footer are being written
  std::error_code flush_error;  // of the first flush that failed
  std::uint32_t flushes = 0;    // in flight, for durability `device`
  // Acknowledgements that wait for the segment header, without which start-up sees nothing here.
  std::vector<std::move_only_function<void(std::error_code)>> after_header;
  double last_append_s = 0;
};

struct Segment {
  SegmentId id;
  SegmentState state = SegmentState::absent;
  SegmentUse use;
  std::uint64_t sequence = 0;        // of this life; 0 before the first
  std::uint64_t freed_sequence = 0;  // lives up to here are recorded as dead
  std::uint64_t allocated_bytes = 0;
  std::uint64_t promised_bytes = 0;  // of a grown one: what its summary and footer will take
  std::uint64_t end_bytes = 0;       // where the next record goes
  std::uint64_t live_payload_bytes = 0;
  std::uint32_t live_objects = 0;
  std::uint32_t readers = 0;  // reads in flight: it may be emptied, not freed
  bool recycled = false;      // this life rewrites space that was there before
  // Holds copies that nothing remembers: of a failed write, or of a reclaim cut short by a crash.
  // Its live objects are written anew and it is freed before any other segment is.
  bool rewrite = false;
  bool headless = false;   // the header of this life was not written: an older one may be there
  bool unflushed = false;  // sealed, and perhaps not on stable storage
  bool faulty = false;     // the last write to it failed: taken again only when no other is free
  std::vector<EntryId> entries;  // of objects written here; some may have gone since
  std::vector<DeadCopy> dead;
  // As Worth last worked it out; on the clock of keys used; 0: never.
  double worth = 0, worth_age = 0;
  std::uint64_t worth_known_at = 0;
  std::uint64_t dead_bytes = 0;          // of their records in the metadata log
  std::unique_ptr<Appending> appending;  // open, sealing
};

class Segments {
 public:
  // `budget_bytes`: the capacity less what is not in segments.
  Segments(const Geometry& geometry, bool fixed_size, std::uint64_t budget_bytes);

  Segment& at(SegmentId id);
  // nullptr: there is none.
  Segment* find(SegmentId id);
  // Existing ones in id order.
  void for_each(const std::function<void(Segment&)>& visit);

  // Space that could be allocated now, counting free segments.
  [[nodiscard]] std::uint64_t available_bytes() const;
  [[nodiscard]] std::uint64_t available_segments() const {
    return available_bytes() / segment_bytes_;
  }
  [[nodiscard]] std::uint64_t allocated_bytes() const { return allocated_; }
  [[nodiscard]] std::uint64_t budget_bytes() const { return budget_; }
  // Segments the budget is good for.
  [[nodiscard]] std::uint64_t total_segments() const { return budget_ / segment_bytes_; }
  [[nodiscard]] bool over_budget() const { return allocated_ > budget_; }
  [[nodiscard]] std::uint64_t segment_bytes() const { return segment_bytes_; }

  // A free or new segment as `open` with the next sequence, or nullptr. `grown`: it starts without
  // space and takes it by grow().
  Segment* take(const SegmentUse& use, bool grown);
  // Accounts `bytes` more for a grown segment; the caller has checked available_bytes().
  void grow(Segment& segment, std::uint64_t bytes);
  // That many, instead of what was promised before, are kept for what seals a grown segment.
  void promise(Segment& segment, std::uint64_t bytes) {
    promised_ += bytes - std::exchange(segment.promised_bytes, bytes);
  }
  // Its content is gone; with `released` its space too.
  void put_back(Segment& segment, bool released);
  // Undoes take() when the backend could not make it ready.
  void give_up(Segment& segment);

  void add_dead(Segment& segment, DeadCopy copy, std::uint64_t record_bytes);
  [[nodiscard]] std::uint64_t dead_bytes() const { return dead_bytes_; }
  // Segments that lost their last live object since the last call.
  std::vector<SegmentId> take_emptied() { return std::exchange(emptied_, {}); }
  void note_emptied(SegmentId id) { emptied_.push_back(id); }

  void mark_for_rewrite(Segment& segment) {
    if (!std::exchange(segment.rewrite, true)) rewrites_.push_back(segment.id);
  }
  // The first one that is still marked, or nullptr.
  Segment* next_rewrite();

  // The medium is full before the budget is: allocate no more until restore_budget().
  void shrink_budget() { budget_ = std::min(budget_, allocated_); }
  void restore_budget() { budget_ = full_budget_; }

  // At start-up.
  Segment& adopt(SegmentId id, std::uint64_t allocated_bytes);
  void set_free(Segment& segment);
  // The oldest free segment, taken out of the free ones so that its space can be released.
  Segment* pop_free();
  void note_sequence(std::uint64_t sequence) {
    next_sequence_ = std::max(next_sequence_, sequence + 1);
  }

 private:
  std::uint64_t segment_bytes_;
  std::uint32_t max_segments_;
  bool fixed_size_;
  std::uint64_t budget_;
  std::uint64_t full_budget_;
  std::uint64_t allocated_ = 0;
  std::uint64_t promised_ = 0;
  std::uint64_t next_sequence_ = 1;
  std::vector<std::unique_ptr<Segment>> table_;
  std::uint64_t dead_bytes_ = 0;
  std::vector<SegmentId> emptied_;
  std::vector<SegmentId> rewrites_;
  // What the budget leaves beside what is allocated and promised.
  [[nodiscard]] std::uint64_t unused_budget() const {
    const std::uint64_t used = allocated_ + promised_;
    return budget_ > used ? budget_ - used : 0;
  }
  // Whether a segment can be taken that needs no free one.
  [[nodiscard]] bool can_take_fresh() const;

  std::deque<SegmentId> free_;  // oldest first, faulty ones behind all others
  std::size_t faulty_free_ = 0;
  std::vector<SegmentId> gone_;   // ids that were released
  std::uint32_t never_used_ = 0;  // ids from here on have not been used
};

}  // namespace fdpstore::core
