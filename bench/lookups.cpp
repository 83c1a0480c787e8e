// Lookups while stores saturate the device: 1,000 keys each, in layouts segment and prompt and on a
// pre-sized file in raw-block mode, with what the stores reach meanwhile.
//
//   fdpstore_bench_lookups DIRECTORY [seconds for each, default 5]
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "bench/support.hpp"
#include "fdpstore/store.hpp"

namespace {

using namespace fdpstore;
using namespace fdpstore::bench;

constexpr std::uint64_t kMiB = 1U << 20;
constexpr std::uint64_t kObjectBytes = kMiB;
constexpr std::uint64_t kCapacityBytes = 4096 * kMiB;
constexpr std::uint64_t kFirstObjects = 2048;  // stored before, half of what fits
constexpr std::size_t kBatch = 16;
constexpr std::size_t kTasks = 4;
constexpr std::size_t kLookupKeys = 1000;

// Page-aligned memory that has been touched, as LMCache's L1 is.
class Payload {
 public:
  explicit Payload(std::size_t bytes)
      : bytes_(bytes), at_(static_cast<std::byte*>(std::aligned_alloc(4096, bytes))) {
    std::mt19937_64 random(7);
    for (std::size_t i = 0; i + 8 <= bytes; i += 8) {
      const std::uint64_t word = random();
      std::memcpy(at_ + i, &word, 8);
    }
  }
  ~Payload() { std::free(at_); }
  Payload(const Payload&) = delete;
  Payload& operator=(const Payload&) = delete;
  [[nodiscard]] std::span<const std::byte> object(std::size_t number) const {
    return {at_ + number * kObjectBytes % bytes_, kObjectBytes};
  }

 private:
  std::size_t bytes_;
  std::byte* at_;
};

class Saturated {
 public:
  explicit Saturated(const Options& options)
      : store_(must(open_store(options))), payload_(kBatch * kTasks * kObjectBytes) {}

  void run(const std::string& name, double seconds) {
    while (stored_ < kFirstObjects) keep_storing();
    std::atomic<bool> stop = false;
    std::vector<double> times;
    std::thread reader([&] { look_up(stop, times); });
    const std::uint64_t before = stored_;
    const auto begin = SteadyClock::now();
    while (seconds_since(begin) < seconds) keep_storing();
    const double took = seconds_since(begin);
    const auto bytes = static_cast<double>((stored_ - before) * kObjectBytes);
    stop = true;
    reader.join();
    std::ranges::sort(times);
    const auto quantile = [&](double share) {
      return times[static_cast<std::size_t>(share * static_cast<double>(times.size() - 1))] * 1e3;
    };
    fmt::print("{:<14}{:>10.2f}{:>14.2f}{:>10.3f}{:>10.3f}{:>10.3f}\n", name, bytes / took / 1e9,
               static_cast<double>(times.size() * kLookupKeys) / took / 1e6, quantile(0.5),
               quantile(0.99), quantile(1));
    must(store_->close());
  }

 private:
  // Kept at kTasks tasks in flight.
  void keep_storing() {
    while (in_flight_ < kTasks) {
      const Keys keys(submitted_, kBatch);
      std::vector<PutItem> items;
      for (const KeyRef& key : keys.refs()) {
        items.push_back({.key = key,
                         .bytes = payload_.object(submitted_ + items.size()),
                         .explicit_rank = {},
                         .explicit_stream = {}});
      }
      must(store_->submit_put(items));
      submitted_ += kBatch;
      ++in_flight_;
    }
    for (const TaskResult& result : store_->take_completed(TaskKind::put)) {
      if (!result.ok()) give_up(*result.error);
      --in_flight_;
      stored_ += kBatch;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }

  void look_up(const std::atomic<bool>& stop, std::vector<double>& times) {
    std::mt19937_64 random(1);
    Keys numbered(kLookupKeys);
    for (std::size_t i = 0; i < kLookupKeys; ++i) numbered.set(i, random() % stored_);
    const std::vector<KeyRef> keys = numbered.refs();
    while (!stop) {
      const auto begin = SteadyClock::now();
      must(store_->submit_lookup(keys, true));
      while (store_->take_completed(TaskKind::lookup).empty()) std::this_thread::yield();
      times.push_back(seconds_since(begin));
      store_->unlock(keys);
    }
  }

  std::unique_ptr<Store> store_;
  Payload payload_;
  std::uint64_t submitted_ = 0;
  std::atomic<std::uint64_t> stored_ = 0;
  std::size_t in_flight_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const std::span<char*> words(argv, static_cast<std::size_t>(argc));
  const double seconds = argc > 2 ? std::strtod(words[2], nullptr) : 5;
  if (argc < 2 || argc > 3 || seconds <= 0) {
    fmt::print(stderr, "usage: fdpstore_bench_lookups DIRECTORY [SECONDS]\n");
    return 2;
  }
  const std::filesystem::path root = std::filesystem::path(words[1]) / "fdpstore-bench-lookups";
  std::filesystem::create_directories(root);
  fmt::print("{:<14}{:>10}{:>14}{:>10}{:>10}{:>10}\n", "", "store GB/s", "M lookups/s", "p50 ms",
             "p99 ms", "max ms");
  for (const Layout layout : {Layout::segment, Layout::prompt}) {
    const std::string name = layout == Layout::segment ? "segment" : "prompt";
    Options options;
    options.base_path = root / name;
    options.layout = layout;
    options.capacity_bytes = kCapacityBytes;
    Saturated(options).run(name, seconds);
    std::filesystem::remove_all(root / name);
  }
  const std::filesystem::path device = root / "device.img";
  std::ofstream(device).close();
  std::filesystem::resize_file(device, kCapacityBytes);
  Options options;
  options.device_path = device;
  options.layout = Layout::segment;
  options.max_object_bytes = kObjectBytes;
  options.segment_bytes = 64 * kMiB;
  Saturated(options).run("raw file", seconds);
  std::filesystem::remove_all(root);
  return 0;
}
