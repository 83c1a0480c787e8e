// Client: a store as a caller sees it that waits for its own tasks, from any number of threads.
//
// Thread:  every method may be called from any thread. One thread inside consumes the completions,
// as
//          LMCache's controllers do.
// Owns:    that thread. Borrows the Store, which must outlive it.
// Errors:  a task that does not complete within kPatience throws.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "fdpstore/store.hpp"

namespace fdpstore::test {

class Client {
 public:
  static constexpr std::chrono::seconds kPatience{30};

  explicit Client(Store& store)
      : store_(store), stop_fd_(::eventfd(0, EFD_CLOEXEC)), thread_([this] { run(); }) {}
  ~Client() {
    const std::uint64_t one = 1;
    (void)!::write(stop_fd_, &one, sizeof one);
    thread_.join();
    ::close(stop_fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Result<TaskResult> put(std::span<const PutItem> items) {
    return finish(TaskKind::put, store_.submit_put(items));
  }
  Result<TaskResult> get(std::span<const GetItem> items) {
    return finish(TaskKind::get, store_.submit_get(items));
  }
  Result<TaskResult> lookup(std::span<const KeyRef> keys, bool lock = false) {
    return finish(TaskKind::lookup, store_.submit_lookup(keys, lock));
  }

  TaskResult wait(TaskKind kind, TaskId id) {
    std::unique_lock guard(mutex_);
    auto& results = results_[static_cast<std::size_t>(kind)];
    if (!arrived_.wait_for(guard, kPatience, [&] { return results.contains(id); })) {
      throw std::runtime_error("task " + std::to_string(id) + " did not complete");
    }
    auto node = results.extract(id);
    return std::move(node.mapped());
  }

  // What the store said it dropped since the last call.
  std::vector<DroppedKey> take_dropped() {
    const std::lock_guard guard(mutex_);
    return std::exchange(dropped_, {});
  }
  // Results that came twice, or for no task that was ever waited for.
  [[nodiscard]] std::size_t duplicates() {
    const std::lock_guard guard(mutex_);
    return duplicates_;
  }

 private:
  Result<TaskResult> finish(TaskKind kind, Result<TaskId> id) {
    if (!id) return fail(id.error());
    return wait(kind, *id);
  }

  void run() {
    std::array<pollfd, kTaskKinds + 1> fds{};
    for (std::size_t kind = 0; kind < kTaskKinds; ++kind) {
      fds[kind] = {store_.event_fd(static_cast<TaskKind>(kind)), POLLIN, 0};
    }
    fds[kTaskKinds] = {stop_fd_, POLLIN, 0};
    while (true) {
      (void)::poll(fds.data(), fds.size(), -1);
      for (std::size_t kind = 0; kind < kTaskKinds; ++kind) {
        if ((fds[kind].revents & POLLIN) != 0) collect(static_cast<TaskKind>(kind), fds[kind].fd);
      }
      if ((fds[kTaskKinds].revents & POLLIN) != 0) return;
    }
  }

  void collect(TaskKind kind, int fd) {
    std::uint64_t count = 0;
    (void)!::read(fd, &count, sizeof count);
    auto done = store_.take_completed(kind);
    auto dropped = kind == TaskKind::put ? store_.take_dropped() : std::vector<DroppedKey>{};
    {
      const std::lock_guard guard(mutex_);
      for (TaskResult& result : done) {
        const TaskId id = result.id;
        const bool added =
            results_[static_cast<std::size_t>(kind)].emplace(id, std::move(result)).second;
        if (!added) ++duplicates_;
      }
      for (DroppedKey& key : dropped) dropped_.push_back(std::move(key));
    }
    arrived_.notify_all();
  }

  Store& store_;
  int stop_fd_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::array<std::map<TaskId, TaskResult>, kTaskKinds> results_;
  std::vector<DroppedKey> dropped_;
  std::size_t duplicates_ = 0;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace fdpstore::test
