// The log: levels, and the limit on repeats.
#include "common/log.hpp"

#include <cstdlib>

#include <gtest/gtest.h>

namespace fdpstore {
namespace {

TEST(RepeatLimit, LeavesOutRepeatsAndTellsHowMany) {
  RepeatLimit limit;
  std::uint64_t printed = 0;
  for (int i = 0; i < 100; ++i) {
    const auto verdict = limit.ask("segment " + std::to_string(i) + " failed", 10 + i * 0.001);
    printed += verdict.print ? 1 : 0;
    EXPECT_EQ(verdict.left_out, 0U);
  }
  EXPECT_EQ(printed, RepeatLimit::kMostPerSecond);
  const auto later = limit.ask("segment 7 failed", 11.5);
  EXPECT_TRUE(later.print);
  EXPECT_EQ(later.left_out, 100 - RepeatLimit::kMostPerSecond);
  EXPECT_EQ(limit.ask("segment 8 failed", 11.6).left_out, 0U) << "told once";
}

TEST(RepeatLimit, OtherMessagesAreNotTouched) {
  RepeatLimit limit;
  for (int i = 0; i < 50; ++i) (void)limit.ask("one", 1);
  EXPECT_TRUE(limit.ask("another", 1).print);
  EXPECT_FALSE(limit.ask("one", 1).print);
}

TEST(RepeatLimit, TooManyKindsOfMessagesTakeNoMemory) {
  RepeatLimit limit;
  std::string message;
  for (int i = 0; i < 100'000; ++i) {
    message = std::string(static_cast<std::size_t>(i % 1000), 'x');
    (void)limit.ask(message, 1);
  }
  EXPECT_TRUE(limit.ask("new", 1).print);
}

TEST(Log, LevelsAreSetByName) {
  ASSERT_TRUE(set_log_level("info"));
  EXPECT_TRUE(log().should_log(spdlog::level::info));
  EXPECT_FALSE(log().should_log(spdlog::level::debug));
  ASSERT_TRUE(set_log_level("off"));
  EXPECT_FALSE(log().should_log(spdlog::level::err));
  ASSERT_TRUE(set_log_level("warn"));
  const auto refused = set_log_level("loud");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_option);
  EXPECT_NE(refused.error().what.find("error, warn, info"), std::string::npos);
  EXPECT_TRUE(log().should_log(spdlog::level::warn)) << "as it was";
}

TEST(Log, RepeatsArePrintedAFewTimes) {
  ASSERT_TRUE(set_log_level("warn"));
  ::testing::internal::CaptureStderr();
  for (int i = 0; i < 1000; ++i) log().warn("unit {} is worn", i);
  log().flush();
  const std::string text = ::testing::internal::GetCapturedStderr();
  const auto lines = static_cast<std::uint64_t>(std::count(text.begin(), text.end(), '\n'));
  EXPECT_GE(lines, RepeatLimit::kMostPerSecond);
  EXPECT_LE(lines, 2 * RepeatLimit::kMostPerSecond) << "a second may end meanwhile";
  EXPECT_NE(text.find("[warning] fdpstore: unit 0 is worn"), std::string::npos) << text;
}

}  // namespace
}  // namespace fdpstore
