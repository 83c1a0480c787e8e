#include "placement/prompt_tracker.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

namespace fdpstore::placement {
namespace {

constexpr std::uint64_t kChain = 7;

std::vector<LookupKey> chain(std::initializer_list<std::uint64_t> digests,
                             std::uint64_t chain_id = kChain) {
  std::vector<LookupKey> keys;
  for (const std::uint64_t digest : digests) {
    keys.push_back({.chain = chain_id, .digest = digest, .hit = false, .stored = {}});
  }
  return keys;
}

LookupKey hit(std::uint64_t digest, std::uint32_t prompt, std::uint32_t position,
              std::uint32_t seen_in = 1) {
  return {.chain = kChain,
          .digest = digest,
          .hit = true,
          .stored = {.prompt = {prompt}, .position = position, .seen_in = seen_in, .turn = 0}};
}

void expect_unseen(const PromptTracker& tracker, std::uint64_t digest) {
  const PromptFacts facts = tracker.facts(digest);
  EXPECT_EQ(facts.prompt.value, 0U) << digest;
  EXPECT_EQ(facts.seen_in, 0U) << digest;
  EXPECT_EQ(facts.turn, 0U) << digest;
}

bool same(const PromptFacts& a, const PromptFacts& b) {
  return a.prompt == b.prompt && a.position == b.position && a.seen_in == b.seen_in &&
         a.turn == b.turn;
}

TEST(PromptTracker, KeyInNoLookupIsUnseen) {
  PromptTracker tracker({});
  expect_unseen(tracker, 1);
  tracker.on_lookup(chain({1, 2}), 0);
  expect_unseen(tracker, 3);
  EXPECT_EQ(tracker.size(), 2U);
  tracker.on_lookup({}, 0);
  EXPECT_EQ(tracker.size(), 2U);
}

TEST(PromptTracker, FirstLookupIsOnePromptInOrder) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({10, 11, 12}), 0);
  const PromptFacts first = tracker.facts(10);
  EXPECT_NE(first.prompt.value, 0U);
  for (std::uint32_t i = 0; i < 3; ++i) {
    const PromptFacts facts = tracker.facts(10 + i);
    EXPECT_EQ(facts.prompt, first.prompt);
    EXPECT_EQ(facts.position, i);
    EXPECT_EQ(facts.seen_in, 1U);
    EXPECT_EQ(facts.turn, 1U);
  }
}

TEST(PromptTracker, ConversationsSharingASystemPromptAreTwoPrompts) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({1, 2, 10, 11}), 0);
  tracker.on_lookup(chain({1, 2, 20, 21}), 1);
  EXPECT_EQ(tracker.facts(1).seen_in, 2U);
  EXPECT_EQ(tracker.facts(2).seen_in, 2U);
  EXPECT_EQ(tracker.facts(10).seen_in, 1U);
  EXPECT_EQ(tracker.facts(20).seen_in, 1U);
  EXPECT_NE(tracker.facts(10).prompt, tracker.facts(20).prompt);
  EXPECT_EQ(tracker.facts(1).prompt, tracker.facts(10).prompt);
  EXPECT_EQ(tracker.facts(20).prompt, tracker.facts(21).prompt);
  EXPECT_EQ(tracker.facts(21).position, 3U);

  tracker.on_lookup(chain({1, 2, 30}), 2);
  EXPECT_EQ(tracker.facts(2).seen_in, 3U);
}

TEST(PromptTracker, NextTurnsContinueThePromptAndCount) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({1, 2, 10, 11}), 0);
  tracker.on_lookup(chain({1, 2, 20, 21}), 1);
  tracker.on_lookup(chain({1, 2, 20, 21, 22, 23}), 2);
  EXPECT_EQ(tracker.facts(22).prompt, tracker.facts(20).prompt);
  EXPECT_EQ(tracker.facts(23).position, 5U);
  EXPECT_EQ(tracker.facts(20).turn, 2U);
  EXPECT_EQ(tracker.facts(10).turn, 1U);
  tracker.on_lookup(chain({1, 2, 20, 21, 22, 23, 24}), 3);
  EXPECT_EQ(tracker.facts(24).turn, 3U);
  EXPECT_EQ(tracker.facts(1).seen_in, 2U) << "turns are no new prompts";
}

TEST(PromptTracker, RepeatedPromptCountsATurnAndAPrefixOfItDoesNot) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({1, 2, 3}), 0);
  tracker.on_lookup(chain({1, 2, 3}), 1);
  EXPECT_EQ(tracker.facts(1).turn, 2U);
  tracker.on_lookup(chain({1, 2}), 2);
  EXPECT_EQ(tracker.facts(1).turn, 2U);
  EXPECT_EQ(tracker.facts(1).seen_in, 1U);
  EXPECT_EQ(tracker.size(), 3U);
}

TEST(PromptTracker, BranchInsideAPromptIsANewPrompt) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({1, 2, 3, 4}), 0);
  tracker.on_lookup(chain({1, 2, 3, 4, 5}), 1);
  tracker.on_lookup(chain({1, 2, 30, 31}), 2);
  EXPECT_NE(tracker.facts(30).prompt, tracker.facts(3).prompt);
  EXPECT_EQ(tracker.facts(2).seen_in, 2U);
  EXPECT_EQ(tracker.facts(3).seen_in, 1U);
  tracker.on_lookup(chain({1, 2, 30, 90}), 3);  // a branch of the branch
  EXPECT_NE(tracker.facts(90).prompt, tracker.facts(30).prompt);
  EXPECT_EQ(tracker.facts(30).seen_in, 2U);
  EXPECT_EQ(tracker.facts(1).seen_in, 3U);
}

TEST(PromptTracker, PromptIdIsTheSameInAnotherTracker) {
  PromptTracker one({}), other({});
  one.on_lookup(chain({50, 51}), 0);
  one.on_lookup(chain({1, 2, 3}), 0);
  other.on_lookup(chain({1, 2, 3, 4}), 100);
  EXPECT_EQ(one.facts(3).prompt, other.facts(3).prompt);
  EXPECT_NE(one.facts(3).prompt, one.facts(50).prompt);
}

TEST(PromptTracker, PromptIdIsNeverZero) {
  PromptTracker tracker({});
  for (std::uint64_t digest : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 32}) {
    tracker.on_lookup(chain({digest}), 0);
    EXPECT_NE(tracker.facts(digest).prompt.value, 0U) << digest;
  }
}

TEST(PromptTracker, StoredLineageContinuesAPromptAfterARestart) {
  PromptTracker before({});
  before.on_lookup(chain({1, 2, 10, 11}), 0);
  before.on_lookup(chain({1, 2, 20, 21}), 1);
  const auto remembered = [&](std::uint64_t digest) {
    return LookupKey{
        .chain = kChain, .digest = digest, .hit = true, .stored = before.facts(digest)};
  };
  PromptTracker after({});
  std::vector<LookupKey> keys{remembered(1), remembered(2), remembered(20), remembered(21)};
  keys.push_back(chain({22})[0]);
  after.on_lookup(keys, 1000);
  EXPECT_EQ(after.facts(22).prompt, before.facts(20).prompt);
  EXPECT_EQ(after.facts(22).position, 4U);
  EXPECT_EQ(after.facts(22).turn, 2U) << "the prompt had a lookup before the restart";
  EXPECT_EQ(after.facts(1).prompt, before.facts(1).prompt);
  EXPECT_EQ(after.facts(1).seen_in, 2U);
  EXPECT_EQ(after.facts(22).seen_in, 1U);
}

TEST(PromptTracker, StoredPrefixOfAnotherPromptCountsAsShared) {
  // Stored by the first conversation, when it was in one prompt only.
  PromptTracker tracker({});
  std::vector<LookupKey> keys{hit(1, 100, 0), hit(2, 100, 1), hit(20, 200, 2)};
  tracker.on_lookup(keys, 0);
  EXPECT_EQ(tracker.facts(1).seen_in, 2U);
  EXPECT_EQ(tracker.facts(20).seen_in, 1U);
  EXPECT_EQ(tracker.facts(20).prompt.value, 200U);
  keys[2] = hit(30, 300, 2);
  tracker.on_lookup(keys, 1);
  EXPECT_EQ(tracker.facts(2).seen_in, 3U);
  EXPECT_EQ(tracker.facts(30).prompt.value, 300U);
}

TEST(PromptTracker, StoredSeenInIsKeptAndGrowsWithNewPrompts) {
  PromptTracker tracker({});
  std::vector<LookupKey> keys{hit(1, 100, 0, 5), hit(2, 100, 1, 1)};
  tracker.on_lookup(keys, 0);
  EXPECT_EQ(tracker.facts(1).seen_in, 5U);
  tracker.on_lookup(chain({1, 40}), 1);
  EXPECT_EQ(tracker.facts(1).seen_in, 6U);
}

TEST(PromptTracker, KnownKeyIsNotOverwrittenByStoredLineage) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({1, 2}), 0);
  const PromptFacts before = tracker.facts(2);
  tracker.on_lookup(std::vector<LookupKey>{hit(1, 100, 0), hit(2, 100, 1)}, 1);
  EXPECT_EQ(tracker.facts(2).prompt, before.prompt);
}

TEST(PromptTracker, MissingKeyInFrontOfAKnownOneJoinsItsPrompt) {
  PromptTracker tracker({});
  std::vector<LookupKey> keys = chain({1, 2});
  keys.push_back(hit(3, 100, 2));
  tracker.on_lookup(keys, 0);
  EXPECT_EQ(tracker.facts(1).prompt.value, 100U);
  EXPECT_EQ(tracker.facts(1).position, 0U);
}

TEST(PromptTracker, RanksOfOneLookupAreSeparateChains) {
  const auto interleaved = [](bool rank_by_rank) {
    std::vector<LookupKey> keys;
    const auto add = [&](std::uint64_t rank, std::uint64_t chunk) {
      keys.push_back({.chain = rank, .digest = rank * 1000 + chunk, .hit = false, .stored = {}});
    };
    for (std::uint64_t outer = 1; outer <= 3; ++outer) {
      for (std::uint64_t inner = 1; inner <= 3; ++inner) {
        rank_by_rank ? add(outer, inner) : add(inner, outer);
      }
    }
    return keys;
  };
  for (const bool rank_by_rank : {true, false}) {
    PromptTracker tracker({});
    tracker.on_lookup(interleaved(rank_by_rank), 0);
    for (std::uint64_t rank = 1; rank <= 3; ++rank) {
      for (std::uint64_t chunk = 1; chunk <= 3; ++chunk) {
        const PromptFacts facts = tracker.facts(rank * 1000 + chunk);
        EXPECT_EQ(facts.position, chunk - 1);
        EXPECT_EQ(facts.seen_in, 1U);
        EXPECT_EQ(facts.turn, 1U);
        EXPECT_EQ(facts.prompt, tracker.facts(rank * 1000 + 1).prompt);
      }
    }
    EXPECT_NE(tracker.facts(1001).prompt, tracker.facts(2001).prompt);
  }
}

// Lookups that are no prefix: nothing may change.
class NoPrefix : public testing::TestWithParam<std::vector<LookupKey>> {};

TEST_P(NoPrefix, LookupChangesNothing) {
  PromptTracker tracker({.max_keys = 100, .max_age_s = 50});
  tracker.on_lookup(chain({1, 2, 3, 4}), 0);
  tracker.on_lookup(chain({1, 2, 20, 21}), 0);
  std::vector<PromptFacts> before;
  const std::vector<std::uint64_t> known{1, 2, 3, 4, 20, 21};
  for (const std::uint64_t digest : known) before.push_back(tracker.facts(digest));

  tracker.on_lookup(GetParam(), 40);

  for (std::size_t i = 0; i < known.size(); ++i) {
    EXPECT_TRUE(same(tracker.facts(known[i]), before[i])) << known[i];
  }
  EXPECT_EQ(tracker.size(), known.size());
  expect_unseen(tracker, 77);
  tracker.on_lookup(chain({500}), 60);
  for (const std::uint64_t digest : known) expect_unseen(tracker, digest);  // ages did not change
}

INSTANTIATE_TEST_SUITE_P(Lookups, NoPrefix,
                         testing::Values(chain({2, 1, 3}), chain({1, 3, 4}), chain({1, 2, 4, 77}),
                                         chain({3, 77}), chain({77, 1, 2, 3}), chain({77, 2, 3, 1}),
                                         chain({77, 78, 77}), chain({1, 1}),
                                         std::vector<LookupKey>{chain({1})[0], hit(77, 900, 5)}));

TEST(PromptTracker, LookupOfAPrefixChangesOneRankWhileAnotherIsPermuted) {
  PromptTracker tracker({});
  tracker.on_lookup(chain({1, 2}, 1), 0);
  std::vector<LookupKey> keys = chain({2, 1}, 1);
  for (const LookupKey& key : chain({50, 51}, 2)) keys.push_back(key);
  tracker.on_lookup(keys, 1);
  EXPECT_EQ(tracker.facts(1).turn, 1U);
  EXPECT_EQ(tracker.facts(51).position, 1U);
}

TEST(PromptTracker, KeysExpireUnlessLookedUp) {
  PromptTracker tracker({.max_keys = 100, .max_age_s = 10});
  tracker.on_lookup(chain({1, 2}), 1000);
  tracker.on_lookup(chain({1, 5}), 1008);
  EXPECT_EQ(tracker.facts(1).seen_in, 2U);
  tracker.on_lookup(chain({9}), 1015);
  expect_unseen(tracker, 2);
  EXPECT_EQ(tracker.facts(1).seen_in, 2U);
  EXPECT_NE(tracker.facts(5).prompt.value, 0U);
  tracker.on_lookup(chain({1, 2}), 1100);
  EXPECT_EQ(tracker.facts(1).seen_in, 1U) << "learnt anew";
  EXPECT_EQ(tracker.facts(1).turn, 1U);
  expect_unseen(tracker, 5);
}

TEST(PromptTracker, LearnsAnewWhatAgedWithoutBeingClearedAway) {
  PromptTracker tracker({.max_keys = 100, .max_age_s = 10});
  // One key per lookup clears two aged ones: the last of these are still there.
  for (std::uint64_t first = 100; first < 150; ++first) tracker.on_lookup(chain({first}), 0);
  tracker.on_lookup(chain({1, 2, 3}), 0);
  tracker.on_lookup(chain({1, 2, 30}), 0);
  tracker.on_lookup(chain({1}), 20);
  EXPECT_GT(tracker.size(), 10U);
  expect_unseen(tracker, 2);
  EXPECT_EQ(tracker.facts(1).seen_in, 1U);
  EXPECT_EQ(tracker.facts(1).turn, 1U);
  tracker.on_lookup(chain({1, 2}), 21);
  EXPECT_EQ(tracker.facts(2).prompt, tracker.facts(1).prompt);
  EXPECT_EQ(tracker.facts(1).turn, 2U);
  EXPECT_EQ(tracker.facts(1).seen_in, 1U);
}

TEST(PromptTracker, ClockGoingBackIsHarmless) {
  PromptTracker tracker({.max_keys = 100, .max_age_s = 10});
  tracker.on_lookup(chain({1}), 100);
  tracker.on_lookup(chain({2}), 50);
  EXPECT_EQ(tracker.facts(1).turn, 1U);
  EXPECT_EQ(tracker.facts(2).turn, 1U);
}

TEST(PromptTracker, OldestKeysGoFirstAndThePrefixLast) {
  PromptTracker tracker({.max_keys = 8, .max_age_s = 1000});
  tracker.on_lookup(chain({1, 2, 3, 4}), 0);
  tracker.on_lookup(chain({5, 6, 7, 8}), 0);
  tracker.on_lookup(chain({1, 2}), 0);
  tracker.on_lookup(chain({9, 10, 11}), 0);
  EXPECT_EQ(tracker.size(), 8U);
  for (const std::uint64_t digest : {1, 2, 5, 6, 7, 9, 10, 11}) {
    EXPECT_NE(tracker.facts(digest).prompt.value, 0U) << digest;
  }
  for (const std::uint64_t digest : {3, 4, 8}) expect_unseen(tracker, digest);
}

TEST(PromptTracker, FullMapContinuesThePromptThatIsLookedUp) {
  PromptTracker tracker({.max_keys = 4, .max_age_s = 1000});
  tracker.on_lookup(chain({1, 2}), 0);
  tracker.on_lookup(chain({8, 9}), 0);
  tracker.on_lookup(chain({1, 2, 3, 4}), 0);  // makes room without losing 1 and 2
  EXPECT_EQ(tracker.facts(4).prompt, tracker.facts(1).prompt);
  EXPECT_EQ(tracker.facts(1).turn, 2U);
  expect_unseen(tracker, 8);
}

TEST(PromptTracker, ChainLongerThanTheMapKeepsItsPrefix) {
  for (const std::size_t max_keys : {1, 2, 3}) {
    PromptTracker tracker({.max_keys = max_keys, .max_age_s = 1000});
    for (std::uint64_t base = 0; base < 5000; base += 10) {
      tracker.on_lookup(chain({base + 1, base + 2, base + 3, base + 4}), 0);
      ASSERT_EQ(tracker.size(), max_keys);
      ASSERT_EQ(tracker.facts(base + 1).position, 0U);
      ASSERT_NE(tracker.facts(base + max_keys).prompt.value, 0U);
      expect_unseen(tracker, base + 4);
    }
  }
}

TEST(PromptTracker, ManyPromptsStayApart) {
  constexpr std::uint64_t kPrompts = 20'000;  // more than the prompt index holds at first
  PromptTracker tracker({.max_keys = 1U << 17, .max_age_s = 1000});
  const auto keys_of = [](std::uint64_t prompt, std::uint64_t turn) {
    std::vector<LookupKey> keys = chain({1, 2});
    for (std::uint64_t i = 0; i < turn; ++i) keys.push_back(chain({(prompt + 1) << 8 | i})[0]);
    return keys;
  };
  for (std::uint64_t turn = 1; turn <= 3; ++turn) {
    for (std::uint64_t prompt = 0; prompt < kPrompts; ++prompt) {
      tracker.on_lookup(keys_of(prompt, turn), 0);
    }
  }
  EXPECT_EQ(tracker.size(), 2 + 3 * kPrompts);
  EXPECT_EQ(tracker.facts(1).seen_in, kPrompts);
  for (std::uint64_t prompt = 0; prompt < kPrompts; ++prompt) {
    const PromptFacts first = tracker.facts((prompt + 1) << 8);
    const PromptFacts last = tracker.facts((prompt + 1) << 8 | 2);
    ASSERT_EQ(first.prompt, last.prompt);
    ASSERT_EQ(first.turn, 3U);
    ASSERT_EQ(last.position, 4U);
    ASSERT_EQ(first.seen_in, 1U);
  }
}

TEST(PromptTracker, ThreadsLearnTogether) {
  PromptTracker tracker({.max_keys = 512, .max_age_s = 0.5});
  std::atomic<std::uint64_t> found{0};
  const auto work = [&](std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int round = 0; round < 2000; ++round) {
      std::vector<LookupKey> keys;
      const std::uint64_t prompt = random() % 40;
      const std::uint64_t length = 1 + random() % 30;
      for (std::uint64_t i = 0; i < length; ++i) {
        const std::uint64_t digest = i < 4 ? i : prompt * 1000 + i;
        keys.push_back({.chain = 1, .digest = digest, .hit = false, .stored = {}});
      }
      tracker.on_lookup(keys, static_cast<double>(round) / 1000);
      found += tracker.facts(keys.back().digest).prompt.value != 0 ? 1 : 0;
    }
  };
  std::vector<std::thread> threads;
  for (std::uint64_t seed = 1; seed <= 4; ++seed) threads.emplace_back(work, seed);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GT(found.load(), 0U);
  EXPECT_LE(tracker.size(), 512U);
}

}  // namespace
}  // namespace fdpstore::placement
