// SimDevice: a simulated FDP SSD: flash translation layer, kept bytes, and device time. It outlives
// the backends that open it, as a drive outlives processes.
//
// Thread:  any; one lock. `ftl()` only while nothing is written.
// Owns:    everything. A device belongs to one backend at a time (claim()).
// Units:   bytes; offsets count from the device's start.
// Errors:  invalid_option for parameters that make no device; busy for a second owner.
#pragma once

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "fdpstore/result.hpp"
#include "ftl/device_time.hpp"
#include "ftl/ftl.hpp"
#include "ftl/kept_bytes.hpp"
#include "ftl/sim_parameters.hpp"

namespace fdpstore::ftl {

class SimDevice {
 public:
  [[nodiscard]] static Result<std::shared_ptr<SimDevice>> make(const SimParameters& parameters);
  // The one of that name, when somebody holds it; else a new one.
  [[nodiscard]] static Result<std::shared_ptr<SimDevice>> find_or_make(
      const SimParameters& parameters);

  // Commands. Each takes effect at once, and returns when it will have been done, in the time of
  // clock(). A span without an address is a length only: a write forgets what was there, a read
  // leaves it alone.
  double write(std::uint64_t offset_bytes, std::span<const iovec> spans, std::uint32_t handle);
  double read(std::uint64_t offset_bytes, std::span<const iovec> spans);
  double deallocate(std::uint64_t offset_bytes, std::uint64_t bytes);
  double flush();
  // RUH Update.
  double update_handle(std::uint32_t handle);
  [[nodiscard]] std::uint64_t available_bytes(std::uint32_t handle) const;

  [[nodiscard]] const SimParameters& parameters() const { return parameters_; }
  [[nodiscard]] std::uint64_t size_bytes() const { return parameters_.ftl.capacity_bytes; }
  [[nodiscard]] std::string uri() const { return to_string(parameters_); }
  [[nodiscard]] SimClock& clock() { return clock_; }
  [[nodiscard]] FtlCounters counters() const;
  [[nodiscard]] const Ftl& ftl() const { return ftl_; }
  [[nodiscard]] std::uint64_t kept_bytes() const;

  // The bytes behind the FTL's back, for tests that damage them.
  void peek(std::uint64_t offset_bytes, std::span<std::byte> out) const;
  void poke(std::uint64_t offset_bytes, std::span<const std::byte> bytes);

  // From now on commands change nothing, though they are answered as ever: what a kill or a loss of
  // power at this moment leaves is what the next one to open the device finds.
  void cut(bool on) { cut_ = on; }

  // False: it belongs to somebody.
  [[nodiscard]] bool claim() { return !claimed_.exchange(true); }
  void release() { claimed_ = false; }

 private:
  SimDevice(const SimParameters& parameters, Ftl ftl);

  const SimParameters parameters_;
  SimClock clock_;
  std::atomic<bool> claimed_{false};
  std::atomic<bool> cut_{false};
  mutable std::mutex mutex_;  // all below
  Ftl ftl_;
  KeptBytes content_;
  DeviceTime time_;
  std::vector<MediaOp> ops_;           // of the command under way
  std::vector<std::uint32_t> places_;  // the same
};

}  // namespace fdpstore::ftl
