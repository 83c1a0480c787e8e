// GoogleTest's main, or the child process of open_test.cpp.
#include <gtest/gtest.h>

#include <iostream>
#include <string_view>

#include "child.hpp"
#include "fdpstore/store.hpp"
#include "support/variants.hpp"

namespace {

int open_as_child(std::string_view name, const char* path) {
  using namespace fdpstore;
  using namespace fdpstore::test;
  for (const Variant& variant : variants()) {
    if (variant.name() != name) continue;
    const auto opened = open_store(small_options(variant, path));
    if (opened) return kExitOpened;
    if (opened.error().code == Errc::busy) return kExitBusy;
    std::cerr << opened.error().message() << "\n";
  }
  return kExitOtherError;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::string_view(argv[1]) == fdpstore::test::kOpenArgument) {
    return open_as_child(argv[2], argv[3]);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
