// Running a comparison: cells side by side, each on threads of its own.
//
// Thread:  run_cells() blocks; `progress` is called by one thread at a time.
// Errors:  a cell that fails says so in its Result; the others go on.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "compare/replay.hpp"
#include "compare/result.hpp"

namespace fdpstore::compare {

struct Job {
  Cell cell;
  const PreparedTrace* trace = nullptr;
};

struct RunState {
  std::size_t done = 0, total = 0;
  const Cell* cell = nullptr;  // the one that has just moved on, or ended
  Progress progress;
  const Result* ended = nullptr;
};

struct RunOptions {
  std::uint32_t jobs = 2;  // cells at a time
  ReplayOptions replay;    // its progress is not used
  std::function<void(const RunState&)> progress = {};
};

// In the order of `jobs`, without those that `replay.stop` cut short.
[[nodiscard]] std::vector<Result> run_cells(const std::vector<Job>& jobs,
                                            const RunOptions& options);

}  // namespace fdpstore::compare
