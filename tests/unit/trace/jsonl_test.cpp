// Mooncake JSONL: what is read, what is refused, and the way back.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "trace/read.hpp"
#include "unit/trace/support.hpp"

namespace fdpstore::trace {
namespace {

class Jsonl : public testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return (dir_.path() / "t.jsonl").string(); }
  Result<Trace> read(std::string_view content, const ReadOptions& options = {}) {
    write_file(path(), content);
    return read_trace(path(), options);
  }
  void expect_refused(std::string_view content, std::string_view message, Errc code,
                      const ReadOptions& options = {}) {
    const auto trace = read(content, options);
    ASSERT_FALSE(trace) << content.substr(0, 200);
    EXPECT_TRUE(contains(trace.error().what, message));
    EXPECT_TRUE(contains(trace.error().what, path()));
    EXPECT_EQ(trace.error().code, code) << trace.error().message();
  }

  test::TempDir dir_;
};

constexpr auto kTwo =
    R"({"timestamp": 1000, "input_length": 700, "output_length": 5, "hash_ids": [0, 1]})"
    "\n\n"
    R"({"timestamp": 2500, "input_length": 700, "output_length": 5, "hash_ids": [0, 2, 3]})"
    "\n";

TEST_F(Jsonl, RequestsOfMooncakeAreRead) {
  const auto trace = read(kTwo);
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_EQ(trace->name, "t.jsonl");
  EXPECT_EQ(trace->origin, path());
  EXPECT_TRUE(trace->notes.empty());
  ASSERT_EQ(trace->ops.size(), 2U);
  ASSERT_EQ(trace->scopes.size(), 1U);
  EXPECT_EQ(trace->keys, (std::vector<std::uint64_t>{0, 1, 0, 2, 3}));
  const Op& op = trace->ops[1];
  EXPECT_EQ(op.time_s, 1.5);  // since the trace began
  EXPECT_EQ(op.kind, OpKind::request);
  EXPECT_EQ(op.keys, 3U);
  EXPECT_EQ(op.first_key, 2U);
  EXPECT_EQ(op.object_bytes, 1U << 20);
  EXPECT_EQ(op.key_tokens, 512U);
}

TEST_F(Jsonl, SizesCanBeGiven) {
  EXPECT_EQ(read(kTwo, {.object_bytes = 5000})->ops[0].object_bytes, 5000U);
  EXPECT_EQ(read(kTwo, {.bytes_per_token = 1024})->ops[0].object_bytes, 512U * 1024);
  EXPECT_EQ(read(kTwo, {.key_tokens = 16})->ops[0].key_tokens, 16U);
}

TEST_F(Jsonl, BlocksAreSplitIntoChunks) {
  const auto trace = read(kTwo, {.bytes_per_token = 1024, .chunk_tokens = 256});
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->keys, (std::vector<std::uint64_t>{0, 1, 2, 3, 0, 1, 4, 5, 6, 7}));
  EXPECT_EQ(trace->ops[0].keys, 4U);
  EXPECT_EQ(trace->ops[0].key_tokens, 256U);
  EXPECT_EQ(trace->ops[0].object_bytes, 256U * 1024);
  expect_refused(kTwo, "chunk tokens that divide it", Errc::corrupt, {.chunk_tokens = 300});
}

TEST_F(Jsonl, FieldsOfOurOwnAreRead) {
  const auto trace =
      read(R"({"timestamp": 0, "hash_ids": [18446744073709551614], "tenant": "acme:chat",)"
           R"( "model": "m", "kv_rank": 33685505, "group": 2, "class": "hot_churn",)"
           R"( "object_bytes": 4096, "key_tokens": 64, "op": "store"})"
           "\n"
           R"({"timestamp": 0.25, "hash_ids": [1], "rank": 3})");
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->scopes.size(), 2U);
  const Scope& scope = trace->scopes[0];
  EXPECT_EQ(scope.cache_salt, "acme:chat");
  EXPECT_EQ(scope.model_name, "m");
  EXPECT_EQ(scope.kv_rank, 33685505U);
  EXPECT_EQ(scope.object_group_id, 2U);
  EXPECT_EQ(scope.storage_class, "hot_churn");
  EXPECT_EQ(trace->scopes[1].kv_rank, 3U << 16);
  EXPECT_EQ(trace->ops[0].kind, OpKind::store);
  EXPECT_EQ(trace->ops[0].object_bytes, 4096U);
  EXPECT_EQ(trace->ops[0].key_tokens, 64U);
  EXPECT_EQ(trace->keys[0], 18446744073709551614U);
  EXPECT_DOUBLE_EQ(trace->ops[1].time_s, 0.00025);
}

TEST_F(Jsonl, UnorderedTimesAreSortedStablyAndItIsSaid) {
  const auto trace = read(R"({"timestamp": 9, "hash_ids": [1]})"
                          "\n"
                          R"({"timestamp": 5, "hash_ids": [2]})"
                          "\n"
                          R"({"timestamp": 9, "hash_ids": [3]})"
                          "\n"
                          R"({"timestamp": 5, "hash_ids": [4]})");
  ASSERT_TRUE(trace);
  std::vector<std::uint64_t> order;
  for (const Op& op : trace->ops) order.push_back(trace->keys_of(op)[0]);
  EXPECT_EQ(order, (std::vector<std::uint64_t>{2, 4, 1, 3}));
  EXPECT_EQ(trace->ops[0].time_s, 0);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_TRUE(contains(trace->notes[0], "2 of 4 operations were not in order"));
}

TEST_F(Jsonl, RequestsWithoutBlocksAreLeftOutAndItIsSaid) {
  const auto trace = read(std::string(kTwo) + R"({"timestamp": 3000, "hash_ids": []})");
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->ops.size(), 2U);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_TRUE(contains(trace->notes[0], "1 lines without hash_ids"));
}

TEST_F(Jsonl, MalformedLinesAreNamed) {
  const std::string good = kTwo;
  const std::pair<const char*, const char*> cases[] = {
      {R"({"timestamp": 0, "hash_ids": [1)", ":4: no JSON"},
      {R"([1, 2])", ":4: no JSON object"},
      {R"({"hash_ids": [1]})", "'timestamp' (milliseconds) is missing"},
      {R"({"timestamp": "1", "hash_ids": [1]})", "'timestamp' (milliseconds) is missing or no"},
      {R"({"timestamp": -1, "hash_ids": [1]})", "negative"},
      {R"({"timestamp": 1e999, "hash_ids": [1]})", ":4: "},
      {R"({"timestamp": 1})", "'hash_ids' is missing or no list"},
      {R"({"timestamp": 1, "hash_ids": 5})", "'hash_ids' is missing or no list"},
      {R"({"timestamp": 1, "hash_ids": [1, "x"]})", R"(hash id "x" is no whole number)"},
      {R"({"timestamp": 1, "hash_ids": [-1]})", "hash id -1"},
      {R"({"timestamp": 1, "hash_ids": [1.5]})", "hash id 1.5"},
      {R"({"timestamp": 1, "hash_ids": [1], "object_bytes": "4K"})", "'object_bytes' is \"4K\""},
      {R"({"timestamp": 1, "hash_ids": [1], "object_bytes": 99999999999999})", "expected a whole"},
      {R"({"timestamp": 1, "hash_ids": [1], "tenant": 5})", "'tenant' is no text"},
      {R"({"timestamp": 1, "hash_ids": [1], "rank": 256})", "'rank' is 256"},
      {R"({"timestamp": 1, "hash_ids": [1], "op": "put"})", "'op' is none of request"},
  };
  for (const auto& [line, message] : cases) expect_refused(good + line, message, Errc::corrupt);
}

TEST_F(Jsonl, DeepNestingIsRefused) {
  expect_refused("{\"a\":" + std::string(100'000, '[') + "\n", "no JSON", Errc::corrupt);
}

TEST_F(Jsonl, SplittingNeverWrapsAround) {
  expect_refused(R"({"timestamp": 1, "hash_ids": [9223372036854775807]})", "hash id", Errc::corrupt,
                 {.chunk_tokens = 256});
}

TEST_F(Jsonl, WhatIsNoTraceIsRefused) {
  expect_refused("", "an empty file", Errc::invalid_argument);
  expect_refused("timestamp,hash\n1,2\n", "neither Mooncake JSONL", Errc::foreign);
  expect_refused(std::string(1000, '\0'), "neither Mooncake JSONL", Errc::foreign);
  expect_refused("{\"timestamp\": 1, \"hash_ids\": []}\n", "no request in it",
                 Errc::invalid_argument);
  const auto missing = read_trace((dir_.path() / "missing").string());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, std::errc::no_such_file_or_directory);
  const auto directory = read_trace(dir_.string());
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, std::errc::is_a_directory);
}

void expect_same(const Trace& a, const Trace& b) {
  ASSERT_EQ(a.ops.size(), b.ops.size());
  ASSERT_EQ(a.scopes.size(), b.scopes.size());
  for (std::size_t i = 0; i < a.ops.size(); ++i) {
    const Op &x = a.ops[i], &y = b.ops[i];
    const Scope &from = a.scopes[x.scope], &to = b.scopes[y.scope];
    ASSERT_EQ(x.time_s, y.time_s) << i;
    ASSERT_EQ(x.kind, y.kind);
    ASSERT_EQ(x.object_bytes, y.object_bytes);
    ASSERT_EQ(x.key_tokens, y.key_tokens);
    ASSERT_TRUE(std::ranges::equal(a.keys_of(x), b.keys_of(y))) << i;
    ASSERT_EQ(from.cache_salt, to.cache_salt);
    ASSERT_EQ(from.kv_rank, to.kv_rank);
    ASSERT_EQ(from.storage_class, to.storage_class);
    ASSERT_EQ(from.model_name, to.model_name);
    ASSERT_EQ(from.object_group_id, to.object_group_id);
  }
}

TEST_F(Jsonl, WhatIsWrittenReadsBackTheSame) {
  for (const char* spec : {"chat,ranks=2,scale=0.1", "mix-rawblock,scale=0.05"}) {
    const Trace trace = made(spec);
    ASSERT_TRUE(write_trace(trace, path()));
    const auto back = read_trace(path());
    ASSERT_TRUE(back) << back.error().message();
    EXPECT_TRUE(back->notes.empty());
    expect_same(trace, *back);
  }
}

TEST_F(Jsonl, NamesNeedingEscapesReadBackTheSame) {
  Trace trace = made("chat,scale=0.01,tenants=1");
  trace.scopes[0].cache_salt = "quote\" back\\slash \n ünïcode";
  trace.scopes[0].model_name = "org/m";
  trace.scopes[0].object_group_id = 7;
  trace.ops[1].time_s = 0.000125;  // below a millisecond
  ASSERT_TRUE(write_trace(trace, path()));
  const auto back = read_trace(path());
  ASSERT_TRUE(back) << back.error().message();
  expect_same(trace, *back);
}

TEST_F(Jsonl, FailedWriteKeepsTheOldFile) {
  ASSERT_TRUE(write_trace(made("chat,requests=3"), path()));
  const Trace large = made("metadata");
  const auto failed = write_trace(large, "/dev/full/x");
  ASSERT_FALSE(failed);
  EXPECT_TRUE(contains(failed.error().what, "/dev/full/x: cannot be written"));
  EXPECT_EQ(read_trace(path())->ops.size(), 3U);
  ASSERT_TRUE(write_trace(large, path()));
  EXPECT_EQ(test::files_under(dir_.path()).size(), 1U);  // no temporary file is left
}

TEST_F(Jsonl, OpenTakesPathsAndRecipes) {
  write_file(path(), kTwo);
  EXPECT_EQ(open_trace(path(), {.object_bytes = 77})->ops[0].object_bytes, 77U);
  const auto recipe = open_trace("gen:rag,tenants=3,requests=20");
  ASSERT_TRUE(recipe);
  EXPECT_EQ(recipe->ops.size(), 20U);
  EXPECT_EQ(recipe->origin, "fdpstore gen-trace rag --requests 20 --tenants 3");
  EXPECT_TRUE(contains(open_trace("gen:nope").error().what, "no recipe 'nope'"));
}

}  // namespace
}  // namespace fdpstore::trace
