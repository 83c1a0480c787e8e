// A part of the fault campaign for every run of the tests: `test_faults --seeds A-B` runs more.
#include <gtest/gtest.h>

#include "campaign.hpp"
#include "support/sanitizers.hpp"

namespace fdpstore::test {
namespace {

constexpr std::uint64_t kRuns = kThreadSanitizer ? 10 : kAddressSanitizer ? 20 : 130;

class Campaign : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(Campaign, KeepsEveryPromise) {
  RunReport sum;
  for (std::uint64_t i = 0; i < kRuns; ++i) {
    const std::uint64_t seed = 1 + GetParam() * 1000 + i;
    const RunReport report = run_campaign(setup_of(seed));
    ASSERT_EQ(report.failure, "") << "repeat with: test_faults --seeds " << seed << " --verbose";
    sum += report;
  }
  // Not a test of nothing.
  EXPECT_GT(sum.stored, kRuns * 20);
  EXPECT_GT(sum.hits, kRuns * 20);
  EXPECT_GT(sum.cuts, kRuns);
  EXPECT_GT(sum.injected, kRuns);
  EXPECT_GT(sum.dropped, kRuns);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Campaign, ::testing::Range<std::uint64_t>(0, 4));

}  // namespace
}  // namespace fdpstore::test
