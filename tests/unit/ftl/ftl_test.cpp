// Commands of the FTL one by one: RUAMW, updates, deallocation, small writes, what is refused.
#include "ftl/ftl.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include <vector>

#include "unit/ftl/support.hpp"

namespace fdpstore::test {
namespace {

using ftl::Ftl;
using ftl::FtlParameters;
using ftl::Isolation;
using ftl::MediaOp;

constexpr std::uint64_t kMap = 64 * kKiB;

FtlParameters small() {
  return {.capacity_bytes = 64 * kMiB, .spare_percent = 7, .unit_bytes = kMiB, .handles = 4};
}

TEST(FtlParameters, ReclaimUnitsAreDataOpenAndTwo) {
  FtlParameters p = small();
  EXPECT_EQ(needed_reclaim_units(p), 69U + 4 + 1 + 2);  // ⌈64 × 1.07⌉ = 69
  EXPECT_EQ(need(Ftl::make(p)).reclaim_units(), 76U);
  p.isolation = Isolation::persistent;
  EXPECT_EQ(needed_reclaim_units(p), 69U + 4 + 4 + 2);
  p.reclaim_units = 79;
  EXPECT_TRUE(Ftl::make(p));
  p.reclaim_units = 78;
  const auto refused = Ftl::make(p);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid_option);
  for (const char* part : {"rus = 78", "79 are needed", "raise rus"}) {
    EXPECT_NE(refused.error().what.find(part), std::string::npos) << refused.error().what;
  }
}

TEST(FtlParameters, WhatMakesNoDriveIsNamed) {
  const auto refuse = [](auto change, const char* named) {
    FtlParameters p = small();
    change(p);
    const auto made = Ftl::make(p);
    ASSERT_FALSE(made) << named;
    EXPECT_NE(made.error().what.find(named), std::string::npos) << made.error().what;
  };
  refuse([](auto& p) { p.map_bytes = 3000; }, "map = 3000");
  refuse([](auto& p) { p.unit_bytes = kMiB + 4096; }, "ru = 1052672");
  refuse([](auto& p) { p.unit_bytes = kMap; }, "ru = 65536");
  refuse([](auto& p) { p.capacity_bytes = 0; }, "capacity = 0");
  refuse([](auto& p) { p.capacity_bytes += 512; }, "capacity = ");
  refuse([](auto& p) { p.handles = 0; }, "ruhs = 0");
  refuse([](auto& p) { p.handles = 129; }, "ruhs = 129");
  refuse([](auto& p) { p.spare_percent = -1; }, "op = -1");
  refuse([](auto& p) { p.spare_percent = std::nan(""); }, "op = nan");
  refuse([](auto& p) { p.capacity_bytes = 1ULL << 52; }, "raise map");
}

TEST(Ftl, AvailableBytesFollowTheWritesOfTheirHandle) {
  Ftl ftl = need(Ftl::make(small()));
  EXPECT_EQ(ftl.available_bytes(1), kMiB);
  ftl.write(0, 3 * kMap, 1);
  EXPECT_EQ(ftl.available_bytes(1), kMiB - 3 * kMap);
  EXPECT_EQ(ftl.available_bytes(0), kMiB);
  ftl.write(10 * kMiB, 4096, 1);  // still in the buffer
  EXPECT_EQ(ftl.available_bytes(1), kMiB - 3 * kMap - 4096);
  ftl.write(kMiB, 12 * kMap, 1);
  EXPECT_EQ(ftl.available_bytes(1), kMap - 4096);
  ftl.write(20 * kMiB, kMap, 1);
  EXPECT_EQ(ftl.available_bytes(1), kMiB - 4096) << "the next RU is open";
  const auto counters = ftl.counters();
  EXPECT_EQ(counters.host_bytes, 16 * kMap + 4096);
  EXPECT_EQ(counters.handle_bytes, (std::vector<std::uint64_t>{0, 16 * kMap + 4096, 0, 0}));
}

TEST(Ftl, UnitsOfTwoHandlesNeverShareAnRu) {
  Ftl ftl = need(Ftl::make(small()));
  for (std::uint32_t unit = 0; unit < 200; ++unit) ftl.write_units(unit, 1, unit % 2);
  const std::uint32_t per_ru = ftl.units_per_reclaim_unit();
  std::vector<int> handle_of(ftl.reclaim_units(), -1);
  for (std::uint32_t unit = 0; unit < 200; ++unit) {
    int& handle = handle_of[ftl.place_of(unit).value() / per_ru];
    if (handle == -1) handle = static_cast<int>(unit % 2);
    EXPECT_EQ(handle, static_cast<int>(unit % 2)) << unit;
  }
}

TEST(Ftl, UpdateGivesUpTheRestOfAnRuOnce) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.update_handle(2);
  EXPECT_EQ(ftl.counters().updates, 0U) << "it was fresh";
  ftl.write(0, 2 * kMap, 2);
  const std::uint32_t before = ftl.place_of(1).value() / ftl.units_per_reclaim_unit();
  ftl.update_handle(2);
  ftl.update_handle(2);
  EXPECT_EQ(ftl.counters().updates, 1U);
  EXPECT_EQ(ftl.available_bytes(2), kMiB);
  ftl.write(2 * kMap, kMap, 2);
  EXPECT_NE(ftl.place_of(2).value() / ftl.units_per_reclaim_unit(), before);
  EXPECT_NO_THROW(ftl.check());
}

TEST(Ftl, UpdateProgramsWhatIsBufferedIntoTheOldRu) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.write(0, 4096, 2);
  EXPECT_FALSE(ftl.place_of(0));
  EXPECT_EQ(ftl.counters().media_bytes, 0U);
  ftl.update_handle(2);
  EXPECT_TRUE(ftl.place_of(0));
  EXPECT_EQ(ftl.counters().media_bytes, kMap);
  EXPECT_EQ(ftl.counters().updates, 1U);
  EXPECT_EQ(ftl.available_bytes(2), kMiB);
}

TEST(Ftl, DeallocatedRuIsErasedWithoutCopies) {
  Ftl ftl = need(Ftl::make(small()));
  const std::uint32_t free = ftl.free_reclaim_units();
  for (int round = 0; round < 300; ++round) {  // four times the capacity
    const std::uint64_t at = static_cast<std::uint64_t>(round) % 64 * kMiB;
    ftl.deallocate(at, kMiB);
    ftl.write(at, kMiB, 1);
  }
  const auto counters = ftl.counters();
  EXPECT_EQ(counters.copied_units, 0U);
  EXPECT_EQ(counters.amplification(), 1.0);
  EXPECT_EQ(counters.erases, 300U - 64);
  EXPECT_EQ(counters.erased_bytes, (300U - 64) * kMiB);
  EXPECT_EQ(ftl.free_reclaim_units(), free - 64);
  EXPECT_EQ(ftl.valid_units(), ftl.logical_units());
}

TEST(Ftl, UnitsThatAreGivenBackInPartStay) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.write(0, 4 * kMap, 0);
  ftl.deallocate(4096, 3 * kMap);  // units 1 and 2 as a whole
  EXPECT_TRUE(ftl.place_of(0));
  EXPECT_FALSE(ftl.place_of(1));
  EXPECT_FALSE(ftl.place_of(2));
  EXPECT_TRUE(ftl.place_of(3));
  ftl.deallocate(0, 4096);
  EXPECT_TRUE(ftl.place_of(0));
}

TEST(Ftl, PersistentIsolationCollectsEachHandleApart) {
  for (const auto isolation : {Isolation::initial, Isolation::persistent}) {
    FtlParameters p = small();
    p.handles = 2;
    p.isolation = isolation;
    Ftl ftl = need(Ftl::make(p));
    // Two units of each 16 written anew by random ones, handle by parity.
    for (std::uint32_t unit = 0; unit < ftl.logical_units(); ++unit) {
      ftl.write_units(unit, 1, unit % 2);
    }
    Random random(3);
    for (int i = 0; i < 20000; ++i) {
      const std::uint32_t unit = random.below(ftl.logical_units());
      ftl.write_units(unit, 1, unit % 2);
    }
    std::vector<std::uint32_t> seen(ftl.reclaim_units());
    for (std::uint32_t unit = 0; unit < ftl.logical_units(); ++unit) {
      seen[ftl.place_of(unit).value() / ftl.units_per_reclaim_unit()] |= 1U << (unit % 2);
    }
    const bool mixed = std::ranges::find(seen, 3U) != seen.end();
    EXPECT_EQ(mixed, isolation == Isolation::initial) << to_string(isolation);
    EXPECT_NO_THROW(ftl.check());
  }
}

// ------------------------------------------------------------------------------------ small writes

TEST(SmallWrites, PiecesInOrderAreProgrammedOnce) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.write_units(0, 4, 0);
  for (std::uint64_t at = 0; at < 4 * kMap; at += 4096) ftl.write(at, 4096, 0);
  const auto counters = ftl.counters();
  EXPECT_EQ(counters.host_bytes, 8 * kMap);
  EXPECT_EQ(counters.media_bytes, 8 * kMap);
  EXPECT_EQ(counters.modified_units, 0U);
  // Across the boundary of units, too.
  for (std::uint64_t at = 0; at < 3 * kMap; at += 12288) ftl.write(8 * kMap + at, 12288, 0);
  EXPECT_EQ(ftl.counters().media_bytes, 11 * kMap);
  EXPECT_EQ(ftl.counters().modified_units, 0U);
}

TEST(SmallWrites, AWriteInTheMiddleIsReadModifyWrite) {
  Ftl ftl = need(Ftl::make(small()));
  std::vector<MediaOp> log;
  ftl.write_units(0, 100, 0);
  const std::uint32_t old = ftl.place_of(50).value();
  ftl.set_log(&log);
  ftl.write(50 * kMap + 8192, 4096, 0);
  EXPECT_TRUE(log.empty()) << "it is in the buffer";
  ftl.update_handle(0);
  ASSERT_EQ(log.size(), 2U);
  EXPECT_EQ(log[0].kind, MediaOp::Kind::read);
  EXPECT_EQ(log[0].place, old);
  EXPECT_EQ(log[1].kind, MediaOp::Kind::program);
  EXPECT_EQ(log[1].place, ftl.place_of(50).value());
  EXPECT_EQ(ftl.counters().modified_units, 1U);
  EXPECT_EQ(ftl.counters().media_bytes, 101 * kMap);
  EXPECT_EQ(ftl.counters().handle_bytes[0], 100 * kMap + 4096);
}

TEST(SmallWrites, APartOfWhatHoldsNothingNeedsNoRead) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.write(8192, 4096, 0);
  ftl.update_handle(0);
  EXPECT_EQ(ftl.counters().modified_units, 0U);
  EXPECT_EQ(ftl.counters().media_bytes, kMap);
}

TEST(SmallWrites, RandomOnesCostAUnitEach) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.write_units(0, ftl.logical_units(), 0);
  Random random(5);
  for (int i = 0; i < 1000; ++i) {
    ftl.write(random.below(ftl.logical_units()) * kMap + 4096ULL * (1 + random.below(14)), 4096, 0);
  }
  const auto counters = ftl.counters();
  EXPECT_GE(counters.modified_units, 980U) << "some may meet the buffer";
  EXPECT_GE(counters.media_bytes - ftl.logical_units() * kMap, 980 * kMap);
  EXPECT_EQ(counters.host_bytes, ftl.logical_units() * kMap + 1000ULL * 4096);
}

TEST(SmallWrites, FourStreamsOfThemShareAHandle) {
  Ftl ftl = need(Ftl::make(small()));
  for (std::uint64_t at = 0; at < kMap; at += 4096) {
    for (std::uint64_t stream = 0; stream < 4; ++stream) {
      ftl.write(stream * kMiB + at, 4096, 0);
    }
  }
  EXPECT_EQ(ftl.counters().media_bytes, 4 * kMap);
}

TEST(SmallWrites, WholeUnitOrDeallocationReplacesWhatIsBuffered) {
  Ftl ftl = need(Ftl::make(small()));
  ftl.write(0, 4096, 0);
  ftl.write(0, kMap, 1);
  EXPECT_EQ(ftl.counters().media_bytes, kMap);
  ftl.update_handle(0);
  EXPECT_EQ(ftl.counters().media_bytes, kMap) << "nothing was left to program";
  ftl.write(kMap, 4096, 0);
  ftl.deallocate(kMap, kMap);
  ftl.update_handle(0);
  EXPECT_EQ(ftl.counters().media_bytes, kMap);
  EXPECT_FALSE(ftl.place_of(1));
}

}  // namespace
}  // namespace fdpstore::test
