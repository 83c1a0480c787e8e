// JSON of reports: names that scripts rely on, numbers that stay exact, bytes that are no UTF-8.
#include "store/reports_json.hpp"

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>

#include "fdpstore/store.hpp"
#include "support/keys.hpp"

namespace fdpstore {
namespace {

namespace json = boost::json;

TEST(ReportJson, StatusHasItsFieldsAtTheTop) {
  StoreStatus status;
  status.info.path = "/data";
  status.info.layout = "segment";
  status.info.live_bytes = (1ULL << 53) + 1;
  status.info.placement.effective = WriteMode::hint;
  status.info.placement.mechanism = "F_SET_RW_HINT";
  status.salts.push_back({"tenant:a", 3, 4096});
  status.streams.push_back({"data", "medium", 1, 10, 2, 20, "merged"});
  status.segments.push_back({7, 9, "open", "data", 100, 50, 40, 2});
  status.warnings.emplace_back("careful");
  const json::value value = json::parse(to_json(status));
  EXPECT_EQ(value.at("path").as_string(), "/data");
  EXPECT_EQ(value.at("live_bytes").to_number<std::uint64_t>(), (1ULL << 53) + 1);
  EXPECT_TRUE(value.at("healthy").as_bool());
  EXPECT_EQ(value.at("placement").at("effective").as_string(), "hint");
  EXPECT_EQ(value.at("placement").at("mechanism").as_string(), "F_SET_RW_HINT");
  EXPECT_FALSE(value.at("placement").at("reaches_device").as_bool());
  EXPECT_EQ(value.at("salts").at(0).at("cache_salt").as_string(), "tenant:a");
  EXPECT_EQ(value.at("streams").at(0).at("note").as_string(), "merged");
  EXPECT_EQ(value.at("segments").at(0).at("live_bytes").to_number<int>(), 40);
  EXPECT_EQ(value.at("warnings").at(0).as_string(), "careful");
}

TEST(ReportJson, PathInfoAndCheckReportHaveTheirFields) {
  PathInfo info;
  info.kind = "directory";
  info.mechanisms.push_back({"F_SET_RW_HINT", true, false, "because"});
  const json::value path = json::parse(to_json(info));
  EXPECT_EQ(path.at("kind").as_string(), "directory");
  EXPECT_EQ(path.at("mechanisms").at(0).at("reason").as_string(), "because");

  CheckReport report{.segments = 1, .objects = 2, .bytes = 3, .unverified = 4, .findings = {}};
  EXPECT_TRUE(json::parse(to_json(report)).at("clean").as_bool());
  report.findings.push_back({"file:0", "torn", true});
  const json::value found = json::parse(to_json(report));
  EXPECT_FALSE(found.at("clean").as_bool());
  EXPECT_EQ(found.at("findings").at(0).at("where").as_string(), "file:0");
  EXPECT_TRUE(found.at("findings").at(0).at("repaired").as_bool());
}

TEST(ReportJson, ListedKeyHasLmcachesNames) {
  ListedKey listed{test::make_key(1, "org/model", "salt", 3), 77};
  listed.key.chunk_hash = {std::byte{0x0A}, std::byte{0xFF}};
  const json::object object = store::to_object(listed);
  EXPECT_EQ(object.at("chunk_hash").as_string(), "0aff");
  EXPECT_EQ(object.at("model_name").as_string(), "org/model");
  EXPECT_EQ(object.at("cache_salt").as_string(), "salt");
  EXPECT_EQ(object.at("kv_rank").to_number<std::uint64_t>(), test::kv_rank(3));
  EXPECT_EQ(object.at("bytes").to_number<int>(), 77);
}

TEST(ReportJson, BytesThatAreNoUtf8StillGiveValidJson) {
  StoreStatus status;
  status.info.path = "/data/\xff\xfe";
  status.salts.push_back({"t\xc3", 1, 1});
  boost::system::error_code error;
  const json::value value = json::parse(to_json(status), error);
  ASSERT_FALSE(error) << error.message();
  EXPECT_EQ(value.at("path").as_string(), "/data/\xEF\xBF\xBD\xEF\xBF\xBD");
}

TEST(ValidUtf8, GoodTextIsKeptAndBadBytesAreReplaced) {
  const std::string mark = "\xEF\xBF\xBD";
  const std::pair<std::string, std::string> cases[] = {
      {"", ""},
      {"plain", "plain"},
      {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
      {"a\x80z", "a" + mark + "z"},
      {"\xc0\xaf", mark + mark},                        // overlong
      {"\xe0\x80\x80", mark + mark + mark},             // overlong
      {"\xed\xa0\x80", mark + mark + mark},             // surrogate
      {"\xf4\x90\x80\x80", mark + mark + mark + mark},  // beyond U+10FFFF
      {"\xe2\x82", mark + mark},                        // cut short
  };
  for (const auto& [text, expected] : cases) EXPECT_EQ(store::valid_utf8(text), expected) << text;
}

}  // namespace
}  // namespace fdpstore
