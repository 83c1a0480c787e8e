// PromptTracker: what lookups tell about which keys belong together (DESIGN §6).
//
// A lookup is split by (model, salt, rank, group) into ordered chains. The longest part of a chain
// that is already known and lies in one prompt continues that prompt when it ends at the prompt's
// tip; else the rest of the chain is a new prompt. A key seen in two or more prompts is a shared
// prefix. Nothing is guessed: a key in no lookup is unseen (PromptFacts{}).
//
// Thread:  all methods may be called from any thread (one short internal lock).
// Owns:    a bounded, timed map key digest → facts; the oldest go first. ≤ ~48 bytes an entry.
// Units:   seconds on the caller's clock (steady, any origin).
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
    std::size_t max_keys = 1U << 20;
    double max_age_s = 3600;
  };
  explicit PromptTracker(Limits limits);
  ~PromptTracker() override;

  void on_lookup(std::span<const LookupKey> keys, double now_s) override;
  [[nodiscard]] PromptFacts facts(std::uint64_t digest) const override;
  [[nodiscard]] std::size_t size() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fdpstore::placement
