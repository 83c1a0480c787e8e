#include "compare/run.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <thread>

namespace fdpstore::compare {

std::vector<Result> run_cells(const std::vector<Job>& jobs, const RunOptions& options) {
  std::vector<std::optional<Result>> results(jobs.size());
  std::atomic<std::size_t> next{0};
  std::mutex mutex;  // done, and calls of progress
  std::size_t done = 0;
  const auto stopped = [&] { return options.replay.stop != nullptr && *options.replay.stop; };
  const auto work = [&] {
    while (!stopped()) {
      const std::size_t index = next++;
      if (index >= jobs.size()) return;
      const Job& job = jobs[index];
      ReplayOptions replay_options = options.replay;
      replay_options.progress = [&](const Progress& progress) {
        if (!options.progress) return;
        const std::lock_guard guard(mutex);
        options.progress({done, jobs.size(), &job.cell, progress, nullptr});
      };
      Result result = replay(job.cell, *job.trace, replay_options);
      if (stopped()) return;
      const std::lock_guard guard(mutex);
      results[index] = std::move(result);
      ++done;
      if (options.progress) {
        options.progress({done, jobs.size(), &job.cell, {}, &*results[index]});
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t count = std::min<std::size_t>(std::max(options.jobs, 1U), jobs.size());
    threads.reserve(count);
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back(work);
  }
  std::vector<Result> finished;
  for (std::optional<Result>& result : results) {
    if (result) finished.push_back(std::move(*result));
  }
  return finished;
}

}  // namespace fdpstore::compare
