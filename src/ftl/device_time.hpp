// Device time: when a simulated SSD has done what it was told.
//
//   host ──link──► write buffer ──channel──► die      (a write is acknowledged in the buffer)
//   host ◄──link── controller ◄──channel── die        (a read)
//
// Places are striped over the dies. A die does one thing at a time, in the order in which it was
// told: reads queue behind programs, copies and erases. The transfer over the channel occupies the
// die too. The buffer has room for a unit only when earlier ones have been programmed. Garbage
// collection is carried out while dies would be idle, and at the latest spread evenly over the
// writes until an RU is full; an RU is erased block by block (64 MiB, all planes of a die).
// Not modelled: reads that overtake programs or suspend them, reads served from the buffer,
// retries, wear, temperature.
//
// Thread:  DeviceTime one at a time; SimClock any.
// Units:   seconds since the device was made.
// Errors:  none.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "fdpstore/clock.hpp"
#include "ftl/ftl.hpp"
#include "ftl/sim_parameters.hpp"

namespace fdpstore::ftl {

class SimClock final : public Clock {
 public:
  [[nodiscard]] double now_s() const override { return now_.load(std::memory_order_acquire); }
  // A time that has passed already changes nothing.
  void advance_to(double time_s) {
    double now = now_.load(std::memory_order_relaxed);
    while (now < time_s && !now_.compare_exchange_weak(now, time_s, std::memory_order_release,
                                                       std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<double> now_{0};
};

class DeviceTime {
 public:
  DeviceTime(const TimeParameters& parameters, const FtlParameters& ftl);

  // Each returns when the command is done that came at `now_s`; calls come in order of time.
  // `ops`: what the FTL did for it.
  [[nodiscard]] double write(double now_s, std::uint64_t bytes, std::span<const MediaOp> ops);
  // `places`: of the units touched that are on flash.
  [[nodiscard]] double read(double now_s, std::uint64_t bytes,
                            std::span<const std::uint32_t> places);
  // Deallocate, flush, RUH Update.
  [[nodiscard]] double control(double now_s, std::span<const MediaOp> ops);
  // When all that dies have been told is done.
  [[nodiscard]] double idle_at() const;

 private:
  struct Task {
    MediaOp op;
    double since_s = 0;
  };
  double& die(std::uint64_t number) { return dies_[number % dies_.size()]; }
  void put_off(const MediaOp& op, double now_s);
  void carry_out(const Task& task);
  void catch_up(double now_s);
  void spread();
  double program(std::uint32_t place, double now_s);
  double occupy(std::uint64_t die_number, double now_s, double seconds);

  // In seconds, of a mapping unit.
  double read_s_, program_s_, channel_s_;
  double erase_s_, command_s_;
  double channel_bytes_per_s_, link_bytes_per_s_;
  std::uint32_t units_per_ru_;
  std::uint32_t blocks_per_ru_;
  std::vector<double> dies_;  // by die: until when it has work
  double link_in_s_ = 0, link_out_s_ = 0;
  std::vector<double> buffer_;  // by slot: when what is in it has been programmed
  std::size_t slot_ = 0;        // the one used longest ago
  std::deque<Task> backlog_;    // copies and erases
  std::uint64_t erased_blocks_ = 0;
};

}  // namespace fdpstore::ftl
