// PolicyFile: what a policy file says, checked, before it meets the handles of a store.
// The syntax is described in policies/README.md.
//
// Thread:  any.
// Errors:  Errc::invalid_option, "<origin>:<line>: <offending text, what is wrong, the remedy>".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"
#include "placement/condition.hpp"

namespace fdpstore::placement {

// By what a stream with several handles distributes its objects over them.
enum class Spread : std::uint8_t {
  prompt,
  rank,
  tenant,
  tenant_rank,
  key,
  round_robin,
  lifetime,
  adaptive,
};

// NVMe allows 128 placement handles per namespace; a larger index is a typing error.
inline constexpr std::uint32_t kMaxHandles = 128;

struct StreamDeclaration {
  std::string name;
  Lifetime lifetime = Lifetime::not_set;
  std::vector<NumberRange> handles;
  Spread spread = Spread::prompt;
  std::uint32_t line = 0;  // where it was first mentioned
};

struct Rule {
  std::vector<Condition> conditions;  // all must match
  std::size_t stream = 0;             // index into PolicyFile::streams
};

struct PolicyFile {
  std::string description;
  std::vector<StreamDeclaration> streams;  // in the order of the file, at least one
  std::vector<Rule> rules;                 // the last one is the only catch-all
  std::size_t survivors = 0;               // index into streams
  double reinsert_budget = 0.03;
  Lifetime metadata_lifetime = Lifetime::not_set;
  bool metadata_separate = false;
};

[[nodiscard]] Result<PolicyFile> parse_policy_file(std::string_view text, std::string_view origin);

// As policy files spell them; "?" for a value that is none.
[[nodiscard]] std::string_view lifetime_name(Lifetime lifetime);

}  // namespace fdpstore::placement
