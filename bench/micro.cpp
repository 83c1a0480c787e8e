// Microbenchmarks: index, checksum, prompt tracker. One line each says what a user gets from it.
#include <benchmark/benchmark.h>

#include <cstring>
#include <random>
#include <vector>

#include "core/index.hpp"
#include "format/codec.hpp"
#include "placement/prompt_tracker.hpp"

namespace {

using namespace fdpstore;
using core::Key;
using core::ScopeId;

std::vector<std::byte> hash_of(std::uint64_t number) {
  std::vector<std::byte> hash(32);
  for (int i = 0; i < 4; ++i) {
    const std::uint64_t word = (number + static_cast<std::uint64_t>(i)) * 0x9E3779B97F4A7C15ULL;
    std::memcpy(hash.data() + 8 * static_cast<std::size_t>(i), &word, sizeof(word));
  }
  return hash;
}

// A lookup of one key that is there, at that many objects.
void index_lookup(benchmark::State& state) {
  core::Index index(static_cast<std::uint64_t>(state.range(0)));
  const auto objects = static_cast<std::uint64_t>(state.range(0));
  for (std::uint64_t i = 0; i < objects; ++i) {
    index.insert(Key(ScopeId{0}, hash_of(i)), {.location = {{}, 4096, 1}, .prompt = {}});
  }
  std::vector<std::vector<std::byte>> wanted;
  std::mt19937_64 random(1);
  wanted.reserve(4096);
  for (int i = 0; i < 4096; ++i) wanted.push_back(hash_of(random() % objects));
  std::size_t next = 0;
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(index.lookup(ScopeId{0}, wanted[next++ % wanted.size()], 1, {}));
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["bytes/object"] = index.bytes_per_object();
}
BENCHMARK(index_lookup)->Arg(10'000)->Arg(1'000'000)->Arg(4'000'000);

// The checksum of one payload.
void payload_checksum(benchmark::State& state) {
  const std::vector<std::byte> payload(static_cast<std::size_t>(state.range(0)), std::byte{7});
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(format::seeded_checksum(42, payload));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(payload_checksum)->Arg(256 << 10)->Arg(16 << 20);

// What a lookup of a 1,000-chunk prompt costs the tracker, per key.
void tracker_lookup(benchmark::State& state) {
  placement::PromptTracker tracker({.max_keys = 1U << 20, .max_age_s = 3600});
  std::vector<LookupKey> keys(1000);
  std::uint64_t prompt = 0;
  for ([[maybe_unused]] auto _ : state) {
    ++prompt;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      keys[i] = {.chain = 1, .digest = (prompt << 20 | i) * 0x9E3779B97F4A7C15ULL, .stored = {}};
    }
    tracker.on_lookup(keys, static_cast<double>(prompt) * 1e-3);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(keys.size()));
}
BENCHMARK(tracker_lookup);

}  // namespace
