// The sim backend by itself: which RUH a segment goes to, segments in step with RUs, time,
// phantoms.
#include "ftl/sim_backend.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "unit/ftl/support.hpp"

namespace fdpstore::test {
namespace {

using ftl::SimBackendOptions;
using ftl::SimDevice;
using namespace std::chrono_literals;

constexpr std::uint64_t kSegment = kMiB;  // and reclaim unit

class Sim : public ::testing::Test {
 protected:
  void make(const std::string& parameters = "") {
    backend_.reset();
    const std::string uri = "sim:capacity=64M,ru=1M," + parameters;
    device_ = need(SimDevice::make(need(ftl::parse_sim_uri(uri))));
    open();
  }
  void open(const SimBackendOptions& options = {}) {
    backend_.reset();
    backend_ = need(open_sim_backend(device_, options));
    ASSERT_TRUE(backend_->set_segment_bytes(kSegment));
  }
  void write(SegmentId segment, std::uint64_t offset, std::vector<iovec> spans) {
    spans_.push_back(std::make_unique<std::vector<iovec>>(std::move(spans)));
    submit(
        {.op = IoOp::write, .segment = segment, .offset_bytes = offset, .spans = *spans_.back()});
  }
  void write(SegmentId segment, std::uint64_t offset, std::uint64_t bytes) {
    write(segment, offset, {{payload_.data(), bytes}});
  }
  void submit(IoRequest request) {
    request.user_data = ++last_;
    backend_->submit({&request, 1});
  }
  // All that completes; errors fail the test.
  std::vector<std::uint64_t> reap_all() {
    std::vector<std::uint64_t> out;
    std::array<IoCompletion, 64> done;
    while (const std::size_t count = backend_->reap(done, 0us)) {
      for (const IoCompletion& one : std::span(done).first(count)) {
        EXPECT_FALSE(one.error) << one.error.message();
        out.push_back(one.user_data);
      }
    }
    return out;
  }
  void fill(SegmentId segment) {
    for (std::uint64_t at = 0; at < kSegment; at += 256 * kKiB) write(segment, at, 256 * kKiB);
    (void)reap_all();
  }
  void seal(SegmentId segment) { backend_->seal(segment, kSegment); }
  std::vector<std::byte> read(SegmentId segment, std::uint64_t offset, std::size_t bytes) {
    std::vector<std::byte> out(bytes, std::byte{0x77});
    const iovec span{out.data(), out.size()};
    submit({.op = IoOp::read, .segment = segment, .offset_bytes = offset, .spans = {&span, 1}});
    (void)reap_all();
    return out;
  }
  static bool zeros(std::span<const std::byte> bytes) {
    return std::ranges::all_of(bytes, [](std::byte b) { return b == std::byte{}; });
  }
  static SegmentUse data(std::uint32_t handle) {
    return {.handle = handle, .lifetime = Lifetime::medium};
  }
  [[nodiscard]] SegmentUse metadata() const {
    return {
        .handle = backend_->geometry().handles, .lifetime = Lifetime::extreme, .metadata = true};
  }
  [[nodiscard]] std::vector<std::uint64_t> handle_bytes() const {
    return device_->counters().handle_bytes;
  }

  std::shared_ptr<SimDevice> device_;
  std::unique_ptr<Backend> backend_;
  std::vector<std::byte> payload_ = std::vector<std::byte>(kSegment, std::byte{0x5A});
  std::vector<std::unique_ptr<std::vector<iovec>>> spans_;
  std::uint64_t last_ = 0;
};

TEST_F(Sim, GeometryIsThatOfADriveWithFdp) {
  make();
  const Geometry& g = backend_->geometry();
  EXPECT_EQ(g.handles, 7U);
  EXPECT_EQ(g.unit_bytes, kMiB);
  EXPECT_EQ(g.medium_bytes, 64 * kMiB);
  EXPECT_EQ(g.max_segments, 63U);
  EXPECT_TRUE(backend_->capabilities().must_fill);
  EXPECT_FALSE(backend_->capabilities().phantom_payload);
  const auto placement = backend_->effective_placement();
  EXPECT_EQ(placement.mechanism, "simulated FDP");
  EXPECT_TRUE(placement.reaches_device);
  make("ruhs=1,data=none");
  EXPECT_EQ(backend_->geometry().handles, 1U);
  EXPECT_TRUE(backend_->capabilities().phantom_payload);
}

TEST_F(Sim, SegmentsGoToTheirHandles) {
  make("ruhs=4");
  const std::pair<SegmentUse, std::size_t> uses[] = {
      {data(0), 1},
      {data(2), 3},
      {metadata(), 0},
      {{.handle = 1}, 0},
      {{.handle = 0, .lifetime = Lifetime::medium, .metadata = true}, 1}};
  for (std::uint32_t i = 0; i < std::size(uses); ++i) {
    const auto before = handle_bytes();
    ASSERT_TRUE(backend_->allocate({i}, uses[i].first));
    write({i}, 0, 64 * kKiB);
    seal({i});
    auto expected = before;
    expected[uses[i].second] += 64 * kKiB;
    EXPECT_EQ(handle_bytes(), expected) << i;
  }
  const std::vector<std::byte> block(kSuperblockBytes, std::byte{1});
  const auto before = handle_bytes();
  ASSERT_TRUE(backend_->write_superblock(0, block));
  EXPECT_EQ(handle_bytes()[0], before[0] + kSuperblockBytes);
}

TEST_F(Sim, OneHandleTakesEverything) {
  make("ruhs=1");
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  ASSERT_TRUE(backend_->allocate({1}, metadata()));
  write({0}, 0, 64 * kKiB);
  write({1}, 0, 64 * kKiB);
  EXPECT_EQ(handle_bytes(), std::vector<std::uint64_t>{128 * kKiB});
}

TEST_F(Sim, SegmentWaitsForTheOneBeforeItOnItsHandle) {
  make();
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  ASSERT_TRUE(backend_->allocate({1}, data(0)));
  ASSERT_TRUE(backend_->allocate({2}, data(1)));
  write({1}, 0, 64 * kKiB);  // 1
  write({2}, 0, 64 * kKiB);  // 2: another handle
  write({0}, 0, kSegment);   // 3
  EXPECT_EQ(reap_all(), (std::vector<std::uint64_t>{2, 3}));
  seal({0});
  EXPECT_EQ(reap_all(), std::vector<std::uint64_t>{1});
  EXPECT_EQ(device_->counters().updates, 0U);
  EXPECT_EQ(handle_bytes()[1], kSegment + 64 * kKiB);
}

TEST_F(Sim, SegmentBeginsInAFreshReclaimUnit) {
  make();
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  write({0}, 0, 192 * kKiB);
  (void)reap_all();
  seal({0});  // not filled: the next one would begin in the middle
  ASSERT_TRUE(backend_->allocate({1}, data(0)));
  EXPECT_EQ(device_->counters().updates, 1U);
  EXPECT_EQ(device_->available_bytes(1), kSegment);
  EXPECT_NE(backend_->warnings().at(0).find("1 reclaim units were closed before they were full"),
            std::string::npos);
  fill({1});
  seal({1});
  ASSERT_TRUE(backend_->allocate({2}, data(0)));
  EXPECT_EQ(device_->counters().updates, 1U) << "that one was filled";
}

TEST_F(Sim, ReopenedSegmentContinuesItsUnitWithoutWaiting) {
  make();
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  write({0}, 0, 192 * kKiB);
  (void)reap_all();
  open();
  ASSERT_TRUE(backend_->reopen({0}, data(0)));
  ASSERT_TRUE(backend_->allocate({1}, data(0)));
  write({1}, 0, 64 * kKiB);
  write({0}, 192 * kKiB, kSegment - 192 * kKiB);
  EXPECT_EQ(reap_all().size(), 1U);
  seal({0});
  EXPECT_EQ(reap_all().size(), 1U);
  EXPECT_EQ(device_->counters().updates, 0U);
}

// What the whole project is about.
TEST_F(Sim, SegmentsInStepAreNeverCopied) {
  make("op=0");
  const std::uint32_t segments = backend_->geometry().max_segments;
  for (std::uint32_t i = 0; i < 10 * segments; ++i) {
    const SegmentId segment{(i * 37) % segments};
    submit({.op = IoOp::free, .segment = segment});
    ASSERT_TRUE(backend_->allocate(segment, data(i % 3)));
    fill(segment);
    seal(segment);
  }
  EXPECT_EQ(device_->counters().copied_units, 0U);
  EXPECT_EQ(device_->counters().amplification(), 1.0);
}

TEST_F(Sim, WithoutFdpEverythingMakesOneStream) {
  make("fdp=off");
  EXPECT_FALSE(backend_->effective_placement().reaches_device);
  EXPECT_EQ(backend_->effective_placement().effective, WriteMode::plain);
  EXPECT_FALSE(backend_->capabilities().must_fill);
  EXPECT_EQ(backend_->geometry().unit_bytes, 0U);
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  ASSERT_TRUE(backend_->allocate({1}, data(1)));
  ASSERT_TRUE(backend_->allocate({2}, data(0)));
  for (std::uint32_t i = 0; i < 3; ++i) write({i}, 0, 64 * kKiB);
  EXPECT_EQ(reap_all().size(), 3U);
  EXPECT_EQ(handle_bytes(), std::vector<std::uint64_t>{192 * kKiB});
  const auto place = [this](std::uint32_t mib) {
    return device_->ftl().place_of(16 * mib).value();
  };
  EXPECT_EQ(place(2), place(1) + 1);
  EXPECT_EQ(place(3), place(1) + 2);
}

TEST_F(Sim, PlacementThatIsRequiredIsKeptOrRefused) {
  make("fdp=off");
  backend_.reset();
  const auto refused = open_sim_backend(device_, {.placement = Strictness::require});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unsupported);
  EXPECT_NE(refused.error().what.find("fdp=off"), std::string::npos) << refused.error().what;
  make();
  open({.placement = Strictness::require});
  EXPECT_TRUE(backend_->effective_placement().reaches_device);
  open({.write_mode = WriteMode::plain});
  EXPECT_FALSE(backend_->effective_placement().reaches_device);
  ASSERT_TRUE(backend_->allocate({0}, data(3)));
  write({0}, 0, 64 * kKiB);
  EXPECT_EQ(handle_bytes()[0], 64 * kKiB);
}

// ------------------------------------------------------------------------------------------
// content

TEST_F(Sim, BytesComeBackAfterReopenAndAreZerosOnceFreed) {
  make();
  ASSERT_TRUE(backend_->allocate({5}, data(0)));
  write({5}, 0, kSegment);
  (void)reap_all();
  open();
  EXPECT_TRUE(read({5}, 4096, 8192) == std::vector<std::byte>(8192, std::byte{0x5A}));
  submit({.op = IoOp::free, .segment = {5}});
  EXPECT_TRUE(zeros(read({5}, 0, kSegment)));
  EXPECT_EQ(device_->ftl().valid_units(), 0U);
}

TEST_F(Sim, PhantomsAreLengthsOnly) {
  make("data=none");
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  write({0}, 0, {{payload_.data(), 4096}, {nullptr, 100'000}, {payload_.data(), 2400}});
  (void)reap_all();
  EXPECT_EQ(handle_bytes()[1], 4096U + 100'000 + 2400);
  EXPECT_EQ(device_->kept_bytes(), 2U * 4096) << "the first block, and the last one";
  EXPECT_EQ(read({0}, 0, 4096)[4095], std::byte{0x5A});
  EXPECT_TRUE(zeros(read({0}, 4096, 98304)));
  // A read that skips the payload.
  std::vector<std::byte> tail(2400);
  const std::vector<iovec> spans = {{nullptr, 100'000}, {tail.data(), tail.size()}};
  submit({.op = IoOp::read, .segment = {0}, .offset_bytes = 4096, .spans = spans});
  (void)reap_all();
  EXPECT_TRUE(tail == std::vector<std::byte>(2400, std::byte{0x5A}));
  // A phantom over what was kept.
  write({0}, 0, {{nullptr, 4096}});
  EXPECT_TRUE(zeros(read({0}, 0, 4096)));
}

TEST_F(Sim, SuperblockThatWasNeverWrittenIsNotFound) {
  make();
  std::vector<std::byte> block(kSuperblockBytes);
  EXPECT_EQ(backend_->read_superblock(0, block).error().code, Errc::not_found);
  std::memcpy(block.data(), "FDPSUPER", 8);
  ASSERT_TRUE(backend_->write_superblock(1, block));
  std::vector<std::byte> again(kSuperblockBytes);
  EXPECT_EQ(backend_->read_superblock(0, again).error().code, Errc::not_found);
  ASSERT_TRUE(backend_->read_superblock(1, again));
  EXPECT_TRUE(again == block);
}

TEST_F(Sim, ForeignBytesAreRefusedUnlessFormatIsGiven) {
  make();
  backend_.reset();
  const std::byte one{1};
  device_->poke(100'000, {&one, 1});
  const auto refused = open_sim_backend(device_, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::foreign);
  open({.format = true});
  std::byte now{};
  device_->peek(100'000, {&now, 1});
  EXPECT_EQ(now, std::byte{});
}

TEST_F(Sim, DeviceBelongsToOneBackend) {
  make();
  const auto second = open_sim_backend(device_, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::busy);
  backend_.reset();
  EXPECT_TRUE(open_sim_backend(device_, {}));
}

TEST_F(Sim, WindowMustFit) {
  make();
  backend_.reset();
  for (const SimBackendOptions& options :
       {SimBackendOptions{.base_offset_bytes = 64 * kMiB},
        SimBackendOptions{.base_offset_bytes = 1}, SimBackendOptions{.capacity_bytes = 65 * kMiB},
        SimBackendOptions{.base_offset_bytes = kMiB, .capacity_bytes = 64 * kMiB}}) {
    const auto opened = open_sim_backend(device_, options);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, Errc::invalid_option);
  }
  open({.base_offset_bytes = 32 * kMiB, .capacity_bytes = 16 * kMiB});
  EXPECT_EQ(backend_->geometry().max_segments, 15U);
  ASSERT_TRUE(backend_->allocate({14}, data(0)));
  write({14}, 0, kSegment);
  std::vector<std::byte> bytes(kSegment);
  device_->peek(47 * kMiB, bytes);
  EXPECT_TRUE(bytes == payload_);
}

TEST_F(Sim, NamedDeviceIsFoundWhileSomebodyHoldsIt) {
  const auto parameters = need(ftl::parse_sim_uri("sim:capacity=64M,ru=1M,name=sim_backend_test"));
  auto first = need(SimDevice::find_or_make(parameters));
  EXPECT_EQ(need(SimDevice::find_or_make(parameters)), first);
  auto other = parameters;
  other.ftl.spare_percent = 20;
  EXPECT_EQ(SimDevice::find_or_make(other).error().code, Errc::invalid_option);
  const std::byte one{1};
  first->poke(0, {&one, 1});
  first.reset();
  std::byte now{};
  need(SimDevice::find_or_make(parameters))->peek(0, {&now, 1});
  EXPECT_EQ(now, std::byte{}) << "nobody held it";
}

// ---------------------------------------------------------------------------------------------
// time

TEST_F(Sim, CompletionsComeInTheOrderOfTheirTimeAndMoveTheClock) {
  make();
  ASSERT_TRUE(backend_->allocate({0}, data(0)));
  fill({0});
  device_->clock().advance_to(1);
  std::vector<std::byte> out(kSegment);
  const std::array spans = {iovec{out.data(), kSegment}, iovec{out.data(), 4096}};
  submit({.op = IoOp::read, .segment = {0}, .offset_bytes = 0, .spans = {&spans[0], 1}});  // long
  const std::uint64_t long_one = last_;
  submit({.op = IoOp::flush, .segment = {0}});
  const std::uint64_t short_one = last_;
  std::array<IoCompletion, 8> done;
  ASSERT_EQ(backend_->reap(done, 0us), 1U);
  EXPECT_EQ(done[0].user_data, short_one);
  const double after_short = backend_->clock().now_s();
  EXPECT_GT(after_short, 1);
  EXPECT_LT(after_short, 1.00005);
  ASSERT_EQ(backend_->reap(done, 0us), 1U);
  EXPECT_EQ(done[0].user_data, long_one);
  // 16 units, each on a die of its own, at 7 GB/s.
  EXPECT_GT(backend_->clock().now_s(), 1 + kSegment / 7e9);
  EXPECT_LT(backend_->clock().now_s(), 1.0005);
}

TEST_F(Sim, WaitPassesForTheDeviceUnlessItIsCutShort) {
  make();
  std::array<IoCompletion, 8> done;
  const double begin = backend_->clock().now_s();
  EXPECT_EQ(backend_->reap(done, 20ms), 0U);
  EXPECT_NEAR(backend_->clock().now_s() - begin, 0.020, 1e-9);
  backend_->wake();  // the next one returns early
  const auto real = std::chrono::steady_clock::now();
  EXPECT_EQ(backend_->reap(done, 10s), 0U);
  EXPECT_LT(std::chrono::steady_clock::now() - real, 5s);
  EXPECT_NEAR(backend_->clock().now_s() - begin, 0.020, 1e-9);
  std::thread waker([&] {
    std::this_thread::sleep_for(20ms);
    backend_->wake();
  });
  EXPECT_EQ(backend_->reap(done, 10s), 0U);
  waker.join();
  EXPECT_NEAR(backend_->clock().now_s() - begin, 0.020, 1e-9);
}

TEST_F(Sim, RequestsOutsideFailByThemselves) {
  make();
  submit({.op = IoOp::read, .segment = {63}});
  std::array<IoCompletion, 8> done;
  ASSERT_EQ(backend_->reap(done, 0us), 1U);
  EXPECT_EQ(done[0].error, Errc::not_found);
}

}  // namespace
}  // namespace fdpstore::test
