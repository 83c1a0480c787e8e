#include "core/reclaimer.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/placing.hpp"

namespace fdpstore::core {
namespace {

// In one step, so that loads do not wait longer than about a millisecond.
constexpr std::size_t kObjectsAtOnce = 1024;
constexpr std::uint64_t kMaxMovesInFlight = 4;
constexpr std::uint32_t kMaxFailedMoves = 16;  // of one segment
constexpr std::uint64_t kAheadSegments = 256;
constexpr std::uint64_t kFewFree = 3;
// Victims that the mean of what they are worth goes over.
constexpr double kLevelVictims = 20;
// An object is moved when it is worth so many times the space that it takes: once for the space,
// once for writing it (measured: with less, a large budget goes to objects that gain nothing) …
constexpr double kMoveWorth = 2;
// … and more while the budget is short, up to this share of it.
constexpr double kLeastCredit = 0.05;

}  // namespace

struct Reclaimer::Job {
  Job(const Worth& worth, Segment& segment)
      : victim(&segment), look(std::in_place, worth, segment) {}

  Segment* victim;
  std::optional<Worth::Look> look;  // until the survivors have been picked
  std::deque<EntryId> survivors;
  std::size_t next_to_drop = 0;  // of the victim's entries
  std::uint32_t failed_moves = 0;
  bool keeps_all = false;  // freed for another reason than want of room
  bool began_dropping = false;
  bool given_up = false;  // the victim is sealed again, nothing was lost
  bool blocked = false;   // locked objects have nowhere to go for now
};

Reclaimer::Reclaimer(Context& context, Writer& writer, Reader& reader, MetaLog& meta,
                     Policy& policy, const Lineage& lineage)
    : context_(context),
      writer_(writer),
      reader_(reader),
      meta_(meta),
      policy_(policy),
      worth_(context, lineage) {}
Reclaimer::~Reclaimer() = default;

bool Reclaimer::idle() const {
  return moving_ == 0 && freeing_ == 0 && (job_ == nullptr || (stopping_ && job_->blocked));
}

bool Reclaimer::busy() const {
  if (job_ != nullptr) {
    return moving_ == 0 && (job_->look || (job_->next_to_drop != 0 && job_->survivors.empty()));
  }
  return search_ != nullptr && !stopping_;
}

bool Reclaimer::blocked() const {
  return job_ != nullptr && job_->blocked;
}

bool Reclaimer::moves() const {
  return job_ != nullptr && !job_->blocked && (moving_ != 0 || !job_->survivors.empty());
}

bool Reclaimer::wanted(bool stores_wait) const {
  if (context_.segments.over_budget() || meta_.pressed()) return freeing_ == 0;
  // What is being freed comes back by itself, however slow the device is.
  const std::uint64_t free = context_.segments.available_segments() + freeing_;
  // Nothing is left for the metadata log, and it gives nothing back: that segments were freed was
  // lost with the power.
  if (free == 0) return meta_.idle();
  if (stores_wait) return free <= 2;
  // Ahead of need, where one segment more is a small part of all.
  return context_.segments.total_segments() >= kAheadSegments && free <= kFewFree;
}

void Reclaimer::queue_emptied() {
  for (const SegmentId id : context_.segments.take_emptied()) {
    Segment* segment = context_.segments.find(id);
    if (segment == nullptr || segment->live_objects != 0 || segment->use.metadata) continue;
    const bool prompt = segment->use.prompt.value != 0;
    if (segment->state == SegmentState::open && prompt && segment->appending->window.empty()) {
      writer_.seal(*segment);
    }
    // An open one can be emptied again and again.
    if (segment->state == SegmentState::open &&
        std::ranges::find(queue_, id, &Queued::id) != queue_.end()) {
      continue;
    }
    queue_.push_back({.id = id});
  }
}

void Reclaimer::step(bool stores_wait) {
  queue_emptied();
  stuck_ = false;
  if (job_ != nullptr) {
    work();
    return;
  }
  if (stopping_) return;
  if (Segment* victim = next_victim(stores_wait); victim != nullptr) begin(*victim);
}

Segment* Reclaimer::next_victim(bool stores_wait) {
  if (Segment* first = context_.segments.next_rewrite(); first != nullptr && !rewrite_blocked_) {
    if (first->state == SegmentState::open && !first->use.metadata) writer_.seal(*first);
    if (first->state == SegmentState::sealed) return first;
  }
  bool soon = false;
  for (std::size_t left = queue_.size(); left > 0; --left) {
    const Queued queued = queue_.front();
    queue_.pop_front();
    Segment* segment = context_.segments.find(queued.id);
    if (segment == nullptr || (segment->live_objects != 0 && !queued.dying)) continue;
    if (segment->state == SegmentState::sealed) return segment;
    if (segment->state != SegmentState::open && segment->state != SegmentState::sealing) continue;
    queue_.push_back(queued);  // not yet
    soon = soon || segment->state == SegmentState::sealing;
  }
  // What is being sealed can be freed soon, and nothing is lost with it.
  if (soon || !wanted(stores_wait)) {
    search_.reset();
    return nullptr;
  }
  Segment* victim = choose();
  if (search_ != nullptr) return nullptr;
  // Where prompts are open long, they can hold all there is.
  if (victim == nullptr && writer_.seal_oldest_prompt()) return nullptr;
  stuck_ = victim == nullptr && freeing_ == 0;
  return victim;
}

// nullptr: there is none, or the search goes on.
Segment* Reclaimer::choose() {
  if (search_ == nullptr) {
    std::vector<Segment*> candidates;
    Segment* most_dead = nullptr;
    context_.segments.for_each([&](Segment& segment) {
      if (segment.state != SegmentState::sealed || segment.use.metadata) return;
      candidates.push_back(&segment);
      if (most_dead == nullptr || segment.dead_bytes > most_dead->dead_bytes) most_dead = &segment;
    });
    if (meta_.pressed() && most_dead != nullptr && most_dead->dead_bytes != 0) return most_dead;
    worth_.set_price(price());
    search_ = std::make_unique<VictimSearch>(worth_, candidates, random_);
  }
  if (!search_->go_on(kObjectsAtOnce)) return nullptr;
  Segment* best = search_->best();
  if (best != nullptr) {
    level_ += (search_->worth_of_best() - level_) / (level_ == 0 ? 1 : kLevelVictims);
    if (best->use.prompt.value != 0) queue_prompt(*best);
  }
  search_.reset();
  return best;
}

// A prompt dies as a whole.
void Reclaimer::queue_prompt(const Segment& first) {
  context_.segments.for_each([&](Segment& segment) {
    if (&segment != &first && segment.state == SegmentState::sealed && !segment.use.metadata &&
        segment.use.prompt == first.use.prompt) {
      queue_.push_back({.id = segment.id, .dying = true});
    }
  });
}

void Reclaimer::begin(Segment& victim) {
  search_.reset();
  victim.state = SegmentState::reclaiming;
  victim.worth_known_at = 0;
  job_ = std::make_unique<Job>(worth_, victim);
  job_->keeps_all =
      victim.rewrite || (meta_.pressed() && context_.segments.available_segments() > kFewFree);
}

// Locked objects, or all where there is room; then what is worth more than space costs, the best
// first, as far as the budget goes: of a prompt, what comes first in it.
void Reclaimer::pick_survivors(Job& job) {
  const double least = price();
  std::vector<Worth::Object>& objects = job.look->objects();
  std::erase_if(objects, [&job](const Worth::Object& object) {
    const bool must_stay = object.locked || job.keeps_all;
    if (must_stay) job.survivors.push_back(object.id);
    return must_stay;
  });
  std::vector<Worth::Run> runs = worth_.runs_of(objects);
  std::erase_if(runs, [least](const Worth::Run& run) { return run.worth <= least; });
  std::ranges::stable_sort(runs, std::greater{}, &Worth::Run::worth);
  double credit = credit_;
  for (const Worth::Run& run : runs) {
    for (const Worth::Object& object : run.objects) {
      credit -= static_cast<double>(object.bytes);
      if (credit < 0) return;
      job.survivors.push_back(object.id);
    }
  }
}

// What an object must be worth to be moved, by what is lost to free as much space elsewhere.
double Reclaimer::price() {
  const double full =
      policy_.reinsert_budget() * static_cast<double>(context_.segments.budget_bytes());
  const double credit = earn_credit();
  if (level_ == 0 || full == 0) return INFINITY;
  return kMoveWorth * level_ / std::max(credit / full, kLeastCredit);
}

// All that is written beside the objects' own records counts against the budget: padding and
// metadata, too. What is left over is kept for one turnover: survivors come in bursts, whole
// conversations at a time (with half a segment at most, 1 to 2 points of hit ratio were lost).
double Reclaimer::earn_credit() {
  const auto stored = static_cast<double>(context_.counters.stored_bytes);
  const auto beside = static_cast<double>(context_.counters.host_written_bytes) -
                      static_cast<double>(context_.counters.record_bytes);
  const double budget = policy_.reinsert_budget();
  credit_ += budget * (stored - stored_before_) - (beside - beside_before_);
  credit_ = std::min(credit_, budget * static_cast<double>(context_.segments.budget_bytes()));
  stored_before_ = stored;
  beside_before_ = beside;
  return credit_;
}

void Reclaimer::work() {
  Job& job = *job_;
  job.blocked = false;
  if (job.look) {
    std::size_t left = kObjectsAtOnce;
    if (!job.look->go_on(left)) return;
    pick_survivors(job);
    job.look.reset();
  }
  while (!job.survivors.empty() && moving_ < kMaxMovesInFlight && !job.blocked) move_next();
  if (!job.survivors.empty() || moving_ != 0) return;
  if (job.given_up && job.victim->live_objects != 0) {
    job.victim->state = SegmentState::sealed;
    rewrite_blocked_ = job.victim->rewrite;  // until another one has been freed
    stuck_ = true;
    job_.reset();
    return;
  }
  if (!drop_rest()) return;
  // Where they cannot be moved (a device that is gone), a store can be closed none the less.
  job.blocked = !job.survivors.empty();
  if (!job.survivors.empty() || job.victim->live_objects != 0 || job.victim->readers != 0) return;
  record_freed();
}

void Reclaimer::move_next() {
  Job& job = *job_;
  const EntryId id = job.survivors.front();
  const auto entry = context_.entry_in(*job.victim, id, context_.now_ticks());
  if (!entry) {
    job.survivors.pop_front();
    return;
  }
  const StreamId stream = policy_.survivors();
  const SegmentUse use = use_of(policy_, stream);
  const Scopes::Scope& scope = context_.scopes.at(entry->key.scope());
  const KeyRef key{entry->key.hash(), scope.model_name, scope.kv_rank, scope.object_group_id,
                   scope.cache_salt};
  const auto space = writer_.room(use, key, entry->state.location.payload_bytes, Purpose::survivor);
  if (!space || !writer_.may_append(**space)) {
    const bool wait = space || freeing_ != 0;  // room is on its way
    if (!wait && !entry->locked) {
      job.survivors.pop_front();  // dropped with the rest
    } else if (!wait && !job.began_dropping && context_.segments.available_segments() <= 1) {
      // Nothing has been lost yet: give the segment back and let another one be chosen.
      job.survivors.clear();
      job.given_up = true;
    } else {
      job.blocked = true;
    }
    return;
  }
  job.survivors.pop_front();
  ++moving_;
  const std::uint64_t bytes = entry->state.location.payload_bytes;
  // One without a checksum, where bytes have one.
  const bool phantom = context_.backend.capabilities().phantom_payload &&
                       context_.options.checksum && entry->state.checksum == 0;
  auto buffer = phantom ? nullptr : std::make_shared<Buffer>(bytes);
  const std::span<std::byte> payload(phantom ? nullptr : buffer->data(), bytes);
  reader_.load(entry->key, entry->state, payload,
               [this, id, entry = *entry, stream, use, buffer, payload](Result<void> loaded) {
                 const Location from = entry.state.location;
                 if (!loaded) {
                   not_loaded(id, entry.key, from, loaded.error().code);
                   return;
                 }
                 const KeyRef ref = context_.scopes.key(entry.key.scope(), entry.key.hash());
                 auto again = writer_.room(use, ref, payload.size(), Purpose::survivor);
                 if (!again) {
                   moved(id, entry, fail(std::move(again.error())));
                   return;
                 }
                 Append record;
                 record.object = {
                     .key = ref,
                     .sequence = entry.state.sequence,
                     .stream = stream.value,
                     .prompt = entry.state.prompt.prompt,
                     .position = entry.state.prompt.position,
                     .seen_in = static_cast<std::uint16_t>(entry.state.prompt.seen_in)};
                 record.payload = payload;
                 record.done = [this, id, entry, buffer](Result<Placed> placed) {
                   moved(id, entry, std::move(placed));
                 };
                 writer_.append(**again, std::move(record));
               });
}

// In a segment that is to be rewritten nothing is lost for a move that fails: it is tried again,
// and when that does not help the segment stays as it is.
void Reclaimer::move_failed(EntryId id) {
  Job& job = *job_;
  if (!job.victim->rewrite || job.given_up) return;  // looked at again with the rest
  if (++job.failed_moves <= kMaxFailedMoves) {
    job.survivors.push_back(id);
  } else {
    job.survivors.clear();
    job.given_up = true;
  }
}

// As for a load: what cannot be read back goes. Other errors may pass.
void Reclaimer::not_loaded(EntryId id, const Key& key, const Location& from,
                           std::error_code error) {
  --moving_;
  if (error != Errc::corrupt && error != std::errc::io_error) {
    move_failed(id);
    return;
  }
  const auto found = context_.index.find(key);
  if (!found || found->state.location != from) return;  // deleted, and perhaps stored again
  const auto removed = context_.remove_object(key, true);
  if (removed.result != Index::Removal::removed) return;
  ++context_.counters.damaged_objects;
  context_.drop_object(key, removed.state.location.payload_bytes);
}

void Reclaimer::moved(EntryId id, const Index::Entry& entry, Result<Placed> placed) {
  --moving_;
  const Location& from = entry.state.location;
  if (!placed) {
    move_failed(id);
    return;
  }
  if (context_.index.move(id, from, placed->location)) {
    context_.move_object(id, from, placed->location);
    ++context_.counters.reinserted_objects;
    context_.counters.reinserted_bytes += placed->location.payload_bytes;
    return;
  }
  const auto found = context_.index.find(entry.key);
  if (found && found->state.sequence == entry.state.sequence) return;  // one copy more
  // Deleted meanwhile, and perhaps stored again: the copy just written is dead, and outlives the
  // tombstone of the first.
  meta_.remember(entry.key, placed->location.segment, entry.state.sequence);
  meta_.write_tombstones([](std::error_code) {});
}

// False: it goes on with the next step.
bool Reclaimer::drop_rest() {
  Job& job = *job_;
  job.began_dropping = true;
  const std::vector<EntryId>& entries = job.victim->entries;
  const std::uint32_t now = context_.now_ticks();
  for (std::size_t left = kObjectsAtOnce;
       job.victim->live_objects != 0 && job.next_to_drop < entries.size(); --left) {
    if (left == 0) return false;
    const EntryId id = entries[job.next_to_drop++];
    const auto entry = context_.entry_in(*job.victim, id, now);
    if (!entry) continue;
    const auto removed = context_.remove_object(entry->key, false);
    if (removed.result == Index::Removal::locked) {
      job.survivors.push_back(id);  // locked since it was looked at
    } else if (removed.result == Index::Removal::removed) {
      ++context_.counters.reclaimed_objects;
      context_.lookups.note_gap(removed.state.last_use, removed.state.prompt.position);
      context_.drop_object(entry->key, removed.state.location.payload_bytes);
    }
  }
  job.next_to_drop = 0;
  return true;
}

void Reclaimer::record_freed() {
  Segment& victim = *job_->victim;
  job_.reset();
  ++freeing_;
  meta_.write_freed(victim, [this, &victim](std::error_code error) {
    // Where the log is full, this segment may be what it goes on in.
    const bool unrecorded = error && context_.segments.available_segments() == 0;
    if (unrecorded) {
      meta_.owe_snapshot();
    } else if (error) {
      // Still there for start-up: it is tried again.
      --freeing_;
      victim.state = SegmentState::sealed;
      queue_.push_back({.id = victim.id});
      context_.unhealthy(context_.backend.describe() +
                         ": a freed segment could not be recorded: " + error.message());
      return;
    }
    // One without a record stays, so that it is written over.
    const bool release = !unrecorded && (!context_.backend.capabilities().fixed_size_segments ||
                                         context_.segments.over_budget());
    context_.io.free(victim.id, release, [this, &victim, release](std::error_code failed) {
      --freeing_;
      rewrite_blocked_ = false;
      context_.segments.put_back(victim, release && !failed);
    });
  });
}

}  // namespace fdpstore::core
