// Writers, readers, lookups and erases at once, with every byte verified.
#include <atomic>
#include <cstdlib>
#include <random>

#include "fixture.hpp"

namespace fdpstore::test {
namespace {

// Each key goes through generations: stored, erased, stored with other bytes and size, …; one
// writer owns it. A load that starts after a delete was done must not see what was deleted.
class Generations {
 public:
  static constexpr std::uint64_t kKeys = 256;
  static constexpr std::uint64_t kPerWriter = 64;

  static std::uint64_t seed(std::uint64_t n, std::uint64_t generation) {
    return mix(n * 1'000'003 + generation);
  }
  static std::size_t size(std::uint64_t n, std::uint64_t generation) {
    return 1 + seed(n, generation) % 60000;
  }

  std::atomic<std::uint64_t>& current(std::uint64_t n) { return current_[n]; }
  std::atomic<std::uint64_t>& erased_up_to(std::uint64_t n) { return erased_up_to_[n]; }

 private:
  std::array<std::atomic<std::uint64_t>, kKeys> current_{};
  std::array<std::atomic<std::uint64_t>, kKeys> erased_up_to_{};
};

class Concurrency : public StoreTest {
 protected:
  using Clock = std::chrono::steady_clock;

  static std::chrono::duration<double> duration() {
    const char* text = std::getenv("FDPSTORE_TEST_SECONDS");
    return std::chrono::duration<double>(text != nullptr ? std::strtod(text, nullptr) : 3.0);
  }

  // For the time asked for, and on a machine that is busy as long as it takes to do enough.
  bool goes_on() const {
    const auto passed = Clock::now() - begin_;
    const bool enough = stores_ > 100 && erases_ > 20 && hits_ > 100;
    return !HasFailure() && passed < (enough ? duration() : duration() + kHangs);
  }

  void write(unsigned writer, Generations& keys) {
    std::mt19937_64 random(writer);
    while (goes_on()) {
      const std::uint64_t n = writer * Generations::kPerWriter + random() % Generations::kPerWriter;
      const ObjectKey key = make_key(n);
      const std::uint64_t generation = keys.current(n);
      if (generation > keys.erased_up_to(n)) {
        const auto size = erase(key);
        if (size) {
          EXPECT_EQ(*size, Generations::size(n, generation));
          keys.erased_up_to(n) = generation;
          ++erases_;
          continue;
        }
        // Reclaimed, or locked by a reader for the moment.
        if (lookup(key) != KeyStatus::miss) continue;
        keys.erased_up_to(n) = generation;
      }
      const std::uint64_t next = generation + 1;
      keys.current(n) = next;  // before: a reader may see it from now on
      const KeyStatus status = put(key, Generations::size(n, next), Generations::seed(n, next));
      EXPECT_EQ(status, KeyStatus::stored) << "object " << n;
      ++stores_;
    }
  }

  void read(unsigned reader, Generations& keys) {
    std::mt19937_64 random(1000 + reader);
    while (goes_on()) {
      const std::uint64_t n = random() % Generations::kKeys;
      const ObjectKey key = make_key(n);
      const std::uint64_t erased = keys.erased_up_to(n);
      const std::uint64_t generation = keys.current(n);
      const bool lock = random() % 2 == 0;
      const bool locked = lookup(key, lock) == KeyStatus::hit && lock;
      Buffer buffer(Generations::size(n, generation), random() % 2);
      if (get_into(key, buffer.span()) == KeyStatus::hit) {
        // The size may be shared with a neighbouring generation, the bytes may not.
        bool known = false;
        const std::uint64_t latest = keys.current(n);
        for (std::uint64_t g = erased + 1; g <= latest && !known; ++g) {
          known = matches(buffer.span(), Generations::seed(n, g));
        }
        EXPECT_TRUE(known) << "object " << n << ": bytes that are not of " << erased + 1 << " … "
                           << latest;
        ++hits_;
      }
      if (locked) unlock(key);
    }
  }

  static constexpr std::chrono::minutes kHangs{2};

  const Clock::time_point begin_ = Clock::now();
  std::atomic<std::uint64_t> stores_ = 0, erases_ = 0, hits_ = 0;
};
FDPSTORE_FOR_ALL_VARIANTS(Concurrency);

TEST_P(Concurrency, WritersReadersLookupsAndErases) {
  open();
  Generations keys;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] { write(i, keys); });
    threads.emplace_back([&, i] { read(i, keys); });
  }
  threads.emplace_back([&] {
    while (goes_on()) {
      (void)store().status();
      const auto page = store().list("", 50, "");
      EXPECT_TRUE(page.has_value());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(stores_, 100U);
  EXPECT_GT(erases_, 20U);
  EXPECT_GT(hits_, 100U);
  EXPECT_EQ(store().status().info.damaged_objects, 0U);
  EXPECT_EQ(store().status().info.locked_objects, 0U);
  RecordProperty("stores", static_cast<int>(stores_));
  // What is there now is there after a reopen.
  std::vector<bool> present;
  for (std::uint64_t n = 0; n < Generations::kKeys; ++n) {
    present.push_back(lookup(n) == KeyStatus::hit);
  }
  reopen();
  for (std::uint64_t n = 0; n < Generations::kKeys; ++n) {
    const std::uint64_t generation = keys.current(n);
    if (generation == 0) continue;
    const KeyStatus status =
        get(make_key(n), Generations::size(n, generation), Generations::seed(n, generation));
    if (present[n] || status == KeyStatus::hit) {
      EXPECT_EQ(status, KeyStatus::hit) << "object " << n;
      EXPECT_TRUE(present[n]) << "object " << n << " came back";
    }
  }
}

TEST_P(Concurrency, CloseWhileOthersSubmit) {
  open();
  std::atomic<std::uint64_t> refused = 0;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (std::uint64_t n = 0;; ++n) {
        const ObjectKey key = make_key(1000 * i + n);
        const Buffer bytes = payload(20000, n);
        const PutItem item{
            .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
        const auto result = client().put({&item, 1});
        if (result) continue;
        EXPECT_EQ(result.error().code, Errc::closed) << result.error().message();
        ++refused;
        return;
      }
    });
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  EXPECT_TRUE(store().close().has_value());
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(refused, 4U);
}

}  // namespace
}  // namespace fdpstore::test
