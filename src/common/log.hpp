// The log: what an operator should know and no caller is told. Nothing is logged per I/O.
//
// To the standard error, by a logger of our own, so that a host's spdlog is left alone. Levels:
// off, error, warn (the default), info, debug; first that of $FDPSTORE_LOG, then the last one set.
// Of messages that differ in numbers only, kMostPerSecond are printed in a second; those left out
// are counted, and told with the next one.
//
// Thread:  any.
// Errors:  set_log_level: invalid_option names the levels. A bad $FDPSTORE_LOG is warned of.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include <spdlog/logger.h>

#include "fdpstore/result.hpp"

namespace fdpstore {

[[nodiscard]] spdlog::logger& log();
[[nodiscard]] Result<void> set_log_level(std::string_view level);

// Which messages are repeats. Time in seconds of any steady clock.
class RepeatLimit {
 public:
  static constexpr std::uint64_t kMostPerSecond = 5;

  struct Verdict {
    bool print = true;
    std::uint64_t left_out = 0;  // repeats of it that were not printed, until now
  };
  [[nodiscard]] Verdict ask(std::string_view message, double now_s);

 private:
  struct Shape {
    double since_s = 0;
    std::uint64_t printed = 0, left_out = 0;
  };
  static constexpr std::size_t kMostShapes = 256;  // beyond, all are forgotten
  std::map<std::string, Shape, std::less<>> shapes_;
};

}  // namespace fdpstore
