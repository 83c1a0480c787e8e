// Recordings of LMCache: records made by hand here (by LMCache itself in tests/python), and what
// hostile bytes do.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "trace/formats.hpp"
#include "trace/msgpack.hpp"
#include "trace/random.hpp"
#include "trace/read.hpp"
#include "unit/trace/support.hpp"

namespace fdpstore::trace {
namespace {

// -- msgpack, as short as it is legal ------------------------------------------------------------

std::string big_endian(std::uint64_t value, int bytes) {
  std::string out;
  for (int i = bytes - 1; i >= 0; --i) out += static_cast<char>(value >> (8 * i));
  return out;
}
std::string text(std::string_view value) {
  return "\xD9" + big_endian(value.size(), 1) + std::string(value);
}
std::string bytes(std::string_view value) {
  return "\xC4" + big_endian(value.size(), 1) + std::string(value);
}
std::string number(std::uint64_t value) {
  return value < 128 ? std::string(1, static_cast<char>(value)) : "\xCF" + big_endian(value, 8);
}
std::string real(double value) {
  return "\xCB" + big_endian(std::bit_cast<std::uint64_t>(value), 8);
}
std::string list(const std::vector<std::string>& values) {
  std::string out = "\xDC" + big_endian(values.size(), 2);
  for (const auto& value : values) out += value;
  return out;
}
using Fields = std::vector<std::pair<std::string, std::string>>;
std::string map(const Fields& fields) {
  std::string out(1, static_cast<char>(0x80 | fields.size()));
  for (const auto& [name, value] : fields) out += text(name) + value;
  return out;
}
std::string tagged(std::string_view tag, const std::string& value) {
  return map({{"__t__", text(tag)}, {"v", value}});
}
std::string frame(const std::string& value) {
  return big_endian(value.size(), 4) + value;
}

// -- LMCache's structures ------------------------------------------------------------------------

std::string header(std::string_view level = "storage", std::uint64_t version = 1) {
  return frame(map({{"type", text("header")},
                    {"magic", bytes("LMCT")},
                    {"format_version", number(version)},
                    {"level", text(level)},
                    {"trace_schema_version", number(1)},
                    {"t_mono_start", real(5.5)},
                    {"sm_config_json", text("{}")}}));
}
std::string key(std::string_view hash, std::uint64_t rank = 0x01000100, Fields more = {}) {
  Fields fields{{"chunk_hash", bytes(hash)},
                {"model_name", text("org/m")},
                {"kv_rank", number(rank)},
                {"object_group_id", number(0)}};
  fields.insert(fields.end(), more.begin(), more.end());
  return tagged("ObjectKey", map(fields));
}
std::string layout(std::uint64_t first, std::uint64_t second, std::string_view type) {
  return tagged("MemoryLayoutDesc", map({{"shapes", list({list({number(first), number(second)})})},
                                         {"dtypes", list({text(type)})}}));
}
std::string call(double time_s, std::string_view name, const Fields& args) {
  return frame(map({{"type", text("record")},
                    {"t_mono", real(time_s)},
                    {"t_wall", real(1e9)},
                    {"qualname", text(std::string("lmcache.X.") + std::string(name))},
                    {"args", map(args)}}));
}
std::string prefetch(double time_s, const std::vector<std::string>& keys) {
  const auto row =
      tagged("GroupedObjectKeys", map({{"keys", list(keys)},
                                       {"object_group_id", number(0)},
                                       {"layout_desc", layout(256, 1024, "torch.bfloat16")},
                                       {"sliding_window_size", "\xFF"}}));
  return call(time_s, "submit_prefetch_task",
              {{"spec", tagged("PrefetchTaskSpec", map({{"key_groups", list({row})}}))},
               {"external_request_id", text("r")},
               {"skip_l2", "\xC2"}});
}

class Lct : public testing::Test {
 protected:
  [[nodiscard]] std::string path() const { return (dir_.path() / "t.lct").string(); }
  Result<Trace> read(std::string_view content, const ReadOptions& options = {}) {
    write_file(path(), content);
    return read_trace(path(), options);
  }
  void expect_refused(std::string_view content, std::string_view message, Errc code) {
    const auto trace = read(content);
    ASSERT_FALSE(trace) << message;
    EXPECT_TRUE(contains(trace.error().what, message));
    EXPECT_TRUE(contains(trace.error().what, path()));
    EXPECT_EQ(trace.error().code, code) << trace.error().message();
  }

  test::TempDir dir_;
};

TEST_F(Lct, StorageManagerCallsBecomeLookupsLoadsAndStores) {
  const auto trace = read(
      header() + prefetch(2, {key("a"), key("b")}) +
      call(2.5, "reserve_write",
           {{"keys", list({key("b")})}, {"layout_desc", layout(4, 8, "torch.uint8")}}) +
      call(3, "finish_write", {{"keys", list({key("b")})}}) +
      call(4, "StorageManager.read_prefetched_results.__enter__", {{"keys", list({key("a")})}}));
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->ops.size(), 3U);
  EXPECT_EQ(trace->ops[0].kind, OpKind::lookup);
  EXPECT_EQ(trace->ops[1].kind, OpKind::load);
  EXPECT_EQ(trace->ops[0].time_s, 0);
  EXPECT_EQ(trace->ops[0].keys, 2U);
  EXPECT_EQ(trace->ops[0].object_bytes, 512U * 1024);
  EXPECT_EQ(trace->ops[2].kind, OpKind::store);
  EXPECT_EQ(trace->ops[2].time_s, 1);
  EXPECT_EQ(trace->ops[2].object_bytes, 32U);  // what reserve_write said
  EXPECT_EQ(trace->keys_of(trace->ops[2])[0], trace->keys_of(trace->ops[0])[1]);
  EXPECT_NE(trace->keys_of(trace->ops[0])[0], trace->keys_of(trace->ops[0])[1]);
  ASSERT_EQ(trace->scopes.size(), 1U);
  EXPECT_EQ(trace->scopes[0].model_name, "org/m");
  EXPECT_EQ(trace->scopes[0].kv_rank, 0x01000100U);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_TRUE(contains(trace->notes[0], "no cache_salt"));
}

TEST_F(Lct, AdapterCallsAreReadWithTenantsAndSizes) {
  const Fields salt{{"cache_salt", text("acme:x")}};
  const auto keys = list({key("a", 1, salt), key("b", 2, salt), key("c", 1, salt)});
  const auto trace = read(
      header("l2") + call(0, "submit_lookup_and_lock_task", {{"keys", keys}}) +
      call(1, "store", {{"keys", keys}, {"sizes", list({number(10), number(20), number(10)})}}) +
      call(2, "submit_unlock", {{"keys", keys}}) + call(3, "delete", {{"keys", keys}}) +
      call(4, "report_status", {}));
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->scopes.size(), 2U);  // of a store that mixes ranks
  EXPECT_EQ(trace->scopes[0].cache_salt, "acme:x");
  ASSERT_EQ(trace->ops.size(), 6U);
  EXPECT_EQ(trace->ops[0].kind, OpKind::lookup);
  EXPECT_EQ(trace->ops[0].keys, 2U);
  EXPECT_EQ(trace->ops[0].object_bytes, 10U);  // known from the store only
  EXPECT_EQ(trace->ops[3].kind, OpKind::store);
  EXPECT_EQ(trace->ops[3].object_bytes, 20U);
  EXPECT_EQ(trace->ops[4].kind, OpKind::erase);
  ASSERT_EQ(trace->notes.size(), 1U);
  EXPECT_TRUE(contains(trace->notes[0], "1 records of other calls"));
}

TEST_F(Lct, ReservationsCountWhereNothingIsFinished) {
  const auto trace = read(
      header() + call(1, "reserve_write",
                      {{"keys", list({key("b")})}, {"layout_desc", layout(4, 8, "torch.uint8")}}));
  ASSERT_TRUE(trace) << trace.error().message();
  ASSERT_EQ(trace->ops.size(), 1U);
  EXPECT_EQ(trace->ops[0].kind, OpKind::store);
  EXPECT_TRUE(contains(trace->notes[0], "those reserved count as stored"));
}

TEST_F(Lct, UnknownSizesMustBeGiven) {
  const auto content = header("l2") + call(0, "lookup", {{"keys", list({key("a")})}});
  expect_refused(content, "give object_bytes", Errc::invalid_argument);
  EXPECT_EQ(read(content, {.object_bytes = 4096})->ops[0].object_bytes, 4096U);
}

TEST_F(Lct, RecordThatWasCutOffEndsTheTraceAndItIsSaid) {
  const std::string whole = header() + prefetch(0, {key("a")});
  const std::string content = whole + prefetch(1, {key("b")});
  for (const std::size_t cut : {std::size_t{1}, std::size_t{4}, std::size_t{30}}) {
    const auto trace = read(content.substr(0, whole.size() + cut));
    ASSERT_TRUE(trace) << trace.error().message();
    EXPECT_EQ(trace->ops.size(), 2U);
    EXPECT_TRUE(contains(trace->notes[0], std::to_string(cut) + " bytes are a record"));
  }
}

TEST_F(Lct, DamageIsNamedWithItsByte) {
  const std::string whole = header() + prefetch(0, {key("a")});
  const auto at = "the record at byte " + std::to_string(whole.size());
  expect_refused(whole + frame("\xC1"), at + ": no record of a call", Errc::corrupt);
  expect_refused(whole + call(1, "store", {{"keys", number(1)}}),
                 at + ": `keys` cannot be read of lmcache.X.store", Errc::corrupt);
  expect_refused(whole + call(1, "store", {{"keys", list({number(1)})}}), "a key cannot be read",
                 Errc::corrupt);
  expect_refused(whole + call(1, "store", {{"keys", list({tagged("ObjectKey", map({}))})}}),
                 "a key lacks a field", Errc::corrupt);
  expect_refused(whole + call(-1, "store", {{"keys", list({})}}), "its time or name",
                 Errc::corrupt);
  expect_refused(whole + call(1, "store", {{"keys", list({key("a")})}, {"sizes", list({})}}),
                 "not as many sizes", Errc::corrupt);
  expect_refused(whole + call(1, "submit_prefetch_task", {}), "`spec` cannot be read",
                 Errc::corrupt);
}

TEST_F(Lct, OtherVersionsAndLevelsAreRefused) {
  expect_refused(header("storage", 2), "a recording of format 2", Errc::version_mismatch);
  expect_refused(header("events"), "--trace-level storage", Errc::unsupported);
  expect_refused(header().substr(0, 60), "ends within its header", Errc::corrupt);
  expect_refused(header(), "no request in it", Errc::invalid_argument);
}

// Claims of 4 GiB within a few bytes: neither memory nor time is spent on them.
TEST_F(Lct, HugeClaimsAreRefused) {
  const std::string whole = header() + prefetch(0, {key("a")});
  EXPECT_TRUE(read(whole + "\xFF\xFF\xFF\xFF"));  // a frame beyond the file: cut off
  for (const char* claim : {"\xDD\xFF\xFF\xFF\xFF", "\xDF\xFF\xFF\xFF\xFF", "\xC6\xFF\xFF\xFF\xFF",
                            "\xDB\xFF\xFF\xFF\xFF", "\xC9\xFF\xFF\xFF\xFF"}) {
    expect_refused(whole + frame(claim), "no record of a call", Errc::corrupt);
    expect_refused(whole + call(1, "store", {{"keys", claim}}), "the record at byte",
                   Errc::corrupt);
  }
  const std::string deep(1 << 20, '\x91');  // a list of a list of a list …
  expect_refused(whole + frame(deep), "no record of a call", Errc::corrupt);
  expect_refused(whole + call(1, "store", {{"keys", deep}}), "the record at byte", Errc::corrupt);
  const auto large = layout(1ULL << 62, 1ULL << 62, "torch.float64");
  const auto trace =
      read(whole + call(1, "reserve_write", {{"keys", list({key("b")})}, {"layout_desc", large}}) +
           call(2, "finish_write", {{"keys", list({key("b")})}}));
  ASSERT_TRUE(trace);
  EXPECT_EQ(trace->ops.back().object_bytes, 512U * 1024);  // that of its scope
  EXPECT_TRUE(std::ranges::any_of(trace->notes, [](auto& note) {
    return note.find("1 layouts of unknown types") != std::string::npos;
  }));
}

// Whatever is flipped, cut or inserted: a trace or an error, within bounds.
TEST_F(Lct, RandomDamageIsSurvived) {
  const Fields salt{{"cache_salt", text("t")}};
  const std::string good =
      header() + prefetch(0, {key("a", 1, salt), key("b", 1, salt)}) +
      call(1, "reserve_write",
           {{"keys", list({key("c", 1, salt)})}, {"layout_desc", layout(4, 8, "torch.int8")}}) +
      call(2, "finish_write", {{"keys", list({key("c", 1, salt)})}});
  ASSERT_TRUE(read(good));
  constexpr std::uint64_t kSeed = 20261121;
  SCOPED_TRACE("seed " + std::to_string(kSeed));
  Random random(kSeed);
  int refused = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bad = good;
    for (auto changes = 1 + random.below(4); changes > 0; --changes) {
      const auto at = random.below(bad.size());
      const auto what = random.below(4);
      if (what == 0) bad.erase(at, 1 + random.below(8));
      if (what == 1) bad.insert(at, 1, static_cast<char>(random.below(256)));
      if (what >= 2) bad[at] = static_cast<char>(random.below(256));
    }
    std::istringstream file(bad);
    const auto trace = read_lct(file, "bad.lct", bad.size(), {});
    refused += trace ? 0 : 1;
    if (!trace) {
      EXPECT_FALSE(trace.error().what.empty());
      continue;
    }
    for (const Op& op : trace->ops) {
      ASSERT_LE(op.first_key + op.keys, trace->keys.size());
      ASSERT_LT(op.scope, trace->scopes.size());
      ASSERT_GT(op.object_bytes, 0U);
    }
  }
  EXPECT_GT(refused, 7000);
}

// -- the decoder ---------------------------------------------------------------------------------

using msgpack::Cursor;

TEST(Msgpack, NumbersOfEverySizeAreRead) {
  const std::pair<std::string, std::int64_t> integers[] = {
      {std::string(1, '\x00'), 0},
      {"\x7F", 127},
      {"\xFF", -1},
      {"\xE0", -32},
      {"\xCC\xFF", 255},
      {"\xCD\xFF\xFE", 65534},
      {"\xCE\xFF\xFF\xFF\xFF", 4294967295},
      {"\xCF" + big_endian(1ULL << 40, 8), 1LL << 40},
      {"\xCF" + big_endian(UINT64_MAX, 8), INT64_MAX},
      {"\xD0\x80", -128},
      {"\xD1\x80" + std::string(1, '\0'), -32768},
      {"\xD2\xFF\xFF\xFF\xFE", -2},
      {"\xD3" + big_endian(static_cast<std::uint64_t>(INT64_MIN), 8), INT64_MIN},
  };
  for (const auto& [data, value] : integers) {
    Cursor cursor(data);
    EXPECT_EQ(cursor.integer(), value);
    EXPECT_TRUE(cursor.at_end());
    for (std::size_t size = 0; size < data.size(); ++size) {
      EXPECT_FALSE(Cursor(data.substr(0, size)).next());
    }
  }
  EXPECT_EQ(Cursor("\xCA\x3F\xC0" + std::string(2, '\0')).real(), 1.5);
  EXPECT_EQ(Cursor(real(-0.125)).real(), -0.125);
  EXPECT_EQ(Cursor("\x05").real(), 5);
  EXPECT_EQ(Cursor("\xC3").boolean(), true);
  EXPECT_EQ(Cursor("\xC2").boolean(), false);
  EXPECT_FALSE(Cursor("\xC0").boolean());
  EXPECT_FALSE(Cursor("\xC1").next());
}

TEST(Msgpack, MoreValuesThanBytesAreRefusedAtOnce) {
  EXPECT_FALSE(Cursor("\x92\x01").next());  // a list of two
  EXPECT_TRUE(Cursor("\x92\x01\x01").next());
  EXPECT_FALSE(Cursor("\x82\x01\x01\x01").next());  // a map of two
  EXPECT_FALSE(Cursor("\xDD\xFF\xFF\xFF\xFF\x01").next());
  EXPECT_FALSE(Cursor("\xDF\x80" + std::string(3, '\0') + "\x01").next());
}

TEST(Msgpack, ValuesAreSkippedWhole) {
  const std::string inner = map({{"a", list({number(1), text("x"), map({{"b", bytes("y")}})})}});
  const std::string extensions[] = {"\xD4\x01z", "\xD8\x01" + std::string(16, 'z'),
                                    "\xC7\x03\x01zzz", "\xC8" + big_endian(2, 2) + "\x01zz"};
  for (const auto& value : {inner, extensions[0], extensions[1], extensions[2], extensions[3]}) {
    const std::string bytes_and_more = value + "\x2A";
    Cursor cursor(bytes_and_more);
    ASSERT_TRUE(cursor.skip());
    EXPECT_EQ(cursor.integer(), 42);
    EXPECT_FALSE(Cursor(std::string_view(value).substr(0, value.size() - 1)).skip());
  }
}

TEST(Msgpack, FieldsAreFoundByName) {
  const std::string value = map({{"a", list({number(7)})}, {"b", number(2)}, {"b", number(3)}});
  EXPECT_EQ(Cursor(value).field("b")->integer(), 2);  // the first of the name
  EXPECT_EQ(Cursor(value).field("a")->list(), 1U);
  EXPECT_FALSE(Cursor(value).field("c"));
  EXPECT_FALSE(Cursor("\x05").field("a"));
  const std::string with_number_key = "\x82" + number(1) + number(2) + text("k") + number(3);
  EXPECT_EQ(Cursor(with_number_key).field("k")->integer(), 3);
}

}  // namespace
}  // namespace fdpstore::trace
