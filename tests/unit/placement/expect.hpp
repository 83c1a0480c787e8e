// Assertions on messages, with both texts in the failure.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

namespace fdpstore::placement {

inline testing::AssertionResult contains(std::string_view text, std::string_view part) {
  if (text.find(part) != std::string_view::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in '" << text << "'";
}
inline testing::AssertionResult starts_with(std::string_view text, std::string_view start) {
  if (text.starts_with(start)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << text << "' does not start with '" << start << "'";
}

}  // namespace fdpstore::placement
