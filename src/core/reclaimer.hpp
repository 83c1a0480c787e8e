// Reclaimer: makes whole segments free again (DESIGN §7).
//
// One segment at a time: what is locked, and what is worth more than the space it takes, within the
// policy's budget, is written anew; the others are dropped; the segment is recorded as freed, then
// freed.
//
// Thread:  the engine's.
// Owns:    the search and the job under way. Borrows Context, Writer, Reader, MetaLog, Policy.
// Errors:  an object that cannot be moved is dropped, unless it is locked: then its segment waits.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <random>
#include <system_error>
#include <vector>

#include "core/context.hpp"
#include "core/meta_log.hpp"
#include "core/reader.hpp"
#include "core/victim_search.hpp"
#include "core/worth.hpp"
#include "core/writer.hpp"

namespace fdpstore::core {

class Reclaimer {
 public:
  Reclaimer(Context& context, Writer& writer, Reader& reader, MetaLog& meta, Policy& policy,
            const Lineage& lineage);
  ~Reclaimer();
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;

  // Starts and continues work. `stores_wait`: a put has no space.
  void step(bool stores_wait);
  // Nothing under way; after stop() a job that waits for locks to end does not count.
  [[nodiscard]] bool idle() const;
  // step() has more to do, and waits for nothing.
  [[nodiscard]] bool busy() const;
  // Objects have to be moved, and cannot be for now.
  [[nodiscard]] bool blocked() const;
  // Objects are being moved: what free space they have taken from the reserve is theirs.
  [[nodiscard]] bool moves() const;
  // Stores wait, and there is nothing to reclaim.
  [[nodiscard]] bool stuck() const { return stuck_; }
  // Finish what was begun, begin nothing more.
  void stop() { stopping_ = true; }

 private:
  struct Job;
  struct Queued {
    SegmentId id{};
    bool dying = false;  // of a prompt that is dropped as a whole; else without live objects
  };

  [[nodiscard]] bool wanted(bool stores_wait) const;
  void queue_emptied();
  [[nodiscard]] Segment* next_victim(bool stores_wait);
  [[nodiscard]] Segment* choose();
  void queue_prompt(const Segment& first);
  void begin(Segment& victim);
  void pick_survivors(Job& job);
  [[nodiscard]] double earn_credit();
  [[nodiscard]] double price();
  void work();
  void move_next();
  void move_failed(EntryId id);
  void not_loaded(EntryId id, const Key& key, const Location& from, std::error_code error);
  void moved(EntryId id, const Index::Entry& entry, Result<Placed> placed);
  [[nodiscard]] bool drop_rest();
  void record_freed();

  Context& context_;
  Writer& writer_;
  Reader& reader_;
  MetaLog& meta_;
  Policy& policy_;
  Worth worth_;
  std::minstd_rand random_;
  std::unique_ptr<Job> job_;
  std::unique_ptr<VictimSearch> search_;
  std::deque<Queued> queue_;  // to be emptied next, once they are sealed
  std::uint64_t moving_ = 0;  // survivors in flight
  std::uint64_t freeing_ = 0;
  // Bytes that may be written beside the objects' own records, and what it was worked out from.
  double credit_ = 0, stored_before_ = 0, beside_before_ = 0;
  double level_ = 0;  // what the last victims were worth, a moving mean; 0: none yet
  bool stuck_ = false;
  bool rewrite_blocked_ = false;  // the one to be rewritten first cannot be for now
  bool stopping_ = false;
};

}  // namespace fdpstore::core
