// Random: numbers and distributions that are the same on every machine for the same seed.
//
// <random>'s distributions differ between libraries, and log and exp in their last bit; these use
// only + - * / of doubles.
//
// Thread:  one at a time.
#pragma once

#include <cstdint>
#include <vector>

namespace fdpstore::trace {

// A log-normal spread of whole numbers or seconds: half are below `median`, two thirds within a
// factor of e^sigma. sigma 0: always the median.
struct Spread {
  double median = 1;
  double sigma = 0;
  double least = 1;
  double most = 1e9;
};

class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next();                    // all 64 bits, uniform (SplitMix64)
  double unit();                           // uniform in [0, 1)
  std::uint64_t below(std::uint64_t end);  // uniform in 0 … end - 1; end < 2^53, not 0
  bool chance(double probability) { return unit() < probability; }
  double exponential(double mean);
  double real(const Spread& spread);
  std::uint32_t count(const Spread& spread);  // rounded

 private:
  std::uint64_t state_;
};

// Ranks 0 … n - 1 with probability ~ 1 / (rank + 1)^exponent; 0: uniform.
class Zipf {
 public:
  Zipf(std::uint64_t n, double exponent);  // n > 0
  [[nodiscard]] std::uint64_t operator()(Random& random) const;

 private:
  std::vector<double> sums_;
};

[[nodiscard]] double natural_log(double x);  // x > 0
[[nodiscard]] double exponential_of(double x);

}  // namespace fdpstore::trace
