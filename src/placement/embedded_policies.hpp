// The policy files of policies/, compiled in (EmbedPolicies.cmake writes the definition).
#pragma once

#include <span>
#include <string_view>

namespace fdpstore::placement {

struct EmbeddedPolicy {
  std::string_view name;  // of the file, without ".policy"
  std::string_view text;
};
// By name.
[[nodiscard]] std::span<const EmbeddedPolicy> embedded_policies();

}  // namespace fdpstore::placement
