#include "io/ring.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <fstream>

#include <fmt/format.h>
#include <linux/nvme_ioctl.h>
#include <poll.h>
#include <unistd.h>

#include "io/nvme_status.hpp"

namespace fdpstore::io {
namespace {

constexpr std::uint64_t kWakeTag = ~0ULL;
constexpr std::size_t kMaxFixedBytes = 1ULL << 30;  // the kernel's limit for one registered range

// `write_stream` is the first byte of the union that holds splice_fd_in (include/uapi/linux/
// io_uring.h since 6.16); a command begins where a plain SQE's last 16 bytes do.
constexpr std::size_t kWriteStreamByte = 44;
constexpr std::size_t kBigSqeBytes = 128;
static_assert(offsetof(io_uring_sqe, splice_fd_in) == kWriteStreamByte);
static_assert(sizeof(io_uring_sqe) == 64 && offsetof(io_uring_sqe, cmd) == 48);
static_assert(sizeof(NvmeCommand) == sizeof(nvme_uring_cmd) &&
              offsetof(io_uring_sqe, cmd) + sizeof(NvmeCommand) <= kBigSqeBytes);

Error unavailable(int error) {
  const std::string what = "io_uring is not available";
  if (error == ENOSYS) {
    return {make_error_code(Errc::unsupported),
            what +
                ": this kernel has none; Linux 5.11 or later, built with CONFIG_IO_URING, is "
                "needed"};
  }
  if (error == EPERM || error == EACCES) {
    int disabled = 0;
    std::ifstream("/proc/sys/kernel/io_uring_disabled") >> disabled;
    if (disabled != 0) {
      return {make_error_code(Errc::unsupported),
              fmt::format("{}: kernel.io_uring_disabled is {}; run "
                          "'sysctl kernel.io_uring_disabled=0'{}",
                          what, disabled,
                          disabled == 1 ? ", or add this user to the group of "
                                          "kernel.io_uring_group"
                                        : "")};
    }
    return {make_error_code(Errc::unsupported),
            what +
                ": it is forbidden here, as by the default seccomp profile of a container; allow "
                "io_uring_setup, io_uring_enter and io_uring_register (docker run "
                "--security-opt seccomp=…)"};
  }
  if (error == ENOMEM) {
    return {std::error_code(error, std::generic_category()),
            "cannot set up io_uring; raise the locked-memory limit (ulimit -l)"};
  }
  return {std::error_code(error, std::generic_category()), "cannot set up io_uring"};
}

std::uint64_t total_of(std::span<const iovec> spans) {
  std::uint64_t sum = 0;
  for (const iovec& span : spans) sum += span.iov_len;
  return sum;
}

}  // namespace

void set_write_stream(io_uring_sqe& sqe, std::uint8_t stream) {
  reinterpret_cast<std::uint8_t*>(&sqe)[kWriteStreamByte] = stream;
}

Ring::Ring(const Options& options)
    : depth_(options.depth), commands_(options.commands), slots_(options.depth) {
  for (std::uint32_t i = depth_; i > 0; --i) free_slots_.push_back(i - 1);
}

Result<std::unique_ptr<Ring>> Ring::open(const Options& options) {
  if (options.depth == 0 || options.depth > 4096) {
    return fail(Errc::invalid_option,
                fmt::format("queue_depth is {}; use 1 … 4096", options.depth));
  }
  std::unique_ptr<Ring> ring(new Ring(options));
  if (auto ready = ring->set_up(); !ready) return fail(ready.error());
  return ring;
}

Result<void> Ring::set_up() {
  // Not SINGLE_ISSUER: a store is opened by one thread and served by another. COOP_TASKRUN saves
  // interrupts of a busy thread; kernels before 5.19 refuse it.
  constexpr std::array<unsigned, 2> kFlags = {
      IORING_SETUP_CLAMP | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
      IORING_SETUP_CLAMP};
  const unsigned size = commands_ ? IORING_SETUP_SQE128 | IORING_SETUP_CQE32 : 0;
  int error = 0;
  io_uring_params params{};
  for (const unsigned flags : kFlags) {
    params = {};
    params.flags = flags | size;
    error = -io_uring_queue_init_params(depth_ + 1, &ring_, &params);  // + 1: the wake-up poll
    if (error != EINVAL) break;
  }
  if (error == EINVAL && commands_) {
    return fail(Errc::unsupported,
                "io_uring of this kernel takes no commands; Linux 5.19 or later is needed");
  }
  if (error != 0) return fail(unavailable(error));
  ring_open_ = true;
  owner_ = ::getpid();
  constexpr unsigned kNeeded = IORING_FEAT_EXT_ARG | IORING_FEAT_NODROP;
  if ((params.features & kNeeded) != kNeeded) return fail(unavailable(ENOSYS));
  // A forked child must not share our queues. A kernel that refuses leaves it at is_own().
  static_cast<void>(io_uring_ring_dontfork(&ring_));
  auto event = make_event_fd();
  if (!event) return fail(event.error());
  wake_fd_ = std::move(*event);
  return {};
}

Ring::~Ring() {
  if (!ring_open_ || !is_own()) return;
  std::array<IoCompletion, 64> ignored;
  while (pending() > 0) reap(ignored, std::chrono::seconds(1));
  io_uring_queue_exit(&ring_);
}

bool Ring::is_own() const {
  return owner_ == ::getpid();
}

void Ring::push(RingRequest request) {
  assert(request.spans.size() <= IOV_MAX);
  waiting_.push_back(std::move(request));
}

void Ring::flush() {
  while (!waiting_.empty() && !free_slots_.empty()) {
    const std::uint32_t slot = free_slots_.back();
    free_slots_.pop_back();
    ++busy_;
    Slot& state = slots_[slot];
    state.request = std::move(waiting_.front());
    waiting_.pop_front();
    state.done_bytes = 0;
    state.total_bytes = total_of(state.request.spans);
    state.rest.clear();
    state.retried = false;
    start(slot);
  }
  // What the kernel does not take now (EAGAIN, EBUSY) stays in the queue for the next call.
  if (io_uring_sq_ready(&ring_) > 0) io_uring_submit(&ring_);
}

void Ring::start(std::uint32_t slot) {
  if (slots_[slot].request.op == RingOp::command && !commands_) {
    finish(slot, make_error_code(Errc::unsupported));  // the entries have no room for it
    return;
  }
  // There is one SQE per slot and one for the wake-up, so one is free unless the kernel refused to
  // take the last batch, and then a second attempt must make room.
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    io_uring_submit(&ring_);
    sqe = io_uring_get_sqe(&ring_);
  }
  prepare(sqe, slots_[slot]);
  io_uring_sqe_set_data64(sqe, slot);
}

void Ring::prepare(io_uring_sqe* sqe, Slot& slot) {
  const RingRequest& request = slot.request;
  switch (request.op) {
    case RingOp::read:
    case RingOp::write: prepare_transfer(sqe, slot); return;
    case RingOp::sync_data: io_uring_prep_fsync(sqe, request.fd, IORING_FSYNC_DATASYNC); return;
    case RingOp::sync_file: io_uring_prep_fsync(sqe, request.fd, 0); return;
    case RingOp::allocate:
      io_uring_prep_fallocate(sqe, request.fd, 0, 0, static_cast<off_t>(request.offset_bytes));
      return;
    case RingOp::unlink: io_uring_prep_unlinkat(sqe, request.fd, request.name.c_str(), 0); return;
    case RingOp::command: prepare_command(sqe, slot); return;
  }
}

void Ring::prepare_command(io_uring_sqe* sqe, Slot& slot) {
  const RingRequest& request = slot.request;
  std::memset(static_cast<void*>(sqe), 0, kBigSqeBytes);
  NvmeCommand command = request.command;
  attach_data(command, request.spans);
  sqe->opcode = IORING_OP_URING_CMD;
  sqe->fd = request.fd;
  sqe->cmd_op = uring_operation(request.spans);
  std::memcpy(sqe->cmd, &command, sizeof(command));
  const bool registered = fixed_commands_ && !slot.retried && request.spans.size() == 1;
  const FixedRange* range = registered ? fixed_range(request.spans[0]) : nullptr;
  slot.fixed_command = range != nullptr;
  if (range == nullptr) return;
  sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
  sqe->buf_index = static_cast<std::uint16_t>(range->index);
  ++fixed_transfers_;
}

void Ring::prepare_transfer(io_uring_sqe* sqe, Slot& slot) {
  const RingRequest& request = slot.request;
  const bool reading = request.op == RingOp::read;
  const std::span<const iovec> spans =
      slot.rest.empty() ? request.spans : std::span<const iovec>(slot.rest);
  const std::uint64_t offset = request.offset_bytes + slot.done_bytes;
  if (const FixedRange* range = spans.size() == 1 ? fixed_range(spans[0]) : nullptr) {
    const auto prep = reading ? +[](io_uring_sqe* s, int fd, const iovec& v, std::uint64_t at,
                                    int i) {
      io_uring_prep_read_fixed(s, fd, v.iov_base, static_cast<unsigned>(v.iov_len), at, i);
    } : +[](io_uring_sqe* s, int fd, const iovec& v, std::uint64_t at, int i) {
      io_uring_prep_write_fixed(s, fd, v.iov_base, static_cast<unsigned>(v.iov_len), at, i);
    };
    prep(sqe, request.fd, spans[0], offset, static_cast<int>(range->index));
    set_write_stream(*sqe, request.write_stream);
    ++fixed_transfers_;
    return;
  }
  const auto count = static_cast<unsigned>(spans.size());
  if (reading) {
    io_uring_prep_readv(sqe, request.fd, spans.data(), count, offset);
  } else {
    io_uring_prep_writev(sqe, request.fd, spans.data(), count, offset);
  }
  set_write_stream(*sqe, request.write_stream);
}

void Ring::arm_wake() {
  if (wake_armed_) return;
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return;  // the queue is full of requests; reap() comes back after them
  io_uring_prep_poll_add(sqe, wake_fd_.get(), POLLIN);
  io_uring_sqe_set_data64(sqe, kWakeTag);
  wake_armed_ = true;
}

void Ring::wake() noexcept {
  woken_.store(true);
  // Sequentially consistent with reap(): either we see it asleep, or it sees woken_ before it
  // sleeps.
  if (sleeping_.load()) signal_event_fd(wake_fd_.get());
}

bool Ring::take_wake() {
  return woken_.exchange(false);
}

std::size_t Ring::reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) {
  if (out.empty()) return 0;
  flush();
  collect();
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (done_.empty()) {
    if (take_wake()) break;
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) break;
    const bool asked = wait(left);
    collect();
    flush();  // completions made room for what waits
    if (asked) break;
  }
  return deliver(out);
}

bool Ring::wait(std::chrono::microseconds timeout) {
  arm_wake();
  sleeping_.store(true);
  if (take_wake()) {
    sleeping_.store(false);
    return true;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  __kernel_timespec limit{};
  limit.tv_sec = seconds.count();
  limit.tv_nsec = std::chrono::nanoseconds(timeout - seconds).count();
  io_uring_cqe* first = nullptr;
  // Its errors are ETIME, EINTR and EAGAIN, and all of them mean: look again.
  static_cast<void>(io_uring_submit_and_wait_timeout(&ring_, &first, 1, &limit, nullptr));
  sleeping_.store(false);
  return take_wake();
}

void Ring::collect() {
  std::array<io_uring_cqe*, 128> batch;
  for (;;) {
    const unsigned count = io_uring_peek_batch_cqe(&ring_, batch.data(), batch.size());
    if (count == 0) return;
    for (unsigned i = 0; i < count; ++i) {
      const std::uint64_t tag = io_uring_cqe_get_data64(batch[i]);
      const int result = batch[i]->res;
      if (tag == kWakeTag) {
        wake_armed_ = false;
        drain_event_fd(wake_fd_.get());
      } else {
        handle(static_cast<std::uint32_t>(tag), result);
      }
    }
    io_uring_cq_advance(&ring_, count);
  }
}

void Ring::handle(std::uint32_t slot, int result) {
  Slot& state = slots_[slot];
  if (state.request.op == RingOp::command) {
    handle_command(slot, result);
    return;
  }
  if (result == -EINTR) {
    start(slot);
    return;
  }
  if (result < 0) {
    finish(slot, std::error_code(-result, std::generic_category()));
    return;
  }
  const bool transfer = state.request.op == RingOp::read || state.request.op == RingOp::write;
  const auto moved = static_cast<std::uint64_t>(result);
  if (!transfer || state.done_bytes + moved == state.total_bytes) {
    finish(slot, {});
  } else if (moved > 0) {
    continue_short(slot, moved);
  } else if (state.request.op == RingOp::read) {
    finish(slot, make_error_code(Errc::corrupt));  // the file ends here
  } else {
    finish(slot, std::make_error_code(std::errc::io_error));  // would be tried for ever
  }
}

void Ring::handle_command(std::uint32_t slot, int result) {
  Slot& state = slots_[slot];
  if (result == -EINVAL && state.fixed_command) {
    // Kernels before 6.1 take no registered memory here; later ones may not for this length.
    state.retried = true;
    start(slot);
    return;
  }
  if (state.retried && result == 0) fixed_commands_ = false;  // it would be tried twice each time
  // EINTR is a command that the kernel cancelled. It may have been executed: not sent again.
  finish(slot, nvme_result(result));
}

void Ring::continue_short(std::uint32_t slot, std::uint64_t more_bytes) {
  Slot& state = slots_[slot];
  const std::span<const iovec> spans =
      state.rest.empty() ? state.request.spans : std::span<const iovec>(state.rest);
  std::vector<iovec> rest;
  std::uint64_t skip = more_bytes;
  for (const iovec& span : spans) {
    const std::size_t part = std::min<std::uint64_t>(skip, span.iov_len);
    skip -= part;
    if (part == span.iov_len) continue;
    rest.push_back({static_cast<std::byte*>(span.iov_base) + part, span.iov_len - part});
  }
  state.rest = std::move(rest);
  state.done_bytes += more_bytes;
  start(slot);
}

void Ring::finish(std::uint32_t slot, std::error_code error) {
  done_.push_back({.user_data = slots_[slot].request.user_data, .error = error});
  free_slots_.push_back(slot);
  --busy_;
}

std::size_t Ring::deliver(std::span<IoCompletion> out) {
  const std::size_t count = std::min(out.size(), done_.size());
  std::copy_n(done_.begin(), count, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

const Ring::FixedRange* Ring::fixed_range(const iovec& span) const {
  if (fixed_.empty()) return nullptr;
  const auto begin = reinterpret_cast<std::uintptr_t>(span.iov_base);
  auto after = std::upper_bound(
      fixed_.begin(), fixed_.end(), begin,
      [](std::uintptr_t value, const FixedRange& range) { return value < range.begin; });
  if (after == fixed_.begin()) return nullptr;
  const FixedRange& range = *--after;
  return begin + span.iov_len <= range.end ? &range : nullptr;
}

Result<void> Ring::register_buffers(std::span<const iovec> ranges) {
  flush();  // entries prepared so far name the old ranges
  if (buffers_registered_) {
    const int error = -io_uring_unregister_buffers(&ring_);
    if (error != 0) return fail_errno(error, "cannot take back registered memory");
  }
  buffers_registered_ = false;
  fixed_.clear();
  std::vector<iovec> parts;
  std::vector<FixedRange> lookup;
  for (const iovec& range : ranges) {
    auto* base = static_cast<std::byte*>(range.iov_base);
    for (std::size_t at = 0; at < range.iov_len; at += kMaxFixedBytes) {
      const std::size_t length = std::min(kMaxFixedBytes, range.iov_len - at);
      const auto begin = reinterpret_cast<std::uintptr_t>(base + at);
      lookup.push_back({begin, begin + length, static_cast<unsigned>(parts.size())});
      parts.push_back({base + at, length});
    }
  }
  if (parts.empty()) return {};
  const int error =
      -io_uring_register_buffers(&ring_, parts.data(), static_cast<unsigned>(parts.size()));
  if (error != 0) {
    std::string what =
        fmt::format("cannot register {} bytes of memory with io_uring", total_of(parts));
    if (error == ENOMEM || error == EPERM) {
      what += "; raise the locked-memory limit (ulimit -l, RLIMIT_MEMLOCK)";
    }
    return fail_errno(error, std::move(what));
  }
  std::ranges::sort(lookup, {}, &FixedRange::begin);
  fixed_ = std::move(lookup);
  fixed_commands_ = true;
  buffers_registered_ = true;
  return {};
}

Result<void> Ring::register_files(std::span<const int> fds) {
  const int error = -io_uring_register_files(&ring_, fds.data(), static_cast<unsigned>(fds.size()));
  if (error != 0) return fail_errno(error, "cannot register files with io_uring");
  return {};
}

}  // namespace fdpstore::io
