// Models: how the requests of one kind of traffic come about, in numbers.
//
// A chunk is one object. Contexts grow by whole chunks: what does not fill one is not cached.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "trace/random.hpp"
#include "trace/recipe.hpp"

namespace fdpstore::trace {

// Conversations and agent runs: a system prompt that a tenant's runs share, then turns that each
// repeat all that came before and add to it.
struct Talks {
  std::uint32_t prompts = 1;  // system prompts of a tenant, of Zipf popularity
  Spread prompt_chunks;
  Spread prompt_life_s{.median = 1e9};  // then it is edited: a new one takes its place
  Spread first_chunks;                  // what the first turn brings beside the system prompt
  Spread turns;
  Spread growth_chunks;   // answer and next question
  Spread think_s;         // between turns
  double redo_share = 0;  // turns that put something else in place of the last turn's chunks
  std::uint32_t most_chunks = 1024;  // a longer context is summed up: new chunks after the prompt
};

// Retrieval: documents of Zipf popularity, in the order in which they were found, between a system
// prompt and a question. A document has the ids of its place: only a first one is found again.
struct Documents {
  Spread prompt_chunks;
  std::uint32_t documents = 1;  // of all tenants
  Spread document_chunks;
  double zipf = 1;
  Spread per_request;
  Spread question_chunks;
};

// A set of items of Zipf popularity without a common prefix.
struct Items {
  std::uint32_t items = 1;  // of all tenants
  Spread chunks;
  double zipf = 0;
  Spread per_request;
  double churn = 0;        // of the uses of an item, those after which another takes its place
  bool overwrite = false;  // deletes and stores instead of asking
};

using Model = std::variant<Talks, Documents, Items>;

struct RecipeRow {
  RecipeInfo info;
  std::string_view storage_class;
  std::string_view salt;  // tenants are <salt>-0, <salt>-1, …
  Model model;
  std::span<const std::string_view> workers{};  // a mix: these recipes, and no model of its own
};

std::span<const RecipeRow> recipe_rows();
const RecipeRow* find_recipe(std::string_view name);  // nullptr: no such recipe

inline constexpr double kDurationS = 3600;
inline constexpr std::uint32_t kChunkTokens = 256;                         // LMCache's
inline constexpr std::uint64_t kMixWorkerBytes = std::uint64_t{64} << 30;  // touched, at scale 1

}  // namespace fdpstore::trace
