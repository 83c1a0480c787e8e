#include "placement/policy_file.hpp"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>

#include "unit/placement/expect.hpp"
#include "unit/placement/object.hpp"

namespace fdpstore::placement {
namespace {

constexpr std::string_view kExample = R"(
description = Shared prefixes apart from conversations apart from one-shot work
stream.shared.lifetime  = extreme      # RWH_WRITE_LIFE_EXTREME on the file's inode
stream.shared.handles   = 0            # index into the data PIDs, or into the write streams
stream.turns.lifetime   = medium
stream.turns.handles    = 1-2          # objects spread over both by prompt
stream.oneshot.lifetime = short
stream.oneshot.handles  = 3
metadata.handles        = 4
rule = prefix-shared            -> shared
rule = salt:agent-* and turn>=2 -> turns
rule = *                        -> oneshot
)";

TEST(PolicyFile, DesignExampleIsRead) {
  const auto file = parse_policy_file(kExample, "example");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->description, "Shared prefixes apart from conversations apart from one-shot work");
  ASSERT_EQ(file->streams.size(), 3U);
  EXPECT_EQ(file->streams[0].name, "shared");
  EXPECT_EQ(file->streams[0].lifetime, Lifetime::extreme);
  EXPECT_EQ(file->streams[1].handles[0].first, 1U);
  EXPECT_EQ(file->streams[1].handles[0].last, 2U);
  EXPECT_EQ(file->streams[1].spread, Spread::prompt);
  EXPECT_EQ(file->streams[2].lifetime, Lifetime::short_lived);
  ASSERT_EQ(file->rules.size(), 3U);
  EXPECT_EQ(file->rules[1].conditions.size(), 2U);
  EXPECT_EQ(file->rules[2].stream, 2U);
  EXPECT_EQ(file->survivors, 0U) << "the longest lifetime";
  EXPECT_DOUBLE_EQ(file->reinsert_budget, 0.03);
  EXPECT_TRUE(file->metadata_separate);
}

TEST(PolicyFile, SectionsAndCarriageReturnsAreConfigSyntax) {
  const auto file = parse_policy_file(
      "# comment\r\nrule = * -> b\r\nreinsert_budget = 1\nsurvivors = b\n"
      "metadata.lifetime = not_set\n[stream.a] # its section\r\nlifetime = none\r\nhandles=0,2\n"
      "[stream.b]\nhandles = all\nspread = tenant-rank",
      "x");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->streams[0].lifetime, Lifetime::none);
  EXPECT_EQ(file->streams[0].handles.size(), 2U);
  EXPECT_EQ(file->streams[1].spread, Spread::tenant_rank);
  EXPECT_EQ(file->survivors, 1U);
  EXPECT_FALSE(file->metadata_separate);
}

TEST(PolicyFile, MetadataIsSeparateUnlessItSharesDataHandles) {
  const auto separate = [](std::string_view metadata, std::string_view handles = "0-1") {
    const auto file = parse_policy_file(
        fmt::format("stream.a.handles = {}\n{}\nrule = * -> a\n", handles, metadata), "x");
    EXPECT_TRUE(file) << (file ? "" : file.error().message());
    return file && file->metadata_separate;
  };
  EXPECT_FALSE(separate(""));
  EXPECT_FALSE(separate("metadata.handles = 0"));
  EXPECT_FALSE(separate("metadata.handles = 0-1"));
  EXPECT_TRUE(separate("metadata.handles = 2"));
  EXPECT_TRUE(separate("metadata.handles = 2-3,7"));
  EXPECT_TRUE(separate("metadata.handles = own"));
  EXPECT_TRUE(separate("metadata.handles = own", "all"));
  EXPECT_TRUE(separate("metadata.handles = 0", "1-"));
}

struct BadFile {
  std::string_view name;
  std::string_view text;
  std::string_view start;  // "origin:line: …"
  std::string_view remedy;
};
class PolicyFileError : public testing::TestWithParam<BadFile> {};

TEST_P(PolicyFileError, NamesPlaceAndRemedy) {
  const auto file = parse_policy_file(GetParam().text, "p.policy");
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, make_error_code(Errc::invalid_option));
  EXPECT_TRUE(starts_with(file.error().what, GetParam().start));
  EXPECT_TRUE(contains(file.error().what, GetParam().remedy));
}

const BadFile kBadFiles[] = {
    {"Empty", "", "p.policy:1: no stream is declared", "stream.data.handles = 0"},
    {"NoAssignment", "# one\nstream.a.handles 0\n", "p.policy:2: 'stream.a.handles 0' is neither",
     "valid keys are description"},
    {"UnknownKey", "colour = red\n", "p.policy:1: unknown key 'colour'", "valid keys are"},
    {"UnknownStreamKey", "stream.a.speed = 3\n", "p.policy:1: a stream has no 'speed'",
     "lifetime, handles and spread"},
    {"RuleInSection", "[stream.a]\nhandles = 0\nrule = * -> a\n",
     "p.policy:3: a stream has no 'rule'", "in front of the first [section]"},
    {"StreamWithoutName", "stream..handles = 3\n", "p.policy:1: unknown key 'stream..handles'",
     "stream.<name>.lifetime"},
    {"StreamNameWithDot", "stream.a.b.handles = 3\n", "p.policy:1: unknown key 'stream.a.b",
     "letters, digits"},
    {"StreamNameWithBlank", "stream.a b.handles = 3\n", "p.policy:1: unknown key", "letters"},
    {"Lifetime", "\nstream.a.lifetime = forever\n",
     "p.policy:2: stream.a.lifetime = 'forever' is not known",
     "not_set, none, short, medium, long, extreme"},
    {"MetadataLifetime", "metadata.lifetime = x\n", "p.policy:1: metadata.lifetime = 'x'",
     "not_set, none, short"},
    {"Spread", "stream.a.spread = wide\n", "p.policy:1: stream.a.spread = 'wide' is not known",
     "prompt, rank, tenant, tenant-rank, key, round-robin"},
    {"HandlesWord", "stream.a.handles = first\n", "p.policy:1: stream.a.handles: 'first' is no",
     "0, 1-2, or 0-3,8, 2- for all"},
    {"HandlesEmpty", "stream.a.handles =\n", "p.policy:1: stream.a.handles: '' is no", "0, 1-2"},
    {"HandlesBackwards", "stream.a.handles = 3-1\n", "p.policy:1: stream.a.handles: '3-1'",
     "0, 1-2"},
    {"HandlesNegative", "stream.a.handles = -1\n", "p.policy:1: stream.a.handles: '-1'", "0, 1-2"},
    {"HandlesOpenInTheMiddle", "stream.a.handles = 1-,5\n", "p.policy:1: stream.a.handles: '1-,5'",
     "2- for all"},
    {"HandlesHuge", "stream.a.handles = 99999999999\n", "p.policy:1: stream.a.handles", "0, 1-2"},
    {"HandlesBeyond", "stream.a.handles = 0-128\n",
     "p.policy:1: stream.a.handles = '0-128': handle 128 is beyond the highest, 127",
     "count the store's data handles"},
    {"NoHandles", "description = x\nstream.a.lifetime = short\nrule = * -> a\n",
     "p.policy:2: stream 'a' has no handles", "stream.a.handles = 0"},
    {"Twice", "stream.a.handles = 0\nstream.a.handles = 1\n",
     "p.policy:2: 'stream.a.handles' is set for the second time, first in line 1", "keep one"},
    {"TwiceBySection", "stream.a.handles = 0\n[stream.a]\nhandles = 1\n", "p.policy:3: 'stream.a.h",
     "first in line 1"},
    {"Budget", "reinsert_budget = 3%\n", "p.policy:1: reinsert_budget = '3%'", "from 0 to 1"},
    {"BudgetTooMuch", "reinsert_budget = 1.5\n", "p.policy:1: reinsert_budget = '1.5'",
     "from 0 to 1"},
    {"BudgetNan", "reinsert_budget = nan\n", "p.policy:1: reinsert_budget = 'nan'", "from 0 to 1"},
    {"Survivors", "stream.a.handles = 0\nsurvivors = b\nrule = * -> a\n",
     "p.policy:2: 'survivors = b' names the unknown stream 'b'", "use one of: a"},
    {"NoRule", "stream.a.handles = 0\n\n", "p.policy:2: no rule takes the objects that are left",
     "rule = * -> a"},
    {"NoCatchAll", "stream.a.handles = 0\nrule = unseen -> a\n", "p.policy:2: no rule takes",
     "end the rules with 'rule = * -> a'"},
    {"AfterCatchAll", "stream.a.handles = 0\nrule = * -> a\nrule = unseen -> a\n",
     "p.policy:3: 'rule = unseen -> a' can never apply: the rule in line 2", "move it above"},
    {"TwoCatchAlls", "stream.a.handles = 0\nrule = * -> a\nrule = * -> a\n", "p.policy:3: 'rule",
     "can never apply"},
    {"CatchAllAnd", "stream.a.handles = 0\nrule = * and unseen -> a\n", "p.policy:2: '*' in",
     "stands alone"},
    {"NoArrow", "stream.a.handles = 0\nrule = * a\n", "p.policy:2: 'rule = * a' has no target",
     "-> <stream>"},
    {"NoTarget", "stream.a.handles = 0\nrule = * ->\n", "p.policy:2: 'rule = * ->' names the unk",
     "use one of: a"},
    {"UnknownTarget", "stream.a.handles = 0\nstream.b.handles = 1\nrule = * -> c\n",
     "p.policy:3: 'rule = * -> c' names the unknown stream 'c'", "use one of: a, b"},
    {"UnknownCondition", "stream.a.handles = 0\nrule = often -> a\n",
     "p.policy:2: in 'rule = often -> a': unknown condition 'often'", "prefix-shared, unseen"},
    {"UnknownComparison", "stream.a.handles = 0\nrule = age>2 -> a\n",
     "p.policy:2: in 'rule = age>2 -> a': unknown condition 'age>2'", "turn>=N"},
    {"UnknownMatch", "stream.a.handles = 0\nrule = user:x -> a\n",
     "p.policy:2: in 'rule = user:x -> a': unknown condition 'user:x'", "tenant:GLOB"},
    {"EmptyCondition", "stream.a.handles = 0\nrule = -> a\n", "p.policy:2: in 'rule = -> a': unk",
     "valid conditions are"},
    {"DanglingAnd", "stream.a.handles = 0\nrule = unseen and and turn=2 -> a\n", "p.policy:2: in",
     "unknown condition 'and turn=2'"},
    {"Operator", "stream.a.handles = 0\nrule = turn=>2 -> a\n",
     "p.policy:2: in 'rule = turn=>2 -> a': '=>' in 'turn=>2' is no comparison",
     "<, <=, =, >= or >"},
    {"NoNumber", "stream.a.handles = 0\nrule = turn>=two -> a\n",
     "p.policy:2: in 'rule = turn>=two -> a': 'two' in 'turn>=two' is no whole number", "turn>=2"},
    {"TurnWithUnit", "stream.a.handles = 0\nrule = turn>=2KiB -> a\n", "p.policy:2: in",
     "no whole number"},
    {"SizeUnit", "stream.a.handles = 0\nrule = size>=4Mb -> a\n",
     "p.policy:2: in 'rule = size>=4Mb -> a': '4Mb' in 'size>=4Mb' is no size", "512KiB or 4MiB"},
    {"SizeOverflow", "stream.a.handles = 0\nrule = size>=99999999999GiB -> a\n", "p.policy:2: in",
     "is no size"},
    {"RankList", "stream.a.handles = 0\nrule = rank:x -> a\n",
     "p.policy:2: in 'rule = rank:x -> a': in 'rank:x': 'x' is no list of numbers", "0-3,8"},
    {"EmptyClass", "stream.a.handles = 0\nrule = class: -> a\n",
     "p.policy:2: in 'rule = class: -> a': 'class:' names nothing", "class:hot_churn"},
    {"ClassOfAStream", "stream.a.handles = 0\nrule = stream:a -> a\nrule = * -> a\n",
     "p.policy:2: 'stream:a' in 'rule = stream:a -> a' never decides", "name a class"},
    {"MetadataAmbiguous", "stream.a.handles = 1-\nmetadata.handles = 4\nrule = * -> a\n",
     "p.policy:2: metadata.handles = '4' may or may not", "metadata.handles = own"},
    {"MetadataPartly", "stream.a.handles = 1\nmetadata.handles = 1-2\nrule = * -> a\n",
     "p.policy:2: metadata.handles = '1-2' names handles of streams and others", "none of them"},
    {"MetadataWord", "stream.a.handles = 1\nmetadata.handles = all\nrule = * -> a\n",
     "p.policy:2: metadata.handles: 'all' is no list", "0, 1-2"},
};
INSTANTIATE_TEST_SUITE_P(All, PolicyFileError, testing::ValuesIn(kBadFiles),
                         [](const auto& test) { return std::string(test.param.name); });

bool matches(std::string_view term, const ObjectFacts& facts) {
  const auto condition = Condition::parse(term);
  EXPECT_TRUE(condition) << term;
  return condition && condition->matches(facts);
}

TEST(Condition, LineageConditions) {
  const ObjectFacts unseen = object();
  const ObjectFacts own = with_prompt({.prompt = {9}, .position = 7, .seen_in = 1, .turn = 2});
  const ObjectFacts shared = with_prompt({.prompt = {9}, .position = 0, .seen_in = 2, .turn = 5});
  EXPECT_TRUE(matches("*", unseen));
  EXPECT_TRUE(matches("unseen", unseen));
  EXPECT_FALSE(matches("unseen", own));
  EXPECT_TRUE(matches("prefix-shared", shared));
  EXPECT_FALSE(matches("prefix-shared", own));
  EXPECT_FALSE(matches("prefix-shared", unseen));
  EXPECT_TRUE(matches("position<8", own));
  EXPECT_FALSE(matches("position<7", own));
  EXPECT_FALSE(matches("position<8", unseen)) << "nothing is known of its position";
  EXPECT_FALSE(matches("turn<=1", unseen));
  EXPECT_FALSE(matches("turn=0", unseen));
}

TEST(Condition, EveryComparison) {
  const ObjectFacts facts = with_prompt({.prompt = {9}, .position = 0, .seen_in = 1, .turn = 2});
  for (const auto* term : {"turn<3", "turn<=2", "turn=2", "turn>=2", "turn>1", "turn >= 2"}) {
    EXPECT_TRUE(matches(term, facts)) << term;
  }
  for (const auto* term : {"turn<2", "turn<=1", "turn=3", "turn>=3", "turn>2"}) {
    EXPECT_FALSE(matches(term, facts)) << term;
  }
}

TEST(Condition, SizesAndReuse) {
  ObjectFacts facts = object();
  facts.size_bytes = 4U << 20;
  facts.reuse_count = 1;
  for (const auto* term : {"size>=4MiB", "size=4096KiB", "size<1GiB", "size=4194304", "size>4MB",
                           "size=4194304B", "size>= 4 MiB", "size<1GB", "size>4KB", "reuse>=1"}) {
    EXPECT_TRUE(matches(term, facts)) << term;
  }
  EXPECT_FALSE(matches("size>4MiB", facts));
  EXPECT_FALSE(matches("reuse>1", facts));
  EXPECT_FALSE(matches("reuse>=1", object()));
}

TEST(Condition, NamesByGlob) {
  const ObjectFacts facts = with_salt("agent-7:session");
  for (const auto* term : {"salt:agent-*", "salt:agent-7:session", "salt:*", "salt:*session",
                           "tenant:agent-7", "tenant:agent-?", "model:org/*8B", "model:*"}) {
    EXPECT_TRUE(matches(term, facts)) << term;
  }
  for (const auto* term :
       {"salt:agent", "salt:", "tenant:agent-7:*", "tenant:agent-??", "model:*70B*", "model:8B"}) {
    EXPECT_FALSE(matches(term, facts)) << term;
  }
  EXPECT_TRUE(matches("salt:", object())) << "an empty pattern is an empty salt";
}

TEST(Condition, RankPrefersTheExplicitOne) {
  ObjectFacts facts = with_rank(3);
  facts.key.object_group_id = 2;
  EXPECT_TRUE(matches("rank:3", facts));
  EXPECT_TRUE(matches("rank:0-1,3", facts));
  EXPECT_TRUE(matches("rank:2-", facts));
  EXPECT_FALSE(matches("rank:0-2,4", facts));
  EXPECT_TRUE(matches("group:2", facts));
  EXPECT_FALSE(matches("group:0,1", facts));
  facts.explicit_rank = 11;
  EXPECT_TRUE(matches("rank:11", facts));
  EXPECT_FALSE(matches("rank:3", facts));
}

TEST(Condition, ClassIsWhatTheCallerAsksFor) {
  EXPECT_TRUE(matches("class:hot_*", asking_for("hot_churn")));
  EXPECT_TRUE(matches("stream:hot_churn", asking_for("hot_churn")));
  EXPECT_FALSE(matches("class:hot_churn", asking_for("cold")));
  EXPECT_FALSE(matches("class:*", object()));
}

TEST(Glob, StarsBacktrack) {
  EXPECT_TRUE(glob_matches("a*b*c", "aXbYbZc"));
  EXPECT_FALSE(glob_matches("a*b*c", "aXbYbZ"));
  EXPECT_TRUE(glob_matches("***", ""));
  EXPECT_FALSE(glob_matches("?", ""));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_TRUE(glob_matches("*ab", "aab"));
}

}  // namespace
}  // namespace fdpstore::placement
