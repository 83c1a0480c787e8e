#include "placement/file_policy.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <fmt/core.h>

#include "placement/reuse_model.hpp"
#include "placement/text.hpp"

namespace fdpstore::placement {
namespace {

constexpr std::string_view kStateMagic = "fdpstore-policy-state 1 ";

std::uint64_t hash_of(std::string_view text, std::uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

bool matches_all(const Rule& rule, const ObjectFacts& object) {
  return std::ranges::all_of(rule.conditions,
                             [&](const Condition& term) { return term.matches(object); });
}

bool names_a_class(const Rule& rule) {
  return std::ranges::any_of(rule.conditions,
                             [](const Condition& term) { return term.asked_class().has_value(); });
}

}  // namespace

FilePolicy::FilePolicy(std::string name, PolicyFile file, const PolicyLimits& limits)
    : name_(std::move(name)),
      file_(std::move(file)),
      layout_(lay_out_streams(file_, limits)),
      next_(file_.streams.size(), 0) {
  for (const StreamLayout::Slice& slice : layout_.of_stream) {
    assignments_.emplace_back(slice.count);
    bins_.emplace_back(slice.count);
    groups_.emplace_back(slice.count);
  }
}

StreamId FilePolicy::survivors() const {
  const StreamLayout::Slice slice = layout_.of_stream[file_.survivors];
  // What reclaim keeps is what lives longest.
  const Spread spread = file_.streams[file_.survivors].spread;
  const bool by_lifetime = spread == Spread::lifetime || spread == Spread::adaptive;
  return {static_cast<std::uint16_t>(slice.first + (by_lifetime ? slice.count - 1 : 0))};
}

bool FilePolicy::is_assigned(std::size_t stream) const {
  const Spread spread = file_.streams[stream].spread;
  return spread == Spread::tenant || spread == Spread::tenant_rank;
}

std::uint64_t FilePolicy::pick(std::size_t stream, std::uint64_t handles,
                               const ObjectFacts& object) {
  const KeyRef& key = object.key;
  bool changed = false;
  std::uint64_t picked = 0;
  switch (file_.streams[stream].spread) {
    case Spread::prompt: return object.prompt.prompt.value % handles;  // none known: 0
    case Spread::rank: return placement_rank(object) % handles;
    case Spread::tenant:
      picked = assignments_[stream].handle_for(hash_of(tenant_of(key.cache_salt), 0), changed);
      break;
    case Spread::tenant_rank:
      picked = assignments_[stream].handle_for(
          hash_of(tenant_of(key.cache_salt), std::uint64_t{placement_rank(object)} + 1), changed);
      break;
    case Spread::key:
      return XXH3_64bits_withSeed(key.chunk_hash.data(), key.chunk_hash.size(), key.kv_rank) %
             handles;
    case Spread::round_robin: return next_[stream]++ % handles;
    case Spread::lifetime: return bins_[stream].bin_of(object.reuse_chance);
    case Spread::adaptive:
      picked = groups_[stream].handle_for(
          {.bucket =
               hash_of(tenant_of(key.cache_salt), ReuseModel::kind_of(object.prompt.reuse_class)),
           .bytes = object.size_bytes,
           .life = object.useful_life},
          changed);
      break;
  }
  if (changed) ++state_version_;
  return picked;
}

StreamId FilePolicy::spread(std::size_t stream, const ObjectFacts& object) {
  const StreamLayout::Slice slice = layout_.of_stream[stream];
  return {static_cast<std::uint16_t>(slice.first + pick(stream, slice.count, object))};
}

std::optional<StreamId> FilePolicy::place_asked(const ObjectFacts& object) {
  for (std::size_t stream = 0; stream < file_.streams.size(); ++stream) {
    if (file_.streams[stream].name == *object.explicit_stream) return spread(stream, object);
  }
  for (std::size_t i = 0; i < layout_.specs.size(); ++i) {  // "turns.1": that very handle
    if (layout_.specs[i].name == *object.explicit_stream)
      return StreamId{static_cast<std::uint16_t>(i)};
  }
  for (const Rule& rule : file_.rules) {
    if (names_a_class(rule) && matches_all(rule, object)) return spread(rule.stream, object);
  }
  return std::nullopt;
}

StreamId FilePolicy::place(const ObjectFacts& object) {
  if (object.explicit_stream) {
    if (const auto stream = place_asked(object)) return *stream;
  }
  const auto rule = std::ranges::find_if(
      file_.rules, [&](const Rule& candidate) { return matches_all(candidate, object); });
  return spread(rule->stream, object);  // the last rule matches everything
}

// "fdpstore-policy-state 1 <policy>", then a line "<stream> <handle> <hash of tenant or bucket>"
// each.
std::string FilePolicy::save_state() const {
  std::string state = fmt::format("{}{}\n", kStateMagic, name_);
  for (std::size_t stream = 0; stream < file_.streams.size(); ++stream) {
    // Ordered, so that equal states are equal texts.
    std::map<std::uint64_t, std::uint16_t> sorted = groups_[stream].entries();
    sorted.insert(assignments_[stream].entries().begin(), assignments_[stream].entries().end());
    for (const auto& [key, handle] : sorted) {
      state += fmt::format("{} {} {:x}\n", file_.streams[stream].name, handle, key);
    }
  }
  return state;
}

bool FilePolicy::restore_state(std::string_view state) {
  std::vector<std::string_view> lines = split_at(state, "\n");
  if (lines[0] != fmt::format("{}{}", kStateMagic, name_)) return false;
  struct Line {
    std::string_view stream;
    std::uint16_t handle;
    std::uint64_t key;
  };
  std::vector<Line> entries;
  for (const std::string_view line : std::span(lines).subspan(1)) {
    if (line.empty()) continue;
    const auto words = split_at(line, " ");
    if (words.size() != 3) return false;
    const auto handle = parse_number<std::uint16_t>(words[1]);
    const auto key = parse_number<std::uint64_t>(words[2], 16);
    if (!handle || !key) return false;
    entries.push_back({words[0], *handle, *key});
  }
  for (Assignment& assignment : assignments_) assignment.clear();
  for (AdaptiveGroups& groups : groups_) groups.clear();
  for (const Line& entry : entries) {
    // Streams and handles that the file or the device no longer has start anew.
    for (std::size_t stream = 0; stream < file_.streams.size(); ++stream) {
      if (file_.streams[stream].name != entry.stream) continue;
      if (is_assigned(stream)) assignments_[stream].remember(entry.key, entry.handle);
      if (file_.streams[stream].spread == Spread::adaptive) {
        groups_[stream].remember(entry.key, entry.handle);
      }
    }
  }
  return true;
}

}  // namespace fdpstore::placement
