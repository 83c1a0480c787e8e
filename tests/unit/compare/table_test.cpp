#include "compare/table.hpp"

#include <sstream>

#include <gtest/gtest.h>

#include "compare/text.hpp"
#include "unit/compare/synthetic.hpp"

namespace fdpstore::compare {
namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

std::string line_with(const std::string& text, const std::string& what) {
  for (const std::string& line : lines_of(text)) {
    if (line.find(what) != std::string::npos) return line;
  }
  return {};
}

// A Comparison whose every text is as long as can be.
Comparison wide() {
  Comparison c = testing::many_cells();
  for (Result& r : c.results) {
    r.cell.trace += std::string(150, 'x');
    if (r.cell.subject == Subject::fdpstore) r.cell.policy += " with a name that does not fit";
    r.cell.mode = "a mode nobody has heard of";
    r.stored_bytes = 123'456'700'000'000;
    r.store_latency = r.load_latency = {0.000'11, 0.011, 123, 5};
    if (r.dlwa) r.dlwa = r.total_wa = 12.34;
  }
  c.results[1].error = std::string(400, 'e');
  return c;
}

TEST(CompareTable, FitsInto120Columns) {
  for (const Comparison& c :
       {testing::one_cell(), testing::eight_cells(), testing::many_cells(), wide()}) {
    for (const std::string& line : lines_of(table(c))) EXPECT_LE(columns_of(line), 120U) << line;
  }
}

TEST(CompareTable, ARowHasTheFiguresOfItsCell) {
  const std::string row = line_with(table(testing::eight_cells()), "slots by tenant");
  for (const std::string figure : {"separated", "23.8", "0.0", "1.83", "1.00", "1.84", "223.2",
                                   "410.1", "2.0ms/14ms/40ms", "380us/3.8ms/31ms"}) {
    EXPECT_NE(row.find(figure), std::string::npos) << figure << " in: " << row;
  }
}

TEST(CompareTable, RusThatTakeFewObjectsAreToldOnceWithTheRemedy) {
  Comparison c = testing::eight_cells();
  EXPECT_EQ(table(c).find("stays empty"), std::string::npos);
  for (Result& r : c.results) r.cell.unfilled_share = 0.204;
  const std::string text = table(c);
  EXPECT_EQ(line_with(text, "stays empty").find("  20 % of each RU"), 0U) << text;
  EXPECT_EQ(text.find("stays empty"), text.rfind("stays empty"));
  EXPECT_NE(text.find("scale=4"), std::string::npos);
}

TEST(CompareTable, PointsNeedAnLruCell) {
  Comparison c = testing::eight_cells();
  EXPECT_NE(line_with(table(c), "lifetime ").find("+0.3"), std::string::npos);
  std::erase_if(c.results, [](const Result& r) { return r.cell.subject == Subject::lru; });
  EXPECT_EQ(table(c).find("+0.3"), std::string::npos);
}

TEST(CompareTable, TheBestAreMarkedAndNeitherLruNorOracleIs) {
  const std::string text = table(testing::eight_cells());
  EXPECT_NE(line_with(text, "lifetime         separated").find("227.2*"), std::string::npos)
      << text;
  EXPECT_NE(line_with(text, "lifetime  ").find("24.1*"), std::string::npos) << text;
  EXPECT_EQ(line_with(text, "oracle").find('*'), std::string::npos) << text;
  EXPECT_EQ(line_with(text, "LRU  ").find('*'), std::string::npos) << text;
}

TEST(CompareTable, FailuresAndUnsteadyCellsSayWhy) {
  const std::string text = table(testing::eight_cells());
  EXPECT_NE(text.find("failed: tenant: sim:capacity=12G: 9 open segments need"), std::string::npos);
  EXPECT_NE(text.find("~ mixed: not in steady state after 64 passes"), std::string::npos);
  EXPECT_NE(text.find("mixed ~"), std::string::npos);
}

TEST(CompareTable, ATraceInSeveralSettingsIsJudgedOverAll) {
  const std::string text = table(testing::many_cells());
  EXPECT_NE(text.find("mooncake_conversation, all 6 settings. Use lifetime: mean"),
            std::string::npos);
  EXPECT_NE(text.find("agentic, all 6 settings. Use tenant: mean"), std::string::npos);
  EXPECT_EQ(table(testing::eight_cells()).find("settings."), std::string::npos);
}

TEST(CompareTable, NamesCannotSteerTheTerminal) {
  Comparison c = testing::eight_cells();
  for (Result& r : c.results)
    r.cell.trace =
        "a\033[31m\xFF\n\xE2\x80\xAE"
        "b";
  c.results[2].error = "bad\033]0;title\a";
  const std::string text = table(c);
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_EQ(text.find('\a'), std::string::npos);
  EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
  EXPECT_EQ(text.rfind("a?[31m\xEF\xBF\xBD??b · capacity", 0), 0U) << text;
}

TEST(CompareTable, NothingRunIsSaid) {
  EXPECT_EQ(table({}), "No cell was run.\n");
  Comparison c = testing::one_cell();
  c.interrupted = true;
  EXPECT_NE(table(c).find("Interrupted"), std::string::npos);
}

}  // namespace
}  // namespace fdpstore::compare
