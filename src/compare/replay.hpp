// Replay: a trace, pass after pass, until the device is in steady state.
//
// Keys are renamed with each pass, so that a pass finds nothing of the one before but the space it
// takes. The last pass is the one that counts: before it the host has written at least 4 times the
// capacity, and its DLWA is within 1 % of that of the pass before.
//
// Thread:  each replay on a thread of its own; a PreparedTrace is shared.
// Errors:  in Result::error.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <vector>

#include "compare/result.hpp"
#include "trace/trace.hpp"

namespace fdpstore::compare {

struct PreparedTrace {
  const trace::Trace* trace = nullptr;
  TraceFacts facts;
  std::uint64_t max_object_bytes = 0;
  double duration_s = 0;
  std::vector<std::uint64_t> next_uses;  // by position in the stream of keys; kNever
};
[[nodiscard]] PreparedTrace prepare(const trace::Trace& trace);

struct Progress {
  std::uint32_t pass = 0;  // from 1
  double pass_share = 0;   // done of it
  double capacities = 0;   // written so far
  double dlwa = 0;         // of the last window; 0: not known
};

struct ReplayOptions {
  double min_capacities = 4;
  double steady_share = 0.01;
  std::uint32_t max_passes = 64;
  // Offered writes, of what the simulated device programs at most. Requests come at the trace's
  // times, so much faster.
  double load = 0.5;
  const std::atomic<bool>* stop = nullptr;  // soon ends the replay
  std::function<void(const Progress&)> progress = {};
};

[[nodiscard]] Result replay(const Cell& cell, const PreparedTrace& trace,
                            const ReplayOptions& options);

}  // namespace fdpstore::compare
