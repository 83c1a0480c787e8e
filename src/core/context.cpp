#include "core/context.hpp"

#include <algorithm>

namespace fdpstore::core {
namespace {

void account(Segment& segment, const Location& location, int sign) {
  if (sign > 0) {
    segment.live_payload_bytes += location.payload_bytes;
    ++segment.live_objects;
  } else {
    segment.live_payload_bytes -= location.payload_bytes;
    --segment.live_objects;
  }
}

}  // namespace

double Context::age_of(std::uint32_t use) const {
  const auto now = static_cast<std::uint32_t>(keys_used.load(std::memory_order_relaxed));
  const std::uint32_t passed = now - use;  // the clock's low half wraps around
  return passed / static_cast<double>(std::max<std::uint64_t>(live_objects, 1));
}

std::optional<Index::Entry> Context::entry_in(const Segment& segment, EntryId id,
                                              std::uint32_t now) const {
  auto entry = index.get(id, now);
  if (entry && entry->state.location.segment != segment.id) entry.reset();
  return entry;
}

Index::Inserted Context::add_object(const Key& key, const ObjectState& state) {
  Index::Inserted inserted = index.insert(key, state);
  if (!inserted.present) count_object(key, state, inserted.id);
  return inserted;
}

void Context::count_object(const Key& key, const ObjectState& state, EntryId id) {
  Segment& segment = segments.at(state.location.segment);
  segment.entries.push_back(id);
  account(segment, state.location, +1);
  ++live_objects;
  Scopes::Scope& scope = scopes.at(key.scope());
  ++scope.objects;
  scope.bytes += state.location.payload_bytes;
  counters.live_bytes += state.location.payload_bytes;
  if (streams_live.size() <= state.stream) streams_live.resize(state.stream + 1U);
  ++streams_live[state.stream].objects;
  streams_live[state.stream].bytes += state.location.payload_bytes;
}

void Context::move_object(EntryId id, const Location& from, const Location& to) {
  Segment& source = segments.at(from.segment);
  account(source, from, -1);
  if (source.live_objects == 0) segments.note_emptied(source.id);
  Segment& segment = segments.at(to.segment);
  segment.entries.push_back(id);
  account(segment, to, +1);
}

Index::Removed Context::remove_object(const Key& key, bool even_if_locked) {
  Index::Removed removed = index.remove(key, now_ticks(), even_if_locked);
  if (removed.result != Index::Removal::removed) return removed;
  const std::uint64_t bytes = removed.state.location.payload_bytes;
  Segment& segment = segments.at(removed.state.location.segment);
  account(segment, removed.state.location, -1);
  if (segment.live_objects == 0) segments.note_emptied(segment.id);
  Scopes::Scope& scope = scopes.at(key.scope());
  --live_objects;
  --scope.objects;
  scope.bytes -= bytes;
  counters.live_bytes -= bytes;
  --streams_live[removed.state.stream].objects;
  streams_live[removed.state.stream].bytes -= bytes;
  return removed;
}

void Context::unhealthy(std::string reason) {
  if (unhealthy_reason.empty()) unhealthy_reason = std::move(reason);
}

}  // namespace fdpstore::core
