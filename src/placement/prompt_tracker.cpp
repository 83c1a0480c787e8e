#include "placement/prompt_tracker.hpp"

#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "placement/reuse_model.hpp"
#include "placement/slot_index.hpp"

namespace fdpstore::placement {
namespace {

constexpr std::uint32_t kNone = SlotIndex::kAbsent;

struct Entry {
  std::uint64_t digest;
  std::uint32_t prompt;  // index into the prompts
  std::uint32_t position;
  std::uint32_t looked_up_s;   // whole seconds since the tracker's first lookup
  std::uint16_t seen_now;      // prompts known here whose chains contained the key
  std::uint16_t seen_stored;   // what the object's stored lineage said, plus new prompts since
  std::uint32_t newer, older;  // list by age; `newer` links free entries
  std::uint32_t use;           // the last lookup's
  std::uint16_t reuse_class;
  std::uint16_t reserved;
};
static_assert(sizeof(Entry) == 40, "the map may have a million of these");

struct Prompt {
  std::uint32_t id;
  std::uint32_t turns;
  std::uint32_t tip;   // position of its last key
  std::uint32_t keys;  // entries that belong to it; 0: free, and `tip` links free prompts
};
static_assert(sizeof(Prompt) == 16);

std::uint32_t prompt_id_from(std::uint64_t digest) {
  // Mixed, because callers may use the digest's bits for shards or slots.
  const std::uint64_t mixed = (digest ^ (digest >> 32)) * 0xD6E8FEB86659FD93ULL;
  const auto id = static_cast<std::uint32_t>(mixed >> 32);
  return id == 0 ? 1 : id;
}

std::uint16_t saturated(std::uint32_t count) {
  return static_cast<std::uint16_t>(
      std::min<std::uint32_t>(count, std::numeric_limits<std::uint16_t>::max()));
}

// Prompts that have no key yet while a chain is entered: a new one, and one known from its last
// hit.
constexpr std::uint32_t kSparePrompts = 2;

using Chain = std::vector<const LookupKey*>;

bool has_repeated_key(const Chain& chain) {
  std::vector<std::uint64_t> table(std::bit_ceil(chain.size() * 2), 0);
  const std::uint64_t mask = table.size() - 1;
  for (const LookupKey* key : chain) {
    const std::uint64_t digest = key->digest == 0 ? 1 : key->digest;  // 0 is an empty cell
    std::uint64_t cell = (digest * 0x9E3779B97F4A7C15ULL) >> 20 & mask;
    for (; table[cell] != 0; cell = (cell + 1) & mask) {
      if (table[cell] == digest) return true;
    }
    table[cell] = digest;
  }
  return false;
}

std::vector<Chain> split(std::span<const LookupKey> keys) {
  std::vector<Chain> chains;
  std::unordered_map<std::uint64_t, std::size_t> index_of;
  std::size_t current = 0;
  for (const LookupKey& key : keys) {
    // LMCache sends row after row: the chain rarely changes.
    if (chains.empty() || chains[current].back()->chain != key.chain) {
      current = index_of.try_emplace(key.chain, chains.size()).first->second;
      if (current == chains.size()) {
        chains.emplace_back();
        if (current == 0) chains[0].reserve(keys.size());
      }
    }
    chains[current].push_back(&key);
  }
  return chains;
}

// How a chain goes on behind its last known key.
struct Ending {
  std::size_t rest;       // index of the first key behind it; the chain's length if there is none
  std::uint32_t prompt;   // of the last key of the chain
  bool new_prompt;        // `prompt` starts at `rest`
  std::uint32_t entered;  // prompts that appeared here with this chain so far
};

bool brings_lineage(const LookupKey& key) {
  return key.hit && key.stored.prompt.value != 0;
}

}  // namespace

struct PromptTracker::Impl {
  explicit Impl(Limits limits)
      : max_keys(static_cast<std::uint32_t>(
            std::clamp<std::size_t>(limits.max_keys, 1, std::size_t{1} << 30))),
        max_age_s(limits.max_age_s),
        entry_index(max_keys),
        prompt_index(prompt_capacity) {
    // Reserved whole, so that growing never copies under the lock; untouched pages cost nothing.
    entries.reserve(max_keys);
    prompts.reserve(max_keys + kSparePrompts);
  }

  void learn(const Chain& chain, double now_s);
  [[nodiscard]] bool find_all(const Chain& chain);
  void apply(const Chain& chain);
  void learn_reuse(const Chain& chain, std::size_t known);
  void enter_keys(const Chain& chain, const Ending& ending);
  Ending find_ending(const Chain& chain);
  std::uint32_t insert(const LookupKey& key, std::uint32_t position, std::uint32_t prompt);
  std::uint32_t prompt_with(std::uint32_t id, bool& created);
  std::uint32_t seed_prompt(const LookupKey& key, std::uint32_t position, bool& created);
  [[nodiscard]] std::uint32_t find(std::uint64_t digest) const;
  [[nodiscard]] bool aged(const Entry& entry) const {
    return clock_s - entry.looked_up_s > max_age_s;
  }
  void advance_clock(double now_s, std::size_t keys);
  void remove(std::uint32_t at);
  void release(std::uint32_t prompt);
  void grow_prompt_index();
  void unlink(std::uint32_t at);
  void link_newest(std::uint32_t at);

  [[nodiscard]] auto entry_key() const {
    return [this](std::uint32_t at) { return entries[at].digest; };
  }
  [[nodiscard]] auto prompt_key() const {
    return [this](std::uint32_t at) { return std::uint64_t{prompts[at].id}; };
  }

  mutable std::mutex mutex;
  const std::uint32_t max_keys;
  const double max_age_s;
  std::vector<Entry> entries;
  std::vector<Prompt> prompts;
  std::uint32_t prompt_capacity = 4096;  // of prompt_index; prompts are far fewer than keys
  std::uint32_t prompts_held = 0;
  SlotIndex entry_index, prompt_index;
  std::uint32_t free_entry = kNone, free_prompt = kNone;
  std::uint32_t newest = kNone, oldest = kNone;
  std::uint32_t held = 0;
  bool started = false;
  double start_s = 0;
  double clock_s = 0;                // since start_s, never back
  std::vector<std::uint32_t> found;  // scratch of one chain: where its keys are, or kNone
  ReuseModel reuse;
};

std::uint32_t PromptTracker::Impl::find(std::uint64_t digest) const {
  const std::uint32_t at = entry_index.find(digest, entry_key());
  return at == kNone || aged(entries[at]) ? kNone : at;
}

void PromptTracker::Impl::unlink(std::uint32_t at) {
  const Entry& entry = entries[at];
  (entry.newer == kNone ? newest : entries[entry.newer].older) = entry.older;
  (entry.older == kNone ? oldest : entries[entry.older].newer) = entry.newer;
}

void PromptTracker::Impl::link_newest(std::uint32_t at) {
  Entry& entry = entries[at];
  entry.looked_up_s = static_cast<std::uint32_t>(clock_s);
  entry.newer = kNone;
  entry.older = newest;
  (newest == kNone ? oldest : entries[newest].newer) = at;
  newest = at;
}

void PromptTracker::Impl::release(std::uint32_t prompt) {
  if (--prompts[prompt].keys != 0) return;
  prompt_index.erase(prompts[prompt].id, prompt_key());
  --prompts_held;
  prompts[prompt].tip = free_prompt;
  free_prompt = prompt;
}

// Called with prompt_capacity prompts held: as many as there ever were, so none is free.
void PromptTracker::Impl::grow_prompt_index() {
  prompt_capacity *= 2;
  prompt_index = SlotIndex(prompt_capacity);
  for (std::uint32_t at = 0; at < prompts.size(); ++at) prompt_index.insert(prompts[at].id, at);
}

void PromptTracker::Impl::remove(std::uint32_t at) {
  unlink(at);
  entry_index.erase(entries[at].digest, entry_key());
  release(entries[at].prompt);
  entries[at].newer = free_entry;
  free_entry = at;
  --held;
}

void PromptTracker::Impl::advance_clock(double now_s, std::size_t keys) {
  if (!started) start_s = now_s;
  started = true;
  clock_s = std::max(clock_s, now_s - start_s);
  // Bounded, so that a lookup after a long pause does not pay for all that has aged meanwhile;
  // find() passes over what is left.
  for (std::size_t i = 0; i < keys * 2 && oldest != kNone && aged(entries[oldest]); ++i) {
    remove(oldest);
  }
}

// Fills `found`. False: the chain is no prefix of anything that is known.
bool PromptTracker::Impl::find_all(const Chain& chain) {
  found.resize(chain.size());
  constexpr std::size_t kAhead = 8;
  for (std::size_t i = 0; i < chain.size(); ++i) {
    if (i + kAhead < chain.size()) entry_index.prefetch(chain[i + kAhead]->digest);
    const LookupKey& key = *chain[i];
    found[i] = find(key.digest);
    if (found[i] != kNone) {
      if (entries[found[i]].position != i) return false;
    } else if (brings_lineage(key) && key.stored.position != i) {
      return false;
    }
  }
  return true;
}

// A prompt that is made here has no turn, no tip and no key yet.
std::uint32_t PromptTracker::Impl::prompt_with(std::uint32_t id, bool& created) {
  std::uint32_t at = prompt_index.find(id, prompt_key());
  created = at == kNone;
  if (!created) return at;
  if (prompts_held == prompt_capacity) grow_prompt_index();
  ++prompts_held;
  if (free_prompt != kNone) {
    at = free_prompt;
    free_prompt = prompts[at].tip;
  } else {
    at = static_cast<std::uint32_t>(prompts.size());
    prompts.emplace_back();
  }
  prompts[at] = {.id = id, .turns = 0, .tip = 0, .keys = 0};
  prompt_index.insert(id, at);
  return at;
}

// The prompt that the object behind a hit remembers.
std::uint32_t PromptTracker::Impl::seed_prompt(const LookupKey& key, std::uint32_t position,
                                               bool& created) {
  const std::uint32_t at = prompt_with(key.stored.prompt.value, created);
  Prompt& prompt = prompts[at];
  if (created) prompt.turns = std::max<std::uint32_t>(1, key.stored.turn);
  prompt.tip = std::max(prompt.tip, position);
  return at;
}

std::uint32_t PromptTracker::Impl::insert(const LookupKey& key, std::uint32_t position,
                                          std::uint32_t prompt) {
  ++prompts[prompt].keys;  // first, so that making room cannot take the prompt away
  if (const std::uint32_t old = entry_index.find(key.digest, entry_key()); old != kNone) {
    remove(old);  // aged: what it knew is over
  }
  if (held == max_keys) {
    // The next one to go is most likely needed within this very chain.
    const std::uint32_t next = entries[oldest].newer;
    if (next != kNone) entry_index.prefetch(entries[next].digest);
    remove(oldest);
  }
  std::uint32_t at = free_entry;
  if (at != kNone) {
    free_entry = entries[at].newer;
  } else {
    at = static_cast<std::uint32_t>(entries.size());
    entries.emplace_back();
  }
  Entry& entry = entries[at];
  entry.digest = key.digest;
  entry.prompt = prompt;
  entry.position = position;
  entry.seen_now = 0;
  entry.seen_stored = saturated(key.hit ? key.stored.seen_in : 0);
  entry.use = 0;
  entry.reuse_class = key.hit ? key.stored.reuse_class : 0;
  entry_index.insert(key.digest, at);
  link_newest(at);
  ++held;
  return at;
}

Ending PromptTracker::Impl::find_ending(const Chain& chain) {
  std::size_t rest = chain.size();
  while (rest > 0 && found[rest - 1] == kNone && !brings_lineage(*chain[rest - 1])) --rest;
  Ending ending{.rest = rest, .prompt = kNone, .new_prompt = false, .entered = 0};
  if (rest > 0) {
    const auto last = static_cast<std::uint32_t>(rest - 1);
    bool created = false;
    ending.prompt = found[last] != kNone ? entries[found[last]].prompt
                                         : seed_prompt(*chain[last], last, created);
    ending.entered = created ? 1 : 0;
    if (rest == chain.size() || prompts[ending.prompt].tip == last) return ending;
  }
  ending.new_prompt = true;
  bool created = false;
  ending.prompt = prompt_with(prompt_id_from(chain[rest]->digest), created);
  // One that is there already has nothing but aged keys: its first one would be known otherwise.
  prompts[ending.prompt].turns = 0;
  ++ending.entered;
  return ending;
}

// Enters the chain's keys from last to first, so that a prefix outlives what follows it.
void PromptTracker::Impl::enter_keys(const Chain& chain, const Ending& ending) {
  std::uint32_t entered = ending.entered;
  std::uint32_t prompt_behind = ending.prompt;
  std::uint32_t seen_behind = 1;
  for (std::size_t i = chain.size(); i-- > 0;) {
    std::uint32_t at = found[i];
    std::uint32_t seen = 0;
    if (at != kNone) {
      seen = entries[at].seen_now + entered;
      unlink(at);
      link_newest(at);
    } else {
      const auto position = static_cast<std::uint32_t>(i);
      std::uint32_t prompt = prompt_behind;
      if (i < ending.rest && brings_lineage(*chain[i])) {
        bool created = false;
        prompt = seed_prompt(*chain[i], position, created);
        entered += created ? 1 : 0;
      }
      at = insert(*chain[i], position, prompt);
    }
    Entry& entry = entries[at];
    // All prompts of the key behind contain this one too, and so does its own.
    seen = std::max(seen, seen_behind + (entry.prompt == prompt_behind ? 0U : 1U));
    entry.seen_now = saturated(seen);
    if (ending.new_prompt && entry.seen_stored != 0) {
      entry.seen_stored = saturated(entry.seen_stored + 1U);
    }
    prompt_behind = entry.prompt;
    seen_behind = entry.seen_now;
  }
}

void PromptTracker::Impl::apply(const Chain& chain) {
  // Known keys become the newest first, so that making room for the others cannot take them away.
  for (std::size_t i = chain.size(); i-- > 0;) {
    if (found[i] == kNone) continue;
    unlink(found[i]);
    link_newest(found[i]);
  }
  std::size_t known = 0;
  while (known < chain.size() && (found[known] != kNone || chain[known]->hit)) ++known;
  const Ending ending = find_ending(chain);
  enter_keys(chain, ending);
  learn_reuse(chain, known);
  Prompt& prompt = prompts[ending.prompt];
  const auto last = static_cast<std::uint32_t>(chain.size() - 1);
  if (ending.rest < chain.size() || prompt.tip == last) {
    prompt.tip = last;
    ++prompt.turns;
  }
}

// An object keeps the class of the lookup that missed it.
void PromptTracker::Impl::learn_reuse(const Chain& chain, std::size_t known) {
  for (std::size_t i = 0; i < chain.size(); ++i) {
    const std::uint32_t at = find(chain[i]->digest);
    if (at == kNone) continue;  // more keys than the tracker holds
    Entry& entry = entries[at];
    entry.use = chain[i]->use;
    if (!chain[i]->hit || entry.reuse_class == 0) {
      entry.reuse_class = reuse.class_of(
          {.chain = chain[i]->chain, .index = i, .known = known, .keys = chain.size()});
    }
    reuse.used(chain[i]->digest, entry.reuse_class, chain[i]->uses);
  }
}

void PromptTracker::Impl::learn(const Chain& chain, double now_s) {
  if (has_repeated_key(chain)) return;
  const std::lock_guard lock(mutex);
  advance_clock(now_s, chain.size());
  if (find_all(chain)) apply(chain);
}

PromptTracker::PromptTracker(Limits limits) : impl_(std::make_unique<Impl>(limits)) {}
PromptTracker::~PromptTracker() = default;

void PromptTracker::on_lookup(std::span<const LookupKey> keys, double now_s) {
  for (Chain& chain : split(keys)) {
    if (chain.size() > impl_->max_keys) chain.resize(impl_->max_keys);
    impl_->learn(chain, now_s);
  }
}

PromptFacts PromptTracker::facts(std::uint64_t digest) const {
  const std::lock_guard lock(impl_->mutex);
  const std::uint32_t at = impl_->find(digest);
  if (at == kNone) return {};
  const Entry& entry = impl_->entries[at];
  const Prompt& prompt = impl_->prompts[entry.prompt];
  return {.prompt = PromptId{prompt.id},
          .position = entry.position,
          .seen_in = std::max(entry.seen_now, entry.seen_stored),
          .turn = prompt.turns,
          .reuse_class = entry.reuse_class,
          .use = entry.use};
}

double PromptTracker::reuse_chance(std::uint16_t reuse_class, std::uint32_t uses) const {
  return impl_->reuse.chance(reuse_class, uses);
}

double PromptTracker::useful_life(std::uint16_t reuse_class) const {
  return impl_->reuse.life(reuse_class);
}

void PromptTracker::set_live_objects(std::uint64_t objects) {
  const std::lock_guard lock(impl_->mutex);
  impl_->reuse.set_live_objects(objects);
}

std::size_t PromptTracker::size() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->held;
}

}  // namespace fdpstore::placement
