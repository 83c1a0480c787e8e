// Bins of chances, and the policies whose streams spread by them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "placement/lifetime_bins.hpp"
#include "placement/policies.hpp"
#include "unit/placement/object.hpp"

namespace fdpstore::placement {
namespace {

constexpr int kLearnt = 4096;  // chances after which bins are learnt anew

// Feeds whole windows of these chances, in turn.
void feed(LifetimeBins& bins, const std::vector<double>& chances, int windows = 1) {
  for (int i = 0; i < windows * kLearnt; ++i) {
    (void)bins.bin_of(chances[static_cast<std::size_t>(i) % chances.size()]);
  }
}

TEST(LifetimeBins, NothingLearntIsTheLastBin) {
  LifetimeBins bins(4);
  for (const double chance : {0.0, 0.3, 1.0}) EXPECT_EQ(bins.bin_of(chance), 3U);
  LifetimeBins one(1);
  EXPECT_EQ(one.bin_of(0.5), 0U);
}

TEST(LifetimeBins, EqualChancesShareABin) {
  LifetimeBins bins(4);
  feed(bins, {0.3});
  EXPECT_EQ(bins.bin_of(0.3), 3U);
  LifetimeBins close(4);
  feed(close, {0.30, 0.31, 0.32, 0.33, 0.34});
  EXPECT_EQ(close.bin_of(0.30), close.bin_of(0.34));
}

TEST(LifetimeBins, ChancesThatDifferAreSetApart) {
  LifetimeBins bins(4);
  feed(bins, {0.02, 0.25, 0.5, 0.9});
  const std::vector<std::size_t> found = {bins.bin_of(0.02), bins.bin_of(0.25), bins.bin_of(0.5),
                                          bins.bin_of(0.9)};
  EXPECT_EQ(found, (std::vector<std::size_t>{0, 1, 2, 3}));
  // In between: to the nearer one.
  EXPECT_EQ(bins.bin_of(0.65), 2U);
  EXPECT_EQ(bins.bin_of(0.75), 3U);
}

TEST(LifetimeBins, FewerKindsThanBinsTakeFewerBins) {
  LifetimeBins bins(4);
  feed(bins, {0.05, 0.9});
  EXPECT_LT(bins.bin_of(0.05), bins.bin_of(0.9));
  EXPECT_EQ(bins.bin_of(0.9), 3U);
  std::set<std::size_t> used;
  for (int i = 0; i < 100; ++i) used.insert(bins.bin_of(i % 2 == 0 ? 0.05 : 0.9));
  EXPECT_EQ(used.size(), 2U);
}

TEST(LifetimeBins, OneBinTakesWhatIsHardlyBetter) {
  LifetimeBins bins(3);
  feed(bins, {0.1, 0.50, 0.55});
  EXPECT_LT(bins.bin_of(0.1), bins.bin_of(0.5));
  EXPECT_EQ(bins.bin_of(0.50), bins.bin_of(0.55));
}

TEST(LifetimeBins, LearnsAnewAsChancesMove) {
  LifetimeBins bins(2);
  feed(bins, {0.1, 0.3});
  EXPECT_EQ(bins.bin_of(0.35), 1U);
  feed(bins, {0.4, 0.9}, 2);
  EXPECT_EQ(bins.bin_of(0.35), 0U);
}

TEST(LifetimeBins, BinsRiseWithTheChanceWhateverWasLearnt) {
  std::uint64_t x = 42;
  const auto random = [&] {
    x ^= x << 13, x ^= x >> 7, x ^= x << 17;
    return static_cast<double>(x >> 11) / 9007199254740992.0;
  };
  for (int round = 0; round < 60; ++round) {
    LifetimeBins bins(1 + static_cast<std::size_t>(round) % 7);
    std::vector<double> chances(1 + static_cast<std::size_t>(random() * 12));
    for (double& chance : chances) chance = random() < 0.2 ? 0 : random() * random();
    feed(bins, chances);
    std::size_t before = 0;
    for (int i = 0; i <= 200; ++i) {
      const std::size_t bin = bins.bin_of(i / 200.0);
      ASSERT_GE(bin, before) << "round " << round << ", chance " << i / 200.0;
      ASSERT_LE(bin, static_cast<std::size_t>(round) % 7);
      before = bin;
    }
  }
}

// ------------------------------------------------------------------------------- spread = lifetime

constexpr std::string_view kTwoStreams = R"(
stream.data.lifetime = medium
stream.data.handles  = 0-2
stream.data.spread   = lifetime
stream.small.lifetime = short
stream.small.handles = 3
survivors = data
rule = size<1KiB -> small
rule = * -> data
)";

std::unique_ptr<Policy> parsed(std::string_view text, std::uint32_t handles) {
  auto policy = parse_policy(text, "p", {.data_handles = handles, .reason = "test"});
  if (!policy) throw std::runtime_error(policy.error().message());
  return std::move(*policy);
}

ObjectFacts with_chance(double chance) {
  ObjectFacts facts = object();
  facts.reuse_chance = chance;
  return facts;
}

std::uint32_t handle_of(Policy& policy, double chance) {
  return policy.streams().at(policy.place(with_chance(chance)).value).handle;
}

TEST(LifetimeSpread, HandlesRiseWithTheChance) {
  auto policy = parsed(kTwoStreams, 4);
  EXPECT_EQ(handle_of(*policy, 0.01), 2U) << "nothing learnt: the last of them";
  for (int i = 0; i < kLearnt; ++i) (void)handle_of(*policy, i % 3 == 0 ? 0.01 : 0.3 * (i % 3));
  EXPECT_EQ(handle_of(*policy, 0.01), 0U);
  EXPECT_EQ(handle_of(*policy, 0.3), 1U);
  EXPECT_EQ(handle_of(*policy, 0.6), 2U);
  ObjectFacts small = with_chance(0.6);
  small.size_bytes = 10;
  EXPECT_EQ(policy->streams().at(policy->place(small).value).name, "small");
}

TEST(LifetimeSpread, SurvivorsGoToTheLastHandle) {
  auto policy = parsed(kTwoStreams, 4);
  EXPECT_EQ(policy->streams().at(policy->survivors().value).handle, 2U);
  EXPECT_EQ(policy->streams().at(policy->survivors().value).name, "data.2");
  // Other spreads keep them on the first.
  std::string by_key(kTwoStreams);
  by_key.replace(by_key.find("= lifetime\n"), 11, "= key\n");
  auto other = parsed(by_key, 4);
  EXPECT_EQ(other->streams().at(other->survivors().value).handle, 0U);
}

TEST(LifetimeSpread, OneHandleTakesAll) {
  auto policy =
      parsed("stream.data.handles = 0-3\nstream.data.spread = lifetime\nrule = * -> data\n", 1);
  for (int i = 0; i < 2 * kLearnt; ++i) ASSERT_EQ(handle_of(*policy, i % 10 / 10.0), 0U);
  EXPECT_EQ(policy->streams().at(policy->survivors().value).handle, 0U);
}

TEST(ShippedLifetime, UsesFourHandlesAndKeepsMetadataApart) {
  auto loaded = load_policy("lifetime", {.data_handles = 8, .reason = "test"});
  ASSERT_TRUE(loaded) << loaded.error().message();
  Policy& policy = **loaded;
  EXPECT_EQ(policy.streams().size(), 4U);
  EXPECT_TRUE(policy.metadata_separate());
  EXPECT_GT(policy.reinsert_budget(), 0);
  EXPECT_LT(policy.reinsert_budget(), 0.03) << "1.03 in all is promised";
  std::set<std::uint32_t> used;
  for (int i = 0; i < 2 * kLearnt; ++i) {
    const std::uint32_t handle = handle_of(policy, (i % 4 + 0.1) / 4);
    if (i >= kLearnt) used.insert(handle);
  }
  EXPECT_EQ(used, (std::set<std::uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(policy.streams().at(policy.survivors().value).handle, 3U);
}

}  // namespace
}  // namespace fdpstore::placement
