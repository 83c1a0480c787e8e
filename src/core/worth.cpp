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

double Worth::age_of(const ObjectState& state) const {
  return context_.age_of(state.last_use - state.prompt.position);
}

double Worth::of(const Index::Entry& entry) const {
  const ObjectState& state = entry.state;
  ReuseFacts facts;
  facts.digest =
      Scopes::digest(context_.scopes.at(entry.key.scope()).stable_hash, entry.key.hash());
  facts.reuse_class = state.prompt.reuse_class;
  facts.uses = state.hits;
  facts.age = age_of(state);
  const double rate = lineage_.reuse_rate(facts);
  const auto gap = gaps_.find(state.last_use);
  return gap != gaps_.end() && state.prompt.position > gap->second ? rate * kBehindGap : rate;
}

Worth::Sum Worth::sum_of(const Segment& segment) const {
  if (segment.live_objects == 0) return {};
  const std::uint32_t now = context_.now_ticks();
  double sum = 0, ages = 0;
  std::size_t live = 0, locked = 0;
  for (const EntryId id : segment.entries) {
    const auto entry = context_.index.get(id, now);
    if (!entry || entry->state.location.segment != segment.id) continue;
    ++live;
    locked += entry->locked ? 1U : 0U;
    const double worth =
        std::min(of(*entry), price_) * static_cast<double>(entry->state.location.payload_bytes);
    sum += worth;
    ages += worth * age_of(entry->state);
  }
  if (live == 0) return {};
  const double age = sum > 0 ? ages / sum : 0;
  const double locked_share = static_cast<double>(locked) / static_cast<double>(live);
  if (locked_share > kMaxLockedShare) return {INFINITY, age};
  const auto freed = static_cast<double>(std::max<std::uint64_t>(segment.allocated_bytes, 1));
  return {sum * (1 + 10 * locked_share) / freed, age};
}

double Worth::of(const Segment& segment) const {
  return sum_of(segment).worth;
}

double Worth::look_at(Segment& segment) const {
  const Sum sum = sum_of(segment);
  segment.worth = sum.worth;
  segment.worth_age = sum.age;
  segment.worth_known_at = context_.keys_used.load(std::memory_order_relaxed);
  return sum.worth;
}

double Worth::guess(const Segment& segment) const {
  const double then = Lineage::kYoungAge + segment.worth_age;
  const double passed = context_.age_of(static_cast<std::uint32_t>(segment.worth_known_at));
  return segment.worth * then / (then + passed);
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
