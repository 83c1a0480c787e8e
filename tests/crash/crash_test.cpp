// kill -9 at a random moment, reopen, compare with what was promised, go on with the same store.
//
// FDPSTORE_CRASH_ROUNDS: kills over the scenarios with directories (130, under a sanitizer 20), and
// about half as many on devices.
// FDPSTORE_CRASH_SEED: repeats the choices of a run (not its scheduling).
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <random>
#include <thread>

#include "fdpstore/store.hpp"
#include "scenario.hpp"
#include "support/client.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"
#include "support/sanitizers.hpp"
#include "support/self_exec.hpp"
#include "support/test_device.hpp"

namespace fdpstore::test::crash {
namespace {

using Clock = std::chrono::steady_clock;

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

// Counts of one scenario, for the reader of the test's output.
struct Tally {
  std::uint32_t killed = 0, finished = 0, in_open = 0;
  std::uint64_t acknowledged = 0, hits = 0, in_flight = 0, reclaimed = 0;
};

class Crash : public ::testing::TestWithParam<Scenario> {
 protected:
  void SetUp() override {
    const Variant& variant = GetParam().variant;
    if (const auto why = why_not_here(variant, dir_.path()); !why.empty()) GTEST_SKIP() << why;
    if (!variant.raw()) return;
    device_.emplace(variant, dir_.path() / "store", kWindowAt + kRoomBytes + 4 * kMiB);
    if (!device_->why_not().empty()) GTEST_SKIP() << device_->why_not();
    device_->guard(options().base_offset_bytes, options().capacity_bytes);
  }
  void TearDown() override {
    if (device_) {
      EXPECT_TRUE(device_->guards_intact()) << "a store wrote outside of its part of the device";
    }
  }

  // The store's directory or device.
  [[nodiscard]] std::filesystem::path store_path() const {
    return device_ ? std::filesystem::path(device_->path()) : dir_.path() / "store";
  }
  [[nodiscard]] std::filesystem::path shared_path() const { return dir_.path() / "shared"; }
  [[nodiscard]] Options options() const { return options_of(GetParam(), store_path()); }

  // Starts a child and kills it after a number of acknowledged operations and a little while.
  void run_and_kill(Shared& shared, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    shared.acknowledged = 0;
    const pid_t child =
        spawn_self({kChildArgument, std::string(GetParam().name), shared_path().string(),
                    store_path().string(), std::to_string(seed)});
    // One in six dies while it opens the store or soon after.
    const bool early = random() % 6 == 0;
    const std::uint64_t target = early ? 0 : 1 + random() % 300;
    const auto extra = std::chrono::microseconds(random() % (early ? 25'000 : 3'000));
    const auto give_up = Clock::now() + std::chrono::seconds(3);
    while (shared.acknowledged < target && Clock::now() < give_up && !has_ended(child)) {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    std::this_thread::sleep_for(extra);
    ::kill(child, SIGKILL);
    const int status = wait_for(child);
    ASSERT_TRUE(status == 128 + SIGKILL || status == kExitFinished)
        << "the child itself saw a broken promise, or could not open: " << status;
    tally_.killed += status == kExitFinished ? 0 : 1;
    tally_.finished += status == kExitFinished ? 1 : 0;
    tally_.in_open += shared.acknowledged == 0 ? 1 : 0;
    tally_.acknowledged += shared.acknowledged;
  }

  static bool has_ended(pid_t child) {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == child;
  }

  // The lock of a killed process lasts until its last write in flight has ended.
  template <class Call>
  static auto when_free(const Call& call) {
    const auto give_up = Clock::now() + std::chrono::seconds(10);
    auto result = call();
    while (!result && result.error().code == Errc::busy && Clock::now() < give_up) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      result = call();
    }
    return result;
  }

  void expect_check_clean(const char* when) {
    const auto report = when_free([this] { return check_store(options(), false); });
    ASSERT_TRUE(report.has_value()) << when << ": " << report.error().message();
    for (const CheckFinding& finding : report->findings) {
      ADD_FAILURE() << "check_store " << when << ": " << finding.where << ": " << finding.what;
    }
  }

  void verify(Shared& shared) {
    auto store = when_free([this] { return open_store(options()); });
    ASSERT_TRUE(store.has_value()) << store.error().message();
    {
      Client client(**store);
      for (std::uint64_t n = 0; n < kKeys; ++n) verify_key(client, shared, n);
    }
    const auto closed = (*store)->close();
    EXPECT_TRUE(closed.has_value()) << closed.error().message();
  }

  void verify_key(Client& client, Shared& shared, std::uint64_t n) {
    const KeyState state = shared.get(n);
    const ObjectKey key = make_key(n);
    const KeyRef ref = key.ref();
    const auto found = client.lookup({&ref, 1});
    ASSERT_TRUE(found.has_value()) << found.error().message();
    const bool present = found->keys[0] == KeyStatus::hit;
    if (state.phase == Phase::absent) {
      EXPECT_FALSE(present) << "key " << n << ", erased in generation " << state.generation
                            << ", came back";
      return;
    }
    Buffer buffer(size_of(GetParam(), n, state.generation));
    const GetItem item{.key = ref, .buffer = buffer.span()};
    const auto loaded = client.get({&item, 1});
    ASSERT_TRUE(loaded.has_value()) << loaded.error().message();
    EXPECT_NE(loaded->keys[0], KeyStatus::failed)
        << "key " << n << ": " << (loaded->error ? loaded->error->message() : "");
    const bool hit = loaded->keys[0] == KeyStatus::hit;
    if (hit) {
      EXPECT_TRUE(matches(buffer.span(), seed_of(n, state.generation)))
          << "wrong bytes for key " << n << " in generation " << state.generation;
    }
    if (state.phase == Phase::stored) {
      if (!GetParam().reclaims) {
        EXPECT_TRUE(hit) << "key " << n << ", stored in generation " << state.generation << " with "
                         << buffer.size()
                         << " bytes, is a miss (lookup: " << (present ? "hit" : "miss") << ")";
      }
      tally_.reclaimed += hit ? 0 : 1;
    } else {
      ++tally_.in_flight;
    }
    tally_.hits += hit ? 1 : 0;
    shared.set(n, {state.generation, hit ? Phase::stored : Phase::absent});
  }

  TempDir dir_{parent_of(GetParam().variant)};
  std::optional<TestDevice> device_;
  Tally tally_;
};

TEST_P(Crash, EveryPromiseHoldsAfterKill) {
  const std::uint64_t base = number_from("FDPSTORE_CRASH_SEED", std::random_device{}());
  const std::uint64_t total = number_from("FDPSTORE_CRASH_ROUNDS", kSanitized ? 20 : 130);
  const std::uint64_t rounds = std::max<std::uint64_t>(1, total * GetParam().rounds / 50);
  const SharedFile shared(shared_path());
  for (std::uint64_t round = 0; round < rounds; ++round) {
    SCOPED_TRACE("FDPSTORE_CRASH_SEED=" + std::to_string(base) + " FDPSTORE_CRASH_ROUNDS=" +
                 std::to_string(total) + ", round " + std::to_string(round));
    run_and_kill(shared.get(), mix(base + round));
    if (HasFailure()) break;
    // A child that died in its first open may have left no store to check yet.
    if (round % 2 == 0 && tally_.acknowledged > 0) expect_check_clean("of the killed store");
    verify(shared.get());
    expect_check_clean("after a clean close");
    if (HasFailure()) break;
  }
  std::cout << GetParam().name << ": seed " << base << ", " << tally_.killed << " killed ("
            << tally_.in_open << " before any operation), " << tally_.finished << " closed before, "
            << tally_.acknowledged << " operations acknowledged, " << tally_.hits
            << " hits verified, " << tally_.in_flight << " keys caught in flight, "
            << tally_.reclaimed << " reclaimed\n";
}

INSTANTIATE_TEST_SUITE_P(All, Crash, ::testing::ValuesIn(kScenarios),
                         [](const auto& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace fdpstore::test::crash
