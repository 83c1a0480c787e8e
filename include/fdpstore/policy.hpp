// Policy: which stream an object goes to, as a pure function of what is known about it.
//
// Thread:  place() is called by one thread at a time (the engine's); no I/O, no clocks.
// Errors:  none at run time; a bad policy file fails when it is read (placement/policy_file.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/types.hpp"

namespace fdpstore {

// What lookups have told about a key (placement/prompt_tracker.hpp).
struct PromptFacts {
  PromptId prompt;             // 0: in no lookup so far ("unseen")
  std::uint32_t position = 0;  // index of the chunk in its prompt
  std::uint32_t seen_in = 0;   // number of prompts that contained the key; ≥ 2: a shared prefix
  std::uint32_t turn = 0;      // how many lookups the prompt has had
  // What the key's first lookup looked like, as the lineage classifies it; 0: nothing is known.
  std::uint16_t reuse_class = 0;
  std::uint32_t use = 0;  // LookupKey::use of the last lookup that named the key
};

// One key of a lookup, in the lookup's order.
struct LookupKey {
  std::uint64_t chain = 0;   // equal for keys of the same (model, salt, rank, group)
  std::uint64_t digest = 0;  // 64-bit hash of the whole key
  bool hit = false;
  std::uint32_t use = 0;   // when, on the clock of keys used; equal for one chain
  std::uint32_t uses = 0;  // of a hit: since the object was stored, this one included
  PromptFacts stored;      // of a hit: lineage remembered with the object (survives restarts)
};

// What is known of an object when it is weighed against others.
struct ReuseFacts {
  std::uint64_t digest = 0;
  std::uint16_t reuse_class = 0;  // PromptFacts::reuse_class
  std::uint32_t uses = 0;         // since it was stored
  // Since its last use, in times the store has turned over: keys used meanwhile / live objects.
  double age = 0;
};

// Learns prompts and reuse from lookups. Any thread may call any method.
class Lineage {
 public:
  virtual ~Lineage() = default;
  // `now_s`: seconds on a steady clock.
  virtual void on_lookup(std::span<const LookupKey> keys, double now_s) = 0;
  [[nodiscard]] virtual PromptFacts facts(std::uint64_t digest) const = 0;

  // Chance that such an object is used again before the store turns over a few times, 0 … 1.
  [[nodiscard]] virtual double reuse_chance(std::uint16_t reuse_class, std::uint32_t uses) const {
    return uses == 0 && reuse_class == 0 ? 0.3 : 0.5;
  }
  // How long objects of such a class are of use after they were stored, mean, in turnovers.
  [[nodiscard]] virtual double useful_life(std::uint16_t /*reuse_class*/) const { return 0.5; }
  // How soon it is likely to be used: comparable numbers, higher is sooner or surer.
  [[nodiscard]] virtual double reuse_rate(const ReuseFacts& object) const {
    return reuse_chance(object.reuse_class, object.uses) / (kYoungAge + object.age);
  }
  // How many objects the store holds: the measure of ages and of what is worth remembering.
  virtual void set_live_objects(std::uint64_t /*objects*/) {}

  // Below this age, reuse does not become likelier with youth (in turnovers; measured).
  static constexpr double kYoungAge = 0.1;
};

struct ObjectFacts {
  KeyRef key;
  std::uint64_t size_bytes = 0;
  PromptFacts prompt;
  std::uint32_t reuse_count = 0;               // loads of this object so far (re-insertion), else 0
  double reuse_chance = 0;                     // as the lineage has it
  double useful_life = 0;                      // likewise, in turnovers
  std::optional<std::uint32_t> explicit_rank;  // obj.metadata.fdp_placement_rank
  std::optional<std::string_view> explicit_stream;  // caller named a stream
};

struct StreamSpec {
  std::string name;
  Lifetime lifetime = Lifetime::not_set;
  std::uint32_t handle = 0;  // index into the data handles, after merging
  std::string merged_note;   // empty, or how and why it shares a handle ("merged into …")
};

class Policy {
 public:
  virtual ~Policy() = default;

  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::string_view description() const = 0;
  // All streams place() can return. Streams with the same handle share one open segment.
  [[nodiscard]] virtual const std::vector<StreamSpec>& streams() const = 0;
  // Where re-inserted (surviving) objects go.
  [[nodiscard]] virtual StreamId survivors() const = 0;
  // Share of stored bytes that padding, metadata and re-insertion together may take, 0 … 1.
  [[nodiscard]] virtual double reinsert_budget() const = 0;
  // Lifetime of metadata segments, and whether metadata wants a handle of its own.
  [[nodiscard]] virtual Lifetime metadata_lifetime() const = 0;
  [[nodiscard]] virtual bool metadata_separate() const = 0;

  [[nodiscard]] virtual StreamId place(const ObjectFacts& object) = 0;

  // What must survive a restart (tenant → stream assignments, …), opaque to the core; small. The
  // core saves it whenever state_version() has changed.
  [[nodiscard]] virtual std::uint64_t state_version() const = 0;
  [[nodiscard]] virtual std::string save_state() const = 0;
  // Ignores (and reports false for) a state that another policy wrote.
  virtual bool restore_state(std::string_view state) = 0;
};

}  // namespace fdpstore
