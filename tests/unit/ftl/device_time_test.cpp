// When commands are done, against figures worked out by hand.
#include "ftl/device_time.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "unit/ftl/support.hpp"

namespace fdpstore::test {
namespace {

using ftl::DeviceTime;
using ftl::MediaOp;
using ftl::SimClock;

constexpr double kUs = 1e-6;
constexpr std::uint64_t kUnit = 64 * kKiB;

// Round figures: transfers of 64 KiB take 64 µs on a channel and 8 µs on the link.
ftl::TimeParameters round_figures() {
  return {.dies = 4,
          .read_us = 50,
          .program_us = 600,
          .erase_us = 3000,
          .channel_gbps = 65536e-9 / (64 * kUs),
          .link_gbps = 65536e-9 / (8 * kUs),
          .command_us = 10,
          .buffer_kib = 512};
}
ftl::FtlParameters flash() {
  return {.capacity_bytes = kGiB, .unit_bytes = 128 * kMiB};
}

std::vector<MediaOp> programs(std::uint32_t first, std::uint32_t count) {
  std::vector<MediaOp> out;
  out.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) out.push_back({MediaOp::Kind::program, first + i, 0});
  return out;
}

TEST(SimClock, NeverGoesBack) {
  SimClock clock;
  EXPECT_EQ(clock.now_s(), 0);
  clock.advance_to(2);
  clock.advance_to(1);
  EXPECT_EQ(clock.now_s(), 2);
}

TEST(DeviceTime, WriteIsDoneWhenItIsInTheBuffer) {
  DeviceTime time(round_figures(), flash());
  EXPECT_NEAR(time.write(1, kUnit, programs(0, 1)), 1 + 18 * kUs, 1e-12);
  EXPECT_NEAR(time.idle_at(), 1 + (8 + 64 + 600) * kUs, 1e-12);
}

TEST(DeviceTime, FullBufferMakesWritesWait) {
  DeviceTime time(round_figures(), flash());
  // Eight units fill the buffer, all bound for die 0.
  std::vector<MediaOp> ops(8, MediaOp{MediaOp::Kind::program, 0, 0});
  const double link = 8 * 8 * kUs;
  EXPECT_NEAR(time.write(0, 8 * kUnit, ops), link + 10 * kUs, 1e-12);
  // Room for the next one when the first has been programmed.
  EXPECT_NEAR(time.write(0, kUnit, programs(1, 1)), link + 664 * kUs + 10 * kUs, 1e-12);
}

TEST(DeviceTime, SustainedWritesRunAtTheSpeedOfTheDies) {
  DeviceTime time(round_figures(), flash());
  double done = 0;
  const std::uint32_t count = 4000;
  for (std::uint32_t i = 0; i < count; ++i) done = time.write(done, kUnit, programs(i, 1));
  EXPECT_NEAR(done / (count / 4.0 * 664 * kUs), 1, 0.01);
}

TEST(DeviceTime, ReadTakesDieChannelAndLink) {
  DeviceTime time(round_figures(), flash());
  const std::vector<std::uint32_t> four = {0, 1, 2, 3}, same = {0, 4, 8, 12}, one = {2};
  EXPECT_NEAR(time.read(1, kUnit, one), 1 + (50 + 64 + 8 + 10) * kUs, 1e-9);
  EXPECT_NEAR(time.read(2, 4096, one), 2 + (50 + 4 + 0.5 + 10) * kUs, 1e-9);
  EXPECT_NEAR(time.read(3, 4 * kUnit, four), 3 + (50 + 64 + 32 + 10) * kUs, 1e-9);
  EXPECT_NEAR(time.read(4, 4 * kUnit, same), 4 + (4 * 114 + 32 + 10) * kUs, 1e-9);
  EXPECT_NEAR(time.read(5, kUnit, {}), 5 + (8 + 10) * kUs, 1e-9) << "nothing is on flash";
}

TEST(DeviceTime, ReadQueuesBehindWhatOccupiesItsDie) {
  DeviceTime time(round_figures(), flash());
  (void)time.write(0, kUnit, programs(2, 1));  // on die 2 until 672 µs
  const std::vector<std::uint32_t> busy = {2}, idle = {3};
  EXPECT_NEAR(time.read(100 * kUs, kUnit, busy), (672 + 114 + 18) * kUs, 1e-9);
  EXPECT_NEAR(time.read(100 * kUs, kUnit, idle), (100 + 114 + 18) * kUs, 1e-9);
}

TEST(DeviceTime, LinkBoundsTheRateOfReads) {
  auto parameters = round_figures();
  parameters.dies = 1024;
  DeviceTime time(parameters, flash());
  double done = 0;
  for (std::uint32_t i = 0; i < 1000; ++i) {
    const std::vector<std::uint32_t> place = {i};
    done = std::max(done, time.read(0, kUnit, place));
  }
  EXPECT_NEAR(done, (1000 * 8 + 10) * kUs, 1e-9);
}

TEST(DeviceTime, WhatIsChangedIsReadBeforeItIsProgrammed) {
  DeviceTime time(round_figures(), flash());
  const std::vector<MediaOp> ops = {{MediaOp::Kind::read, 1, 0}, {MediaOp::Kind::program, 2, 0}};
  (void)time.write(0, 4096, ops);
  EXPECT_NEAR(time.idle_at(), (114 + 664) * kUs, 1e-9);
}

TEST(DeviceTime, CopiesSlowWritesDownByTheirShare) {
  // Each write of an RU's worth finds as many copies to be made: dies do twice the programs and
  // the reads.
  auto parameters = flash();
  parameters.unit_bytes = 8 * kMiB;
  DeviceTime time(round_figures(), parameters);
  const std::uint32_t per_ru = 128;
  double done = 0, first = 0;
  const std::uint32_t rounds = 40;
  for (std::uint32_t round = 0; round < rounds; ++round) {
    if (round == rounds / 2) first = done;
    for (std::uint32_t i = 0; i < per_ru; ++i) {
      std::vector<MediaOp> ops = programs(round * per_ru + i, 1);
      if (i + 1 == per_ru) {
        for (std::uint32_t c = 0; c < per_ru; ++c) ops.push_back({MediaOp::Kind::copy, c, c + 1});
      }
      done = time.write(done, kUnit, ops);
    }
  }
  const double per_unit = (done - first) / (rounds / 2.0 * per_ru);
  EXPECT_NEAR(per_unit / ((2 * 664 + 114) * kUs / 4), 1, 0.02);
}

TEST(DeviceTime, CopiesAreMadeWhileNothingElseIsDone) {
  for (const bool idle : {false, true}) {
    DeviceTime time(round_figures(), flash());
    std::vector<MediaOp> ops = programs(0, 1);
    for (std::uint32_t c = 0; c < 400; ++c) ops.push_back({MediaOp::Kind::copy, c + 1, c});
    const double done = time.write(0, kUnit, ops);
    const std::vector<std::uint32_t> place = {0};
    const double begin = idle ? done + 1 : done;
    const double took = time.read(begin, kUnit, place) - begin;
    if (idle) {
      EXPECT_NEAR(took, 132 * kUs, 1e-9) << "all was done by then";
      EXPECT_GT(time.idle_at(), begin);
    } else {
      EXPECT_LT(took, 1000 * kUs) << "a read waits for one program, not for the whole collection";
    }
  }
}

TEST(DeviceTime, EraseOccupiesOneDieForEachBlock) {
  DeviceTime time(round_figures(), flash());  // RUs of two blocks
  const std::vector<MediaOp> erase = {{MediaOp::Kind::erase, 0, 0}};
  (void)time.control(0, erase);
  // As soon as time has passed over it, two dies have been at it side by side.
  (void)time.control(1, {});
  EXPECT_NEAR(time.idle_at(), 3000 * kUs, 1e-9);
  (void)time.control(1, erase);
  (void)time.control(1, erase);
  (void)time.control(1, erase);  // blocks 2 … 7: dies 2, 3, 0, 1, 2, 3
  (void)time.control(2, {});
  EXPECT_NEAR(time.idle_at(), 1 + 6000 * kUs, 1e-9);
}

}  // namespace
}  // namespace fdpstore::test
