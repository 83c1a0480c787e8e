#include "trace/random.hpp"

#include <algorithm>
#include <cmath>

namespace fdpstore::trace {
namespace {

constexpr double kLn2 = 0.693147180559945309417;
constexpr double kHalfRoot2 = 0.707106781186547524401;

}  // namespace

double natural_log(double x) {
  int exponent = 0;
  double part = std::frexp(x, &exponent);
  if (part < kHalfRoot2) {
    part *= 2;
    --exponent;
  }
  // 2 artanh(t): t is below 0.172, so that ten terms give all the bits of a double.
  const double t = (part - 1) / (part + 1);
  const double square = t * t;
  double sum = 0;
  for (int n = 21; n >= 1; n -= 2) sum = sum * square + 1.0 / n;
  return exponent * kLn2 + 2 * t * sum;
}

double exponential_of(double x) {
  const double twos = std::floor(x / kLn2 + 0.5);
  const double rest = x - twos * kLn2;
  double sum = 1;
  for (int n = 16; n >= 1; --n) sum = 1 + sum * rest / n;
  return std::ldexp(sum, static_cast<int>(twos));
}

std::uint64_t Random::next() {
  std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
  return z ^ (z >> 31);
}

double Random::unit() {
  return static_cast<double>(next() >> 11) * 0x1p-53;
}

std::uint64_t Random::below(std::uint64_t end) {
  return static_cast<std::uint64_t>(unit() * static_cast<double>(end));
}

double Random::exponential(double mean) {
  return -mean * natural_log(1 - unit());
}

double Random::real(const Spread& spread) {
  double value = spread.median;
  if (spread.sigma > 0) {
    double normal = -6;  // the sum of twelve uniform numbers has variance 1
    for (int i = 0; i < 12; ++i) normal += unit();
    value *= exponential_of(spread.sigma * normal);
  }
  return std::clamp(value, spread.least, spread.most);
}

std::uint32_t Random::count(const Spread& spread) {
  return static_cast<std::uint32_t>(std::lround(real(spread)));
}

Zipf::Zipf(std::uint64_t n, double exponent) {
  sums_.reserve(n);
  double sum = 0;
  for (std::uint64_t i = 1; i <= n; ++i) {
    sum += exponential_of(-exponent * natural_log(static_cast<double>(i)));
    sums_.push_back(sum);
  }
}

std::uint64_t Zipf::operator()(Random& random) const {
  const auto at = std::ranges::upper_bound(sums_, random.unit() * sums_.back());
  return static_cast<std::uint64_t>(std::min(at, sums_.end() - 1) - sums_.begin());
}

}  // namespace fdpstore::trace
