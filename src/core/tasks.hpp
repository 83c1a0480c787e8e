// Tasks and their completions: how results travel from the engine to callers.
//
// Thread:  Completions any; a Task belongs to the thread that fills it until it is pushed.
// Owns:    three eventfds, results not yet taken.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "fdpstore/clock.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::core {

class Completions {
 public:
  // `clock` must outlive it.
  [[nodiscard]] static Result<std::unique_ptr<Completions>> open(const Clock& clock);
  ~Completions();
  Completions(const Completions&) = delete;
  Completions& operator=(const Completions&) = delete;

  // `since_s`: when the task was submitted.
  void push(TaskKind kind, TaskResult result, double since_s);
  [[nodiscard]] double now_s() const { return clock_.now_s(); }
  std::vector<TaskResult> take(TaskKind kind);
  void signal(TaskKind kind);
  [[nodiscard]] int event_fd(TaskKind kind) const { return fds_[static_cast<std::size_t>(kind)]; }

 private:
  explicit Completions(const Clock& clock) : clock_(clock) {}
  const Clock& clock_;
  std::mutex mutex_;
  std::array<int, kTaskKinds> fds_{-1, -1, -1};
  std::array<std::vector<TaskResult>, kTaskKinds> results_;
};

// A task in the engine's hands.
struct Task {
  TaskKind kind = TaskKind::put;
  TaskResult result;
  std::size_t remaining = 0;
  double since_s = 0;

  // Settles one key; the last one sends the task off.
  void settle(Completions& completions, std::size_t index, KeyStatus status,
              std::optional<Error> error = std::nullopt);
};

}  // namespace fdpstore::core
