// Several traces, one after the other.
#include <gtest/gtest.h>

#include "trace/read.hpp"

namespace fdpstore::trace {
namespace {

TEST(OpenTrace, TracesBehindEachOtherKeepTheirKeysAndScopes) {
  const auto chat = open_trace("gen:chat,requests=50");
  const auto rag = open_trace("gen:rag,requests=20");
  const auto both = open_trace("gen:chat,requests=50;gen:rag,requests=20");
  ASSERT_TRUE(chat && rag && both);
  ASSERT_EQ(both->ops.size(), chat->ops.size() + rag->ops.size());
  EXPECT_EQ(both->scopes.size(), chat->scopes.size() + rag->scopes.size());
  for (std::size_t i = 1; i < both->ops.size(); ++i) {
    EXPECT_LE(both->ops[i - 1].time_s, both->ops[i].time_s);
  }
  const Op& op = both->ops[chat->ops.size() + 3];
  const Op& original = rag->ops[3];
  const auto keys = both->keys_of(op), wanted = rag->keys_of(original);
  EXPECT_TRUE(std::equal(keys.begin(), keys.end(), wanted.begin(), wanted.end()));
  EXPECT_EQ(both->scopes[op.scope].cache_salt, rag->scopes[original.scope].cache_salt);
  EXPECT_EQ(op.object_bytes, original.object_bytes);
}

TEST(OpenTrace, AMissingOneAmongSeveralIsAnError) {
  EXPECT_FALSE(open_trace("gen:chat,requests=50;/no/such/file"));
  EXPECT_FALSE(open_trace("gen:chat,requests=50;"));
}

TEST(OpenTrace, SizeOfObjectsIsForRecipesToo) {
  const auto bytes_of = [](const std::string& spec) {
    return open_trace(spec, {.object_bytes = 12345}).value().ops.front().object_bytes;
  };
  EXPECT_EQ(bytes_of("gen:chat,requests=5"), 12345U);
  EXPECT_EQ(bytes_of("gen:mix-rawblock,scale=0.01"), 12345U);
  EXPECT_EQ(bytes_of("gen:chat,requests=5,object_bytes=4096"), 4096U);
}

TEST(OpenTrace, WhatARecipeHasNotIsRefused) {
  for (const ReadOptions options : {ReadOptions{.bytes_per_token = 1}, ReadOptions{.key_tokens = 1},
                                    ReadOptions{.chunk_tokens = 1}}) {
    const auto opened = open_trace("gen:chat,requests=5", options);
    ASSERT_FALSE(opened);
    EXPECT_NE(opened.error().what.find("for trace files only"), std::string::npos);
    EXPECT_NE(opened.error().what.find("gen:chat,requests=5"), std::string::npos);
  }
}

}  // namespace
}  // namespace fdpstore::trace
