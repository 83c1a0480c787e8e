// StreamChooser: asks the policy, one thread at a time, and keeps its state with the directory.
//
// Thread:  any; one lock around the policy, no I/O under it.
// Owns:    the policy. Counts what was written per stream.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/policy.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::objects {

class StreamChooser {
 public:
  // `state`: what save_state() of an earlier run gave, or "".
  StreamChooser(std::unique_ptr<Policy> policy, std::string_view state);

  struct Choice {
    StreamId stream;
    Lifetime lifetime = Lifetime::not_set;
    std::string new_state;  // not empty: the policy has changed and wants this kept
  };
  [[nodiscard]] Choice choose(const ObjectFacts& object);
  void written(StreamId stream, std::uint64_t bytes);

  [[nodiscard]] std::string policy_name() const { return std::string(policy_->name()); }
  [[nodiscard]] std::vector<StreamUsage> usage();

 private:
  std::unique_ptr<Policy> policy_;
  std::mutex mutex_;
  std::uint64_t saved_version_ = 0;
  std::vector<std::uint64_t> written_bytes_;  // by stream
};

}  // namespace fdpstore::objects
