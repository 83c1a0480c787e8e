// The shipped policies, for people who choose one.
//
// Thread:  any; reads files.
#pragma once

#include <string>
#include <vector>

namespace fdpstore::store {

struct PolicySummary {
  std::string name, description;
};
[[nodiscard]] std::vector<PolicySummary> list_policies();
// Where files of policies are looked for, first to last; some may not exist.
[[nodiscard]] std::vector<std::string> policy_directories();

}  // namespace fdpstore::store
