// Progress: how far a long command is, and whether its user wants it to end.
//
// Thread:  the main thread only.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace fdpstore::cli {

// A line on a terminal, redrawn ten times a second; gone when done. Where the standard error is no
// terminal: a line every ten seconds.
class Progress {
 public:
  Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  ~Progress();

  void show(std::uint64_t done_bytes, std::uint64_t total_bytes, const std::string& more = "");

 private:
  using Clock = std::chrono::steady_clock;
  bool terminal_;
  bool drawn_ = false;
  Clock::time_point last_ = Clock::now();
};

// While one lives, the first SIGINT or SIGTERM only makes wanted() true; a second one kills.
class StopOnSignal {
 public:
  StopOnSignal();
  StopOnSignal(const StopOnSignal&) = delete;
  StopOnSignal& operator=(const StopOnSignal&) = delete;
  ~StopOnSignal();

  [[nodiscard]] static bool wanted();
  // False as soon as one came; true after that time.
  [[nodiscard]] static bool sleep(std::chrono::duration<double> time);
};

}  // namespace fdpstore::cli
