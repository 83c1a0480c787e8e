// Recipes: traces made to order. What a kind of KV-cache traffic looks like is a row of a table;
// a Recipe names the row and what to change in it.
//
// Thread:  any; nothing is shared.
// Units:   bytes of payload, seconds.
// Errors:  invalid_argument, naming the recipe or parameter and what is possible.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "fdpstore/result.hpp"
#include "trace/trace.hpp"

namespace fdpstore::trace {

// 0 stands for the recipe's own value.
struct Recipe {
  std::string name;
  std::uint64_t seed = 1;
  std::uint64_t object_bytes = 0;
  std::uint64_t requests = 0;  // of all tenants together; those of further ranks not counted
  std::uint64_t tenants = 0;   // cache salts
  std::uint64_t ranks = 0;     // tensor-parallel: each request once per rank, at the same time
  double duration_s = 0;       // about how long the trace takes
  double scale = 1;            // requests and what they ask for, both, in the same duration
};

struct RecipeInfo {
  std::string_view name;
  std::string_view summary;        // one line
  std::uint64_t object_bytes = 0;  // 0: a mix, each worker has its own
  std::uint64_t requests = 0;      // 0: a mix, so that its workers touch the same number of bytes
  std::uint64_t tenants = 1;       // of a mix: of each worker
};
std::span<const RecipeInfo> recipes();

struct ParameterInfo {
  std::string_view name;  // '_' in a spec, '-' as a flag
  std::string_view unit;
  std::string_view default_value;  // empty: the recipe's
  std::string_view help;
};
std::span<const ParameterInfo> recipe_parameters();

// By the names of recipe_parameters(); values as a user writes them ("4MiB").
[[nodiscard]] Result<void> set_parameter(Recipe& recipe, std::string_view name,
                                         std::string_view value);
// "chat,tenants=4,seed=7"; `agentic,class=browser` is another way to say `browser`.
[[nodiscard]] Result<Recipe> parse_recipe(std::string_view spec);
// The command that makes the same trace again.
[[nodiscard]] std::string command_of(const Recipe& recipe);

// The same recipe gives the same trace everywhere. Times are whole milliseconds. Ids count from 0,
// and each stands for one chunk after one prefix, as in Mooncake's traces.
[[nodiscard]] Result<Trace> generate(const Recipe& recipe);

}  // namespace fdpstore::trace
