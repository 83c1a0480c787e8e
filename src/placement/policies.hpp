// Policies by name or file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/policy.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore::placement {

// What limits the number of streams with an open segment of their own (DESIGN §2): the backend's
// handles, and max(1, segments / 16). Streams beyond it are merged, and say so in merged_note.
struct PolicyLimits {
  std::uint32_t data_handles = 1;
  std::string reason;  // for merged_note: "the device has 4 handles", "16 segments of 256 MiB"
};

// `name_or_path`: a shipped policy's name ("tenant"), looked up as <dir>/<name>.policy in
// policy_directories(), or the path of a file. Errors name the file, line and remedy.
[[nodiscard]] Result<std::unique_ptr<Policy>> load_policy(std::string_view name_or_path,
                                                          const PolicyLimits& limits);
// From text; `origin` is used in messages.
[[nodiscard]] Result<std::unique_ptr<Policy>> parse_policy(std::string_view text,
                                                           std::string_view origin,
                                                           const PolicyLimits& limits);
// Where shipped policies are: $FDPSTORE_POLICY_DIR, the installed share directory, the source tree.
// A copy compiled into the library is the last resort, so that a wheel or a static binary works.
[[nodiscard]] std::vector<std::string> policy_directories();
// Names of the shipped policies with their one-line descriptions.
struct ShippedPolicy {
  std::string name, description;
};
[[nodiscard]] std::vector<ShippedPolicy> shipped_policies();

}  // namespace fdpstore::placement
