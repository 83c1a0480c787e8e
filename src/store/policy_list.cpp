#include "store/policy_list.hpp"

#include "placement/policies.hpp"

namespace fdpstore::store {

std::vector<PolicySummary> list_policies() {
  std::vector<PolicySummary> result;
  for (placement::ShippedPolicy& policy : placement::shipped_policies()) {
    result.push_back({std::move(policy.name), std::move(policy.description)});
  }
  return result;
}

std::vector<std::string> policy_directories() {
  return placement::policy_directories();
}

}  // namespace fdpstore::store
