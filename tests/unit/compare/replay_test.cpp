// Replays: what is counted, when they end, and that they come out the same again.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <set>

#include "compare/run.hpp"
#include "support/sanitizers.hpp"
#include "unit/compare/hand_made.hpp"

namespace fdpstore::compare {
namespace {

using testing::generated;
using testing::need;
using testing::six_operations;
using testing::TraceMaker;

Cell lru_of(std::uint64_t bytes) {
  Cell cell;
  cell.subject = Subject::lru;
  cell.capacity_bytes = bytes;
  return cell;
}

// The cells of a small comparison on a simulated device.
std::vector<Cell> cells_of(const PreparedTrace& trace, Wanted wanted = {},
                           std::string unit = "1/32") {
  wanted.capacities = {"20%"};
  wanted.units = {std::move(unit)};
  wanted.policies = {"lifetime"};
  wanted.modes = {"separated"};
  return need(plan(wanted, trace));
}
const Cell& of(const std::vector<Cell>& cells, Subject subject) {
  return *std::ranges::find(cells, subject, &Cell::subject);
}
const trace::Trace& chat() {
  static const trace::Trace trace =
      generated(fmt::format("chat,requests={},object_bytes=65536,seed=5", test::repeated(1500)));
  return trace;
}

// -------------------------------------------------------------------------------------- by hand

TEST(Prepare, FactsAndNextUsesOfAHandMadeTrace) {
  const trace::Trace trace = six_operations();
  const PreparedTrace prepared = prepare(trace);
  EXPECT_EQ(prepared.facts.unique_objects, 4U);
  EXPECT_EQ(prepared.facts.unique_bytes, 400U);
  EXPECT_EQ(prepared.max_object_bytes, 100U);
  EXPECT_EQ(prepared.duration_s, 5);
  EXPECT_EQ(prepared.next_uses, (std::vector<std::uint64_t>{3, 4, 5, 6, 9, 10, 8, 11, 12, 13,
                                                            kNever, kNever, kNever, kNever}));
}

TEST(Prepare, EqualKeysOfTwoScopesAreTwo) {
  TraceMaker made(100);
  made.trace.scopes.resize(2);
  made.add(trace::OpKind::request, {1}, 10, 0);
  made.add(trace::OpKind::request, {1}, 10, 1);
  made.add(trace::OpKind::request, {1}, 10, 0);
  EXPECT_EQ(prepare(made.trace).next_uses, (std::vector<std::uint64_t>{2, kNever, kNever}));
}

// Three objects fit. By request, newest last:
//   1,2,3  nothing there           then 3 2 1
//   1,2,3  all three               then 3 2 1
//   1,4    1                       4 takes 3's place: 2 1 4
//   1,2,3  1 and 2                 3 takes 4's place: 2 1 3
//   4,1    (lookup) 1, not leading
//   2      (load) is not counted
// Leading tokens 0 + 3·10 + 1·10 + 2·20 + 0 of 30 + 30 + 20 + 60 + 2, as no tokens count 1 each.
TEST(Replay, HitRatioIsOfLeadingRunsByTokens) {
  const trace::Trace trace = six_operations();
  const PreparedTrace prepared = prepare(trace);
  const Result result = replay(lru_of(300), prepared, {});
  ASSERT_TRUE(result.error.empty()) << result.error;
  EXPECT_DOUBLE_EQ(result.hit_ratio, 80.0 / 142);
  EXPECT_DOUBLE_EQ(result.object_hit_ratio, 7.0 / 13);
  EXPECT_EQ(result.requests, 5U);
  EXPECT_EQ(result.keys, 13U);
  EXPECT_EQ(result.stored_objects, 5U);
  EXPECT_EQ(result.stored_bytes, 500U);
  EXPECT_EQ(result.header_bytes, 0U);
  EXPECT_FALSE(result.dlwa);
  EXPECT_NE(result.dlwa_reason.find("LRU"), std::string::npos);
  EXPECT_FALSE(result.total_wa);
}

TEST(Replay, EndsOnlyOnceFourCapacitiesWereWrittenBefore) {
  const trace::Trace trace = six_operations();
  const PreparedTrace prepared = prepare(trace);
  // 500 bytes a pass: after two passes 3.3 capacities of 300, after three 5.
  const Result result = replay(lru_of(300), prepared, {});
  EXPECT_TRUE(result.steady);
  EXPECT_EQ(result.passes, 4U);
  EXPECT_EQ(replay(lru_of(300), prepared, {.min_capacities = 10}).passes, 7U);
  const Result cut = replay(lru_of(300), prepared, {.max_passes = 3});
  EXPECT_FALSE(cut.steady);
  EXPECT_EQ(cut.passes, 3U);
  EXPECT_NE(cut.note.find("after 3 passes and 5.0 capacities"), std::string::npos) << cut.note;
}

TEST(Replay, PassesFindNothingOfOneAnother) {
  TraceMaker made(100);
  made.add(trace::OpKind::request, {1, 2, 3});
  const PreparedTrace prepared = prepare(made.trace);
  const Result result = replay(lru_of(3000), prepared, {});
  EXPECT_GT(result.passes, 10U);
  EXPECT_EQ(result.hit_ratio, 0);
  EXPECT_EQ(result.object_hit_ratio, 0);
}

TEST(Replay, WindowsTellTheWayThere) {
  const trace::Trace trace = six_operations();
  const PreparedTrace prepared = prepare(trace);
  const Result result = replay(lru_of(300), prepared, {});
  ASSERT_GE(result.windows.size(), 8U);
  double before = 0;
  for (const Window& window : result.windows) {
    EXPECT_GT(window.capacities, before);
    EXPECT_LE(window.hit_ratio, 1);
    before = window.capacities;
  }
  EXPECT_NEAR(before, 4 * 500.0 / 300, 0.5);
}

// ---------------------------------------------------------------------------------------- devices

TEST(Replay, SteadyStateNeedsPassesThatAgree) {
  const PreparedTrace prepared = prepare(chat());
  const Cell cell = of(cells_of(prepared), Subject::slots);
  const Result result = replay(cell, prepared, {});
  ASSERT_TRUE(result.error.empty()) << result.error;
  EXPECT_TRUE(result.steady) << result.note;
  ASSERT_TRUE(result.dlwa);
  EXPECT_GT(*result.dlwa, 1.05);
  EXPECT_GE(result.windows.back().capacities, 4);
  EXPECT_DOUBLE_EQ(*result.total_wa, *result.dlwa * result.host_wa);
  const Result strict =
      replay(cell, prepared, {.steady_share = 0, .max_passes = result.passes + 1});
  EXPECT_FALSE(strict.steady);
  EXPECT_EQ(strict.passes, result.passes + 1);
  EXPECT_FALSE(strict.note.empty());
}

void expect_equal(const Result& a, const Result& b) {
  EXPECT_TRUE(a.error.empty()) << a.error;
  EXPECT_EQ(a.passes, b.passes);
  EXPECT_EQ(a.hit_ratio, b.hit_ratio);
  EXPECT_EQ(a.object_hit_ratio, b.object_hit_ratio);
  EXPECT_EQ(a.stored_objects, b.stored_objects);
  EXPECT_EQ(a.host_written_bytes, b.host_written_bytes);
  EXPECT_EQ(a.media_written_bytes, b.media_written_bytes);
  EXPECT_EQ(a.ruh_bytes, b.ruh_bytes);
  EXPECT_EQ(a.windows.size(), b.windows.size());
}

TEST(Replay, ModelsGiveTheSameResultsAgain) {
  const PreparedTrace prepared = prepare(chat());
  for (const Cell& cell : cells_of(prepared)) {
    if (cell.subject == Subject::fdpstore) continue;
    SCOPED_TRACE(cell.device + " " + std::string(to_string(cell.subject)));
    expect_equal(replay(cell, prepared, {}), replay(cell, prepared, {}));
  }
}

// The real store works with a thread of its own: how far reclaim has come when a request arrives
// differs from run to run.
TEST(Replay, StoreGivesNearlyTheSameResultsAgain) {
  const PreparedTrace prepared = prepare(chat());
  const Cell cell = of(cells_of(prepared), Subject::fdpstore);
  const Result a = replay(cell, prepared, {});
  const Result b = replay(cell, prepared, {});
  ASSERT_TRUE(a.error.empty()) << a.error;
  EXPECT_NEAR(a.hit_ratio, b.hit_ratio, 0.03);
  EXPECT_NEAR(static_cast<double>(a.stored_objects) / static_cast<double>(b.stored_objects), 1,
              0.03);
  EXPECT_NEAR(a.total_wa.value(), b.total_wa.value(), 0.02);
}

TEST(Replay, KnowingTheFutureIsNoWorseThanLru) {
  const PreparedTrace prepared = prepare(chat());
  Wanted wanted;
  wanted.oracle = true;
  // Segments that are open or in reserve are a small part here, as with a drive.
  const auto cells = cells_of(prepared, wanted, "1/160");
  const auto oracle = std::ranges::find(cells, "oracle", &Cell::policy);
  ASSERT_NE(oracle, cells.end());
  const Result known = replay(*oracle, prepared, {});
  const Result lru = replay(of(cells, Subject::lru), prepared, {});
  ASSERT_TRUE(known.error.empty()) << known.error;
  EXPECT_GT(lru.hit_ratio, 0.05);
  EXPECT_LT(lru.hit_ratio, prepared.facts.infinite_hit_ratio);
  EXPECT_GE(known.hit_ratio, lru.hit_ratio);
  EXPECT_LE(known.hit_ratio, prepared.facts.infinite_hit_ratio + 1e-9);
}

// ------------------------------------------------------------------------------------ interruption

TEST(Replay, StopEndsItSoon) {
  const PreparedTrace prepared = prepare(chat());
  std::atomic<bool> stop = false;
  int calls = 0;
  ReplayOptions options;
  options.stop = &stop;
  options.progress = [&](const Progress& progress) {
    EXPECT_GE(progress.pass, 1U);
    EXPECT_LE(progress.pass_share, 1);
    if (++calls == 20) stop = true;
  };
  const Result result = replay(of(cells_of(prepared), Subject::fdpstore), prepared, options);
  EXPECT_NE(result.error.find("interrupted"), std::string::npos) << result.error;
  EXPECT_EQ(calls, 20);
}

TEST(RunCells, OneThatFailsLeavesTheOthersAndTheirOrder) {
  const trace::Trace trace = six_operations();
  const PreparedTrace prepared = prepare(trace);
  Cell bad;
  bad.device = "sim:capacity=1X";
  bad.capacity_bytes = 1;
  std::size_t ended = 0;
  const auto results =
      run_cells({{lru_of(300), &prepared}, {bad, &prepared}, {lru_of(200), &prepared}},
                {.jobs = 2, .replay = {}, .progress = [&](const RunState& state) {
                   EXPECT_EQ(state.total, 3U);
                   if (state.ended == nullptr) return;
                   EXPECT_EQ(state.done, ++ended);
                 }});
  ASSERT_EQ(results.size(), 3U);
  EXPECT_EQ(ended, 3U);
  EXPECT_EQ(results[0].cell.capacity_bytes, 300U);
  EXPECT_TRUE(results[0].error.empty());
  EXPECT_NE(results[1].error.find("capacity = 1X"), std::string::npos) << results[1].error;
  EXPECT_EQ(results[2].cell.capacity_bytes, 200U);
  EXPECT_LT(results[2].hit_ratio, results[0].hit_ratio);
}

TEST(RunCells, StopLeavesWhatIsFinished) {
  const trace::Trace trace = six_operations();
  const PreparedTrace prepared = prepare(trace);
  std::atomic<bool> stop = false;
  RunOptions options;
  options.jobs = 1;
  options.replay.stop = &stop;
  options.progress = [&](const RunState& state) { stop = state.done == 2; };
  const auto results = run_cells({{lru_of(300), &prepared},
                                  {lru_of(200), &prepared},
                                  {lru_of(100), &prepared},
                                  {lru_of(400), &prepared}},
                                 options);
  ASSERT_EQ(results.size(), 2U);
  for (const Result& result : results) EXPECT_TRUE(result.error.empty()) << result.error;
}

TEST(RunCells, NoCellsAreNoResults) {
  EXPECT_TRUE(run_cells({}, {}).empty());
}

}  // namespace
}  // namespace fdpstore::compare
