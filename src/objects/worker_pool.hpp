// WorkerPool: threads for blocking system calls, shared fairly between tasks.
//
// Two lanes, each with workers of its own: `bulk` (puts, gets) and `quick` (lookups, deletes), so
// that a lookup never waits behind a large put. Within a
// lane tasks take turns, one chunk each, so that a small task is not held up by a large one.
//
// Thread:  any. submit() never blocks on I/O.
// Owns:    the threads. A batch is kept until its last item is finished.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace fdpstore::objects {

enum class Lane : std::uint8_t { quick, bulk };

// Deletes mostly wait for the disk (with `discard`, for the trim of what they free) and gain from
// being many at a time: measured, 16 do three times as many per second as 5.
inline constexpr unsigned kQuickWorkers = 16;

// The items of one task.
struct Batch {
  std::size_t count = 0;
  std::size_t chunk = 1;  // items a worker takes at a time
  // Works on items begin … end - 1 and returns how many of them are finished: those that are not
  // come back through WorkerPool::retry().
  std::function<std::size_t(std::size_t begin, std::size_t end, unsigned worker)> run;
  // Instead of run, for items not begun when the pool stops waiting for them.
  std::function<void(std::size_t begin, std::size_t end)> cancel;
  // Once, after the last item, in the worker that finished it.
  std::function<void(unsigned worker)> done;

 private:
  friend class WorkerPool;
  std::size_t next = 0;
  std::deque<std::size_t> again;
  std::atomic<std::size_t> left{0};
  bool queued = false;
};

class WorkerPool {
 public:
  // Numbers of bulk workers are 0 … bulk_workers - 1; those of the quick lane follow.
  explicit WorkerPool(unsigned bulk_workers);
  ~WorkerPool() { close(std::chrono::milliseconds(0)); }
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // False: closing; nothing of the batch will run.
  [[nodiscard]] bool submit(Lane lane, const std::shared_ptr<Batch>& batch);
  // Puts back an item that run() left unfinished.
  void retry(Lane lane, const std::shared_ptr<Batch>& batch, std::size_t item);

  // Refuses new batches and finishes the accepted ones; what has not begun after `patience` is
  // cancelled. Returns when no worker runs any more.
  void close(std::chrono::milliseconds patience);

 private:
  struct Work {
    std::shared_ptr<Batch> batch;
    std::size_t begin = 0, end = 0;
  };
  void run(unsigned worker, Lane lane);
  [[nodiscard]] Work take(Lane lane);
  void enqueue(Lane lane, const std::shared_ptr<Batch>& batch);
  [[nodiscard]] std::deque<std::shared_ptr<Batch>>& queue(Lane lane) {
    return queues_[static_cast<std::size_t>(lane)];
  }
  [[nodiscard]] std::condition_variable& wake(Lane lane) {
    return wake_[static_cast<std::size_t>(lane)];
  }

  std::mutex mutex_;
  std::array<std::condition_variable, 2> wake_;  // by lane
  std::condition_variable idle_;
  std::array<std::deque<std::shared_ptr<Batch>>, 2> queues_;
  std::size_t open_batches_ = 0;
  bool closing_ = false, stop_ = false;
  std::atomic<bool> cancel_{false};
  std::vector<std::thread> threads_;
};

}  // namespace fdpstore::objects
