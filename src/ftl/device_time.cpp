#include "ftl/device_time.hpp"

#include <algorithm>
#include <cmath>

namespace fdpstore::ftl {
namespace {

constexpr double kPerUs = 1e-6;
constexpr double kPerGb = 1e9;
// Four planes of 16 KiB: what a die reads or programs at once, and what it erases.
constexpr double kPageBytes = 64U << 10;
constexpr double kEraseBytes = 64U << 20;

}  // namespace

DeviceTime::DeviceTime(const TimeParameters& t, const FtlParameters& ftl) {
  const auto unit = static_cast<double>(ftl.map_bytes);
  read_s_ = t.read_us * kPerUs * std::ceil(unit / kPageBytes);
  program_s_ = t.program_us * kPerUs * unit / kPageBytes;
  channel_bytes_per_s_ = t.channel_gbps * kPerGb;
  channel_s_ = unit / channel_bytes_per_s_;
  erase_s_ = t.erase_us * kPerUs;
  command_s_ = t.command_us * kPerUs;
  link_bytes_per_s_ = t.link_gbps * kPerGb;
  units_per_ru_ = static_cast<std::uint32_t>(ftl.unit_bytes / ftl.map_bytes);
  blocks_per_ru_ =
      static_cast<std::uint32_t>(std::ceil(static_cast<double>(ftl.unit_bytes) / kEraseBytes));
  dies_.resize(t.dies);
  buffer_.resize(std::max<std::uint64_t>(1, (t.buffer_kib << 10) / ftl.map_bytes));
}

double DeviceTime::occupy(std::uint64_t die_number, double now_s, double seconds) {
  double& until = die(die_number);
  until = std::max(until, now_s) + seconds;
  return until;
}

double DeviceTime::program(std::uint32_t place, double now_s) {
  return occupy(place, now_s, channel_s_ + program_s_);
}

// ----------------------------------------------------------------------------- garbage collection

void DeviceTime::put_off(const MediaOp& op, double now_s) {
  const std::uint32_t times = op.kind == MediaOp::Kind::erase ? blocks_per_ru_ : 1;
  for (std::uint32_t i = 0; i < times; ++i) backlog_.push_back({op, now_s});
}

void DeviceTime::carry_out(const Task& task) {
  if (task.op.kind == MediaOp::Kind::erase) {
    occupy(erased_blocks_++, task.since_s, erase_s_);
    return;
  }
  // The controller reads ahead, so that no die waits for what another one has yet to read.
  (void)occupy(task.op.from, task.since_s, read_s_ + channel_s_);
  (void)program(task.op.place, task.since_s);
}

// What idle dies have done before `now_s`.
void DeviceTime::catch_up(double now_s) {
  while (!backlog_.empty()) {
    const Task& task = backlog_.front();
    double begin = 0, seconds = 0;
    if (task.op.kind == MediaOp::Kind::erase) {
      begin = die(erased_blocks_);
      seconds = erase_s_;
    } else {
      begin = std::max(die(task.op.from), die(task.op.place));
      seconds = read_s_ + program_s_ + 2 * channel_s_;
    }
    if (std::max(begin, task.since_s) + seconds > now_s) return;
    carry_out(task);
    backlog_.pop_front();
  }
}

// The share that one more write has to let pass.
void DeviceTime::spread() {
  const std::size_t share = (backlog_.size() + units_per_ru_ - 1) / units_per_ru_;
  for (std::size_t i = 0; i < share; ++i) {
    carry_out(backlog_.front());
    backlog_.pop_front();
  }
}

// ---------------------------------------------------------------------------------------- commands

double DeviceTime::write(double now_s, std::uint64_t bytes, std::span<const MediaOp> ops) {
  catch_up(now_s);
  link_in_s_ = std::max(link_in_s_, now_s) + static_cast<double>(bytes) / link_bytes_per_s_;
  double done = link_in_s_;
  double ready = now_s;  // when what a unit was changed from has been read
  for (const MediaOp& op : ops) {
    switch (op.kind) {
      case MediaOp::Kind::program: {
        double& slot = buffer_[slot_];
        slot_ = (slot_ + 1) % buffer_.size();
        const double in = std::max({done, slot, ready});
        ready = now_s;
        spread();
        slot = program(op.place, in);
        done = in;
        break;
      }
      case MediaOp::Kind::read: ready = occupy(op.place, now_s, read_s_ + channel_s_); break;
      case MediaOp::Kind::copy:
      case MediaOp::Kind::erase: put_off(op, now_s); break;
    }
  }
  return done + command_s_;
}

double DeviceTime::read(double now_s, std::uint64_t bytes, std::span<const std::uint32_t> places) {
  catch_up(now_s);
  const double seconds = static_cast<double>(bytes) / link_bytes_per_s_;
  // Reads are done in any order, so the link bounds their rate and delays none for another's sake.
  link_out_s_ = std::max(link_out_s_, now_s) + seconds;
  const double transfer_s = std::min(channel_s_, static_cast<double>(bytes) / channel_bytes_per_s_);
  double done = now_s;
  for (const std::uint32_t place : places) {
    done = std::max(done, occupy(place, now_s, read_s_ + transfer_s));
  }
  return std::max(done + seconds, link_out_s_) + command_s_;
}

double DeviceTime::control(double now_s, std::span<const MediaOp> ops) {
  catch_up(now_s);
  double done = now_s;
  for (const MediaOp& op : ops) {
    switch (op.kind) {
      case MediaOp::Kind::program: (void)program(op.place, now_s); break;
      case MediaOp::Kind::read: (void)occupy(op.place, now_s, read_s_ + channel_s_); break;
      case MediaOp::Kind::copy:
      case MediaOp::Kind::erase: put_off(op, now_s); break;
    }
  }
  return done + command_s_;
}

double DeviceTime::idle_at() const {
  return *std::ranges::max_element(dies_);
}

}  // namespace fdpstore::ftl
