// GoogleTest's main, or the campaign over seeds of the caller's choice:
//   test_faults --seeds 1-10000 [--verbose]
#include <gtest/gtest.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <string_view>

#include <fmt/format.h>

#include "campaign.hpp"
#include "common/log.hpp"

namespace {

bool parse_range(std::string_view text, std::uint64_t& first, std::uint64_t& last) {
  const auto [middle, error] = std::from_chars(text.begin(), text.end(), first);
  last = first;
  if (error != std::errc{}) return false;
  if (middle == text.end()) return true;
  const auto [end, error2] = std::from_chars(middle + 1, text.end(), last);
  return *middle == '-' && error2 == std::errc{} && end == text.end() && first <= last;
}

int run_seeds(std::string_view range, bool verbose) {
  using namespace fdpstore::test;
  std::uint64_t first = 0, last = 0;
  if (!parse_range(range, first, last)) {
    fmt::print(stderr, "--seeds {}: give a number, or two with '-' between them\n", range);
    return 2;
  }
  RunReport sum;
  std::uint64_t failed = 0;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = first; seed <= last; ++seed) {
    RunSetup setup = setup_of(seed);
    setup.verbose = verbose;
    const RunReport report = run_campaign(setup);
    sum += report;
    if (!report.failure.empty()) {
      ++failed;
      fmt::print("seed {}: {}\n", seed, report.failure);
      std::fflush(stdout);
    }
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  fmt::print(
      "{} runs in {:.0f} s, {} failed: {} requests, {} faults and {} cuts, {} opens; {} objects "
      "stored, {} erased, {} dropped, {} hits verified, {} excused by damage\n",
      last - first + 1, took.count(), failed, sum.requests, sum.injected, sum.cuts, sum.opens,
      sum.stored, sum.erased, sum.dropped, sum.hits, sum.excused);
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (!fdpstore::set_log_level("off")) return 2;  // faults are logged by design
  if (argc >= 3 && std::string_view(argv[1]) == "--seeds") {
    return run_seeds(argv[2], argc > 3 && std::string_view(argv[3]) == "--verbose");
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
