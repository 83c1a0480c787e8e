#include <fmt/core.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "placement/embedded_policies.hpp"
#include "placement/policies.hpp"
#include "support/files.hpp"
#include "unit/placement/expect.hpp"
#include "unit/placement/object.hpp"

namespace fdpstore::placement {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kShipped[] = {"adaptive",      "lifetime", "mixed",       "none",
                                         "per-prompt",    "per-rank", "round-robin", "separated",
                                         "storage-class", "tenant",   "tenant-rank"};

PolicyLimits limits(std::uint32_t handles) {
  return {.data_handles = handles, .reason = fmt::format("the device has {} handles", handles)};
}

std::unique_ptr<Policy> load(std::string_view name, std::uint32_t handles = 8) {
  auto policy = load_policy(name, limits(handles));
  if (!policy) {
    ADD_FAILURE() << policy.error().message();
    return nullptr;
  }
  return std::move(*policy);
}

const StreamSpec& stream_for(Policy& policy, const ObjectFacts& facts) {
  return policy.streams().at(policy.place(facts).value);
}

// A directory for files of one test; $FDPSTORE_POLICY_DIR points to it while the test runs.
class PolicyDirectory : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / fmt::format("fdpstore-policies-{}", getpid());
    fs::create_directories(directory_);
    setenv("FDPSTORE_POLICY_DIR", directory_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("FDPSTORE_POLICY_DIR");
    fs::remove_all(directory_);
  }
  fs::path write(std::string_view name, std::string_view text) {
    const fs::path path = directory_ / name;
    std::ofstream(path) << text;
    return path;
  }
  fs::path directory_;
};

TEST(ShippedPolicies, EachWorksOnAnyNumberOfHandles) {
  for (const std::string_view name : kShipped) {
    for (const std::uint32_t handles : {1U, 2U, 3U, 4U, 6U, 8U, 16U}) {
      auto policy = load(name, handles);
      ASSERT_TRUE(policy);
      EXPECT_EQ(policy->name(), name);
      EXPECT_FALSE(policy->description().empty());
      ASSERT_FALSE(policy->streams().empty());
      std::set<std::string> names;
      for (const StreamSpec& spec : policy->streams()) {
        EXPECT_LT(spec.handle, handles) << name;
        EXPECT_TRUE(names.insert(spec.name).second) << spec.name;
      }
      EXPECT_LT(policy->survivors().value, policy->streams().size());
      for (std::uint32_t i = 0; i < 100; ++i) {
        ObjectFacts facts = with_rank(i % 8);
        facts.prompt = {.prompt = {i}, .position = i, .seen_in = i % 3, .turn = i % 5};
        facts.size_bytes = 1ULL << (i % 27);
        EXPECT_LT(policy->place(facts).value, policy->streams().size());
      }
    }
  }
}

TEST(ShippedPolicies, AreListedWithDescriptions) {
  std::set<std::string> names;
  for (const ShippedPolicy& policy : shipped_policies()) {
    EXPECT_FALSE(policy.description.empty()) << policy.name;
    EXPECT_FALSE(contains(policy.description, "cannot be used")) << policy.name;
    names.insert(policy.name);
  }
  for (const std::string_view name : kShipped) EXPECT_TRUE(names.contains(std::string(name)));
}

TEST(ShippedPolicies, CompiledInCopyIsTheSourceFile) {
  const fs::path source = policy_directories().back();
  std::size_t compared = 0;
  for (const EmbeddedPolicy& policy : embedded_policies()) {
    EXPECT_EQ(policy.text, test::read_text(source / fmt::format("{}.policy", policy.name)))
        << policy.name;
    EXPECT_TRUE(parse_policy(policy.text, policy.name, limits(4))) << policy.name;
    ++compared;
  }
  EXPECT_EQ(compared, std::size(kShipped));
}

TEST(ShippedPolicies, NoneGivesNoHintAndKeepsMetadataWithData) {
  auto policy = load("none");
  EXPECT_EQ(policy->streams().size(), 1U);
  EXPECT_EQ(policy->streams()[0].lifetime, Lifetime::not_set);
  EXPECT_EQ(policy->metadata_lifetime(), Lifetime::not_set);
  EXPECT_FALSE(policy->metadata_separate());
}

TEST(ShippedPolicies, MixedAndSeparatedDifferInTheMetadata) {
  auto mixed = load("mixed"), separated = load("separated");
  EXPECT_EQ(mixed->streams().size(), 1U);
  EXPECT_FALSE(mixed->metadata_separate());
  EXPECT_EQ(mixed->metadata_lifetime(), mixed->streams()[0].lifetime);
  EXPECT_EQ(separated->streams().size(), 1U);
  EXPECT_TRUE(separated->metadata_separate());
}

TEST(ShippedPolicies, PerRankFollowsTheRankInOrder) {
  auto policy = load("per-rank", 4);
  for (std::uint32_t rank = 0; rank < 8; ++rank) {
    EXPECT_EQ(stream_for(*policy, with_rank(rank)).handle, rank % 4);
  }
}

TEST(ShippedPolicies, TenantsGetHandlesOfTheirOwn) {
  auto policy = load("tenant", 4);
  EXPECT_NE(stream_for(*policy, with_salt("a:x")).handle,
            stream_for(*policy, with_salt("b:x")).handle);
  auto pairs = load("tenant-rank", 4);
  ObjectFacts facts = with_rank(0);
  facts.key.cache_salt = "a";
  const std::uint32_t first = stream_for(*pairs, facts).handle;
  facts.explicit_rank = 1;
  EXPECT_NE(stream_for(*pairs, facts).handle, first);
}

TEST(ShippedPolicies, PerPromptSetsSharedPrefixesApart) {
  auto policy = load("per-prompt", 6);
  EXPECT_EQ(
      stream_for(*policy, with_prompt({.prompt = {9}, .position = 0, .seen_in = 2, .turn = 1}))
          .name,
      "shared");
  EXPECT_EQ(stream_for(*policy, object()).name, "unseen");
  std::set<std::uint32_t> used;
  for (std::uint32_t prompt = 1; prompt < 40; ++prompt) {
    used.insert(
        stream_for(*policy,
                   with_prompt({.prompt = {prompt}, .position = 1, .seen_in = 1, .turn = 1}))
            .handle);
  }
  EXPECT_EQ(used, (std::set<std::uint32_t>{2, 3, 4, 5}));
}

TEST(ShippedPolicies, RoundRobinUsesEveryHandle) {
  auto policy = load("round-robin", 4);
  for (std::uint32_t i = 0; i < 8; ++i) EXPECT_EQ(stream_for(*policy, object()).handle, i % 4);
}

TEST(ShippedPolicies, StorageClassesFollowTheCallerThenTheRules) {
  auto policy = load("storage-class");
  const auto stream_of = [&](const ObjectFacts& facts) {
    const std::string& name = stream_for(*policy, facts).name;
    return name.substr(0, name.find('.'));
  };
  EXPECT_EQ(stream_of(asking_for("hot_churn")), "churn");
  EXPECT_EQ(stream_of(asking_for("small_model")), "churn");
  EXPECT_EQ(stream_of(asking_for("cold_rag")), "cold");
  EXPECT_EQ(stream_of(asking_for("large_model")), "cold");
  EXPECT_EQ(stream_of(asking_for("metadata_heavy")), "small");
  EXPECT_EQ(stream_of(asking_for("coding_agent")), "agents");
  EXPECT_EQ(stream_of(asking_for("cold")), "cold");
  EXPECT_EQ(stream_of(with_salt("rag-docs:1")), "cold");
  EXPECT_EQ(stream_of(with_salt("agent-7")), "agents");
  EXPECT_EQ(stream_of(object()), "churn");
  ObjectFacts facts = object();
  facts.key.model_name = "org/Model-70B";
  EXPECT_EQ(stream_of(facts), "cold");
  facts = object();
  facts.reuse_count = 2;
  EXPECT_EQ(stream_of(facts), "cold");
  facts = object();
  facts.size_bytes = 1000;
  EXPECT_EQ(stream_of(facts), "small");
}

TEST_F(PolicyDirectory, OwnFileOfTheSameNameComesFirst) {
  write("tenant.policy", "description = mine\nstream.x.handles = 0\nrule = * -> x\n");
  EXPECT_EQ(load("tenant")->description(), "mine");
  EXPECT_EQ(load("mixed")->name(), "mixed");
  write("extra.policy", "description = more\nstream.x.handles = 0\nrule = * -> x\n");
  write("broken.policy", "what\n");
  std::map<std::string, std::string> listed;
  for (const ShippedPolicy& policy : shipped_policies()) listed[policy.name] = policy.description;
  EXPECT_EQ(listed["tenant"], "mine");
  EXPECT_EQ(listed["extra"], "more");
  EXPECT_TRUE(contains(listed["broken"], "broken.policy:1: 'what'"));
}

TEST_F(PolicyDirectory, PathIsReadAsItIs) {
  const fs::path path =
      write("own-rules.policy", "description = mine\nstream.x.handles = 0\nrule = * -> x\n");
  auto policy = load_policy(path.string(), limits(2));
  ASSERT_TRUE(policy) << policy.error().message();
  EXPECT_EQ((*policy)->name(), "own-rules");
}

TEST_F(PolicyDirectory, ErrorsNameTheFileOrTheChoices) {
  auto unknown = load_policy("tennant", limits(2));
  ASSERT_FALSE(unknown);
  EXPECT_TRUE(contains(unknown.error().what, "policy = 'tennant' is not known"));
  EXPECT_TRUE(contains(unknown.error().what, "storage-class, tenant, tenant-rank"));
  EXPECT_FALSE(load_policy("", limits(2)));

  const std::string missing = (directory_ / "missing.policy").string();
  auto absent = load_policy(missing, limits(2));
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, std::errc::no_such_file_or_directory);
  EXPECT_TRUE(contains(absent.error().what, missing));

  auto directory = load_policy(directory_.string(), limits(2));
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, std::errc::is_a_directory);

  const std::string bad = write("bad.policy", "\nrule = * -> y\n").string();
  auto invalid = load_policy(bad, limits(2));
  ASSERT_FALSE(invalid);
  EXPECT_TRUE(starts_with(invalid.error().what, bad + ":2: "));
}

}  // namespace
}  // namespace fdpstore::placement
