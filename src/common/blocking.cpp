// Blocking convenience over the tasks of a Store.
#include <cerrno>

#include <poll.h>
#include <unistd.h>

#include "fdpstore/store.hpp"

namespace fdpstore {
namespace {

Result<TaskResult> wait_for(Store& store, TaskKind kind, Result<TaskId> submitted) {
  if (!submitted) return fail(std::move(submitted.error()));
  while (true) {
    pollfd waiting{store.event_fd(kind), POLLIN, 0};
    if (::poll(&waiting, 1, -1) < 0 && errno != EINTR) {
      return fail_errno(errno, "waiting for a task");
    }
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(waiting.fd, &count, sizeof(count));
    for (TaskResult& result : store.take_completed(kind)) {
      if (result.id == *submitted) return std::move(result);
    }
  }
}

}  // namespace

bool TaskResult::ok() const {
  for (const KeyStatus status : keys) {
    if (status == KeyStatus::failed) return false;
  }
  return true;
}

Result<TaskResult> put_and_wait(Store& store, std::span<const PutItem> items) {
  return wait_for(store, TaskKind::put, store.submit_put(items));
}

Result<TaskResult> get_and_wait(Store& store, std::span<const GetItem> items) {
  return wait_for(store, TaskKind::get, store.submit_get(items));
}

Result<TaskResult> lookup_and_wait(Store& store, std::span<const KeyRef> keys, bool lock) {
  return wait_for(store, TaskKind::lookup, store.submit_lookup(keys, lock));
}

}  // namespace fdpstore
