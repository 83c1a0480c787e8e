#include "core/meta_log.hpp"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

namespace fdpstore::core {
namespace {

constexpr std::size_t kRecordPayloadBytes = 128U << 10;
constexpr double kRetryS = 1;
constexpr double kDeadRetryS = 30;  // after a failed write

// Runs `done` once after as many parts as were taken, with the first error.
class Join {
 public:
  explicit Join(MetaLog::Done done) : done_(std::move(done)) {}
  ~Join() { done_(error_); }
  Join(const Join&) = delete;
  Join& operator=(const Join&) = delete;
  void part(std::error_code error) {
    if (error && !error_) error_ = error;
  }

 private:
  MetaLog::Done done_;
  std::error_code error_;
};

}  // namespace

Result<void> MetaLog::begin() {
  auto opened = writer_.open_segment(use_, Purpose::metadata);
  if (!opened) return fail(std::move(opened.error()));
  current_ = *opened;
  return {};
}

void MetaLog::append(format::RecordKind kind, std::vector<std::byte> payload, Done done) {
  // Where a write fails, no more is written to that segment: once more, in another one.
  auto again = [this, kind, payload, done = std::move(done)](std::error_code error) mutable {
    if (error && error != Errc::no_space) {
      append_once(kind, std::move(payload), std::move(done));
    } else {
      done(error);
    }
  };
  append_once(kind, std::move(payload), std::move(again));
}

void MetaLog::append_once(format::RecordKind kind, std::vector<std::byte> payload, Done done) {
  const auto fits = [&] {
    return current_ != nullptr && writer_.fits(*current_, {}, payload.size());
  };
  const auto resumed = [&] { return current_ != nullptr && Writer::resume(*current_) && fits(); };
  // Without room nothing can be freed: rather behind the place that failed than not at all.
  const bool room = snapshot_owed_ ? make_room() : fits() || make_room() || resumed();
  if (!room) {
    done(context_.write_error ? context_.write_error : make_error_code(Errc::no_space));
    return;
  }
  Append record;
  record.kind = kind;
  record.object.sequence = context_.next_sequence++;
  record.owned = Buffer(payload.size());
  std::ranges::copy(payload, record.owned.data());
  record.payload = record.owned.span().first(payload.size());
  record.done = [done = std::move(done)](Result<Placed> placed) mutable {
    done(placed ? std::error_code{} : placed.error().code);
  };
  writer_.append(*current_, std::move(record));
}

// A segment without a header holds nothing that was acknowledged: it can be taken again at once.
void MetaLog::give_back_headless() {
  if (current_ == nullptr || in_snapshot_) return;
  const Appending& appending = *current_->appending;
  const bool headless = appending.header_done && appending.header_error &&
                        appending.window.empty() && appending.flushes == 0;
  if (headless) context_.segments.put_back(*std::exchange(current_, nullptr), false);
}

bool MetaLog::make_room() {
  give_back_headless();
  auto opened = in_snapshot_ ? Result<Segment*>(fail(Errc::no_space, ""))
                             : writer_.open_segment(use_, Purpose::metadata);
  if (!opened) {
    context_.unhealthy(fmt::format(
        "{}: no room for the metadata log ({}); deletes cannot be recorded: raise capacity_bytes",
        context_.backend.describe(), opened.error().message()));
    return false;
  }
  auto retiring = std::make_shared<Retiring>();
  retiring->segments = std::exchange(owed_, {});
  if (current_ != nullptr) retiring->segments.push_back(current_);
  current_ = *opened;
  retiring->was_owed = std::exchange(snapshot_owed_, false);
  write_snapshot(retiring);
  return true;
}

void MetaLog::replace(std::vector<Segment*> old) {
  owed_ = std::move(old);
  (void)make_room();  // step() tries again
}

void MetaLog::write_snapshot(const std::shared_ptr<Retiring>& retiring) {
  in_snapshot_ = true;
  for (Segment* old : retiring->segments) old->state = SegmentState::reclaiming;
  retiring_.push_back(retiring);
  const auto write = [&](format::RecordKind kind, std::vector<std::byte> payload) {
    ++retiring->snapshot_writes;
    // Once: step() begins a snapshot anew as a whole.
    append_once(kind, std::move(payload), [retiring](std::error_code error) {
      --retiring->snapshot_writes;
      if (error) retiring->failed = true;
    });
  };
  if (!state_.empty()) {
    const auto* bytes = reinterpret_cast<const std::byte*>(state_.data());
    write(format::RecordKind::state, {bytes, bytes + state_.size()});
  }
  std::vector<std::byte> freed;
  std::vector<std::byte> dead;
  context_.segments.for_each([&](Segment& segment) {
    // A segment taken again counts as freed until its new header hides the old one.
    const bool header_pending =
        segment.headless || (segment.appending && !segment.appending->header_done);
    if (segment.freed_sequence != 0 &&
        (segment.freed_sequence >= segment.sequence || header_pending)) {
      format::append_freed(freed, {segment.id.value, 0, segment.freed_sequence});
    }
    if (freed.size() >= kRecordPayloadBytes) {
      write(format::RecordKind::freed, std::exchange(freed, {}));
    }
    for (const DeadCopy& copy : segment.dead) {
      append_dead(dead, segment, copy);
      if (dead.size() >= kRecordPayloadBytes) {
        write(format::RecordKind::tombstones, std::exchange(dead, {}));
      }
    }
  });
  if (!freed.empty()) write(format::RecordKind::freed, std::move(freed));
  if (!dead.empty()) write(format::RecordKind::tombstones, std::move(dead));
  in_snapshot_ = false;
}

std::uint64_t MetaLog::append_dead(std::vector<std::byte>& out, const Segment& segment,
                                   const DeadCopy& copy) const {
  const std::size_t before = out.size();
  format::append_tombstone(out, {.key = context_.scopes.key(copy.key.scope(), copy.key.hash()),
                                 .sequence = copy.sequence,
                                 .segment = segment.id.value,
                                 .segment_sequence = segment.sequence});
  return out.size() - before;
}

void MetaLog::remember(const Key& key, SegmentId id, std::uint64_t sequence) {
  Segment& segment = context_.segments.at(id);
  DeadCopy copy{key, sequence};
  if (tombstones_.empty() || tombstones_.back().size() >= kRecordPayloadBytes) {
    tombstones_.emplace_back();
  }
  const std::uint64_t bytes = append_dead(tombstones_.back(), segment, copy);
  context_.segments.add_dead(segment, std::move(copy), bytes);
}

void MetaLog::write_tombstones(Done done) {
  auto join = std::make_shared<Join>(std::move(done));
  for (std::vector<std::byte>& payload : std::exchange(tombstones_, {})) {
    append(format::RecordKind::tombstones, std::move(payload),
           [join](std::error_code error) { join->part(error); });
  }
}

void MetaLog::write_freed(Segment& segment, Done done) {
  segment.freed_sequence = segment.sequence;
  std::vector<std::byte> payload;
  format::append_freed(payload, {segment.id.value, 0, segment.sequence});
  append(format::RecordKind::freed, std::move(payload), std::move(done));
}

void MetaLog::write_state(std::string state, Done done) {
  state_ = std::move(state);
  const auto* bytes = reinterpret_cast<const std::byte*>(state_.data());
  append(format::RecordKind::state, {bytes, bytes + state_.size()}, std::move(done));
}

void MetaLog::write_footers(const std::vector<format::SegmentFooter>& footers, Done done) {
  std::vector<std::byte> payload;
  for (const format::SegmentFooter& footer : footers) {
    const auto bytes = std::as_bytes(std::span(&footer, 1));
    payload.insert(payload.end(), bytes.begin(), bytes.end());
  }
  append(format::RecordKind::footers, std::move(payload), std::move(done));
}

void MetaLog::step() {
  std::erase_if(retiring_, [&](const auto& retiring) { return step(retiring); });
  if (owed_.empty() || !retiring_.empty()) return;
  // A device that takes no writes would only use up the free segments.
  const double now = context_.now_s();
  if (now < tried_s_ + (context_.write_error ? kDeadRetryS : kRetryS)) return;
  tried_s_ = now;
  (void)make_room();
}

// True when nothing is left to do for it.
bool MetaLog::step(const std::shared_ptr<Retiring>& retiring) {
  if (retiring->snapshot_writes != 0) return false;
  for (const Segment* old : retiring->segments) {
    const Appending* appending = old->appending.get();
    if (appending != nullptr &&
        (!appending->window.empty() || !appending->header_done || appending->flushes != 0)) {
      return false;
    }
  }
  if (retiring->failed) {
    context_.unhealthy(context_.backend.describe() + ": the metadata log could not be rewritten");
    owed_.insert(owed_.end(), retiring->segments.begin(), retiring->segments.end());
    snapshot_owed_ = snapshot_owed_ || retiring->was_owed;
    return true;
  }
  if (!retiring->recorded) {
    retiring->recorded = true;
    for (Segment* old : retiring->segments) {
      ++retiring->snapshot_writes;
      write_freed(*old, [retiring](std::error_code error) {
        --retiring->snapshot_writes;
        if (error) retiring->failed = true;
      });
    }
    return false;
  }
  for (Segment* old : retiring->segments) {
    context_.backend.seal(old->id, old->end_bytes);
    const bool release = !context_.backend.capabilities().fixed_size_segments;
    context_.io.free(old->id, release, [this, old, release](std::error_code error) {
      context_.segments.put_back(*old, release && !error);
    });
  }
  return true;
}

}  // namespace fdpstore::core
