// From what a user wants to the cells that are run.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

#include "compare/plan.hpp"
#include "ftl/sim_parameters.hpp"
#include "support/units.hpp"
#include "unit/compare/hand_made.hpp"

namespace fdpstore::compare {
namespace {

using test::kGiB;
using test::kMiB;
using testing::need;

PreparedTrace trace_of(std::uint64_t unique_bytes, std::uint64_t object_bytes = kMiB) {
  PreparedTrace trace;
  trace.facts.name = "a trace";
  trace.facts.unique_bytes = unique_bytes;
  trace.max_object_bytes = object_bytes;
  return trace;
}

std::string error_of(const Wanted& wanted, const PreparedTrace& trace = trace_of(100 * kGiB)) {
  const auto cells = plan(wanted, trace);
  if (cells) return "";
  EXPECT_EQ(cells.error().code, Errc::invalid_option);
  return cells.error().what;
}
::testing::AssertionResult has(const std::string& text, std::string_view part) {
  if (text.find(part) != std::string::npos) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "'" << part << "' is not in '" << text << "'";
}

TEST(Plan, EveryModeWithItsPoliciesAndTheBaselines) {
  Wanted wanted;
  wanted.capacities = {"10%"};
  wanted.policies = {"lifetime", "tenant"};
  wanted.oracle = true;
  const auto cells = need(plan(wanted, trace_of(100 * kGiB)));
  std::vector<std::string> found;
  for (const Cell& cell : cells) {
    found.push_back(std::string(to_string(cell.subject)) + " " + cell.mode + " " + cell.policy);
    EXPECT_EQ(cell.trace, "a trace");
  }
  EXPECT_EQ(found,
            (std::vector<std::string>{"fdpstore no_fdp lifetime", "fdpstore mixed mixed",
                                      "fdpstore separated lifetime", "fdpstore separated tenant",
                                      "fdpstore separated oracle", "lru no_fdp ", "slots no_fdp ",
                                      "slots_tenant separated ", "slots_affine separated "}));
}

TEST(Plan, NoBaselinesMeansOursOnly) {
  Wanted wanted;
  wanted.baselines = false;
  wanted.modes = {"separated"};
  const auto cells = need(plan(wanted, trace_of(100 * kGiB)));
  EXPECT_EQ(cells.size(), wanted.policies.size() * wanted.capacities.size());
  for (const Cell& cell : cells) EXPECT_EQ(cell.subject, Subject::fdpstore);
}

TEST(Plan, EveryCombinationIsThereOnce) {
  Wanted wanted;
  wanted.capacities = {"10%", "64G"};
  wanted.units = {"1/128", "256MiB"};
  wanted.spares = {7, 28};
  wanted.utilisations = {0.8, 1};
  wanted.modes = {"separated"};
  wanted.policies = {"separated"};
  wanted.baselines = false;
  const auto cells = need(plan(wanted, trace_of(100 * kGiB)));
  EXPECT_EQ(cells.size(), 16U);
  std::set<std::string> different;
  for (const Cell& cell : cells) {
    different.insert(cell.device + " at " + std::to_string(cell.utilisation));
  }
  EXPECT_EQ(different.size(), 16U);
}

TEST(Plan, CapacityIsAShareOfTheTraceOrBytes) {
  Wanted wanted;
  wanted.capacities = {"10%", "64G", "1.5GiB"};
  wanted.modes = {"separated"};
  wanted.policies = {"separated"};
  wanted.baselines = false;
  const auto cells = need(plan(wanted, trace_of(100 * kGiB)));
  ASSERT_EQ(cells.size(), 3U);
  EXPECT_DOUBLE_EQ(cells[0].capacity_share, 0.1);
  EXPECT_EQ(cells[1].capacity_share, 0);
  const std::uint64_t asked[] = {10 * kGiB, 64 * kGiB, 3 * kGiB / 2};
  for (std::size_t i = 0; i < 3; ++i) {
    // Whole units, and a MiB for what is in no segment.
    EXPECT_NEAR(static_cast<double>(cells[i].capacity_bytes), static_cast<double>(asked[i]),
                static_cast<double>(cells[i].ru_bytes));
    EXPECT_EQ((cells[i].capacity_bytes - kMiB) % cells[i].ru_bytes, 0U);
    EXPECT_EQ((cells[i].capacity_bytes - kMiB) / cells[i].ru_bytes, 128U);
  }
}

TEST(Plan, DeviceIsWhatTheCellSays) {
  Wanted wanted;
  wanted.units = {"300M"};
  wanted.capacities = {"64G"};
  wanted.spares = {28};
  wanted.ruhs = 4;
  wanted.device = "sim:gc=fifo,dies=8";
  for (const Cell& cell : need(plan(wanted, trace_of(100 * kGiB)))) {
    const auto made = need(ftl::parse_sim_uri(cell.device));
    EXPECT_EQ(made.ftl.capacity_bytes, cell.capacity_bytes);
    EXPECT_EQ(made.ftl.unit_bytes, cell.ru_bytes);
    EXPECT_EQ(made.ftl.handles, 4U);
    EXPECT_EQ(made.ftl.spare_percent, 28);
    EXPECT_EQ(made.ftl.collection, ftl::Collection::fifo);
    EXPECT_EQ(made.time.dies, 8U);
    EXPECT_EQ(cell.ru_bytes % made.ftl.map_bytes, 0U);
    EXPECT_FALSE(made.keep_payload);
  }
  wanted.device = "sim:map=4K";
  const auto cells = need(plan(wanted, trace_of(100 * kGiB)));
  EXPECT_EQ(need(ftl::parse_sim_uri(cells[0].device)).ftl.map_bytes, 4096U);
}

TEST(Plan, RealDeviceHasNoSlotsAndNoOracle) {
  Wanted wanted;
  wanted.device = "/mnt/kv";
  wanted.capacities = {"64G"};
  wanted.oracle = true;
  wanted.may_destroy = true;
  const auto cells = need(plan(wanted, trace_of(100 * kGiB)));
  for (const Cell& cell : cells) {
    EXPECT_TRUE(cell.subject == Subject::fdpstore || cell.subject == Subject::lru);
    EXPECT_NE(cell.policy, "oracle");
    EXPECT_EQ(cell.device, "/mnt/kv");
    EXPECT_EQ(cell.capacity_bytes, 64 * kGiB);
    EXPECT_TRUE(cell.may_destroy);
  }
  EXPECT_FALSE(cells.empty());
}

class BadCapacity : public ::testing::TestWithParam<const char*> {};
TEST_P(BadCapacity, IsNamedWithWhatIsPossible) {
  Wanted wanted;
  wanted.capacities = {GetParam()};
  const std::string error = error_of(wanted);
  EXPECT_TRUE(has(error, "capacity '" + std::string(GetParam()) + "'"));
  EXPECT_TRUE(has(error, "'10%'") && has(error, "'64G'"));
  wanted.device = "/mnt/kv";
  EXPECT_TRUE(has(error_of(wanted), "'64G'"));
}
INSTANTIATE_TEST_SUITE_P(Plan, BadCapacity,
                         ::testing::Values("", "x", "0", "-5G", "150%", "0%", "%", "10%%", "64Q",
                                           "nan", "inf", "inf%", "1e30", "20000000T"));

class BadUnit : public ::testing::TestWithParam<const char*> {};
TEST_P(BadUnit, IsNamedWithWhatIsPossible) {
  Wanted wanted;
  wanted.units = {GetParam()};
  const std::string error = error_of(wanted);
  EXPECT_TRUE(has(error, "RU '" + std::string(GetParam()) + "'"));
  EXPECT_TRUE(has(error, "'1/128'") && has(error, "'256M'"));
}
INSTANTIATE_TEST_SUITE_P(Plan, BadUnit,
                         ::testing::Values("", "1/", "1/4", "1/x", "2/128", "0", "-1M", "inf",
                                           "1/inf", "1/nan"));

TEST(Plan, UnitThatIsTooSmallOrTooLargeSaysWhatToDo) {
  Wanted wanted;
  wanted.capacities = {"64M"};
  EXPECT_TRUE(has(error_of(wanted), "raise the RU (--ru) or the capacity"));
  EXPECT_TRUE(has(error_of(wanted), "smaller objects (--object-bytes)"));
  wanted.capacities = {"10%"};
  wanted.units = {"1/20000"};
  EXPECT_TRUE(has(error_of(wanted), "a longer trace (gen:RECIPE,scale=2)"));
  EXPECT_FALSE(has(error_of(wanted), "smaller objects"));  // the capacity would shrink with them
  wanted.capacities = {"64M"};
  wanted.units = {"16M"};  // four of them
  EXPECT_TRUE(has(error_of(wanted), "at least 8 RUs"));
  wanted.units = {"4M"};
  EXPECT_EQ(error_of(wanted), "");
  wanted.units = {"1/1000000"};
  EXPECT_TRUE(has(error_of(wanted), "1/1000000"));
}

TEST(Plan, RusThatTakeFewObjectsAreNoted) {
  PreparedTrace trace = trace_of(6400 * kMiB, 8 * kMiB);
  trace.facts.unique_objects = 800;
  Wanted wanted;
  wanted.capacities = {"640M"};
  const auto unfilled = [&](const char* unit) {
    wanted.units = {unit};
    return need(plan(wanted, trace)).front().unfilled_share;
  };
  EXPECT_NEAR(unfilled("10M"), 0.2, 1e-3);  // one object of 8 MiB
  EXPECT_NEAR(unfilled("16M"), 0.5, 1e-3);  // one, since the second needs a header
  EXPECT_NEAR(unfilled("65M"), 1.0 / 65, 1e-3);
  trace.facts.unique_objects = 900;  // not all of one size
  EXPECT_EQ(unfilled("10M"), 0);
}

TEST(Plan, ModesPoliciesAndUtilisationsAreChecked) {
  Wanted wanted;
  wanted.modes = {"separated", "seperated"};
  EXPECT_TRUE(has(error_of(wanted), "mode 'seperated'"));
  EXPECT_TRUE(has(error_of(wanted), "no_fdp, mixed, separated"));
  wanted = {};
  wanted.policies = {};
  EXPECT_TRUE(has(error_of(wanted), "no policy is named"));
  for (const double bad : {0.0, -0.5, 1.01, std::nan("")}) {
    wanted = {};
    wanted.utilisations = {1, bad};
    EXPECT_TRUE(has(error_of(wanted), "utilisation")) << bad;
    EXPECT_TRUE(has(error_of(wanted), "above 0 and at most 1")) << bad;
  }
  wanted = {};
  wanted.device = "sim:capacity=1X";
  EXPECT_TRUE(has(error_of(wanted), "capacity = 1X"));
}

}  // namespace
}  // namespace fdpstore::compare
