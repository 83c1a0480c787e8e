#include "core/worth.hpp"

#include <algorithm>
#include <cmath>

namespace fdpstore::core {
namespace {

// Measured on prefix-structured traces: how much less objects behind a gap are worth.
constexpr double kBehindGap = 0.15;
// A segment with more than this share locked gains too little when it is emptied.
constexpr double kMaxLockedShare = 0.5;
constexpr std::size_t kMaxGaps = 1U << 18;
// Gaps of lookups older than this many turnovers concern nothing that is still there.
constexpr double kOldGap = 4;

}  // namespace

double Worth::of(const Index::Entry& entry) const {
  const ObjectState& state = entry.state;
  ReuseFacts facts;
  facts.digest =
      Scopes::digest(context_.scopes.at(entry.key.scope()).stable_hash, entry.key.hash());
  facts.reuse_class = state.prompt.reuse_class;
  facts.uses = state.hits;
  facts.age = context_.age_of(state.last_use);
  const double rate = lineage_.reuse_rate(facts);
  const auto gap = gaps_.find(state.last_use);
  return gap != gaps_.end() && state.prompt.position > gap->second ? rate * kBehindGap : rate;
}

double Worth::of(const Segment& segment) const {
  if (segment.live_objects == 0) return 0;
  const std::uint32_t now = context_.now_ticks();
  double sum = 0;
  std::size_t live = 0, locked = 0;
  for (const EntryId id : segment.entries) {
    const auto entry = context_.index.get(id, now);
    if (!entry || entry->state.location.segment != segment.id) continue;
    ++live;
    locked += entry->locked ? 1U : 0U;
    sum += of(*entry) * static_cast<double>(entry->state.location.payload_bytes);
  }
  if (live == 0) return 0;
  const double locked_share = static_cast<double>(locked) / static_cast<double>(live);
  if (locked_share > kMaxLockedShare) return INFINITY;
  return sum * (1 + 10 * locked_share) /
         static_cast<double>(std::max<std::uint64_t>(segment.allocated_bytes, 1));
}

double Worth::cached(Segment& segment) const {
  const std::uint64_t now = context_.keys_used.load(std::memory_order_relaxed);
  // A quarter of a segment's objects used meanwhile: it may have changed. Locks may end any time.
  if (segment.worth_known_at == 0 || std::isinf(segment.worth) ||
      now - segment.worth_known_at > segment.entries.size() / 4) {
    segment.worth = of(segment);
    segment.worth_known_at = now;
  }
  return segment.worth;
}

void Worth::note_gap(const ObjectState& state) {
  if (state.last_use == 0) return;  // not looked up since the start: by which lookup is not known
  if (gaps_.size() >= kMaxGaps) {
    boost::unordered::erase_if(
        gaps_, [this](const auto& gap) { return context_.age_of(gap.first) > kOldGap; });
    if (gaps_.size() >= kMaxGaps) gaps_.clear();
  }
  const auto [gap, fresh] = gaps_.try_emplace(state.last_use, state.prompt.position);
  if (!fresh) gap->second = std::min(gap->second, state.prompt.position);
}

}  // namespace fdpstore::core
