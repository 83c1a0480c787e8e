// How a store grows: memory for each object, time to open after a clean stop and after a kill, and
// the longest pause of lookups while it is filled. On a simulated device that keeps no payload, so
// that ten million objects fit into memory.
//
//   fdpstore_bench_growth [objects …]        default: 10000 100000 1000000 10000000
#include <fmt/core.h>
#include <malloc.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "bench/support.hpp"
#include "fdpstore/store.hpp"
#include "ftl/sim_backend.hpp"
#include "ftl/sim_device.hpp"
#include "store/open_on.hpp"

namespace {

using namespace fdpstore;
using namespace fdpstore::bench;

constexpr std::uint64_t kObjectBytes = 60 << 10;  // with its header one mapping unit of the drive
constexpr std::uint64_t kRecordBytes = 64 << 10;
constexpr std::size_t kBatch = 256;
constexpr std::size_t kLookupKeys = 1000;

void store_objects(Store& store, std::uint64_t first, std::uint64_t end) {
  for (std::uint64_t at = first; at < end; at += kBatch) {
    const Keys keys(at, static_cast<std::size_t>(std::min<std::uint64_t>(kBatch, end - at)));
    std::vector<PutItem> items;
    for (const KeyRef& key : keys.refs()) {
      items.push_back({.key = key,
                       .bytes = {static_cast<const std::byte*>(nullptr), kObjectBytes},
                       .explicit_rank = {},
                       .explicit_stream = {}});
    }
    const TaskResult result = must(put_and_wait(store, items));
    if (!result.ok()) give_up(*result.error);
  }
}

// How often this thread had to make room for another one.
long times_preempted() {
  rusage usage{};
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

// Time that the machine under this one took from its processors since it booted, in ticks of 10 ms.
std::uint64_t stolen_ticks() {
  std::ifstream file("/proc/stat");
  std::string label;
  std::uint64_t ticks = 0;
  file >> label;
  for (int column = 0; column < 8; ++column) file >> ticks;
  return ticks;
}

// Looks up random keys, a thousand at a time, until told to stop.
struct Lookups {
  static constexpr int kBetweenLooks = 16;  // at what was stolen: a look takes as long as 100 keys

  // So that two processors suffice for three threads: else one is put aside holding a lock.
  static constexpr std::chrono::microseconds kRest{500};

  std::vector<double> seconds;
  double longest_s = 0;  // of those that nobody took the processor from

  void run(Store& store, std::uint64_t objects, const std::atomic<bool>& stop) {
    std::mt19937_64 random(1);
    Keys keys(kLookupKeys);
    while (!stop) {
      const std::uint64_t stolen = stolen_ticks();
      double longest_here_s = 0;
      for (int i = 0; i < kBetweenLooks; ++i) {
        const double undisturbed_s = look_up(store, keys, objects, random);
        longest_here_s = std::max(longest_here_s, undisturbed_s);
        std::this_thread::sleep_for(kRest);
      }
      if (stolen_ticks() == stolen) longest_s = std::max(longest_s, longest_here_s);
    }
  }
  // Returns how long it took, 0 when it was preempted.
  double look_up(Store& store, Keys& keys, std::uint64_t objects, std::mt19937_64& random) {
    for (std::size_t i = 0; i < kLookupKeys; ++i) keys.set(i, random() % objects);
    const auto refs = keys.refs();
    const long preempted = times_preempted();
    const auto begin = SteadyClock::now();
    must(store.submit_lookup(refs, false));
    seconds.push_back(seconds_since(begin));
    (void)store.take_completed(TaskKind::lookup);
    return times_preempted() == preempted ? seconds.back() : 0;
  }
  [[nodiscard]] double quantile(double share) {
    std::ranges::sort(seconds);
    return seconds.empty()
               ? 0
               : seconds[static_cast<std::size_t>(share * static_cast<double>(seconds.size() - 1))];
  }
};

class Growth {
 public:
  explicit Growth(std::uint64_t objects) : objects_(objects) {
    const std::uint64_t unit = 256ULL << 20;
    const std::uint64_t bytes = objects * kRecordBytes + objects * kRecordBytes / 50;
    ftl::SimParameters parameters;
    parameters.keep_payload = false;
    parameters.ftl.capacity_bytes = (bytes / unit + 16) * unit;
    parameters.ftl.unit_bytes = unit;
    device_ = must(ftl::SimDevice::make(parameters));
    options_.device_path = device_->uri();
    options_.max_object_bytes = 1 << 20;
    options_.capacity_bytes = device_->size_bytes();
    options_.policy = "separated";
  }

  void run() {
    auto store = open();
    std::atomic<bool> stop = false;
    Lookups lookups;
    const auto begin = SteadyClock::now();
    std::thread reader([&] { lookups.run(*store, objects_, stop); });
    store_objects(*store, 0, objects_);
    const double fill_s = seconds_since(begin);
    stop = true;
    reader.join();
    const StoreInfo full = store->status().info;
    must(store->close());
    store.reset();

    store = open();
    const StoreInfo clean = store->status().info;
    store_objects(*store, objects_, objects_ + objects_ / 100);
    device_->cut(true);
    (void)store->close();
    store.reset();
    device_->cut(false);
    store = open();
    const StoreInfo killed = store->status().info;
    if (clean.live_objects != objects_ || killed.live_objects != objects_ + objects_ / 100) {
      fmt::print(stderr, "objects lost: {} after a stop, {} after a kill\n", clean.live_objects,
                 killed.live_objects);
      std::exit(1);
    }
    fmt::print(
        "{:>10} {:>9.0f} {:>8.1f} {:>9.3f} {:>8.2f} {:>9.3f} {:>8.2f} {:>8.2f} {:>8.2f} "
        "{:>10.2f}\n",
        objects_, static_cast<double>(objects_) / fill_s / 1e3, full.memory_bytes_per_object,
        clean.open_seconds, static_cast<double>(objects_) / clean.open_seconds / 1e6,
        killed.open_seconds, lookups.quantile(0.5) * 1e3, lookups.quantile(0.99) * 1e3,
        lookups.quantile(1) * 1e3, lookups.longest_s * 1e3);
    must(store->close());
    store.reset();
  }

 private:
  std::unique_ptr<Store> open() {
    malloc_trim(0);  // as in a process that has just begun
    return must(store::open_on(options_, must(ftl::open_sim_backend(device_, {}))));
  }

  std::uint64_t objects_;
  std::shared_ptr<ftl::SimDevice> device_;
  Options options_;
};

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::uint64_t> sizes;
  for (const char* word : std::span(argv, static_cast<std::size_t>(argc)).subspan(1)) {
    sizes.push_back(std::strtoull(word, nullptr, 10));
  }
  if (sizes.empty()) sizes = {10'000, 100'000, 1'000'000, 10'000'000};
  if (std::ranges::min(sizes) < 1000) {
    fmt::print(stderr, "usage: fdpstore_bench_growth [objects, at least 1000] …\n");
    return 2;
  }
  fmt::print(
      "memory: of the index beyond each chunk_hash; lookups: 1,000 keys each, while filling;\n"
      "undisturbed: the longest of those from which no other thread or machine took the "
      "processor\n");
  fmt::print("{:>10} {:>9} {:>8} {:>9} {:>8} {:>9} {:>8} {:>8} {:>8}\n", "objects", "k stored/s",
             "B/object", "open s", "M obj/s", "killed s", "p50 ms", "p99 ms", "max ms",
             "undisturbed");
  for (const std::uint64_t objects : sizes) Growth(objects).run();
  return 0;
}
