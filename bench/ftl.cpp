// Microbenchmarks of the simulated SSD: unit writes by host and garbage collection together.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "ftl/ftl.hpp"

namespace {

using namespace fdpstore;

// splitmix64: the generator must not be what is measured.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint32_t below(std::uint32_t bound) {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return static_cast<std::uint32_t>(((z ^ (z >> 31)) >> 32) * bound >> 32);
  }

 private:
  std::uint64_t state_;
};

// Uniform random overwrites at 7 % spare, in the steady state. Arguments: GiB in units of 64 KiB,
// RUs in all; items are units programmed, copies among them.
void ftl_uniform(benchmark::State& state) {
  const auto capacity = static_cast<std::uint64_t>(state.range(0)) << 30;
  auto made = ftl::Ftl::make({.capacity_bytes = capacity,
                              .spare_percent = 7,
                              .unit_bytes = capacity / static_cast<std::uint64_t>(state.range(1)),
                              .handles = 1});
  if (!made) return state.SkipWithError(made.error().message().c_str());
  ftl::Ftl& ftl = *made;
  const std::uint32_t units = ftl.logical_units();
  ftl.write_units(0, units, 0);
  Random random(1);
  constexpr std::size_t kAhead = 32;
  std::vector<std::uint32_t> next(kAhead);
  for (auto& unit : next) unit = random.below(units);
  std::size_t at = 0;
  const auto write_one = [&] {
    std::uint32_t& slot = next[at++ % kAhead];
    ftl.write_units(slot, 1, 0);
    slot = random.below(units);
    ftl.prefetch(slot);
  };
  for (std::uint32_t i = 0; i < 2 * units; ++i) write_one();
  const auto before = ftl.counters();
  for ([[maybe_unused]] auto _ : state) write_one();
  const auto after = ftl.counters();
  const auto programmed = static_cast<double>(after.media_bytes - before.media_bytes) / (64 << 10);
  state.SetItemsProcessed(static_cast<std::int64_t>(programmed));
  state.counters["WA"] = programmed / static_cast<double>(state.iterations());
}
BENCHMARK(ftl_uniform)->Args({64, 1024})->Args({64, 8192})->Args({1024, 1024})->Args({1024, 16384});

// Whole RUs written in order and deallocated: what a store in step with its RUs asks of it.
void ftl_segments(benchmark::State& state) {
  auto made = ftl::Ftl::make({.capacity_bytes = 64ULL << 30, .handles = 1});
  if (!made) return state.SkipWithError(made.error().message().c_str());
  ftl::Ftl& ftl = *made;
  const std::uint64_t unit = ftl.parameters().unit_bytes;
  const std::uint64_t segments = ftl.parameters().capacity_bytes / unit;
  std::uint64_t segment = 0;
  for ([[maybe_unused]] auto _ : state) {
    const std::uint64_t at = segment++ % segments * unit;
    ftl.deallocate(at, unit);
    for (std::uint64_t done = 0; done < unit; done += 1U << 20) ftl.write(at + done, 1U << 20, 0);
  }
  state.SetItemsProcessed(state.iterations() * ftl.units_per_reclaim_unit());
}
BENCHMARK(ftl_segments);

}  // namespace
