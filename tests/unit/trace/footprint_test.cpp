// The analysis against values found by hand, and against plain ways to find them.
#include "trace/footprint.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <list>
#include <map>
#include <set>
#include <utility>

#include "trace/read.hpp"
#include "unit/trace/support.hpp"

namespace fdpstore::trace {
namespace {

// Ops of objects of 10 bytes, a second apart.
class Story {
 public:
  Story() { trace_.scopes.resize(2); }
  Story& add(OpKind kind, std::initializer_list<std::uint64_t> keys, std::uint16_t scope = 0,
             std::uint64_t bytes = 10) {
    trace_.ops.push_back({.time_s = static_cast<double>(trace_.ops.size()),
                          .kind = kind,
                          .scope = scope,
                          .keys = static_cast<std::uint32_t>(keys.size()),
                          .first_key = trace_.keys.size(),
                          .object_bytes = bytes,
                          .key_tokens = 256});
    trace_.keys.insert(trace_.keys.end(), keys);
    return *this;
  }
  [[nodiscard]] Footprint analysed() const { return analyse(trace_); }
  Trace& trace() { return trace_; }

 private:
  Trace trace_;
};

using enum OpKind;

TEST(Footprint, CountsObjectsAndUses) {
  Story story;
  story.add(request, {1, 2, 3}).add(request, {1, 2, 4}).add(request, {1}, 1, 40);
  story.trace().scopes[1].storage_class = "small";
  const Footprint result = story.analysed();
  EXPECT_EQ(result.total.operations, 3U);
  EXPECT_EQ(result.total.uses, 7U);
  EXPECT_EQ(result.total.used_bytes, 100U);
  EXPECT_EQ(result.total.objects, 5U);  // key 1 of the other scope is another
  EXPECT_EQ(result.total.bytes, 80U);
  EXPECT_EQ(result.total.once, 3U);
  EXPECT_EQ(result.scopes[0].objects, 4U);
  EXPECT_EQ(result.scopes[1].bytes, 40U);
  ASSERT_EQ(result.classes.size(), 2U);
  EXPECT_EQ(result.classes[1].first, "small");
  EXPECT_EQ(result.classes[1].second.once_share(), 1);
  EXPECT_EQ(result.duration_s, 2);
  EXPECT_EQ(result.tokens_looked_up, 7 * 256);
  EXPECT_EQ(result.operations[static_cast<std::size_t>(request)], 3U);
}

TEST(Footprint, HitRatiosCountTokensAndTheLeadingRun) {
  Story story;
  story.add(request, {1, 2, 3}).add(request, {1, 9, 3}).add(request, {1, 9});
  const Footprint result = story.analysed();
  EXPECT_DOUBLE_EQ(result.unlimited.tokens, 4.0 / 8);   // 1, 3; 1, 9
  EXPECT_DOUBLE_EQ(result.unlimited.leading, 3.0 / 8);  // 1; 1, 9
}

TEST(Footprint, LongKeysWeighMore) {
  Story story;
  story.add(request, {1}).add(request, {1}).add(request, {2});
  story.trace().ops[1].key_tokens = 1024;
  EXPECT_DOUBLE_EQ(story.analysed().unlimited.tokens, 1024.0 / 1536);
}

TEST(Footprint, ReuseIsMeasuredInDifferentBytesBetween) {
  Story story;
  story.add(request, {1}).add(request, {2}).add(request, {2}).add(request, {3}, 0, 500);
  story.add(request, {1});
  const Footprint result = story.analysed();
  EXPECT_EQ(result.reuses, 2U);
  EXPECT_EQ(result.reuse_bytes.p99, 510);  // 2 counts once
  EXPECT_EQ(result.reuse_s.p99, 4);
  EXPECT_EQ(result.reuse_bytes.p50, 510);
  story.add(request, {1});
  EXPECT_EQ(story.analysed().reuse_bytes.p50, 0);
}

TEST(Footprint, StoreThatAnswersALookupIsTheSameUse) {
  Story story;
  story.add(lookup, {1, 2}).add(store, {1, 2}).add(lookup, {1, 2}).add(load, {1, 2});
  story.add(load, {1});
  const Footprint result = story.analysed();
  EXPECT_EQ(result.total.uses, 5U);
  EXPECT_DOUBLE_EQ(result.unlimited.tokens, 0.5);
  EXPECT_EQ(result.tokens_looked_up, 4 * 256);
}

TEST(Footprint, WhatIsDeletedIsNoHit) {
  Story story;
  story.add(store, {9}, 0, 100).add(store, {1, 2}).add(erase, {1}).add(lookup, {1, 2});
  const Footprint result = story.analysed();
  EXPECT_DOUBLE_EQ(result.unlimited.tokens, 0.5);
  EXPECT_DOUBLE_EQ(result.unlimited.leading, 0);
  EXPECT_DOUBLE_EQ(result.lru.back().hits.tokens, 0.5);
}

TEST(Footprint, LookupAloneCachesNothing) {
  Story story;
  story.add(lookup, {1}).add(lookup, {1});
  EXPECT_EQ(story.analysed().unlimited.tokens, 0);
  EXPECT_EQ(story.analysed().lru.back().hits.tokens, 0);
}

TEST(Footprint, NothingAskedGivesZeroes) {
  const Footprint empty = Story().analysed();
  EXPECT_EQ(empty.total.once_share(), 0);
  EXPECT_EQ(empty.unlimited.tokens, 0);
  EXPECT_EQ(empty.reuse_s.p99, 0);
}

// A plain LRU of the whole story, in the order that footprint.hpp promises.
HitRatio plain_lru(const Trace& trace, std::uint64_t capacity) {
  using Id = std::pair<std::uint16_t, std::uint64_t>;
  std::list<std::pair<Id, std::uint64_t>> order;  // the most recent first
  std::map<Id, decltype(order)::iterator> cached;
  std::uint64_t bytes = 0;
  const auto remove = [&](decltype(order)::iterator entry) {
    bytes -= entry->second;
    cached.erase(entry->first);
    order.erase(entry);
  };
  double asked = 0, hits = 0, leading = 0;
  for (const Op& op : trace.ops) {
    bool run = true;
    const auto keys = trace.keys_of(op);
    for (const std::uint64_t key : keys) {
      if (op.kind != request && op.kind != lookup) break;
      const bool hit = cached.contains({op.scope, key});
      run = run && hit;
      asked += 1;
      hits += hit ? 1 : 0;
      leading += run ? 1 : 0;
    }
    for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
      const Id id{op.scope, *key};
      const auto there = cached.find(id);
      const bool was = there != cached.end();
      if (was) remove(there->second);
      if (op.kind == erase || (!was && op.kind != request && op.kind != store)) continue;
      while (bytes + op.object_bytes > capacity && !order.empty()) remove(std::prev(order.end()));
      if (op.object_bytes > capacity) continue;
      cached[id] = order.emplace(order.begin(), id, op.object_bytes);
      bytes += op.object_bytes;
    }
  }
  return asked == 0 ? HitRatio{} : HitRatio{.tokens = hits / asked, .leading = leading / asked};
}

TEST(Footprint, LruAgreesWithAPlainOne) {
  for (const char* spec : {"chat,requests=60,tenants=2", "mix-rawblock,scale=0.01",
                           "hot_churn,requests=150", "random,scale=0.02", "rag,requests=30"}) {
    const Trace trace = made(spec);
    const Footprint result = analyse(trace);
    ASSERT_EQ(result.lru.size(), kLruShares.size());
    for (const CacheHits& one : result.lru) {
      const HitRatio plain = plain_lru(trace, one.bytes);
      EXPECT_DOUBLE_EQ(one.hits.tokens, plain.tokens) << spec << ' ' << one.share;
      EXPECT_DOUBLE_EQ(one.hits.leading, plain.leading) << spec << ' ' << one.share;
    }
  }
}

// Of objects of one size an LRU of C bytes hits where less than C lies between uses.
TEST(Footprint, ReuseDistancesAgreeWithTheLru) {
  const Trace trace = made("rag,requests=300,tenants=1");
  const Footprint result = analyse(trace);
  EXPECT_EQ(result.total.uses, trace.keys.size());
  EXPECT_NEAR(result.unlimited.tokens,
              static_cast<double>(result.reuses) / static_cast<double>(result.total.uses), 1e-12);
  EXPECT_NEAR(result.unlimited.tokens,
              1 - static_cast<double>(unique_keys(trace)) / static_cast<double>(trace.keys.size()),
              1e-12);
  for (const CacheHits& one : result.lru) {
    EXPECT_LE(one.hits.leading, one.hits.tokens);
    EXPECT_LE(one.hits.tokens, result.unlimited.tokens);
    const double within = one.hits.tokens / result.unlimited.tokens;
    const auto bytes = static_cast<double>(one.bytes);
    for (const auto& [distance, share] :
         {std::pair(result.reuse_bytes.p50, 0.5), std::pair(result.reuse_bytes.p90, 0.9)}) {
      // One object more or less at the edge.
      if (distance < bytes * 0.9) {
        EXPECT_GE(within, share) << one.share;
      } else if (distance > bytes) {
        EXPECT_LE(within, share) << one.share;
      }
    }
  }
}

std::string mooncake_path() {
  const char* file = std::getenv("FDPSTORE_MOONCAKE_TRACE");
  const char* directory = std::getenv("FDPSTORE_TRACES");
  if (file != nullptr) return file;
  return (std::filesystem::path(directory != nullptr ? directory : FDPSTORE_TRACES_DIR) /
          "mooncake_conversation.jsonl")
      .string();
}

// The figures that Mooncake's authors and others published of this trace.
TEST(Footprint, MooncakeTraceHasItsKnownFigures) {
  const std::string path = mooncake_path();
  if (!std::filesystem::exists(path)) {
    GTEST_SKIP() << path << " is not there; $FDPSTORE_TRACES or $FDPSTORE_MOONCAKE_TRACE names it";
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto trace = read_trace(path);
  ASSERT_TRUE(trace) << trace.error().message();
  const Footprint result = analyse(*trace);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  EXPECT_EQ(result.total.operations, 12'031U);
  EXPECT_EQ(result.total.uses, 288'500U);
  EXPECT_EQ(result.total.objects, 182'790U);
  EXPECT_NEAR(result.total.once_share(), 0.758, 0.0005);
  EXPECT_NEAR(result.unlimited.tokens, 0.366, 0.0005);
  EXPECT_NEAR(result.duration_s, 3537, 1);
  EXPECT_NEAR(result.reuse_s.p50, 114, 1);
  EXPECT_NEAR(result.reuse_s.p90, 519, 1);
  EXPECT_NEAR(result.reuse_s.p99, 1578, 2);
  EXPECT_LT(took.count(), 20);  // 2 s without sanitizers and other load
}

}  // namespace
}  // namespace fdpstore::trace
