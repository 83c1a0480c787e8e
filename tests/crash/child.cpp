// The child: stores, loads and erases from several threads until it has written enough or is
// killed.
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "fdpstore/store.hpp"
#include "scenario.hpp"
#include "support/client.hpp"
#include "support/keys.hpp"

namespace fdpstore::test::crash {
namespace {

class Workload {
 public:
  Workload(const Scenario& scenario, Shared& shared, Store& store)
      : scenario_(scenario), shared_(shared), store_(store), client_(store) {}

  void run(std::uint64_t seed) {
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < kThreads; ++i) {
      threads.emplace_back([this, i, seed] { run_thread(i, mix(seed + i)); });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  // Up to 8 keys of the thread's own that are in `phase`.
  std::vector<std::uint64_t> pick(unsigned thread, Phase phase, std::mt19937_64& random) {
    std::vector<std::uint64_t> picked;
    const std::size_t wanted = 1 + random() % 8;
    const std::uint64_t own = kKeys / kThreads;
    const std::uint64_t start = random() % own;
    for (std::uint64_t i = 0; i < own && picked.size() < wanted; ++i) {
      const std::uint64_t n = (start + i) % own * kThreads + thread;
      if (shared_.get(n).phase == phase) picked.push_back(n);
    }
    return picked;
  }

  void run_thread(unsigned thread, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int idle = 0; idle < 20;) {
      const std::uint64_t dice = random() % 10;
      const bool may_store = scenario_.reclaims || written_ < kBytesPerRound;
      const Phase phase = dice < 6 && may_store ? Phase::absent : Phase::stored;
      const auto picked = pick(thread, phase, random);
      // Written enough: only loads and deletes are left, and soon nothing.
      idle += picked.empty() || !may_store ? 1 : 0;
      if (picked.empty()) continue;
      if (phase == Phase::absent) {
        store(picked);
      } else if (dice < 9) {
        erase(picked);
      } else {
        load(picked.front());
      }
      shared_.acknowledged.fetch_add(1);
      if (scenario_.reclaims && written_ > 40 * kBytesPerRound) return;
    }
  }

  void store(const std::vector<std::uint64_t>& picked) {
    std::vector<ObjectKey> keys;
    std::vector<Buffer> buffers;
    std::vector<PutItem> items;
    keys.reserve(picked.size());
    for (const std::uint64_t n : picked) {
      const std::uint64_t generation = shared_.get(n).generation + 1;
      keys.push_back(make_key(n));
      buffers.push_back(payload(size_of(scenario_, n, generation), seed_of(n, generation), n % 2));
      written_ += buffers.back().size();
      items.push_back({.key = keys.back().ref(),
                       .bytes = buffers.back().span(),
                       .explicit_rank = {},
                       .explicit_stream = {}});
      shared_.set(n, {generation, Phase::storing});
    }
    (void)client_.lookup(refs(keys));  // as LMCache does: it makes them a prompt
    const auto result = client_.put(items);
    for (std::size_t i = 0; i < picked.size(); ++i) {
      if (!result || result->keys[i] != KeyStatus::stored) {
        violation("put of an absent key " + std::to_string(picked[i]) + " was not `stored`: " +
                  (!result         ? result.error().message()
                   : result->error ? result->error->message()
                                   : "present"));
      }
      shared_.set(picked[i], {shared_.get(picked[i]).generation, Phase::stored});
    }
  }

  void erase(const std::vector<std::uint64_t>& picked) {
    std::vector<ObjectKey> keys;
    for (const std::uint64_t n : picked) {
      keys.push_back(make_key(n));
      shared_.set(n, {shared_.get(n).generation, Phase::erasing});
    }
    const auto erased = store_.erase(refs(keys));
    if (!erased) violation("erase: " + erased.error().message());
    for (std::size_t i = 0; i < picked.size(); ++i) {
      const KeyState state = shared_.get(picked[i]);
      if (!(*erased)[i]) {
        if (!scenario_.reclaims) {
          violation("erase of stored key " + std::to_string(picked[i]) + ": absent");
        }
        // Reclaimed before: nothing was promised for this copy. The next generation comes.
        if (const KeyRef ref = keys[i].ref(); hit(ref)) violation("erase said absent, lookup hit");
      }
      shared_.set(picked[i], {state.generation, Phase::absent});
    }
  }

  void load(std::uint64_t n) {
    const KeyState state = shared_.get(n);
    const ObjectKey key = make_key(n);
    Buffer buffer(size_of(scenario_, n, state.generation));
    const GetItem item{.key = key.ref(), .buffer = buffer.span()};
    const auto result = client_.get({&item, 1});
    if (!result) violation("get: " + result.error().message());
    const bool hit = result->keys[0] == KeyStatus::hit;
    if (hit && !matches(buffer.span(), seed_of(n, state.generation))) {
      violation("wrong bytes for key " + std::to_string(n));
    }
    if (!hit && !scenario_.reclaims) violation("stored key " + std::to_string(n) + " is a miss");
  }

  bool hit(const KeyRef& key) {
    const auto result = client_.lookup({&key, 1});
    return result && result->keys[0] == KeyStatus::hit;
  }

  [[noreturn]] void violation(const std::string& what) {
    const std::lock_guard guard(violation_);
    std::cerr << "child, " << scenario_.name << ": " << what << std::endl;
    std::_Exit(kExitViolation);
  }

  const Scenario& scenario_;
  Shared& shared_;
  Store& store_;
  Client client_;
  std::atomic<std::uint64_t> written_ = 0;
  std::mutex violation_;
};

}  // namespace

int run_child(const std::array<std::string, 4>& arguments) {
  const Scenario* scenario = nullptr;
  for (const Scenario& s : kScenarios) {
    if (s.name == arguments[0]) scenario = &s;
  }
  if (scenario == nullptr) return kExitCannotOpen;
  const SharedFile shared(arguments[1]);
  auto store = open_store(options_of(*scenario, arguments[2]));
  if (!store) {
    std::cerr << "child, " << scenario->name << ": " << store.error().message() << std::endl;
    return kExitCannotOpen;
  }
  Workload(*scenario, shared.get(), **store).run(std::stoull(arguments[3]));
  const auto closed = (*store)->close();
  if (!closed) std::cerr << "child: close: " << closed.error().message() << std::endl;
  return closed ? kExitFinished : kExitViolation;
}

}  // namespace fdpstore::test::crash
