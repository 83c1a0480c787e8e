// What the tests of traces share.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <string_view>
#include <unordered_set>

#include "support/files.hpp"
#include "trace/recipe.hpp"
#include "trace/trace.hpp"

namespace fdpstore::trace {

inline testing::AssertionResult contains(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in '" << text << "'";
}

inline void write_file(const std::filesystem::path& path, std::string_view content) {
  std::ofstream file(path, std::ios::binary);
  file << content;
  if (!file.flush()) throw std::runtime_error("cannot write " + path.string());
}

// A trace of a recipe that must exist: "chat,seed=3".
inline Trace made(std::string_view spec) {
  auto recipe = parse_recipe(spec);
  if (!recipe) throw std::runtime_error(recipe.error().message());
  auto trace = generate(*recipe);
  if (!trace) throw std::runtime_error(trace.error().message());
  return std::move(*trace);
}

inline std::uint64_t unique_keys(const Trace& trace) {
  return std::unordered_set<std::uint64_t>(trace.keys.begin(), trace.keys.end()).size();
}

}  // namespace fdpstore::trace
