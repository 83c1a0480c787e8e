// Groups of buckets: the mathematics, what is learnt, and the policies that spread by them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "placement/adaptive_groups.hpp"
#include "placement/grouping.hpp"
#include "placement/policies.hpp"
#include "placement/reuse_model.hpp"
#include "unit/placement/object.hpp"

namespace fdpstore::placement {
namespace {

// ---------------------------------------------------------------------------------------- grouping

TEST(UniformAmplification, IsTheFixedPointOfFifoCleaning) {
  // A block holds u = 1 − 1/A live when it is cleaned, and u = exp(−α·(1 − u)) by then.
  for (const double spare : {0.005, 0.07, 0.1, 0.15, 0.28, 0.5, 1.0, 5.0, 50.0}) {
    const double live = 1 - 1 / uniform_amplification(1 + spare);
    EXPECT_NEAR(live, std::exp(-(1 + spare) * (1 - live)), 1e-9) << spare;
  }
  EXPECT_NEAR(uniform_amplification(1.07), 7.8, 0.02);
  EXPECT_NEAR(uniform_amplification(1.5), 1.716, 0.001);
}

TEST(Grouping, HotAndColdReachThePublishedOptimum) {
  // 20 % of the space takes 80 % of the writes, spare 15 %.
  const std::vector<BucketShare> buckets = {{.8, .2}, {.2, .8}};
  const std::vector<std::uint32_t> together = {0, 0}, apart = {0, 1};
  EXPECT_NEAR(grouped_amplification(buckets, together, 0.15), uniform_amplification(1.15), 0.02);
  EXPECT_NEAR(grouped_amplification(buckets, apart, 0.15), 2.83, 0.03);
  const Grouping best = best_grouping(buckets, 4, 0.15);
  EXPECT_EQ(best.group_of, apart);
  EXPECT_NEAR(best.amplification, 2.83, 0.03);
}

TEST(Grouping, OneGroupIsAll) {
  const std::vector<BucketShare> buckets = {{.5, .1}, {.3, .3}, {.2, .6}};
  EXPECT_EQ(best_grouping(buckets, 1, 0.1).group_of, (std::vector<std::uint32_t>{0, 0, 0}));
  EXPECT_TRUE(best_grouping({}, 3, 0.1).group_of.empty());
}

// All ways to cut buckets into at most `groups` runs.
double best_by_trial(const std::vector<BucketShare>& buckets, std::size_t groups, double spare) {
  double best = 1e9;
  for (std::uint32_t cuts = 0; cuts < 1U << (buckets.size() - 1); ++cuts) {
    if (static_cast<std::size_t>(__builtin_popcount(cuts)) + 1 > groups) continue;
    std::vector<std::uint32_t> group_of(buckets.size(), 0);
    for (std::size_t i = 1; i < buckets.size(); ++i) {
      group_of[i] = group_of[i - 1] + (cuts >> (i - 1) & 1);
    }
    best = std::min(best, grouped_amplification(buckets, group_of, spare));
  }
  return best;
}

TEST(Grouping, IsAsGoodAsTheBestOfAllWaysToCut) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> share(0.01, 1);
  for (int round = 0; round < 60; ++round) {
    std::vector<BucketShare> buckets(2 + random() % 7);
    double written = 0, live = 0;
    for (BucketShare& bucket : buckets) {
      bucket.written = share(random);
      bucket.live = bucket.written * std::pow(10, 3 * share(random) - 2);
      written += bucket.written;
      live += bucket.live;
    }
    for (BucketShare& bucket : buckets) {
      bucket.written /= written;
      bucket.live /= live;
    }
    std::ranges::sort(buckets, {}, [](const BucketShare& b) { return b.live / b.written; });
    const double spare = 0.05 + share(random);
    const std::size_t groups = 2 + random() % 3;
    const Grouping found = best_grouping(buckets, groups, spare);
    EXPECT_LE(found.amplification, best_by_trial(buckets, groups, spare) * 1.01) << round;
    EXPECT_LT(found.group_of.back(), groups) << round;
    EXPECT_TRUE(std::ranges::is_sorted(found.group_of)) << round;
  }
}

// --------------------------------------------------------------------------------- AdaptiveGroups

constexpr int kLook = 4096;  // objects between two looks

struct Load {
  std::uint64_t bucket;
  double life;
};

// Objects of these buckets in turn; true when the state changed.
bool feed(AdaptiveGroups& groups, const std::vector<Load>& loads, int objects) {
  bool changed = false;
  for (int i = 0; i < objects; ++i) {
    const Load& load = loads[static_cast<std::size_t>(i) % loads.size()];
    (void)groups.handle_for({load.bucket, 1U << 20, load.life}, changed);
  }
  return changed;
}

std::uint16_t handle_of(AdaptiveGroups& groups, const Load& load) {
  bool changed = false;
  return groups.handle_for({load.bucket, 0, load.life}, changed);
}

const std::vector<Load> kShortAndLong = {{1, 0.05}, {2, 3.0}};

TEST(AdaptiveGroups, NothingLearntIsTheLastHandle) {
  AdaptiveGroups groups(4);
  for (const Load& load : kShortAndLong) EXPECT_EQ(handle_of(groups, load), 3U);
}

TEST(AdaptiveGroups, MovesOnlyWhenBetterTwiceInARow) {
  AdaptiveGroups groups(4);
  EXPECT_TRUE(feed(groups, kShortAndLong, 2)) << "new buckets are remembered";
  EXPECT_FALSE(feed(groups, kShortAndLong, kLook - 2)) << "once";
  EXPECT_EQ(handle_of(groups, {1, 0.05}), 3U);
  EXPECT_TRUE(feed(groups, kShortAndLong, kLook)) << "twice";
  EXPECT_EQ(handle_of(groups, {1, 0.05}), 2U);
  EXPECT_EQ(handle_of(groups, {2, 3.0}), 3U);
  EXPECT_FALSE(feed(groups, kShortAndLong, 10 * kLook)) << "and stays";
}

TEST(AdaptiveGroups, LikeLivesStayTogether) {
  AdaptiveGroups groups(4);
  const std::vector<Load> alike = {{1, 0.5}, {2, 0.51}, {3, 0.52}};
  (void)feed(groups, alike, 3);
  EXPECT_FALSE(feed(groups, alike, 20 * kLook));
  for (const Load& load : alike) EXPECT_EQ(handle_of(groups, load), 3U);
}

TEST(AdaptiveGroups, ShorterLivesHaveLowerHandles) {
  AdaptiveGroups groups(3);
  const std::vector<Load> loads = {{9, 2.0}, {4, 0.3}, {7, 0.03}, {5, 0.033}, {1, 1.9}};
  (void)feed(groups, loads, 4 * kLook);
  EXPECT_EQ(handle_of(groups, {7, 0.03}), handle_of(groups, {5, 0.033}));
  EXPECT_EQ(handle_of(groups, {9, 2.0}), handle_of(groups, {1, 1.9}));
  EXPECT_LT(handle_of(groups, {7, 0.03}), handle_of(groups, {4, 0.3}));
  EXPECT_LT(handle_of(groups, {4, 0.3}), handle_of(groups, {9, 2.0}));
}

TEST(AdaptiveGroups, NewcomerGoesWhereLivesAreAlike) {
  AdaptiveGroups groups(4);
  (void)feed(groups, kShortAndLong, 2 * kLook);
  EXPECT_EQ(handle_of(groups, {77, 0.06}), 2U);
  EXPECT_EQ(handle_of(groups, {78, 2.0}), 3U);
}

TEST(AdaptiveGroups, FollowsALoadThatChanges) {
  AdaptiveGroups groups(2);
  (void)feed(groups, {{1, 0.05}, {2, 3.0}, {3, 3.0}}, 4 * kLook);
  ASSERT_NE(handle_of(groups, {1, 0.05}), handle_of(groups, {2, 3.0}));
  ASSERT_EQ(handle_of(groups, {2, 3.0}), handle_of(groups, {3, 3.0}));
  (void)feed(groups, {{1, 0.05}, {2, 0.05}, {3, 3.0}}, 30 * kLook);
  EXPECT_EQ(handle_of(groups, {1, 0.05}), handle_of(groups, {2, 0.05}));
  EXPECT_NE(handle_of(groups, {2, 0.05}), handle_of(groups, {3, 3.0}));
}

TEST(AdaptiveGroups, RemembersOverARestart) {
  AdaptiveGroups before(4);
  (void)feed(before, kShortAndLong, 3 * kLook);
  AdaptiveGroups after(4);
  for (const auto& [bucket, handle] : before.entries()) after.remember(bucket, handle);
  EXPECT_EQ(after.entries(), before.entries());
  EXPECT_EQ(handle_of(after, {1, 0.05}), 2U);
  EXPECT_EQ(handle_of(after, {2, 3.0}), 3U);
  AdaptiveGroups fewer(3);
  for (const auto& [bucket, handle] : before.entries()) fewer.remember(bucket, handle);
  EXPECT_EQ(fewer.entries(), (std::map<std::uint64_t, std::uint16_t>{{1, 2}}));
}

TEST(AdaptiveGroups, ManyBucketsShareWhatIsLeft) {
  AdaptiveGroups groups(4);
  bool changed = false;
  for (std::uint64_t i = 1; i <= 100'000; ++i) {
    ASSERT_LT(groups.handle_for({i, 4096, static_cast<double>(i % 100) / 20}, changed), 4U);
  }
  EXPECT_LE(groups.entries().size(), AdaptiveGroups::kMaxBuckets);
}

// ------------------------------------------------------------------------------------- the policy

TEST(ShippedAdaptive, SeparatesKindsAndKeepsThatOverARestart) {
  const PolicyLimits limits{.data_handles = 8, .reason = "test"};
  auto policy = load_policy("adaptive", limits);
  ASSERT_TRUE(policy) << policy.error().message();
  EXPECT_TRUE((*policy)->metadata_separate());
  EXPECT_LT((*policy)->reinsert_budget(), 0.03) << "1.03 in all is promised";
  ReuseModel model;
  ObjectFacts last = with_salt("a:1");
  last.prompt.reuse_class = model.class_of({.index = 15, .known = 8, .keys = 16});
  last.useful_life = 0.02;
  ObjectFacts inner = with_salt("a:1");
  inner.prompt.reuse_class = model.class_of({.index = 14, .known = 8, .keys = 16});
  inner.useful_life = 2;
  ASSERT_NE(ReuseModel::kind_of(last.prompt.reuse_class),
            ReuseModel::kind_of(inner.prompt.reuse_class));
  const std::uint64_t version = (*policy)->state_version();
  for (int i = 0; i < 2 * kLook; ++i) {
    (void)(*policy)->place(last);
    (void)(*policy)->place(inner);
  }
  EXPECT_GT((*policy)->state_version(), version);
  const StreamId short_lived = (*policy)->place(last), long_lived = (*policy)->place(inner);
  EXPECT_LT(short_lived.value, long_lived.value);
  EXPECT_EQ(long_lived.value, (*policy)->survivors().value);

  auto reopened = load_policy("adaptive", limits);
  ASSERT_TRUE(reopened);
  ASSERT_TRUE((*reopened)->restore_state((*policy)->save_state()));
  EXPECT_EQ((*reopened)->place(last).value, short_lived.value);
  EXPECT_EQ((*reopened)->place(inner).value, long_lived.value);
  EXPECT_EQ((*reopened)->save_state(), (*policy)->save_state());
}

// ------------------------------------------------------------------------------------ useful lives

TEST(ReuseModelLife, IsFromTheFirstLookupToTheLast) {
  ReuseModel model;
  model.set_live_objects(4096);
  const std::uint16_t once = model.class_of({.index = 0, .known = 0, .keys = 2});
  const std::uint16_t again = model.class_of({.index = 1, .known = 0, .keys = 2});
  ASSERT_NE(once, again);
  EXPECT_NEAR(model.life(once), 0.5, 1e-6) << "before anything is known";
  // Every other key comes back a turnover after its first time, and once more after another one.
  std::uint64_t next = 0;
  std::vector<std::uint64_t> keys;
  for (std::size_t i = 0; i < 60'000; ++i) {
    keys.push_back(++next);
    model.used(keys[i], again, 0);
    model.used(++next, once, 0);
    if (i >= 1024) model.used(keys[i - 1024], again, 1);
    if (i >= 2048) model.used(keys[i - 2048], again, 2);
  }
  EXPECT_LT(model.life(once), 0.05);
  EXPECT_NEAR(model.life(again), 2, 0.2);
}

}  // namespace
}  // namespace fdpstore::placement
