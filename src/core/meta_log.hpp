// MetaLog: what must be remembered beside objects: deletes, freed segments, the policy's state.
//
// An append log in a segment of its own. When that is full, what still counts is written to a fresh
// one, and the old one is freed. A delete counts as long as the segment with the dead copy is not
// freed; so metadata lives and dies with the segments it describes.
//
// Thread:  the engine's.
// Owns:    the metadata segment. Borrows Context and Writer.
// Errors:  given to the callback; when no segment can be had the store is unhealthy.
#pragma once

#include <functional>
#include <limits>
#include <string>
#include <system_error>
#include <vector>

#include "core/context.hpp"
#include "core/writer.hpp"

namespace fdpstore::core {

class MetaLog {
 public:
  using Done = std::move_only_function<void(std::error_code)>;

  MetaLog(Context& context, Writer& writer, SegmentUse use)
      : context_(context), writer_(writer), use_(use) {}

  // Takes up the open metadata segment found at start-up, or begins one.
  void adopt(Segment& segment) { current_ = &segment; }
  [[nodiscard]] Result<void> begin();
  [[nodiscard]] const Segment* current() const { return current_; }
  // Writes what counts to a fresh segment and frees `old` ones; for a start-up that found several.
  void replace(std::vector<Segment*> old);

  // Remembers that the copy in `segment` is dead for every sequence ≤ the one returned; the
  // tombstone itself is written by the next write_tombstones().
  void remember(const Key& key, SegmentId segment) {
    remember(key, segment, context_.next_sequence++);
  }
  // The same for copies with a sequence ≤ `sequence` only.
  void remember(const Key& key, SegmentId segment, std::uint64_t sequence);
  // `done` runs when all tombstones remembered since the last call are written.
  void write_tombstones(Done done);
  // Records that this life of the segment is over.
  void write_freed(Segment& segment, Done done);
  // A segment is free that no record tells of, for want of room: nothing more is written before the
  // next snapshot, which does.
  void owe_snapshot() { snapshot_owed_ = true; }
  void write_state(std::string state, Done done);
  void write_footers(const std::vector<format::SegmentFooter>& footers, Done done);
  void set_state(std::string state) { state_ = std::move(state); }  // found at start-up

  // Deletes that must be carried along are getting too many for one segment.
  [[nodiscard]] bool pressed() const {
    return context_.segments.dead_bytes() > context_.segments.segment_bytes() / 4;
  }
  // Frees old segments whose last writes have ended.
  void step();
  [[nodiscard]] bool idle() const { return retiring_.empty(); }

 private:
  struct Retiring {
    std::vector<Segment*> segments;
    std::size_t snapshot_writes = 0;  // not yet done
    bool failed = false;
    bool recorded = false;
    bool was_owed = false;
  };

  void append(format::RecordKind kind, std::vector<std::byte> payload, Done done);
  void append_once(format::RecordKind kind, std::vector<std::byte> payload, Done done);
  void give_back_headless();
  bool make_room();
  void write_snapshot(const std::shared_ptr<Retiring>& retiring);
  bool step(const std::shared_ptr<Retiring>& retiring);
  std::uint64_t append_dead(std::vector<std::byte>& out, const Segment& segment,
                            const DeadCopy& copy) const;

  Context& context_;
  Writer& writer_;
  SegmentUse use_;
  Segment* current_ = nullptr;
  std::string state_;
  std::vector<std::vector<std::byte>> tombstones_;  // payloads to be written
  std::vector<std::shared_ptr<Retiring>> retiring_;
  std::vector<Segment*> owed_;  // hold what a failed snapshot lacks: to be retired with the next
  double tried_s_ = -std::numeric_limits<double>::infinity();  // to retire those owed
  bool in_snapshot_ = false;
  bool snapshot_owed_ = false;
};

}  // namespace fdpstore::core
