// RuntimeDirectory: $XDG_RUNTIME_DIR of a test's own while it lives, so that sockets of tests and
// of real stores do not meet.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

#include "support/files.hpp"

namespace fdpstore::store {

class RuntimeDirectory {
 public:
  RuntimeDirectory() {
    if (const char* before = std::getenv("XDG_RUNTIME_DIR")) before_ = before;
    ::setenv("XDG_RUNTIME_DIR", directory_.path().c_str(), 1);
  }
  RuntimeDirectory(const RuntimeDirectory&) = delete;
  RuntimeDirectory& operator=(const RuntimeDirectory&) = delete;
  ~RuntimeDirectory() {
    if (before_) {
      ::setenv("XDG_RUNTIME_DIR", before_->c_str(), 1);
    } else {
      ::unsetenv("XDG_RUNTIME_DIR");
    }
  }
  [[nodiscard]] const std::filesystem::path& path() const { return directory_.path(); }

 private:
  test::TempDir directory_;
  std::optional<std::string> before_;
};

}  // namespace fdpstore::store
