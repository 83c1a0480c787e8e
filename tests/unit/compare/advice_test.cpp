#include "compare/advice.hpp"

#include <gtest/gtest.h>

#include "unit/compare/synthetic.hpp"

namespace fdpstore::compare {
namespace {

// All store as much, other than in life.
Result cell(const std::string& policy, double hit_ratio, double dlwa) {
  Result result = testing::result_of({Subject::fdpstore, policy, "separated", hit_ratio, dlwa, 1.0},
                                     testing::setting_of("t", 0.10, 128));
  result.stored_bytes = std::uint64_t{200} << 30;
  return result;
}

Verdict verdict_of(std::vector<Result> results) {
  const Comparison c = testing::comparison_of(std::move(results));
  Verdict verdict = judge(settings(c));
  for (Standing& s : verdict.standings) s.cell = nullptr;  // `c` goes
  return verdict;
}

TEST(CompareAdvice, MostHitsWinAmongThoseWithinTwoPerCentOfTheLeastWear) {
  EXPECT_EQ(verdict_of({cell("a", 0.20, 1.0), cell("b", 0.22, 1.019), cell("c", 0.3, 1.03)})
                .winner()
                ->label,
            "b");
  EXPECT_EQ(verdict_of({cell("a", 0.20, 1.0), cell("b", 0.22, 1.021)}).winner()->label, "a");
}

TEST(CompareAdvice, OfThoseThatHitAsOftenTheOneThatWritesLessWins) {
  EXPECT_EQ(verdict_of({cell("a", 0.2002, 1.01), cell("b", 0.2001, 1.0)}).winner()->label, "b");
}

TEST(CompareAdvice, WhatHitsMoreOftenIsNamedWithItsPrice) {
  const Verdict v = verdict_of({cell("a", 0.20, 1.0), cell("b", 0.22, 1.5)});
  EXPECT_NE(v.headline.find("Use a: hit ratio 20.0 %"), std::string::npos) << v.headline;
  EXPECT_NE(v.details.find("b hits 2.0 points more often and wears the drive 1.50 × as much."),
            std::string::npos)
      << v.details;
}

TEST(CompareAdvice, WhatIsStoredAgainAfterAMissCounts) {
  Result misses = cell("a", 0.20, 1.0);
  Result hits = cell("b", 0.30, 1.1);
  hits.stored_bytes = misses.stored_bytes * 8 / 10;
  const Verdict v = verdict_of({misses, hits});
  EXPECT_EQ(v.winner()->label, "b") << "0.8 × 1.1 bytes for the same requests";
  EXPECT_NE(v.headline.find("total WA 1.10"), std::string::npos) << v.headline;
}

TEST(CompareAdvice, NeitherOracleNorLruNorAFailureWins) {
  Result lru = cell("", 0.35, 1);
  lru.cell.subject = Subject::lru;
  Result failed = cell("failed", 0.36, 1);
  failed.error = "no";
  const Verdict v = verdict_of({cell("oracle", 0.34, 1.0), lru, failed, cell("a", 0.2, 1.0)});
  EXPECT_EQ(v.winner()->label, "a");
  EXPECT_NE(v.headline.find("(-15.0 points against LRU)"), std::string::npos) << v.headline;
  EXPECT_NE(v.details.find("knew the future hits 14.0 points more often"), std::string::npos);
}

TEST(CompareAdvice, ASteadyCellGoesBeforeOneThatIsNot) {
  Result unsteady = cell("b", 0.3, 1.0);
  unsteady.steady = false;
  EXPECT_EQ(verdict_of({cell("a", 0.2, 1.0), unsteady}).winner()->label, "a");
  const Verdict alone = verdict_of({unsteady});
  EXPECT_EQ(alone.winner()->label, "b");
  EXPECT_NE(alone.details.find("Not in steady state"), std::string::npos);
}

TEST(CompareAdvice, WithoutMediaCountersHostWaDecides) {
  Result a = cell("a", 0.2, 1.0);
  Result b = cell("b", 0.2, 1.0);
  b.host_wa = 1.5;
  for (Result* r : {&a, &b}) r->dlwa = r->total_wa = std::nullopt;
  const Verdict v = verdict_of({b, a});
  EXPECT_FALSE(v.by_total);
  EXPECT_EQ(v.winner()->label, "a");
  EXPECT_NE(v.headline.find("host WA 1.00 (host WA alone"), std::string::npos) << v.headline;
}

TEST(CompareAdvice, AStoreThatFailedSomewhereDoesNotWinOverAll) {
  Result a2 = cell("a", 0.2, 1.0);
  Result b2 = cell("b", 0.3, 1.0);
  a2.cell.ru_bytes = b2.cell.ru_bytes = 4096;
  b2.error = "failed";
  EXPECT_EQ(verdict_of({cell("a", 0.2, 1.0), cell("b", 0.3, 1.0), a2, b2}).winner()->label, "a");
}

TEST(CompareAdvice, NobodyToRecommend) {
  Result failed = cell("a", 0.2, 1.0);
  failed.error = "no";
  const Verdict v = verdict_of({failed});
  EXPECT_EQ(v.winner(), nullptr);
  EXPECT_NE(v.headline.find("No store can be recommended"), std::string::npos);
}

TEST(CompareAdvice, CellsOfOneSettingDifferInTheStoreOnly) {
  EXPECT_EQ(settings(testing::eight_cells()).size(), 1U);
  EXPECT_EQ(settings(testing::many_cells()).size(), 12U);
  Comparison c = testing::eight_cells();
  c.results[0].cell.spare_percent = 28;
  c.results[1].cell.neighbour_share = 0.1;
  EXPECT_EQ(settings(c).size(), 3U);
}

}  // namespace
}  // namespace fdpstore::compare
