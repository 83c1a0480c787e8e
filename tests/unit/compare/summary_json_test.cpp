#include "compare/summary_json.hpp"

#include <fstream>
#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "unit/compare/synthetic.hpp"

namespace fdpstore::compare {
namespace {

namespace json = boost::json;

json::object parsed(const std::string& text) {
  return json::parse(text).as_object();
}

// "workers[].name", "figures.store_latency.p50_s", …
void collect(const json::value& value, const std::string& path, std::set<std::string>& to) {
  if (const json::object* object = value.if_object()) {
    for (const auto& [name, member] : *object) {
      const std::string inner = (path.empty() ? "" : path + ".") + std::string(name);
      if (member.is_object()) to.insert(inner);
      collect(member, inner, to);
    }
  } else if (const json::array* array = value.if_array();
             array != nullptr && !array->empty() && array->front().is_object()) {
    for (const json::value& member : *array) collect(member, path + "[]", to);
  } else {
    to.insert(path);
  }
}

// The fields of the table below a heading of SCHEMA.md.
std::set<std::string> documented(const std::string& heading) {
  std::ifstream in(FDPSTORE_SOURCE_DIR "/src/compare/SCHEMA.md");
  std::set<std::string> fields;
  bool inside = false;
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("## ")) inside = line == "## " + heading;
    if (!inside || !line.starts_with("| `")) continue;
    std::istringstream names(line.substr(2, line.find(" |", 2) - 2));
    for (std::string name; names >> name;) {
      const auto begin = name.find('`') + 1;
      fields.insert(name.substr(begin, name.rfind('`') - begin));
    }
  }
  return fields;
}

TEST(CompareSummaryJson, HasEveryDocumentedFieldAndNoOther) {
  const Comparison c = testing::one_cell();
  std::set<std::string> present;
  collect(parsed(summary_json(c, c.results[0])), "", present);
  const std::set<std::string> expected = documented("summary.json");
  EXPECT_GT(expected.size(), 60U);
  EXPECT_EQ(present, expected);
}

TEST(CompareSummaryJson, AllInOneHasEveryDocumentedFieldAndNoOther) {
  const Comparison c = testing::eight_cells();
  json::object all = parsed(comparison_json(c));
  EXPECT_EQ(all.at("runs").as_array().size(), c.results.size());
  EXPECT_EQ(all.at("traces").as_array().size(), 1U);
  EXPECT_EQ(all.at("advice").at(0).at("winner_run_id"), json::value(run_id(c.results[0].cell)));
  for (const char* whole : {"runs", "traces"}) all[whole] = json::array{};
  std::set<std::string> present;
  collect(all, "", present);
  EXPECT_EQ(present, documented("comparison.json"));
}

TEST(CompareSummaryJson, FiguresAreThoseOfTheResult) {
  const Comparison c = testing::eight_cells();
  const Result& r = c.results[0];
  const json::object o = parsed(summary_json(c, r));
  EXPECT_EQ(o.at("mode"), json::value("separated"));
  EXPECT_EQ(o.at("policy"), json::value("lifetime"));
  EXPECT_EQ(o.at("host_write_bytes_delta").to_number<std::uint64_t>(), r.device_host_bytes);
  EXPECT_EQ(o.at("media_write_bytes_delta").to_number<std::uint64_t>(), r.media_written_bytes);
  EXPECT_EQ(o.at("waf"), json::value(*r.dlwa));
  EXPECT_EQ(o.at("waf_status"), json::value("measured"));
  EXPECT_EQ(o.at("warmup_iterations"), json::value(8));
  EXPECT_EQ(o.at("measurement_iterations"), json::value(1));
  EXPECT_EQ(o.at("figures").at("total_wa"), json::value(*r.total_wa));
  EXPECT_EQ(o.at("figures").at("ruh_bytes").as_array().size(), 8U);
  EXPECT_EQ(o.at("figures").at("windows").as_array().size(), 32U);
  EXPECT_NEAR(o.at("figures").at("hit_ratio_against_lru").as_double(), 0.003, 1e-9);
  const json::object& worker = o.at("workers").at(0).as_object();
  EXPECT_EQ(json::serialize(worker.at("fdp_data_ruh_ids")), "[1,2,3,4,5,6,7]");
  EXPECT_EQ(json::serialize(worker.at("fdp_metadata_ruh_ids")), "[0]");
  EXPECT_EQ(worker.at("trace_path"), json::value("traces/mooncake_conversation.jsonl"));
  EXPECT_TRUE(o.at("warnings").as_array().empty());
}

TEST(CompareSummaryJson, WithoutAMediaCounterWafIsNullWithTheReason) {
  Comparison c = testing::one_cell();
  Result& r = c.results[0];
  r.dlwa = r.total_wa = std::nullopt;
  r.device_host_bytes = r.media_written_bytes = 0;
  r.dlwa_reason = "/dev/ng0n1 has no FDP statistics";
  r.cell.device = "/dev/ng0n1";
  const json::object o = parsed(summary_json(c, r));
  for (const char* field : {"waf", "host_write_bytes_delta", "media_write_bytes_delta"}) {
    EXPECT_TRUE(o.at(field).is_null()) << field;
  }
  EXPECT_TRUE(o.at("figures").at("total_wa").is_null());
  EXPECT_EQ(o.at("waf_status"), json::value("unavailable: /dev/ng0n1 has no FDP statistics"));
  EXPECT_EQ(o.at("block_device_path"), json::value("/dev/nvme0n1"));
  EXPECT_TRUE(o.at("workers").at(0).at("fdp_data_ruh_ids").is_null());
}

TEST(CompareSummaryJson, AFailedCellHasItsErrorAndNoFigures) {
  const Comparison c = testing::eight_cells();
  const json::object o = parsed(summary_json(c, c.results[2]));
  EXPECT_TRUE(o.at("figures").is_null());
  EXPECT_TRUE(o.at("waf").is_null());
  EXPECT_EQ(o.at("waf_status"), json::value("failed"));
  EXPECT_EQ(o.at("measurement_iterations"), json::value(0));
  EXPECT_EQ(o.at("workers").at(0).at("exit_code"), json::value(1));
  EXPECT_EQ(o.at("error"), json::value(c.results[2].error));
  EXPECT_EQ(o.at("warnings").at(0), json::value(c.results[2].error));
}

TEST(CompareSummaryJson, RusThatTakeFewObjectsAreAWarningForOurStore) {
  Comparison c = testing::one_cell();
  c.results[0].cell.unfilled_share = 0.2;
  const auto warnings = [&] {
    return json::serialize(parsed(summary_json(c, c.results[0])).at("warnings"));
  };
  EXPECT_NE(warnings().find("20 % of each RU stays empty"), std::string::npos);
  c.results[0].cell.subject = Subject::lru;
  EXPECT_EQ(warnings().find("stays empty"), std::string::npos);
}

TEST(CompareSummaryJson, HostileTextIsStillJson) {
  Comparison c = testing::one_cell();
  c.results[0].cell.trace = "\xFF\"\\\n\xC0\xAF\xED\xA0\x80</script>";
  c.results[0].host_wa = std::nan("");
  const json::object o = parsed(summary_json(c, c.results[0]));
  EXPECT_EQ(
      o.at("trace"),
      "\xEF\xBF\xBD\"\\\n\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD</script>");
  EXPECT_TRUE(o.at("figures").at("host_wa").is_null());
}

TEST(CompareRunId, IsAFileNameThatTellsCellsApart) {
  std::set<std::string> ids;
  const Comparison c = testing::many_cells();
  for (const Result& r : c.results) ids.insert(run_id(r.cell));
  EXPECT_EQ(ids.size(), 120U);
  Cell cell = c.results[0].cell;
  EXPECT_TRUE(run_id(cell).starts_with("mooncake_conversation_lifetime_separated_"));
  cell.trace = "../../etc/\xFF passwd";
  cell.policy = "../..";
  const std::string id = run_id(cell);
  EXPECT_EQ(id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-"), std::string::npos);
  EXPECT_NE(id[0], '.');
}

}  // namespace
}  // namespace fdpstore::compare
