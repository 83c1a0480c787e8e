#include "core/tasks.hpp"

#include <cerrno>

#include <sys/eventfd.h>
#include <unistd.h>

namespace fdpstore::core {

Result<std::unique_ptr<Completions>> Completions::open(const Clock& clock) {
  std::unique_ptr<Completions> made(new Completions(clock));
  for (int& fd : made->fds_) {
    fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0) return fail_errno(errno, "making an eventfd");
  }
  return made;
}

Completions::~Completions() {
  for (const int fd : fds_) {
    if (fd >= 0) ::close(fd);
  }
}

void Completions::push(TaskKind kind, TaskResult result, double since_s) {
  result.seconds = clock_.now_s() - since_s;
  {
    const std::lock_guard guard(mutex_);
    results_[static_cast<std::size_t>(kind)].push_back(std::move(result));
  }
  signal(kind);
}

std::vector<TaskResult> Completions::take(TaskKind kind) {
  const std::lock_guard guard(mutex_);
  return std::exchange(results_[static_cast<std::size_t>(kind)], {});
}

void Completions::signal(TaskKind kind) {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the descriptor is readable anyway.
  [[maybe_unused]] const ssize_t written = ::write(event_fd(kind), &one, sizeof(one));
}

void Task::settle(Completions& completions, std::size_t index, KeyStatus status,
                  std::optional<Error> error) {
  result.keys[index] = status;
  if (error && !result.error) result.error = std::move(error);
  if (--remaining == 0) completions.push(kind, std::move(result), since_s);
}

}  // namespace fdpstore::core
