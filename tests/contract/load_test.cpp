// Sixteen threads at capacity, every kind of call mixed, and a close in the middle of it.
// FDPSTORE_LOAD_SECONDS: how long for each kind of store (2).
#include <atomic>
#include <cstdlib>
#include <random>
#include <set>

#include "fixture.hpp"

namespace fdpstore::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr unsigned kThreads = 16;
constexpr std::uint64_t kKeysPerThread = 24;

class Load : public StoreTest {
 protected:
  // What a thread knows of its own keys.
  struct Own {
    std::uint64_t generation = 0;
    bool stored = false;
  };
  struct Worker {
    std::array<Own, kKeysPerThread> keys;
    std::uint64_t operations = 0;
  };

  static double seconds() {
    const char* text = std::getenv("FDPSTORE_LOAD_SECONDS");  // NOLINT(concurrency-mt-unsafe)
    return text != nullptr ? std::strtod(text, nullptr) : 2.0;
  }
  static std::uint64_t number(unsigned thread, std::uint64_t key) {
    return thread * kKeysPerThread + key;
  }
  static std::uint64_t seed(std::uint64_t n, std::uint64_t generation) {
    return mix(n * 1'000'003 + generation);
  }
  // 16 × 24 objects of up to 250 kB do not fit in 32 MiB.
  static std::size_t size(std::uint64_t n, std::uint64_t generation) {
    return 1 + seed(n, generation) % 250'000;
  }

  // Submits may fail once the store is being closed; then the thread ends.
  void run(unsigned thread, Worker& worker, const std::atomic<bool>& stop) {
    std::mt19937_64 random(thread);
    while (!stop && !HasFailure()) {
      const std::uint64_t k = random() % kKeysPerThread;
      const std::uint64_t n = number(thread, k);
      Own& own = worker.keys[k];
      bool going = true;
      switch (random() % 8) {
        case 0:
        case 1:
        case 2: going = own.stored ? load(n, own) : store_next(n, own); break;
        case 3:
        case 4: going = load(n, own); break;
        case 5: going = look_up_many(random); break;
        case 6: going = lock_load_unlock(n, own); break;
        default: going = own.stored ? remove(n, own) : store_next(n, own);
      }
      if (!going) return;
      ++worker.operations;
    }
  }

  bool store_next(std::uint64_t n, Own& own) {
    const std::uint64_t generation = own.generation + 1;
    const ObjectKey key = make_key(n);
    const Buffer buffer = payload(size(n, generation), seed(n, generation));
    const PutItem item{
        .key = key.ref(), .bytes = buffer.span(), .explicit_rank = {}, .explicit_stream = {}};
    const auto result = client().put({&item, 1});
    if (!result) return closed(result.error());
    if (result->keys[0] == KeyStatus::stored) {
      own = {generation, true};
    } else {
      // Locks of the others may take all there is for a moment.
      EXPECT_EQ(result->keys[0], KeyStatus::failed);
    }
    return true;
  }

  bool load(std::uint64_t n, Own& own, bool must_hit = false) {
    Buffer buffer(size(n, own.generation));
    const ObjectKey key = make_key(n);
    const GetItem item{.key = key.ref(), .buffer = buffer.span()};
    const auto result = client().get({&item, 1});
    if (!result) return closed(result.error());
    if (result->keys[0] == KeyStatus::hit) {
      EXPECT_TRUE(own.stored) << "key " << n << " was deleted";
      EXPECT_TRUE(matches(buffer.span(), seed(n, own.generation))) << "wrong bytes for key " << n;
    } else {
      EXPECT_FALSE(must_hit) << "key " << n << " was locked, and is gone";
      EXPECT_EQ(result->keys[0], KeyStatus::miss) << text(*result);
      own.stored = false;  // reclaimed
    }
    return true;
  }

  bool look_up_many(std::mt19937_64& random) {
    const auto keys = make_keys(random() % 300, 32);
    const auto result = client().lookup(refs(keys));
    return result ? true : closed(result.error());
  }

  bool lock_load_unlock(std::uint64_t n, Own& own) {
    const ObjectKey key = make_key(n);
    const KeyRef ref = key.ref();
    const auto found = client().lookup({&ref, 1}, true);
    if (!found) return closed(found.error());
    if (found->keys[0] != KeyStatus::hit) {
      own.stored = false;
      return true;
    }
    const bool going = load(n, own, true);
    store().unlock({&ref, 1});
    return going;
  }

  bool remove(std::uint64_t n, Own& own) {
    const ObjectKey key = make_key(n);
    const KeyRef ref = key.ref();
    const auto erased = store().erase({&ref, 1});
    if (!erased) return closed(erased.error());
    if (erased->front()) {
      EXPECT_EQ(*erased->front(), size(n, own.generation));
    }
    own.stored = false;
    return true;
  }

  static bool closed(const Error& error) {
    EXPECT_EQ(error.code, Errc::closed) << error.message();
    return false;
  }
};
FDPSTORE_FOR_ALL_VARIANTS(Load);

TEST_P(Load, SixteenThreadsAndACloseInTheMiddle) {
  open();
  std::vector<Worker> workers(kThreads);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { run(i, workers[i], stop); });
  }
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds()));
  const auto begin = Clock::now();
  const auto closed_in_order = store().close();
  const std::chrono::duration<double> took = Clock::now() - begin;
  EXPECT_TRUE(closed_in_order) << closed_in_order.error().message();
  EXPECT_LT(took.count(), 20) << "close under load";
  stop = true;
  for (std::thread& thread : threads) thread.join();
  std::uint64_t operations = 0;
  for (const Worker& worker : workers) operations += worker.operations;
  EXPECT_GT(operations, kThreads * 5U);
  EXPECT_EQ(client().duplicates(), 0U);

  std::set<std::vector<std::byte>> dropped;
  for (const DroppedKey& one : client().take_dropped()) dropped.insert(one.key.chunk_hash);
  reopen();
  std::uint64_t kept = 0;
  for (unsigned i = 0; i < kThreads; ++i) {
    for (std::uint64_t k = 0; k < kKeysPerThread; ++k) {
      const std::uint64_t n = number(i, k);
      const Own& own = workers[i].keys[k];
      if (!own.stored) continue;
      const KeyStatus status = get(make_key(n), size(n, own.generation), seed(n, own.generation));
      if (status == KeyStatus::hit) ++kept;
      if (dropped.contains(make_key(n).chunk_hash)) continue;
      EXPECT_EQ(status, KeyStatus::hit) << "key " << n << " was stored, and is gone";
    }
  }
  EXPECT_GT(kept, 0U);
  std::cout << variant() << ": " << operations << " operations, " << kept
            << " objects kept, close took " << took.count() << " s\n";
}

}  // namespace
}  // namespace fdpstore::test
