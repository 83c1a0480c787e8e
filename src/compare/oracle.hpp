// Oracle: a lineage that knows from the trace when each key will be used next. For judging
// predictions: no store can have it.
//
// Thread:  as Lineage says.
// Owns:    the next use of every key that may be in the store.
// Units:   positions in the stream of all keys of the replay.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>

#include <boost/unordered/unordered_flat_map.hpp>

#include "fdpstore/policy.hpp"

namespace fdpstore::compare {

class Oracle final : public Lineage {
 public:
  // Before the lookup of these keys: when each is used next; kNever: not again. `position`: now.
  void tell(std::span<const std::uint64_t> next_uses, std::uint64_t position);

  void on_lookup(std::span<const LookupKey> keys, double now_s) override;
  [[nodiscard]] PromptFacts facts(std::uint64_t digest) const override;
  [[nodiscard]] double reuse_chance(std::uint16_t reuse_class, std::uint32_t uses) const override;
  [[nodiscard]] double reuse_rate(const ReuseFacts& object) const override;
  void set_live_objects(std::uint64_t objects) override;

 private:
  struct Known {
    std::uint64_t next = 0;
    std::uint32_t use = 0;
    std::uint32_t position = 0;
  };
  mutable std::mutex mutex_;
  std::span<const std::uint64_t> next_uses_;
  std::uint64_t now_ = 0;
  std::uint64_t live_objects_ = 1;
  boost::unordered_flat_map<std::uint64_t, Known> known_;
};

}  // namespace fdpstore::compare
