#include "compare/report_html.hpp"

#include <cstdlib>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "compare/report_charts.hpp"
#include "compare/text.hpp"
#include "unit/compare/synthetic.hpp"

namespace fdpstore::compare {
namespace {

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

// What is wrong with the nesting of tags; empty: nothing. Attributes are quoted throughout.
std::string misnested(const std::string& html) {
  static const std::set<std::string> kVoid{"meta"};
  std::vector<std::string> open;
  for (auto at = html.find('<'); at != std::string::npos; at = html.find('<', at)) {
    if (html.compare(at, 2, "<!") == 0) {
      at = html.find('>', at);
      continue;
    }
    const bool closes = html[at + 1] == '/';
    const auto begin = at + (closes ? 2 : 1);
    const std::string name = html.substr(begin, html.find_first_of(" >/", begin) - begin);
    bool quoted = false;
    auto end = begin;
    for (; end < html.size() && (quoted || html[end] != '>'); ++end) quoted ^= html[end] == '"';
    if (end == html.size()) return "unclosed tag " + name;
    if (closes) {
      if (open.empty() || open.back() != name) return "</" + name + "> closes nothing";
      open.pop_back();
    } else if (html[end - 1] != '/' && !kVoid.contains(name)) {
      open.push_back(name);
    }
    at = end;
    if (!closes && (name == "script" || name == "style")) at = html.find("</" + name, end);
  }
  return open.empty() ? "" : "<" + open.back() + "> stays open";
}

// To be looked at: FDPSTORE_REPORTS=<folder> keeps the reports.
void keep(const std::string& name, const std::string& html) {
  if (const char* folder = std::getenv("FDPSTORE_REPORTS")) {
    std::ofstream(std::string(folder) + "/" + name + ".html") << html;
  }
}

struct Case {
  const char* name;
  Comparison (*make)();
};
class CompareReport : public ::testing::TestWithParam<Case> {};

TEST_P(CompareReport, IsOneWellFormedFileThatNeedsNoOther) {
  const std::string html = report_html(GetParam().make());
  keep(GetParam().name, html);
  EXPECT_EQ(misnested(html), "");
  EXPECT_TRUE(html.starts_with("<!doctype html>"));
  for (const std::string outside : {"http:", "https:", "//", "src=", "href=", "url(", "@import",
                                    "<link", "<iframe", "fetch("}) {
    EXPECT_EQ(count(html, outside), 0U) << outside;
  }
  EXPECT_EQ(count(html, "nan"), count(html, "tenant"));
  EXPECT_EQ(count(html, "=\"inf"), 0U);
}

TEST_P(CompareReport, NamesEveryCellInTheTableAndInTheCharts) {
  const Comparison c = GetParam().make();
  const std::string html = report_html(c);
  const auto body = html.find("<tbody>", html.find("table class=\"cells\""));
  const std::string rows = html.substr(body, html.find("</tbody>", body) - body);
  EXPECT_EQ(count(rows, "<tr"), c.results.size());
  const auto first = html.find("<section class=\"setting\"");
  const std::string charts = html.substr(first, html.find("<h2>Every cell") - first);
  for (const Result& r : c.results) {
    EXPECT_NE(rows.find(">" + store_name(r.cell) + "<"), std::string::npos);
    EXPECT_NE(charts.find(cell_label(r.cell)), std::string::npos) << cell_label(r.cell);
  }
  EXPECT_EQ(count(charts, "Hit ratio against write"), count(html, "<section class=\"setting\""));
}

TEST_P(CompareReport, BeginsWithTheAdviceAndEndsWithTheCommand) {
  const Comparison c = GetParam().make();
  const std::string html = report_html(c);
  const auto advice = html.find("<p class=\"say\"><b>Use lifetime</b>: ");
  ASSERT_NE(advice, std::string::npos);
  EXPECT_LT(advice, html.find("<svg"));
  EXPECT_NE(html.find("<pre>" + escaped(c.command) + "</pre>"), std::string::npos);
  EXPECT_NE(html.find("from traces/mooncake_conversation.jsonl"), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Sizes, CompareReport,
                         ::testing::Values(Case{"one", testing::one_cell},
                                           Case{"eight", testing::eight_cells},
                                           Case{"many", testing::many_cells}),
                         [](const auto& test) { return std::string(test.param.name); });

TEST(CompareReportHtml, FailuresNotesAndInterruptionAreTold) {
  Comparison c = testing::eight_cells();
  c.interrupted = true;
  const std::string html = report_html(c);
  EXPECT_NE(html.find("<b>tenant</b> failed: sim:capacity=12G: 9 open"), std::string::npos);
  EXPECT_NE(html.find("<b>mixed</b> (unsteady): not in steady state after 64"), std::string::npos);
  EXPECT_NE(html.find("not all cells were run"), std::string::npos);
  EXPECT_EQ(html.find("stays empty"), std::string::npos);
  for (Result& r : c.results) r.cell.unfilled_share = 0.2;
  EXPECT_NE(report_html(c).find("<li>20 % of each RU stays empty"), std::string::npos);
}

TEST(CompareReportHtml, TextFromOutsideIsEscapedWhereverItStands) {
  const std::string evil = "</title></script><script>alert(1)</script>\"' onload='x' \033[1m\xFF&";
  Comparison c = testing::eight_cells();
  c.command = c.version = c.machine = c.date = evil;
  c.traces[0].name = c.traces[0].origin = evil;
  for (Result& r : c.results) {
    r.cell.trace = r.cell.mode = r.cell.device = evil;
    r.note = r.dlwa_reason = evil;
    if (r.cell.subject == Subject::fdpstore) r.cell.policy += evil;
  }
  c.results[2].error = evil;
  c.results[1].dlwa = c.results[1].total_wa = std::nullopt;
  const std::string html = report_html(c);
  keep("hostile", html);
  EXPECT_EQ(misnested(html), "");
  EXPECT_EQ(count(html, "<script"), 1U);
  EXPECT_EQ(count(html, "</script"), 1U);
  EXPECT_EQ(count(html, "alert(1)<"), 0U);
  EXPECT_GT(count(html, "alert(1)&lt;"), 20U);
  EXPECT_EQ(count(html, "onload='"), 0U);
  EXPECT_EQ(html.find('\033'), std::string::npos);
  EXPECT_EQ(html.find('\xFF'), std::string::npos);
}

TEST(CompareReportHtml, WithoutMediaCountersHostWaIsShown) {
  Comparison c = testing::eight_cells();
  for (Result& r : c.results) {
    r.dlwa = r.total_wa = std::nullopt;
    r.dlwa_reason = "no FDP statistics";
    r.windows.clear();
  }
  const std::string html = report_html(c);
  EXPECT_EQ(misnested(html), "");
  EXPECT_NE(html.find("host WA (less is better)"), std::string::npos);
  EXPECT_NE(html.find("has no DLWA: no FDP statistics"), std::string::npos);
  EXPECT_EQ(html.find("The way to steady state"), std::string::npos);
}

TEST(CompareReportHtml, NothingRunAndNothingEndedAreSaid) {
  EXPECT_EQ(misnested(report_html({})), "");
  EXPECT_NE(report_html({}).find("No cell was run"), std::string::npos);
  Comparison c = testing::one_cell();
  c.results[0].error = "broken";
  const std::string html = report_html(c);
  EXPECT_EQ(misnested(html), "");
  EXPECT_NE(html.find("No store can be recommended"), std::string::npos);
  EXPECT_NE(html.find("failed: broken"), std::string::npos);
}

}  // namespace
}  // namespace fdpstore::compare
