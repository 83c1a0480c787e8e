// Recordings of our own, read by our own reader (by LMCache's in tests/python).
#include "trace/write_lct.hpp"

#include <gtest/gtest.h>

#include <sstream>

#include "support/keys.hpp"
#include "trace/formats.hpp"
#include "unit/trace/support.hpp"

namespace fdpstore::trace {
namespace {

Result<Trace> read_back(const std::string& bytes) {
  std::istringstream file(bytes);
  return read_lct(file, "t.lct", bytes.size(), {});
}

std::string written_header() {
  return lct_header(1e9, {{"recorded_by", "test"}});
}

TEST(WriteLct, CallsAreReadBack) {
  std::vector<ObjectKey> keys;
  for (std::uint64_t n = 0; n < 20; ++n) {
    keys.push_back(test::make_key(n, std::string(n * 20, 'm') + "x", n < 10 ? "" : "tenant:1",
                                  static_cast<std::uint32_t>(n % 2)));
  }
  const auto refs = test::refs(keys);
  const std::vector<std::uint64_t> sizes(20, std::uint64_t{5} << 30);
  std::string bytes = written_header();
  bytes += lct_record(0.5, 1e9, LctCall::store, refs, sizes);
  bytes += lct_record(1.5, 1e9, LctCall::lookup, refs, {});
  bytes += lct_record(2, 1e9, LctCall::load, std::span(refs).first(3), std::span(sizes).first(3));
  bytes += lct_record(2.5, 1e9, LctCall::unlock, refs, {});
  bytes += lct_record(3, 1e9, LctCall::erase, std::span(refs).last(1), {});
  const auto trace = read_back(bytes);
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_EQ(trace->scopes.size(), 20U);
  std::uint64_t of_kind[kOpKinds] = {};
  for (const Op& op : trace->ops) {
    of_kind[static_cast<std::size_t>(op.kind)] += op.keys;
    EXPECT_EQ(op.object_bytes, std::uint64_t{5} << 30);
  }
  EXPECT_EQ(of_kind[static_cast<std::size_t>(OpKind::store)], 20U);
  EXPECT_EQ(of_kind[static_cast<std::size_t>(OpKind::lookup)], 20U);
  EXPECT_EQ(of_kind[static_cast<std::size_t>(OpKind::load)], 3U);
  EXPECT_EQ(of_kind[static_cast<std::size_t>(OpKind::erase)], 1U);
  EXPECT_EQ(trace->ops.front().time_s, 0.5);
  EXPECT_EQ(trace->ops.back().time_s, 3);
  EXPECT_TRUE(trace->notes.empty()) << trace->notes[0];
  for (const auto& scope : trace->scopes) {
    EXPECT_TRUE(scope.cache_salt.empty() || scope.cache_salt == "tenant:1");
  }
}

TEST(WriteLct, ManyKeysAndLongNamesFit) {
  std::vector<ObjectKey> keys = test::make_keys(0, 70'000);
  for (ObjectKey& key : keys) key.model_name = std::string(300, 'm');
  const auto trace =
      read_back(written_header() + lct_record(0, 0, LctCall::store, test::refs(keys),
                                              std::vector<std::uint64_t>(keys.size(), 100)));
  ASSERT_TRUE(trace) << trace.error().message();
  EXPECT_EQ(trace->keys.size(), 70'000U);
  EXPECT_EQ(trace->scopes.at(0).model_name, std::string(300, 'm'));
}

TEST(WriteLct, GapsAreNoted) {
  const auto keys = test::make_keys(0, 2);
  const std::vector<std::uint64_t> sizes{10, 10};
  const auto trace =
      read_back(written_header() + lct_record(0, 0, LctCall::store, test::refs(keys), sizes) +
                lct_gap(1, 1, 300) + lct_gap(2, 1, 41));
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_TRUE(trace->notes[0].starts_with("341 calls are missing")) << trace->notes[0];
}

}  // namespace
}  // namespace fdpstore::trace
