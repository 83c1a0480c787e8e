// fdpstore stat --watch.
//
// Thread:  the main thread only.
#pragma once

#include <cstdint>
#include <string>

namespace fdpstore::cli {

struct WatchArguments {
  std::string path;
  std::string policy;
  double seconds = 1;
  std::uint64_t count = 0;  // of intervals; 0: until a signal
  bool json = false;
};
// The exit code; Failure when PATH is no store, or cannot be asked any more.
int watch_store(const WatchArguments& arguments);

}  // namespace fdpstore::cli
