// What parse_options says to options that it must not take.
#pragma once

#include <string>

#include <gtest/gtest.h>

#include "fdpstore/options.hpp"

namespace fdpstore {

inline std::string error_of(const std::string& json) {
  const auto parsed = parse_options(json);
  EXPECT_FALSE(parsed) << json << " was accepted";
  if (parsed) return "";
  EXPECT_EQ(parsed.error().code, Errc::invalid_option) << parsed.error().message();
  return parsed.error().message();
}

}  // namespace fdpstore
