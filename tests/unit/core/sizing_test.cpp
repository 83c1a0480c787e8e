// How a capacity becomes segments.
#include <gtest/gtest.h>

#include <cstdint>

#include "core/sizing.hpp"
#include "support/units.hpp"

namespace fdpstore::core {
namespace {

using test::kGiB;
using test::kMiB;

TEST(DefaultSegment, OfALargeStoreHoldsObjectsOfPowersOfTwoWithLittleLeft) {
  Options options;
  options.capacity_bytes = 500 * kGiB;
  const std::uint64_t segment = default_segment_bytes(options, 0);
  for (const std::uint64_t object : {kMiB, 4 * kMiB, 8 * kMiB, 16 * kMiB, 32 * kMiB, 64 * kMiB}) {
    const std::uint64_t usable = segment - kSegmentOverheadBytes;
    const std::uint64_t held = usable / format::record_bytes(object) * object;
    EXPECT_GE(held, segment - segment / 64) << object / kMiB << " MiB";
  }
}

TEST(DefaultSegment, IsTheReclaimUnitWhereThereIsOne) {
  Options options;
  options.capacity_bytes = 500 * kGiB;
  EXPECT_EQ(default_segment_bytes(options, 256 * kMiB), 256 * kMiB);
  options.max_object_bytes = 300 * kMiB;
  EXPECT_EQ(default_segment_bytes(options, 256 * kMiB), 512 * kMiB) << "room for one object";
}

TEST(DefaultSegment, OfASmallStoreLeavesManySegments) {
  Options options;
  options.capacity_bytes = kGiB;
  options.max_object_bytes = kMiB;
  const std::uint64_t segment = default_segment_bytes(options, 0);
  EXPECT_GE(segments_in(options.capacity_bytes, segment), 60U);
  options.max_object_bytes = 64 * kMiB;
  EXPECT_GE(default_segment_bytes(options, 0), 2 * format::record_bytes(64 * kMiB));
}

}  // namespace
}  // namespace fdpstore::core
