// PromptTracker: what lookups tell about which keys belong together (DESIGN §6).
//
// A lookup is split by (model, salt, rank, group) into ordered chains, each a prefix from the first
// chunk on (LMCache always submits the whole grid), so a key's index in its chain is its position.
// What a chain does:
//  - The last known key decides. Where it is the tip (the last key so far) of its prompt, the rest
//  of
//    the chain continues that prompt; else the rest is a new prompt. An unknown key in front of a
//    known one joins the prompt of the key behind it: a prefix belongs to all that follows it.
//  - A key belongs to the first prompt that had it; seen_in counts the distinct prompts whose
//  chains
//    contained it. Two or more: a shared prefix.
//  - turn counts the lookups of a prompt that reached its tip: the first, those that continued it,
//    those that repeated all of it. A lookup that ends earlier is one of a prefix, not of the
//    prompt.
//  - A hit whose key is unknown here brings the lineage stored with the object, so a restart does
//  not
//    cut a conversation in two. A prompt known only from there had one lookup at least (turn starts
//    at 1), its tip is the last key seen of it, and seen_in is a lower bound until its prompts
//    return.
//  - A chain that has a known key at another position than before (permuted, cut, a batch of
//    unrelated keys), or one key twice, is no prefix: it changes nothing at all here, not even
//    ages, so that a lineage learnt from such a lookup before dies of age and is learnt anew.
// Nothing is guessed: a key in no lookup is unseen (PromptFacts{}).
//
// A prompt's id is derived from the digest of the first key that belongs to it alone: the same over
// restarts as long as that key is looked up after the same known ones; never 0.
//
// What is learnt of reuse beside it: ReuseModel.
//
// Thread:  all methods may be called from any thread (one internal lock, held for one chain).
// Owns:    a bounded, timed map key digest → facts; the oldest go first, of one lookup the last
// keys
//          first. 48 bytes per key + 24 per prompt, touched only as they are used. A chain longer
//          than max_keys counts up to there.
// Units:   seconds on the caller's clock (steady, any origin; going back counts as standing still).
// Errors:  none; a constructor that gets no memory throws std::bad_alloc.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "fdpstore/policy.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore::placement {

class PromptTracker : public Lineage {
 public:
  struct Limits {
    std::size_t max_keys = 1U << 20;  // 1 … 2^30
    double max_age_s = 3600;          // since the last lookup that had the key
  };
  explicit PromptTracker(Limits limits);
  ~PromptTracker() override;

  void on_lookup(std::span<const LookupKey> keys, double now_s) override;
  [[nodiscard]] PromptFacts facts(std::uint64_t digest) const override;
  [[nodiscard]] double reuse_chance(std::uint16_t reuse_class, std::uint32_t uses) const override;
  [[nodiscard]] double useful_life(std::uint16_t reuse_class) const override;
  void set_live_objects(std::uint64_t objects) override;
  // Keys held, including aged ones that no lookup has cleared away yet.
  [[nodiscard]] std::size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fdpstore::placement
