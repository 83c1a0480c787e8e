// What is remembered of lookups.
#include "core/lookups.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace fdpstore::test {
namespace {

using core::Lookups;

TEST(Lookups, KeysAndTheFirstGapAreFoundByUse) {
  Lookups lookups(0);
  EXPECT_EQ(lookups.find(7).keys, 0U);
  EXPECT_EQ(lookups.find(7).gap, Lookups::kNoGap);
  lookups.note_keys(7, 40);
  EXPECT_EQ(lookups.find(7).keys, 40U);
  EXPECT_EQ(lookups.find(7).gap, Lookups::kNoGap);
  lookups.note_gap(7, 9);
  lookups.note_gap(7, 12);
  EXPECT_EQ(lookups.find(7).gap, 9U);
  lookups.note_gap(7, 0);
  EXPECT_EQ(lookups.find(7).gap, 0U);
  EXPECT_EQ(lookups.find(7).keys, 40U);
  lookups.note_gap(8, 3);  // of a lookup that was forgotten
  EXPECT_EQ(lookups.find(8).gap, 3U);
  EXPECT_EQ(lookups.find(8).keys, 0U);
  EXPECT_EQ(lookups.find(9).gap, Lookups::kNoGap);
}

TEST(Lookups, NoneHasNothing) {
  Lookups lookups(0);
  lookups.note_keys(0, 5);
  lookups.note_gap(0, 0);
  EXPECT_EQ(lookups.find(0).keys, 0U);
  EXPECT_EQ(lookups.find(0).gap, Lookups::kNoGap);
}

TEST(Lookups, LongOnesCountAsLongAsCanBeSaid) {
  Lookups lookups(0);
  lookups.note_keys(1, 1'000'000);
  lookups.note_gap(1, 2'000'000);
  EXPECT_EQ(lookups.find(1).keys, UINT16_MAX);
  EXPECT_LT(lookups.find(1).gap, Lookups::kNoGap);
}

// Of as many as there are places, at any distance, most are known; those of long ago are not, and
// no other's is taken for theirs.
TEST(Lookups, NewerOnesTakeThePlacesOfOlderOnes) {
  constexpr std::uint32_t kObjects = 1U << 16, kPlaces = kObjects / 4;
  for (const std::uint32_t distance : {1U, 2U, 64U, 100U, 4096U}) {
    Lookups lookups(kObjects);
    const auto use_of = [&](std::uint32_t n) { return 1 + n * distance; };
    for (std::uint32_t n = 0; n < 20 * kPlaces; ++n) lookups.note_keys(use_of(n), n % 1000 + 1);
    std::uint32_t recent = 0, old = 0;
    for (std::uint32_t n = 0; n < 20 * kPlaces; ++n) {
      const std::uint32_t keys = lookups.find(use_of(n)).keys;
      if (keys == 0) continue;
      EXPECT_EQ(keys, n % 1000 + 1);
      (n >= 19 * kPlaces + kPlaces / 2 ? recent : old) += 1;
    }
    EXPECT_GT(recent, kPlaces / 2 * 6 / 10) << distance;
    EXPECT_LE(recent + old, kPlaces);
  }
}

TEST(Lookups, ManyThreadsNoteAndFind) {
  Lookups lookups(0);
  std::atomic<bool> wrong{false};
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint32_t n = 1; n < 20'000; ++n) {
        const std::uint32_t use = n * 4 + thread;
        lookups.note_keys(use, use % 500 + 1);
        lookups.note_gap(use - 4, use % 7);
        const auto facts = lookups.find(use);
        if (facts.keys != 0 && facts.keys != use % 500 + 1) wrong = true;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_FALSE(wrong);
}

}  // namespace
}  // namespace fdpstore::test
