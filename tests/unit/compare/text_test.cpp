#include "compare/text.hpp"

#include <vector>

#include <gtest/gtest.h>

namespace fdpstore::compare {
namespace {

TEST(CompareText, DurationsHaveTwoDigitsAndAUnit) {
  EXPECT_EQ(duration_text(0), "0");
  EXPECT_EQ(duration_text(0.000'001'24), "1.2us");
  EXPECT_EQ(duration_text(0.000'12), "120us");
  EXPECT_EQ(duration_text(0.000'999'7), "1.0ms");
  EXPECT_EQ(duration_text(0.009'96), "10ms");
  EXPECT_EQ(duration_text(12.3), "12s");
}

TEST(CompareText, PointsHaveASignAndNoNegativeZero) {
  EXPECT_EQ(points_text(0.004), "+0.4");
  EXPECT_EQ(points_text(-0.0123), "-1.2");
  EXPECT_EQ(points_text(-0.0001), "0.0");
}

TEST(CompareText, WhatIsNoUtf8IsReplaced) {
  EXPECT_EQ(valid_utf8("ü\n€𝄞"), "ü\n€𝄞");
  EXPECT_EQ(valid_utf8("a\xC3"), "a\xEF\xBF\xBD");                                // cut off
  EXPECT_EQ(valid_utf8("\xC0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");                  // overlong
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");  // surrogate
}

TEST(CompareText, PrintableHasNoControlAndNothingThatTurnsText) {
  EXPECT_EQ(printable("a\033[0m\nb\x7F"), "a?[0m?b?");
  EXPECT_EQ(printable("x\xE2\x80\xAEy\xE2\x81\xA6z\xC2\x85"), "x?y?z?");
}

TEST(CompareText, LongTextIsCutByCharacters) {
  EXPECT_EQ(shortened("üüüü", 4), "üüüü");
  EXPECT_EQ(shortened("üüüüü", 4), "üüü…");
}

TEST(CompareText, WrappedLinesKeepTheirIndentAndWidth) {
  EXPECT_EQ(wrapped("one two three", "  ", 9), "  one two\n  three\n");
  EXPECT_EQ(wrapped("abcdefghij k", " ", 5), " abcd\n efgh\n ij k\n");
  EXPECT_EQ(wrapped("", " ", 5), "");
}

TEST(CompareText, LabelsTellStoreAndUnusualMode) {
  const auto label = [](Subject subject, const char* policy, const char* mode) {
    Cell cell;
    cell.subject = subject;
    cell.policy = policy;
    cell.mode = mode;
    return cell_label(cell);
  };
  EXPECT_EQ(label(Subject::fdpstore, "lifetime", "separated"), "lifetime");
  EXPECT_EQ(label(Subject::fdpstore, "lifetime", "no_fdp"), "lifetime (no_fdp)");
  EXPECT_EQ(label(Subject::fdpstore, "mixed", "mixed"), "mixed");
  EXPECT_EQ(label(Subject::fdpstore, "/a/b/mine.policy", "separated"), "/a/b/mine");
  EXPECT_EQ(label(Subject::slots, "", "no_fdp"), "slots");
  EXPECT_EQ(label(Subject::slots_tenant, "", "separated"), "slots by tenant");
  EXPECT_EQ(label(Subject::lru, "", "no_fdp"), "LRU");
}

TEST(CompareText, SettingSaysWhatIsUnusual) {
  Cell cell;
  cell.trace = "chat";
  cell.capacity_bytes = 128ULL << 20;
  cell.ru_bytes = 1 << 20;
  EXPECT_EQ(setting_text(cell),
            "chat · capacity 128.0 MiB · RU 1/128 (1.0 MiB) · 7 % spare, 8 RUHs");
  cell.ru_bytes = 0;
  cell.capacity_share = 0.1;
  cell.utilisation = 0.9;
  cell.neighbour_share = 0.25;
  EXPECT_EQ(setting_text(cell),
            "chat · capacity 10 % (128.0 MiB) · 7 % spare, 8 RUHs, 90 % used, neighbour on 25 %");
}

}  // namespace
}  // namespace fdpstore::compare
