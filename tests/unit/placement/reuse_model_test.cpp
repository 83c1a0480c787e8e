// What the model learns from lookups of known kinds, and how much of them it keeps.
#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdint>
#include <set>
#include <vector>

#include "placement/reuse_model.hpp"

namespace fdpstore::placement {
namespace {

constexpr double kStart = 0.3;  // what is said of a class before anything has been seen
constexpr std::uint64_t kTalk = 7;

ReuseModel::Place place(std::size_t index, std::size_t known, std::size_t keys,
                        std::uint64_t chain = kTalk) {
  return {.chain = chain, .index = index, .known = known, .keys = keys};
}

// Looks up chains in a model, as the tracker does; keys are numbers.
class Talker {
 public:
  explicit Talker(ReuseModel& model, std::uint64_t chain = kTalk) : model_(model), chain_(chain) {}

  // `known` keys from the front were there; their classes are those of their first lookup.
  void look_up(const std::vector<std::uint64_t>& keys, std::size_t known,
               std::vector<std::uint16_t>& classes) {
    classes.resize(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      if (i >= known) classes[i] = model_.class_of(place(i, known, keys.size(), chain_));
      model_.used(keys[i], classes[i], i < known ? 1 : 0);
    }
  }

 private:
  ReuseModel& model_;
  std::uint64_t chain_;
};

// Conversations of several turns: each turn ends in a chunk that is cut off differently the next
// time, so the last key of a lookup is never seen again, and all others are.
void converse(ReuseModel& model, int conversations, std::uint64_t chain = kTalk) {
  Talker talker(model, chain);
  std::uint64_t next = chain << 40;
  std::vector<std::vector<std::uint64_t>> open(64);
  std::vector<std::vector<std::uint16_t>> classes(open.size());
  for (int turn = 0; turn < conversations; ++turn) {
    const std::size_t at = static_cast<std::size_t>(turn) % open.size();
    auto& keys = open[at];
    if (keys.size() >= 32) keys.clear();  // a new one
    if (!keys.empty()) keys.pop_back();
    const std::size_t known = keys.size();
    for (int i = 0; i < 8; ++i) keys.push_back(++next);
    talker.look_up(keys, known, classes[at]);
  }
}

TEST(ReuseModel, BeginsWithAGuessForEveryClass) {
  const ReuseModel model;
  for (const std::uint16_t one : std::initializer_list<std::uint16_t>{0, 1, 77, 4096}) {
    for (std::uint32_t uses = 0; uses < 5; ++uses)
      EXPECT_NEAR(model.chance(one, uses), kStart, 1e-6);
  }
}

TEST(ReuseModel, LastKeysOfChainsAreLearntToBeUsedOnce) {
  ReuseModel model;
  converse(model, 8000);
  const std::uint16_t last = model.class_of(place(15, 7, 16));
  const std::uint16_t inner = model.class_of(place(14, 7, 16));
  ASSERT_NE(last, inner);
  EXPECT_LT(model.chance(last, 0), 0.05);
  EXPECT_GT(model.chance(inner, 0), 0.8);
}

TEST(ReuseModel, ConversationsAreToldFromOneShotSuffixes) {
  ReuseModel model;
  converse(model, 4000, 1);
  // The other tenant asks for a shared first key and 9 new ones behind it, never again.
  Talker talker(model, 2);
  std::uint64_t next = std::uint64_t{1} << 50;
  for (int i = 0; i < 4000; ++i) {
    std::vector<std::uint64_t> keys = {42};
    std::vector<std::uint16_t> classes = {model.class_of(place(0, 0, 10, 2))};
    for (int k = 0; k < 9; ++k) keys.push_back(++next);
    talker.look_up(keys, 1, classes);
  }
  EXPECT_GT(model.chance(model.class_of(place(9, 7, 16, 1)), 0), 0.8);
  EXPECT_LT(model.chance(model.class_of(place(4, 1, 10, 2)), 0), 0.05);
}

TEST(ReuseModel, HowOftenAnObjectWasUsedCounts) {
  ReuseModel model;
  Talker talker(model);
  std::uint64_t next = 0;
  const std::uint16_t kind = model.class_of(place(0, 0, 4));
  // Half of the keys come back, and those come back often.
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t key = ++next;
    model.used(key, kind, 0);
    if (i % 2 == 0) continue;
    for (std::uint32_t uses = 1; uses <= 6; ++uses) model.used(key, kind, uses);
  }
  EXPECT_NEAR(model.chance(kind, 0), 0.5, 0.1);
  EXPECT_GT(model.chance(kind, 1), 0.95);
  EXPECT_GT(model.chance(kind, 2), 0.95);
  EXPECT_GT(model.chance(kind, 3), model.chance(kind, 0));
  EXPECT_EQ(model.chance(kind, 3), model.chance(kind, 1000)) << "3 stands for more";
}

TEST(ReuseModel, ClassSeenLittleLeansOnItsElders) {
  ReuseModel model;
  converse(model, 8000);
  // A chain of a length that never came, of the same owner: as its inner keys elsewhere.
  const std::uint16_t longer = model.class_of(place(200, 100, 250));
  EXPECT_GT(model.chance(longer, 0), 0.7);
  // An owner who never came: as all keys.
  const double stranger = model.chance(model.class_of(place(3, 0, 8, 99)), 0);
  EXPECT_GT(stranger, 0.4);
  EXPECT_LT(stranger, 0.95);
}

TEST(ReuseModel, LearnsAnewWhenTheLoadChanges) {
  ReuseModel model;
  const std::uint16_t kind = model.class_of(place(2, 0, 4));
  std::uint64_t next = 0;
  for (int i = 0; i < 300'000; ++i) {
    model.used(++next, kind, 0);
    model.used(next, kind, 1);
  }
  const double before = model.chance(kind, 0);
  EXPECT_GT(before, 0.9);
  // Once only from now on. A share falls by a hundredth every eighth of a turnover.
  for (int i = 0; i < 200'000; ++i) model.used(++next, kind, 0);
  EXPECT_LT(model.chance(kind, 0), 0.1);
}

TEST(ReuseModel, KeyThatComesBackTooLateCountsAsNotUsedAgain) {
  ReuseModel model;
  model.set_live_objects(4096);
  const std::uint16_t kind = model.class_of(place(2, 0, 4));
  // Every key comes back after 5 turnovers; the store cannot hold it for so long.
  constexpr std::uint64_t kAway = 5 * 4096;
  for (std::uint64_t i = 0; i < 100'000; ++i) model.used(i % kAway, kind, 0);
  EXPECT_LT(model.chance(kind, 0), 0.05);
  ReuseModel sooner;
  sooner.set_live_objects(4096);
  for (std::uint64_t i = 0; i < 100'000; ++i) sooner.used(i % 4096, kind, 0);
  EXPECT_GT(sooner.chance(kind, 0), 0.95);
}

TEST(ReuseModel, ChancesStayWithinZeroAndOne) {
  ReuseModel model;
  std::uint64_t x = 88172645463325252ULL;
  for (int i = 0; i < 300'000; ++i) {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    const std::size_t keys = 1 + x % 200;
    const std::uint16_t one =
        x % 11 == 0 ? 0 : model.class_of(place(x % keys, x / 7 % (keys + 1), keys, x % 100));
    if (x % 50'021 == 0) model.set_live_objects(x % 100'000);
    model.used(x % 5000, one, static_cast<std::uint32_t>(x >> 40 & 15));
  }
  std::set<double> chances;
  for (std::uint32_t one = 0; one < 5000; ++one) {
    for (std::uint32_t uses = 0; uses < 4; ++uses) {
      const double chance = model.chance(static_cast<std::uint16_t>(one), uses);
      ASSERT_GE(chance, 0) << one;
      ASSERT_LE(chance, 1) << one;
      chances.insert(chance);
    }
  }
  EXPECT_GT(chances.size(), 100U);
}

TEST(ReuseModel, ClassesFitTheIndexsThirteenBits) {
  ReuseModel model;
  std::set<std::uint16_t> all;
  for (std::uint64_t chain = 0; chain < 400; ++chain) {
    for (const std::size_t keys : {1UL, 2UL, 3UL, 7UL, 64UL, 1000UL, 1UL << 20, ~0UL}) {
      for (const std::size_t known : {std::size_t{0}, std::size_t{2}, keys / 2, keys - 1, keys}) {
        for (const std::size_t index : {std::size_t{0}, keys / 4, keys - 1}) {
          const std::uint16_t one = model.class_of(place(index, known, keys, chain));
          ASSERT_GE(one, 1);
          ASSERT_LT(one, 1 << 13);
          all.insert(one);
        }
      }
    }
  }
  EXPECT_GT(all.size(), 1000U) << "they differ, too";
  // What a damaged record could bring is answered, too.
  EXPECT_EQ(model.chance(UINT16_MAX, UINT32_MAX), model.chance(0, 3));
}

TEST(ReuseModel, StrangersDoNotTakeTheNumbersOfKnownOwners) {
  ReuseModel model;
  std::vector<std::uint16_t> classes;
  for (std::uint64_t chain = 0; chain < 60; ++chain) {
    classes.push_back(model.class_of(place(2, 0, 4, chain)));
  }
  EXPECT_EQ(std::set(classes.begin(), classes.end()).size(), classes.size());
  for (std::uint64_t chain = 1000; chain < 100'000; ++chain) {
    (void)model.class_of(place(2, 0, 4, chain));
  }
  for (std::uint64_t chain = 0; chain < 60; ++chain) {
    EXPECT_EQ(model.class_of(place(2, 0, 4, chain)), classes[chain]) << chain;
  }
  // Those who found no number share one.
  EXPECT_EQ(model.class_of(place(2, 0, 4, 99'999)), model.class_of(place(2, 0, 4, 99'998)));
}

std::size_t bytes_in_use() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(ReuseModel, MemoryStaysBounded) {
  ReuseModel model;
  model.set_live_objects(1'000'000);
  const std::size_t before = bytes_in_use();
  if (before == 0) GTEST_SKIP() << "this allocator does not say what is in use";
  std::size_t most = 0;
  for (std::uint64_t key = 1; key <= 6'000'000; ++key) {
    model.used(key * 0x9E3779B97F4A7C15ULL, model.class_of(place(0, 0, 4, key)), 0);
    if (key % 100'000 == 0) most = std::max(most, bytes_in_use());
    // A store that empties: the sample becomes denser, and must stay bounded.
    if (key == 4'500'000) model.set_live_objects(10'000);
  }
  EXPECT_LT(most - std::min(most, before), 32U << 20);
  EXPECT_LT(model.chance(model.class_of(place(0, 0, 4, 1)), 0), 0.1) << "it did take samples";
}

}  // namespace
}  // namespace fdpstore::placement
