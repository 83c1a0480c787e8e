// Ring: asynchronous reads, writes, flushes, unlinks and NVMe commands through io_uring.
//
// Thread:  one thread at a time; wake() from any. The thread may change while nothing is in flight.
// Owns:    the io_uring, its wake-up eventfd, the state of requests. Borrows spans and what they
//          point to until the request's completion is reaped.
// Units:   bytes.
// Errors:  of a request in its completion: the errno, the NVMe status, or Errc::corrupt when a read
//          runs past the end of the file. Short and interrupted transfers are continued, never
//          reported; a command that the kernel cancelled (a controller reset) is
//          std::errc::interrupted.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <liburing.h>
#include <sys/types.h>

#include "fdpstore/backend.hpp"
#include "fdpstore/result.hpp"
#include "io/nvme_command.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::io {

enum class RingOp : std::uint8_t {
  read,
  write,
  sync_data,  // fdatasync
  sync_file,  // fsync; for directories
  allocate,   // fallocate up to `offset_bytes`, which becomes the least size of the file
  unlink,     // `name` below the directory `fd`
  // `command` with `spans` as its data, on an NVMe character device. Errc::unsupported on a ring
  // opened without Options::commands.
  command,
};

struct RingRequest {
  RingOp op = RingOp::read;
  int fd = -1;
  std::uint64_t offset_bytes = 0;
  std::span<const iovec> spans = {};  // at most IOV_MAX (1024)
  std::string name = {};              // unlink only
  std::uint64_t user_data = 0;
  // read and write, on a block device: 1 … max_write_streams; 0: none. Kernels before 6.16 ignore
  // it.
  std::uint8_t write_stream = 0;
  NvmeCommand command = {};  // command only; the ring attaches the data
};

// Sets the write stream of a read or write SQE by its place, which older headers have no name for.
void set_write_stream(io_uring_sqe& sqe, std::uint8_t stream);

class Ring {
 public:
  struct Options {
    std::uint32_t depth = 64;  // requests that the kernel has at once; more wait here
    // For RingOp::command (Linux ≥ 5.19): entries of twice the size. Other requests work too.
    bool commands = false;
  };

  // Errc::unsupported, with the remedy, where io_uring is missing or forbidden.
  [[nodiscard]] static Result<std::unique_ptr<Ring>> open(const Options& options);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring();  // waits for what is in flight: the kernel must be done with the callers' memory

  // Queues a request; never blocks. It goes to the kernel at flush() or reap().
  void push(RingRequest request);
  // Hands queued requests to the kernel, as far as the depth allows.
  void flush();
  // Writes up to out.size() completions, after waiting up to `timeout` for the first one or for
  // wake().
  std::size_t reap(std::span<IoCompletion> out, std::chrono::microseconds timeout);
  void wake() noexcept;

  // Single-span transfers and commands inside these ranges use registered memory from now on.
  // Replaces earlier ranges, which must not be in use by a request in flight.
  [[nodiscard]] Result<void> register_buffers(std::span<const iovec> ranges);
  // Ties open files to the ring's life, which lasts until the kernel has ended the last request in
  // flight, even when the process is killed. Once only.
  [[nodiscard]] Result<void> register_files(std::span<const int> fds);

  // Requests pushed and not yet reaped.
  [[nodiscard]] std::size_t pending() const { return waiting_.size() + busy_ + done_.size(); }
  // False in a forked child: the ring is the parent's, and only memory may be released here.
  [[nodiscard]] bool is_own() const;
  // Transfers that went through registered memory so far.
  [[nodiscard]] std::uint64_t fixed_transfers() const { return fixed_transfers_; }

 private:
  struct Slot {
    RingRequest request;
    std::uint64_t done_bytes = 0;
    std::uint64_t total_bytes = 0;
    std::vector<iovec> rest;     // what is left of spans after a short transfer
    bool fixed_command = false;  // sent with registered memory
    bool retried = false;        // and again without
  };
  struct FixedRange {
    std::uintptr_t begin = 0;
    std::uintptr_t end = 0;
    unsigned index = 0;
  };

  explicit Ring(const Options& options);
  [[nodiscard]] Result<void> set_up();
  void start(std::uint32_t slot);
  void prepare(io_uring_sqe* sqe, Slot& slot);
  void prepare_transfer(io_uring_sqe* sqe, Slot& slot);
  void prepare_command(io_uring_sqe* sqe, Slot& slot);
  void arm_wake();
  // Waits for a CQE, wake() or the deadline; true when wake() asked for a return.
  bool wait(std::chrono::microseconds timeout);
  bool take_wake();
  // Moves CQEs into done_.
  void collect();
  void handle(std::uint32_t slot, int result);
  void handle_command(std::uint32_t slot, int result);
  void continue_short(std::uint32_t slot, std::uint64_t more_bytes);
  void finish(std::uint32_t slot, std::error_code error);
  std::size_t deliver(std::span<IoCompletion> out);
  [[nodiscard]] const FixedRange* fixed_range(const iovec& span) const;

  std::uint32_t depth_;
  bool commands_;
  io_uring ring_{};
  bool ring_open_ = false;
  pid_t owner_ = 0;
  UniqueFd wake_fd_;
  bool wake_armed_ = false;
  std::atomic<bool> woken_{false};
  std::atomic<bool> sleeping_{false};

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_slots_;
  std::size_t busy_ = 0;  // slots in the kernel or in the submission queue
  std::deque<RingRequest> waiting_;
  std::deque<IoCompletion> done_;
  std::vector<FixedRange> fixed_;  // by begin
  bool buffers_registered_ = false;
  bool fixed_commands_ = true;  // the kernel takes registered memory in commands
  std::uint64_t fixed_transfers_ = 0;
};

}  // namespace fdpstore::io
