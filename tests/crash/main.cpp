// GoogleTest's main, or the child process that crash_test.cpp kills.
#include <gtest/gtest.h>

#include <string_view>

#include "scenario.hpp"

int main(int argc, char** argv) {
  using namespace fdpstore::test::crash;
  if (argc == 6 && std::string_view(argv[1]) == kChildArgument) {
    return run_child({argv[2], argv[3], argv[4], argv[5]});
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
