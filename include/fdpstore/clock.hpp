// Clock: time as a store sees it. A simulated medium brings its own, so that a replay passes hours
// in seconds and gives the same figures each time.
//
// Thread: any.
// Units:  seconds since some moment; never goes back.
#pragma once

namespace fdpstore {

class Clock {
 public:
  virtual ~Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  [[nodiscard]] virtual double now_s() const = 0;

 protected:
  Clock() = default;
};

// The machine's monotonic clock.
[[nodiscard]] const Clock& steady_clock();

}  // namespace fdpstore
