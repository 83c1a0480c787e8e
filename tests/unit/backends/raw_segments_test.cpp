// Segments as ranges of a file standing for a device.
#include <array>
#include <cstring>

#include <gmock/gmock.h>

#include "unit/backends/raw_support.hpp"

namespace fdpstore::test {
namespace {

using backends::open_raw_backend;
using backends::RawBackendOptions;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kSegment = 2 * kMiB;

// How, and to what, it is read and written.
enum class Way : std::uint8_t { odirect, buffered, in_memory };

class RawSegments : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    if (const auto why = why_not_in_memory(); in_memory_ && !why.empty()) GTEST_SKIP() << why;
  }
  static constexpr std::uint64_t kBase = 4 * kMiB;
  static constexpr std::uint64_t kWindow = 9 * kMiB;  // four segments behind the head

  [[nodiscard]] RawBackendOptions options(std::uint64_t base = kBase) const {
    return {.device_path = file_.path(),
            .base_offset_bytes = base,
            .capacity_bytes = kWindow,
            .use_odirect = GetParam() == Way::odirect};
  }
  [[nodiscard]] std::unique_ptr<Backend> opened(std::uint64_t base = kBase) const {
    auto backend = must_open(options(base));
    EXPECT_TRUE(backend->set_segment_bytes(kSegment));
    return backend;
  }
  const bool in_memory_ = GetParam() == Way::in_memory;
  DeviceFile file_{32 * kMiB, in_memory_};
};
std::string way_name(const testing::TestParamInfo<Way>& way) {
  static constexpr std::array kNames = {"odirect", "buffered", "in_memory"};
  return kNames.at(static_cast<std::size_t>(way.param));
}
INSTANTIATE_TEST_SUITE_P(Raw, RawSegments,
                         testing::Values(Way::odirect, Way::buffered, Way::in_memory), way_name);

TEST_P(RawSegments, WhatLiesInMemoryIsCopied) {
  auto backend = opened();
  ASSERT_TRUE(backend->allocate(SegmentId{3}, {}));
  const auto bytes = random_bytes(16384, 1);
  EXPECT_FALSE(write(*backend, SegmentId{3}, 4096, bytes));
  const auto cached = backend->cached(SegmentId{3}, 4096, bytes.size());
  EXPECT_EQ(cached != nullptr, in_memory_);
  if (cached == nullptr) return;
  const auto back = random_bytes(8192, 2);
  EXPECT_EQ(cached->copy(8192, back.span()), 8192U);
  EXPECT_EQ(std::memcmp(back.data(), bytes.data() + 4096, 8192), 0);
  EXPECT_EQ(backend->cached(SegmentId{3}, kSegment, kMiB), nullptr) << "the window ends there";
}

TEST_P(RawSegments, GeometryIsTheWindows) {
  auto backend = opened();
  EXPECT_EQ(backend->geometry().medium_bytes, kWindow);
  EXPECT_EQ(backend->geometry().max_segments, 4U);
  EXPECT_EQ(backend->geometry().segment_bytes, kSegment);
  EXPECT_EQ(backend->geometry().unit_bytes, 0U);
  EXPECT_TRUE(backend->capabilities().fixed_size_segments);
  EXPECT_FALSE(backend->capabilities().must_fill) << "there is no reclaim unit to be in step with";
  EXPECT_EQ(backend->capabilities().cached_writes, GetParam() != Way::odirect);
  EXPECT_EQ(backend->describe(), file_.path());
  const auto existing = backend->existing_segments();
  ASSERT_TRUE(existing);
  ASSERT_EQ(existing->size(), 4U);
  for (std::uint32_t i = 0; i < 4; ++i) EXPECT_EQ((*existing)[i].id.value, i);
}

TEST_P(RawSegments, SegmentSizeMustFit) {
  auto backend = must_open(options());
  for (const std::uint64_t bytes : {std::uint64_t{0}, std::uint64_t{4097}, 9 * kMiB}) {
    const auto set = backend->set_segment_bytes(bytes);
    ASSERT_FALSE(set) << bytes;
    EXPECT_EQ(set.error().code, Errc::invalid_option);
  }
  EXPECT_TRUE(backend->set_segment_bytes(8 * kMiB));
  EXPECT_EQ(backend->geometry().max_segments, 1U);
}

TEST_P(RawSegments, WriteGoesToItsPlaceAndNowhereElse) {
  auto backend = opened();
  for (std::uint32_t id = 0; id < 4; ++id) {
    const SegmentId segment{id};
    ASSERT_TRUE(backend->allocate(segment, {.lifetime = Lifetime::medium}));
    const auto first = random_bytes(8192, id);
    const auto last = random_bytes(4096, id + 100);
    EXPECT_FALSE(write(*backend, segment, 0, first));
    EXPECT_FALSE(write(*backend, segment, kSegment - 4096, last));
    const auto back = random_bytes(8192, 7);
    EXPECT_FALSE(read(*backend, segment, 0, back));
    EXPECT_TRUE(same(first, back));
    EXPECT_FALSE(run(*backend, {.op = IoOp::flush, .segment = segment}));
    const std::uint64_t at = kBase + kMiB + id * kSegment;
    EXPECT_EQ(std::memcmp(file_.bytes(at, 8192).data(), first.data(), 8192), 0);
    EXPECT_EQ(std::memcmp(file_.bytes(at + kSegment - 4096, 4096).data(), last.data(), 4096), 0);
    EXPECT_TRUE(file_.blank(at + 8192, kSegment - 8192 - 4096));
    backend->seal(segment, kSegment);
  }
  EXPECT_TRUE(file_.blank(0, kBase + kMiB));
  EXPECT_TRUE(file_.blank(kBase + kWindow, 32 * kMiB - kBase - kWindow));
}

TEST_P(RawSegments, SuperblockCopiesAreApart) {
  auto backend = opened();
  std::vector<std::byte> out(kSuperblockBytes);
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    EXPECT_EQ(backend->read_superblock(copy, out).error().code, Errc::not_found);
    ASSERT_TRUE(backend->write_superblock(copy, superblock(static_cast<char>('a' + copy))));
  }
  backend.reset();
  backend = opened();
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    ASSERT_TRUE(backend->read_superblock(copy, out));
    EXPECT_EQ(out, superblock(static_cast<char>('a' + copy)));
  }
}

TEST_P(RawSegments, FreedSegmentCanBeWrittenAgain) {
  auto backend = opened();
  for (std::uint32_t round = 0; round < 3; ++round) {
    ASSERT_TRUE(backend->allocate(SegmentId{2}, {.handle = round, .lifetime = Lifetime::medium}));
    const auto bytes = random_bytes(16384, round);
    EXPECT_FALSE(write(*backend, SegmentId{2}, 4096, bytes));
    backend->seal(SegmentId{2}, 20480);
    const auto back = random_bytes(16384, 99);
    EXPECT_FALSE(read(*backend, SegmentId{2}, 4096, back));
    EXPECT_TRUE(same(bytes, back));
    EXPECT_FALSE(run(*backend, {.op = IoOp::free, .segment = SegmentId{2}}));
  }
}

TEST_P(RawSegments, SegmentThatIsNotThereFailsItsRequestAlone) {
  auto backend = opened();
  ASSERT_TRUE(backend->allocate(SegmentId{0}, {}));
  const auto bytes = random_bytes(4096, 1);
  for (const IoOp op : {IoOp::read, IoOp::write, IoOp::flush, IoOp::free}) {
    const iovec span{bytes.data(), bytes.size()};
    EXPECT_EQ(run(*backend, {.op = op, .segment = SegmentId{4}, .spans = {&span, 1}}),
              Errc::not_found);
  }
  EXPECT_FALSE(write(*backend, SegmentId{0}, 0, bytes));
}

TEST_P(RawSegments, DeviceThatWasCutShortFailsItsRequestAlone) {
  auto backend = opened();
  ASSERT_TRUE(backend->allocate(SegmentId{0}, {}));
  fs::resize_file(file_.path(), kBase + kMiB + kSegment);
  const auto bytes = random_bytes(8192, 1);
  EXPECT_TRUE(read(*backend, SegmentId{1}, 0, bytes)) << "a short transfer is an error";
  EXPECT_TRUE(read(*backend, SegmentId{0}, kSegment - 4096, bytes)) << "half of it is there";
  EXPECT_FALSE(write(*backend, SegmentId{0}, 0, bytes));
  EXPECT_FALSE(read(*backend, SegmentId{0}, 0, bytes));
}

TEST_P(RawSegments, WindowsSideBySideDoNotDisturbEachOther) {
  auto one = opened();
  auto other = opened(kBase + kWindow);
  for (std::uint32_t id = 0; id < 4; ++id) {
    for (Backend* backend : {one.get(), other.get()}) {
      ASSERT_TRUE(backend->allocate(SegmentId{id}, {}));
      const auto bytes = random_bytes(kSegment, id + (backend == one.get() ? 0 : 50));
      EXPECT_FALSE(write(*backend, SegmentId{id}, 0, bytes));
    }
  }
  ASSERT_TRUE(one->write_superblock(0, superblock('1')));
  ASSERT_TRUE(other->write_superblock(0, superblock('2')));
  other.reset();
  ASSERT_TRUE(backends::wipe_raw_device(options(kBase + kWindow), true));
  const auto back = random_bytes(kSegment, 7);
  for (std::uint32_t id = 0; id < 4; ++id) {
    EXPECT_FALSE(read(*one, SegmentId{id}, 0, back));
    EXPECT_TRUE(same(back, random_bytes(kSegment, id)));
  }
  std::vector<std::byte> out(kSuperblockBytes);
  ASSERT_TRUE(one->read_superblock(0, out));
  EXPECT_EQ(out, superblock('1'));
}

TEST_P(RawSegments, ForeignContentIsRefusedWithTheRemedyOrFormatted) {
  file_.write(kBase + 100, "thesis");
  const auto refused = open_raw_backend(options());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::foreign);
  EXPECT_THAT(refused.error().what, AllOf(HasSubstr(file_.path()), HasSubstr("format = true")));
  EXPECT_EQ(file_.bytes(kBase + 100, 6), "thesis");
  auto force = options();
  force.format = true;
  ASSERT_NE(must_open(force), nullptr);
  EXPECT_TRUE(file_.blank(kBase, kMiB));
}

TEST_P(RawSegments, ReadOnlyFindsAStoreOrNothing) {
  auto look = options();
  look.read_only = true;
  EXPECT_EQ(open_raw_backend(look).error().code, Errc::not_found);
  auto backend = opened();
  ASSERT_TRUE(backend->write_superblock(0, superblock('r')));
  EXPECT_TRUE(open_raw_backend(look)) << "while the other one is open";
}

}  // namespace
}  // namespace fdpstore::test
