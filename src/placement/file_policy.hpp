// FilePolicy: a policy file at work on the handles of a store.
//
// An object that asks for a stream by name goes there; else the first rule that names its class
// (class:, stream:) and matches decides; else the first rule that matches. A stream with several
// handles then spreads by the key it declares:
//   prompt       by prompt id; objects of no known prompt use the stream's first handle, so that
//                they do not dilute the others
//   rank         rank modulo the handles
//   tenant, tenant-rank   by Assignment; survives restarts through save_state
//   key          by hash of the key
//   round-robin  in turn
//   lifetime     by how likely the object is to be used again, in bins that are learnt
//   adaptive     by tenant and kind of lookup, in groups by AdaptiveGroups; survives restarts too
//
// Thread:  as Policy says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/policy.hpp"
#include "placement/adaptive_groups.hpp"
#include "placement/assignment.hpp"
#include "placement/lifetime_bins.hpp"
#include "placement/policies.hpp"
#include "placement/policy_file.hpp"
#include "placement/stream_layout.hpp"

namespace fdpstore::placement {

class FilePolicy : public Policy {
 public:
  FilePolicy(std::string name, PolicyFile file, const PolicyLimits& limits);

  [[nodiscard]] std::string_view name() const override { return name_; }
  [[nodiscard]] std::string_view description() const override { return file_.description; }
  [[nodiscard]] const std::vector<StreamSpec>& streams() const override { return layout_.specs; }
  [[nodiscard]] StreamId survivors() const override;
  [[nodiscard]] double reinsert_budget() const override { return file_.reinsert_budget; }
  [[nodiscard]] Lifetime metadata_lifetime() const override { return file_.metadata_lifetime; }
  [[nodiscard]] bool metadata_separate() const override { return file_.metadata_separate; }
  [[nodiscard]] StreamId place(const ObjectFacts& object) override;
  [[nodiscard]] std::uint64_t state_version() const override { return state_version_; }
  [[nodiscard]] std::string save_state() const override;
  bool restore_state(std::string_view state) override;

 private:
  [[nodiscard]] std::optional<StreamId> place_asked(const ObjectFacts& object);
  [[nodiscard]] StreamId spread(std::size_t stream, const ObjectFacts& object);
  [[nodiscard]] std::uint64_t pick(std::size_t stream, std::uint64_t handles,
                                   const ObjectFacts& object);
  [[nodiscard]] bool is_assigned(std::size_t stream) const;

  std::string name_;
  PolicyFile file_;
  StreamLayout layout_;
  std::vector<Assignment> assignments_;  // by stream; used by those that spread by tenant
  std::vector<LifetimeBins> bins_;       // by stream; used by those that spread by lifetime
  std::vector<AdaptiveGroups> groups_;   // by stream; used by those that spread adaptively
  std::vector<std::uint64_t> next_;      // by stream; used by those that spread round-robin
  std::uint64_t state_version_ = 0;
};

}  // namespace fdpstore::placement
