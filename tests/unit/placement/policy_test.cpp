#include <fmt/core.h>
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "placement/policies.hpp"
#include "unit/placement/expect.hpp"
#include "unit/placement/object.hpp"

namespace fdpstore::placement {
namespace {

std::unique_ptr<Policy> make(std::string_view text, std::uint32_t handles = 8,
                             std::string_view name = "test.policy") {
  auto policy = parse_policy(
      text, name,
      {.data_handles = handles, .reason = fmt::format("the device has {} handles", handles)});
  if (!policy) {
    ADD_FAILURE() << policy.error().message();
    return nullptr;
  }
  return std::move(*policy);
}

const StreamSpec& placed(Policy& policy, const ObjectFacts& facts) {
  return policy.streams().at(policy.place(facts).value);
}

// One stream over all handles, spread as given.
std::unique_ptr<Policy> spread_policy(std::string_view spread, std::uint32_t handles) {
  return make(fmt::format("stream.s.handles = all\nstream.s.spread = {}\nrule = * -> s\n", spread),
              handles);
}

constexpr std::string_view kThree = R"(
stream.shared.lifetime  = extreme
stream.shared.handles   = 0
stream.turns.lifetime   = medium
stream.turns.handles    = 1-2
stream.oneshot.lifetime = short
stream.oneshot.handles  = 3
survivors = shared
reinsert_budget = 0.25
metadata.handles = 4
metadata.lifetime = long
rule = prefix-shared -> shared
rule = salt:agent-* and turn>=2 -> turns
rule = class:chat -> turns
rule = * -> oneshot
)";

std::map<std::string, std::uint32_t> handles_of(const Policy& policy) {
  std::map<std::string, std::uint32_t> handles;
  for (const StreamSpec& spec : policy.streams()) handles[spec.name] = spec.handle;
  return handles;
}

TEST(Policy, FirstMatchingRuleDecides) {
  auto policy = make(kThree);
  EXPECT_EQ(policy->name(), "test");
  EXPECT_EQ(placed(*policy, object()).name, "oneshot");
  EXPECT_EQ(
      placed(*policy, with_prompt({.prompt = {5}, .position = 0, .seen_in = 2, .turn = 3})).name,
      "shared");
  ObjectFacts turn = with_prompt({.prompt = {4}, .position = 3, .seen_in = 1, .turn = 2});
  EXPECT_EQ(placed(*policy, turn).name, "oneshot") << "both conditions must hold";
  turn.key.cache_salt = "agent-1:x";
  EXPECT_EQ(placed(*policy, turn).name, "turns.0");
  turn.prompt.prompt.value = 5;
  EXPECT_EQ(placed(*policy, turn).name, "turns.1") << "spread by prompt";
  EXPECT_DOUBLE_EQ(policy->reinsert_budget(), 0.25);
  EXPECT_EQ(policy->streams().at(policy->survivors().value).name, "shared");
  EXPECT_TRUE(policy->metadata_separate());
  EXPECT_EQ(policy->metadata_lifetime(), Lifetime::long_lived);
}

TEST(Policy, AskedStreamWinsOverRules) {
  auto policy = make(kThree);
  ObjectFacts facts = asking_for("oneshot");
  facts.prompt = {.prompt = {5}, .position = 0, .seen_in = 2, .turn = 3};
  EXPECT_EQ(placed(*policy, facts).name, "oneshot");
  facts.explicit_stream = "turns";
  EXPECT_EQ(placed(*policy, facts).name, "turns.1");
  facts.explicit_stream = "turns.0";
  EXPECT_EQ(placed(*policy, facts).name, "turns.0");
  facts.explicit_stream = "chat";  // a class: before the rule for shared prefixes
  EXPECT_EQ(placed(*policy, facts).name, "turns.1");
  facts.explicit_stream = "no-such-stream";
  EXPECT_EQ(placed(*policy, facts).name, "shared");
}

TEST(Policy, EnoughHandlesAreUsedAsTheFileSays) {
  auto policy = make(kThree, 4);
  EXPECT_EQ(handles_of(*policy),
            (std::map<std::string, std::uint32_t>{
                {"shared", 0}, {"turns.0", 1}, {"turns.1", 2}, {"oneshot", 3}}));
  for (const StreamSpec& spec : policy->streams()) EXPECT_EQ(spec.merged_note, "");
}

TEST(PolicyMerging, NearestLifetimesMergeFirst) {
  auto three = make(kThree, 3);  // the two handles of one stream have the same lifetime
  EXPECT_EQ(handles_of(*three),
            (std::map<std::string, std::uint32_t>{{"shared", 0}, {"turns", 1}, {"oneshot", 2}}));
  EXPECT_EQ(three->streams()[0].merged_note, "");
  EXPECT_EQ(three->streams()[1].merged_note,
            "handle 1 stands for handles 1, 2 of the policy file, as the device has 3 handles");
  EXPECT_EQ(three->streams()[2].merged_note,
            "handle 2 stands for handle 3 of the policy file, as the device has 3 handles");

  auto two = make(kThree, 2);  // short–medium is nearer than medium–extreme
  EXPECT_EQ(handles_of(*two),
            (std::map<std::string, std::uint32_t>{{"shared", 0}, {"turns", 1}, {"oneshot", 1}}));
  EXPECT_EQ(two->streams()[1].lifetime, Lifetime::medium);
  EXPECT_EQ(two->streams()[2].lifetime, Lifetime::medium);
  EXPECT_EQ(two->streams()[2].merged_note,
            "merged with turns: handle 1 stands for handles 1, 2, 3 of the policy file, as the "
            "device has 2 handles; everything there counts as lifetime medium");

  auto one = make(kThree, 1);
  for (const StreamSpec& spec : one->streams()) {
    EXPECT_EQ(spec.handle, 0U);
    EXPECT_EQ(spec.lifetime, Lifetime::extreme);
    EXPECT_TRUE(contains(spec.merged_note, "the device has 1 handles"));
  }
}

TEST(PolicyMerging, SparseHandlesMoveToFreeOnes) {
  auto policy =
      make("stream.a.handles = 9\nstream.b.handles = 0\nstream.c.handles = 5\nrule = * -> a\n", 3);
  EXPECT_EQ(handles_of(*policy),
            (std::map<std::string, std::uint32_t>{{"a", 2}, {"b", 0}, {"c", 1}}));
  EXPECT_EQ(policy->streams()[0].merged_note,
            "handle 2 stands for handle 9 of the policy file, as the device has 3 handles");
}

TEST(PolicyMerging, ManyHandlesOfOneStreamStayBalanced) {
  auto policy = make("stream.s.handles = 0-7\nstream.s.spread = rank\nrule = * -> s\n", 4);
  ASSERT_EQ(policy->streams().size(), 4U);
  std::set<std::uint32_t> used;
  for (std::uint32_t rank = 0; rank < 4; ++rank)
    used.insert(placed(*policy, with_rank(rank)).handle);
  EXPECT_EQ(used.size(), 4U);
}

TEST(PolicyMerging, StreamsThatShareAHandleInTheFileSayTheCommonLifetime) {
  auto policy = make(
      "stream.a.handles = 0\nstream.a.lifetime = short\nstream.b.handles = 0\n"
      "stream.b.lifetime = long\nrule = * -> a\n");
  EXPECT_EQ(policy->streams()[0].lifetime, Lifetime::long_lived);
  EXPECT_EQ(policy->streams()[0].merged_note,
            "shares handle 0 with b, as the policy file says; everything there counts as lifetime "
            "long");
}

TEST(PolicyMerging, AllMeansAsManyAsThereAre) {
  for (const std::uint32_t handles : {1U, 2U, 5U, 128U, 1000U, 0U}) {
    auto policy = spread_policy("rank", handles);
    EXPECT_EQ(policy->streams().size(), std::clamp(handles, 1U, 128U));
    for (const StreamSpec& spec : policy->streams()) EXPECT_EQ(spec.merged_note, "");
  }
  auto rest = make("stream.a.handles = 0\nstream.b.handles = 1-\nrule = * -> b\n", 4);
  EXPECT_EQ(rest->streams().size(), 4U);
  auto none_left = make("stream.a.handles = 0\nstream.b.handles = 1-\nrule = * -> b\n", 1);
  EXPECT_EQ(none_left->streams()[1].handle, 0U);
  EXPECT_TRUE(contains(none_left->streams()[1].merged_note, "merged with a"));
}

TEST(PolicySpread, RankGoesRoundTheHandles) {
  auto policy = spread_policy("rank", 3);
  for (std::uint32_t rank = 0; rank < 10; ++rank) {
    EXPECT_EQ(placed(*policy, with_rank(rank)).handle, rank % 3);
  }
  ObjectFacts facts = with_rank(1);
  facts.explicit_rank = 2;
  EXPECT_EQ(placed(*policy, facts).handle, 2U) << "the explicit rank comes first";
}

TEST(PolicySpread, PromptStaysTogetherAndUnseenUsesTheFirst) {
  auto policy = spread_policy("prompt", 4);
  std::set<std::uint32_t> used;
  for (std::uint32_t prompt = 1; prompt <= 50; ++prompt) {
    ObjectFacts facts = with_prompt({.prompt = {prompt}, .position = 0, .seen_in = 1, .turn = 1});
    const std::uint32_t handle = placed(*policy, facts).handle;
    facts.prompt.position = 9;
    EXPECT_EQ(placed(*policy, facts).handle, handle);
    used.insert(handle);
  }
  EXPECT_EQ(used.size(), 4U);
  EXPECT_EQ(placed(*policy, object()).handle, 0U);
}

TEST(PolicySpread, KeyIsStableAndRoundRobinTurns) {
  auto by_key = spread_policy("key", 4);
  std::set<std::uint32_t> used;
  for (int i = 0; i < 64; ++i) {
    const std::array<std::byte, 1> hash{static_cast<std::byte>(i)};
    ObjectFacts facts = object();
    facts.key.chunk_hash = hash;
    const std::uint32_t handle = placed(*by_key, facts).handle;
    EXPECT_EQ(placed(*by_key, facts).handle, handle);
    used.insert(handle);
  }
  EXPECT_EQ(used.size(), 4U);
  auto in_turn = spread_policy("round-robin", 3);
  for (std::uint32_t i = 0; i < 9; ++i) EXPECT_EQ(placed(*in_turn, object()).handle, i % 3);
}

TEST(PolicyTenants, FirstComeOwnHandleThenLeastLoaded) {
  auto policy = spread_policy("tenant", 3);
  EXPECT_EQ(policy->state_version(), 0U);
  EXPECT_EQ(placed(*policy, with_salt("a:1")).handle, 0U);
  EXPECT_EQ(placed(*policy, with_salt("b")).handle, 1U);
  EXPECT_EQ(placed(*policy, with_salt("a:2")).handle, 0U) << "the tenant ends at ':'";
  EXPECT_EQ(policy->state_version(), 2U);
  EXPECT_EQ(placed(*policy, object()).handle, 2U) << "no salt is a tenant too";
  EXPECT_EQ(placed(*policy, with_salt("d")).handle, 0U);
  EXPECT_EQ(placed(*policy, with_salt("e")).handle, 1U);
  EXPECT_EQ(placed(*policy, with_salt("f")).handle, 2U);
  EXPECT_EQ(policy->state_version(), 6U);
  EXPECT_EQ(placed(*policy, with_salt("b:9")).handle, 1U);
  EXPECT_EQ(policy->state_version(), 6U) << "nothing new, nothing to save";
}

TEST(PolicyTenants, TenantRankTellsRanksApart) {
  auto policy = spread_policy("tenant-rank", 8);
  ObjectFacts facts = with_rank(0);
  facts.key.cache_salt = "a";
  EXPECT_EQ(placed(*policy, facts).handle, 0U);
  facts.explicit_rank = 1;
  EXPECT_EQ(placed(*policy, facts).handle, 1U);
  facts.key.cache_salt = "b";
  EXPECT_EQ(placed(*policy, facts).handle, 2U);
  facts.key.cache_salt = "a:x";
  EXPECT_EQ(placed(*policy, facts).handle, 1U);
}

TEST(PolicyTenants, AssignmentSurvivesARestart) {
  auto before = spread_policy("tenant", 4);
  for (const auto* salt : {"a", "b", "c", "d", "e", "f"}) (void)before->place(with_salt(salt));
  const std::string state = before->save_state();
  auto after = spread_policy("tenant", 4);
  ASSERT_TRUE(after->restore_state(state));
  EXPECT_EQ(after->save_state(), state);
  for (const auto* salt : {"f", "d", "b", "e", "c", "a"}) {
    EXPECT_EQ(after->place(with_salt(salt)), before->place(with_salt(salt))) << salt;
  }
  EXPECT_EQ(after->state_version(), 0U);
  EXPECT_EQ(placed(*after, with_salt("new")).handle, 2U) << "loads are restored too";
}

TEST(PolicyTenants, StateOfMoreHandlesKeepsWhatStillFits) {
  auto before = spread_policy("tenant", 4);
  for (const auto* salt : {"a", "b", "c", "d"}) (void)before->place(with_salt(salt));
  auto after = spread_policy("tenant", 2);
  ASSERT_TRUE(after->restore_state(before->save_state()));
  EXPECT_EQ(placed(*after, with_salt("b")).handle, 1U);
  EXPECT_LT(placed(*after, with_salt("d")).handle, 2U);
}

TEST(PolicyTenants, ForeignAndDamagedStatesAreRefused) {
  auto policy = spread_policy("tenant", 4);
  (void)policy->place(with_salt("a"));
  const std::string own = policy->save_state();
  auto other = make("stream.s.handles = all\nstream.s.spread = tenant\nrule = * -> s\n", 4,
                    "/etc/other.policy");
  EXPECT_FALSE(policy->restore_state(other->save_state()));
  for (const std::string& bad :
       {std::string(), std::string("garbage"), own + "s 1\n", own + "s x 12\n", own + "s 1 zz\n",
        own + "s 70000 12\n", own + "s 1 12 3\n", "x" + own, own + "s 1 11111111111111111\n",
        own + std::string("\0\0\0", 3)}) {
    EXPECT_FALSE(policy->restore_state(bad)) << bad;
    EXPECT_EQ(policy->save_state(), own);
  }
  EXPECT_TRUE(policy->restore_state(own));
}

TEST(PolicyTenants, RememberedTenantsAreBounded) {
  auto policy = spread_policy("tenant", 4);
  for (int i = 0; i < 6000; ++i) (void)policy->place(with_salt(fmt::format("t{}", i)));
  EXPECT_EQ(policy->state_version(), 4096U);
  EXPECT_LT(policy->save_state().size(), 128U << 10);
  const StreamId overflow = policy->place(with_salt("t5999"));
  EXPECT_EQ(policy->place(with_salt("t5999")), overflow);
  auto after = spread_policy("tenant", 4);
  ASSERT_TRUE(after->restore_state(policy->save_state()));
  EXPECT_EQ(after->place(with_salt("t5999")), overflow) << "by hash, so it needs no memory";
}

}  // namespace
}  // namespace fdpstore::placement
