// What recipes promise: order, chains, tenants, ranks, sizes; and the same trace for the same seed.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "support/sanitizers.hpp"
#include "unit/trace/support.hpp"

namespace fdpstore::trace {
namespace {

bool same_ops(const Trace& a, const Trace& b) {
  return std::ranges::equal(a.ops, b.ops, [](const Op& x, const Op& y) {
    return x.time_s == y.time_s && x.kind == y.kind && x.scope == y.scope && x.keys == y.keys &&
           x.first_key == y.first_key && x.object_bytes == y.object_bytes;
  });
}

std::uint64_t digest(const Trace& trace) {
  std::uint64_t sum = 0;
  const auto add = [&](std::uint64_t value) { sum = (sum ^ value) * 0x100000001B3U; };
  for (const Op& op : trace.ops) {
    add(static_cast<std::uint64_t>(op.time_s * 1000 + 0.5));
    add(op.scope);
    for (const std::uint64_t key : trace.keys_of(op)) add(key);
  }
  return sum;
}

class EveryRecipe : public testing::TestWithParam<std::string> {};

TEST_P(EveryRecipe, IsInOrderAndWithinItsBounds) {
  const Trace trace = made(GetParam() + ",scale=0.2");
  ASSERT_FALSE(trace.ops.empty());
  EXPECT_EQ(trace.ops.front().time_s, 0);
  double latest = 0;
  for (const Op& op : trace.ops) {
    EXPECT_GE(op.time_s, latest);
    latest = op.time_s;
    ASSERT_LT(op.scope, trace.scopes.size());
    ASSERT_GT(op.keys, 0U);
    ASSERT_LE(op.first_key + op.keys, trace.keys.size());
    ASSERT_GT(op.object_bytes, 0U);
    ASSERT_EQ(op.key_tokens, 256U);
    const auto keys = trace.keys_of(op);
    ASSERT_EQ(std::set(keys.begin(), keys.end()).size(), keys.size()) << "a key twice in one op";
  }
  for (const Scope& scope : trace.scopes) {
    EXPECT_FALSE(scope.cache_salt.empty());
    EXPECT_FALSE(scope.storage_class.empty());
  }
}

TEST_P(EveryRecipe, GivesTheSameTraceForTheSameSeed) {
  const Trace first = made(GetParam() + ",scale=0.05,seed=7");
  const Trace again = made(GetParam() + ",scale=0.05,seed=7");
  const Trace other = made(GetParam() + ",scale=0.05,seed=8");
  EXPECT_TRUE(same_ops(first, again));
  EXPECT_EQ(first.keys, again.keys);
  EXPECT_NE(digest(first), digest(other));
}

// One size in one scope: a store and LRU alike take a key's size as fixed.
TEST_P(EveryRecipe, KeepsOneObjectSizeInAScope) {
  const Trace trace = made(GetParam() + ",scale=0.05");
  std::map<std::uint16_t, std::set<std::uint64_t>> sizes;
  for (const Op& op : trace.ops) sizes[op.scope].insert(op.object_bytes);
  for (const auto& [scope, seen] : sizes) EXPECT_EQ(seen.size(), 1U) << scope;
}

// Chains: the same id always follows the same id, unless it may stand first.
TEST_P(EveryRecipe, GivesAnIdToOnePrefixOnly) {
  const Trace trace = made(GetParam() + ",scale=0.2");
  std::map<std::uint64_t, std::uint64_t> before;
  std::uint64_t inconsistent = 0;
  for (const Op& op : trace.ops) {
    const Scope& scope = trace.scopes[op.scope];
    if (op.kind != OpKind::request || scope.storage_class == "metadata_heavy") continue;
    std::uint64_t previous = UINT64_MAX;
    for (const std::uint64_t key : trace.keys_of(op)) {
      inconsistent += before.try_emplace(key, previous).first->second != previous ? 1 : 0;
      previous = key;
    }
  }
  EXPECT_EQ(inconsistent, 0U);
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  for (const RecipeInfo& info : recipes()) names.emplace_back(info.name);
  return names;
}
INSTANTIATE_TEST_SUITE_P(Recipes, EveryRecipe, testing::ValuesIn(recipe_names()),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

TEST(Generate, MakesAsManyRequestsAsAskedForOncePerRank) {
  const Trace trace = made("chat,requests=500,tenants=3,ranks=4,object_bytes=1MiB,duration_s=600");
  ASSERT_EQ(trace.ops.size(), 500U * 4);
  EXPECT_EQ(trace.scopes.size(), 3U * 4);
  for (std::size_t i = 0; i < trace.ops.size(); i += 4) {
    for (std::size_t rank = 0; rank < 4; ++rank) {
      const Op& op = trace.ops[i + rank];
      EXPECT_EQ(op.time_s, trace.ops[i].time_s);
      EXPECT_EQ(op.first_key, trace.ops[i].first_key);
      EXPECT_EQ(op.object_bytes, 1U << 20);
      EXPECT_EQ(trace.scopes[op.scope].kv_rank, 0x04000400U + rank * 0x10001);
      EXPECT_EQ(trace.scopes[op.scope].cache_salt, trace.scopes[trace.ops[i].scope].cache_salt);
    }
  }
  EXPECT_GT(trace.ops.back().time_s, 300);
  EXPECT_LT(trace.ops.back().time_s, 1800);
}

TEST(Generate, ArrivalsFillTheDuration) {
  for (const char* name : {"rag", "random", "metadata", "chat", "tool_agent"}) {
    const Trace trace = made(std::string(name) + ",duration_s=36000");
    EXPECT_NEAR(trace.ops.back().time_s, 36'000, 3600) << name;
  }
}

// A later turn of a conversation has an earlier one's chunks as its prefix.
TEST(Generate, TurnsRepeatWhatCameBefore) {
  const Trace trace = made("chat");
  std::set<std::uint64_t> ends;  // the last chunks of earlier requests
  std::uint64_t continued = 0;
  for (const Op& op : trace.ops) {
    const auto keys = trace.keys_of(op);
    continued += std::ranges::any_of(keys, [&](auto key) { return ends.contains(key); }) ? 1 : 0;
    ends.insert(keys.back());
  }
  // All turns but the first, of 2.5 on average, less those whose beginning was asked again.
  EXPECT_GT(static_cast<double>(continued) / static_cast<double>(trace.ops.size()), 0.5);
}

TEST(Generate, TenantsShareNothingAndAskUnequally) {
  const Trace trace = made("rag,tenants=4");
  std::map<std::string, std::set<std::uint64_t>> keys;
  std::map<std::string, int> requests;
  for (const Op& op : trace.ops) {
    const std::string& salt = trace.scopes[op.scope].cache_salt;
    ++requests[salt];
    keys[salt].insert(trace.keys_of(op).begin(), trace.keys_of(op).end());
  }
  std::size_t sum = 0;
  for (const auto& [salt, own] : keys) sum += own.size();
  EXPECT_EQ(sum, unique_keys(trace));
  EXPECT_NEAR(requests["rag-0"] / static_cast<double>(requests["rag-3"]), 4, 1.2);
}

// Of a document that does not come first the ids depend on what comes before it.
TEST(Generate, RagSharesADocumentOnlyWhereItComesFirst) {
  const Trace trace = made("rag,tenants=1,requests=4000");
  std::map<std::uint64_t, int> uses;
  for (const std::uint64_t key : trace.keys) ++uses[key];
  std::uint64_t first = 0, first_seen_before = 0, last = 0, last_seen_before = 0;
  for (const Op& op : trace.ops) {
    const auto keys = trace.keys_of(op);
    EXPECT_EQ(uses[keys[0]], 4000);   // the system prompt
    EXPECT_EQ(uses[keys.back()], 1);  // the question
    ++first;
    first_seen_before += uses[keys[3]] > 1 ? 1 : 0;  // of the first document
    ++last;
    last_seen_before += uses[keys[keys.size() - 2]] > 1 ? 1 : 0;  // of the last document
  }
  EXPECT_GT(static_cast<double>(first_seen_before) / static_cast<double>(first), 0.9);
  EXPECT_LT(static_cast<double>(last_seen_before) / static_cast<double>(last), 0.5);
}

TEST(Generate, RandomDeletesAndStoresUniformlyFromAFixedSet) {
  const Trace trace = made("random");
  std::set<std::uint64_t> there;
  std::map<std::uint64_t, int> stores;
  for (const Op& op : trace.ops) {
    for (const std::uint64_t key : trace.keys_of(op)) {
      if (op.kind == OpKind::erase) {
        EXPECT_EQ(there.erase(key), 1U);
      } else {
        ASSERT_EQ(op.kind, OpKind::store);
        EXPECT_TRUE(there.insert(key).second) << "stored while it is there";
        ++stores[key];
      }
    }
  }
  // 24,576 stores over 8192 keys: a share of e^-3 is never chosen.
  EXPECT_NEAR(static_cast<double>(stores.size()), 8192 * 0.95, 60);
  const auto most = std::ranges::max_element(stores, {}, [](auto& one) { return one.second; });
  EXPECT_LT(most->second, 20);
}

TEST(Generate, MetadataHasAHotSetThatChanges) {
  const Trace trace = made("metadata");
  std::map<std::uint64_t, int> uses;
  for (const Op& op : trace.ops) {
    ASSERT_EQ(op.keys, 1U);
    ++uses[trace.keys_of(op)[0]];
  }
  EXPECT_GT(uses.size(), 3000U);
  EXPECT_LT(uses.size(), 8000U);
  // The most popular item takes 11 % of the requests, and is replaced after some twenty uses.
  const auto most = std::ranges::max_element(uses, {}, [](auto& one) { return one.second; });
  EXPECT_GT(most->second, 40);
  EXPECT_LT(most->second, 400);
}

TEST(Generate, SharedPrefixesAreMostOfSharedPrefixHeavyAndAreReplaced) {
  const Trace trace = made("shared_prefix_heavy,tenants=1");
  std::map<std::uint64_t, std::pair<double, double>> first_keys;
  std::uint64_t references = 0;
  for (const Op& op : trace.ops) {
    references += op.keys;
    auto& [from, to] = first_keys.try_emplace(trace.keys_of(op)[0], op.time_s, 0).first->second;
    to = op.time_s - from;
  }
  EXPECT_LT(static_cast<double>(unique_keys(trace)), 0.1 * static_cast<double>(references));
  EXPECT_GT(first_keys.size(), 4U);  // three prompts at a time, each for some 20 minutes
  EXPECT_LT(first_keys.size(), 25U);
}

TEST(Generate, CodingContextsAreSummedUp) {
  const Trace trace = made("coding_agent");
  std::uint32_t most = 0;
  std::set<std::uint64_t> first_keys;
  for (const Op& op : trace.ops) {
    most = std::max(most, op.keys);
    first_keys.insert(trace.keys_of(op)[0]);
  }
  EXPECT_LE(first_keys.size(), 8U);  // the system prompts stay: two for each of four tenants
  EXPECT_LE(most, 480U);
  EXPECT_GT(most, 400U);
}

TEST(Generate, ScaleMultipliesRequestsAndWorkingSet) {
  for (const char* name : {"chat", "rag", "random", "metadata", "hot_churn"}) {
    const Trace one = made(name), half = made(std::string(name) + ",scale=0.5");
    const auto ratio = [](auto a, auto b) {
      return static_cast<double>(a) / static_cast<double>(b);
    };
    EXPECT_NEAR(ratio(one.ops.size(), half.ops.size()), 2, 0.1) << name;
    EXPECT_NEAR(ratio(unique_keys(one), unique_keys(half)), 2, 0.25) << name;
    EXPECT_NEAR(ratio(one.ops.back().time_s, half.ops.back().time_s), 1, 0.2) << name;
  }
}

class Mix : public testing::TestWithParam<const char*> {};

TEST_P(Mix, WorkersTouchTheSameBytesAtTheSameTime) {
  constexpr double kScale = test::kSanitized ? 0.4 : 1;
  const Trace trace = made(fmt::format("{},scale={}", GetParam(), kScale));
  ASSERT_EQ(trace.scopes.size(), 9U);
  std::map<std::uint16_t, std::set<std::uint64_t>> keys;
  std::map<std::uint16_t, std::pair<double, std::uint64_t>> facts;  // last time, object bytes
  for (const Op& op : trace.ops) {
    keys[op.scope].insert(trace.keys_of(op).begin(), trace.keys_of(op).end());
    facts[op.scope] = {op.time_s, op.object_bytes};
  }
  ASSERT_EQ(keys.size(), 9U);
  std::set<std::pair<std::string, std::uint64_t>> identities;
  for (const auto& [scope, own] : keys) {
    const auto bytes = static_cast<double>(own.size() * facts[scope].second);
    EXPECT_NEAR(bytes / static_cast<double>(std::uint64_t{64} << 30), kScale, 0.1 * kScale)
        << trace.scopes[scope].cache_salt;
    EXPECT_EQ(facts[scope].first, 3600) << trace.scopes[scope].cache_salt;
    identities.insert({trace.scopes[scope].cache_salt, trace.scopes[scope].kv_rank});
  }
  EXPECT_EQ(identities.size(), 9U);
}
INSTANTIATE_TEST_SUITE_P(Generate, Mix, testing::Values("mix-rawblock", "mix-agentic"),
                         [](const auto& one) { return std::string(one.param).substr(4); });

// Where few objects are wanted, a number of requests says little about theirs.
TEST(Generate, MixReachesItsBytesAtASmallScaleToo) {
  const Trace trace = made("mix-rawblock,scale=0.02,seed=5");
  std::map<std::string, std::set<std::uint64_t>> keys;
  for (const Op& op : trace.ops) {
    keys[trace.scopes[op.scope].cache_salt].insert(trace.keys_of(op).begin(),
                                                   trace.keys_of(op).end());
  }
  const double mib = 64.0 * 1024 * 0.02;
  EXPECT_NEAR(static_cast<double>(keys["chat-0"].size()) * 4, mib, 0.2 * mib);
  EXPECT_NEAR(static_cast<double>(keys["rag-3"].size()) * 16, mib, 0.4 * mib);
  EXPECT_NEAR(static_cast<double>(keys["rag-4"].size()) * 16, mib, 0.4 * mib);
}

TEST(Generate, MixRawblockIsThatOfThePullRequest) {
  const Trace trace = made("mix-rawblock,scale=0.05");
  std::map<std::string, std::set<std::uint16_t>> workers;
  for (const Op& op : trace.ops) {
    const std::string& salt = trace.scopes[op.scope].cache_salt;
    workers[salt.substr(0, salt.find('-')) + ' ' + std::to_string(op.object_bytes >> 20)].insert(
        op.scope);
  }
  std::map<std::string, std::size_t> counts;
  for (const auto& [name, scopes] : workers) counts[name] = scopes.size();
  EXPECT_EQ(counts,
            (std::map<std::string, std::size_t>{
                {"chat 4", 2}, {"long 32", 1}, {"rag 16", 2}, {"random 2", 3}, {"metadata 1", 1}}));
}

TEST(Generate, MixTakesRequestsInAll) {
  const Trace trace = made("mix-rawblock,requests=5000");
  EXPECT_NEAR(static_cast<double>(trace.ops.size()), 5000, 1000);
  const auto refused = generate({.name = "mix-agentic", .tenants = 2});
  ASSERT_FALSE(refused);
  EXPECT_TRUE(contains(refused.error().what, "leave out tenants"));
}

TEST(Generate, MillionKeysAreMadeInLinearTime) {
  using Clock = std::chrono::steady_clock;
  for (const char* spec : {"chat,scale=8", "rag,scale=24", "mix-agentic"}) {
    const auto begin = Clock::now();
    const Trace trace = made(spec);
    const std::chrono::duration<double> took = Clock::now() - begin;
    ASSERT_GT(trace.keys.size(), 500'000U) << spec;
    const double per_million = took.count() * 1e6 / static_cast<double>(trace.keys.size());
    // A second; sanitizers on a busy machine took 28. What is quadratic takes many minutes.
    EXPECT_LT(per_million, 200) << spec;
    RecordProperty(spec, std::to_string(per_million));
  }
}

TEST(Recipe, ParametersAreReadWithTheirUnits) {
  const auto recipe = parse_recipe("chat,object_bytes=2MiB,requests=10,seed=0,scale=0.5");
  ASSERT_TRUE(recipe);
  EXPECT_EQ(recipe->object_bytes, 2U << 20);
  EXPECT_EQ(recipe->requests, 10U);
  EXPECT_EQ(recipe->seed, 0U);
  EXPECT_EQ(recipe->scale, 0.5);
  EXPECT_EQ(command_of(*recipe),
            "fdpstore gen-trace chat --seed 0 --object-bytes 2097152 --requests 10 --scale 0.5");
}

TEST(Recipe, AgenticTakesAClass) {
  EXPECT_EQ(parse_recipe("agentic,class=browser,seed=2")->name, "browser");
  EXPECT_EQ(parse_recipe("agentic")->name, "mixed_agent");
}

TEST(Recipe, MistakesAreNamedWithWhatIsPossible) {
  const std::pair<const char*, const char*> cases[] = {
      {"chatt", "known are chat long rag"},
      {"", "there is no recipe ''"},
      {"chat,tenant=4", "no parameter 'tenant'; known are seed"},
      {"chat,tenants", "write name=value"},
      {"chat,tenants=four", "tenants = 'four': a whole number from 1 to 4096"},
      {"chat,tenants=0", "from 1"},
      {"chat,tenants=-1", "from 1"},
      {"chat,scale=nan", "scale = 'nan': a number"},
      {"chat,scale=1e9", "to 1000"},
      {"chat,object_bytes=4 Mb", "a size (4096, 4MiB, 1.5GB)"},
      {"chat,requests=99999999999999999999", "from 1"},
      {"chat,class=browser", "no parameter 'class'"},
      {"agentic,class=none", "no recipe 'none'"},
  };
  for (const auto& [spec, expected] : cases) {
    const auto recipe = parse_recipe(spec);
    ASSERT_FALSE(recipe) << spec;
    EXPECT_EQ(recipe.error().code, Errc::invalid_argument);
    EXPECT_TRUE(contains(recipe.error().what, expected)) << spec;
  }
  EXPECT_FALSE(generate({.name = "nothing"}));
}

}  // namespace
}  // namespace fdpstore::trace
