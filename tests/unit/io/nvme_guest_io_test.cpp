// Transfers to a namespace through a real kernel (in the guest): commands and write streams.
#include <array>
#include <cstring>

#include <gtest/gtest.h>

#include "io/block_device.hpp"
#include "nvme_guest.hpp"

namespace fdpstore::io {
namespace {

using std::chrono::seconds;

TEST_F(NvmeGuest, PlacedWriteTakesRoomOfItsUnitOnly) {
  for (const HandleStatus& handle : handles()) {
    const auto before = handles();
    const std::uint64_t host_before = statistics().host_written_bytes;
    auto out = pattern(16 * kPage, handle.pid.value + 1U);
    const std::uint64_t first = 1000ULL * 8 * (handle.pid.value % 64);
    ASSERT_EQ(write(first, out.span(), handle.pid), std::error_code());
    const std::uint64_t blocks = out.size() / block_;
    EXPECT_EQ(used_since(before), (std::map<unsigned, std::uint64_t>{{handle.pid.value, blocks}}));
    const FdpStatistics after = statistics();
    EXPECT_EQ(after.host_written_bytes - host_before, out.size());
    EXPECT_GE(after.media_written_bytes, after.host_written_bytes);
    auto in = pattern(out.size(), 0);
    ASSERT_EQ(read(first, in.span()), std::error_code());
    EXPECT_EQ(std::memcmp(in.data(), out.data(), out.size()), 0) << handle.pid.value;
  }
}

TEST_F(NvmeGuest, VectoredTransfersTakeEachSpan) {
  auto out = pattern(8 * kPage, 7);
  auto in = pattern(8 * kPage, 0);
  // Pieces of whole pages, out of order in memory.
  const auto pieces = [](AlignedBuffer& memory) {
    return std::array<iovec, 3>{iovec{memory.data() + 6 * kPage, 2 * kPage},
                                iovec{memory.data(), kPage},
                                iovec{memory.data() + kPage, 5 * kPage}};
  };
  const auto before = handles();
  const PlacementId pid = before.back().pid;
  ASSERT_EQ(run(encode_write(nsid(), {8192, out.size() / block_}, pid), pieces(out)),
            std::error_code());
  EXPECT_EQ(used_since(before),
            (std::map<unsigned, std::uint64_t>{{pid.value, out.size() / block_}}));
  ASSERT_EQ(run(encode_read(nsid(), {8192, in.size() / block_}), pieces(in)), std::error_code());
  EXPECT_EQ(std::memcmp(in.data(), out.data(), out.size()), 0);
  auto straight = pattern(2 * kPage, 0);
  ASSERT_EQ(read(8192, straight.span()), std::error_code());
  EXPECT_EQ(std::memcmp(straight.data(), out.data() + 6 * kPage, straight.size()), 0);
  EXPECT_EQ(run(encode_flush(nsid()), {}), std::error_code());
}

TEST_F(NvmeGuest, RegisteredMemoryIsUsed) {
  auto out = pattern(32 * kPage, 3);
  const iovec range = span_of(out.span());
  const auto registered = ring_->register_buffers({&range, 1});
  ASSERT_TRUE(registered) << registered.error().message();
  ASSERT_EQ(write(4096, out.span(), {}), std::error_code());
  EXPECT_EQ(ring_->fixed_transfers(), 1U);
  auto in = pattern(out.size(), 0);
  ASSERT_EQ(read(4096, in.span()), std::error_code());
  EXPECT_EQ(ring_->fixed_transfers(), 1U) << "not registered";
  EXPECT_EQ(std::memcmp(in.data(), out.data(), out.size()), 0);
  std::memset(out.data(), 0, out.size());
  ASSERT_EQ(read(4096, out.span().subspan(kPage, 2 * kPage)), std::error_code());
  EXPECT_EQ(ring_->fixed_transfers(), 2U);
  EXPECT_EQ(std::memcmp(in.data(), out.data() + kPage, 2 * kPage), 0);
}

TEST_F(NvmeGuest, ManyCommandsCompleteEachOnce) {
  constexpr std::size_t kCount = 200;
  auto memory = pattern(kCount * kPage, 11);
  std::vector<iovec> spans;
  spans.reserve(kCount);
  for (std::size_t i = 0; i < kCount; ++i) spans.push_back({memory.data() + i * kPage, kPage});
  const std::uint64_t step = kPage / block_;
  for (const bool writing : {true, false}) {
    if (!writing) std::memset(memory.data(), 0, memory.size());
    for (std::size_t i = 0; i < kCount; ++i) {
      const NvmeBlocks at{20000 + i * step, step};
      ring_->push({.op = RingOp::command,
                   .fd = file_.get(),
                   .spans = {&spans[i], 1},
                   .user_data = i,
                   .command = writing ? encode_write(nsid(), at) : encode_read(nsid(), at)});
    }
    std::vector<int> seen(kCount);
    std::array<IoCompletion, 16> done;
    for (std::size_t left = kCount; left > 0;) {
      const std::size_t count = ring_->reap(done, seconds(20));
      ASSERT_GT(count, 0U);
      for (std::size_t i = 0; i < count; ++i) {
        EXPECT_FALSE(done[i].error) << done[i].error.message();
        EXPECT_EQ(++seen[done[i].user_data], 1);
      }
      left -= count;
    }
  }
  EXPECT_EQ(std::memcmp(memory.data(), pattern(memory.size(), 11).data(), memory.size()), 0);
}

TEST_F(NvmeGuest, TransferBeyondTheLimitIsAnErrnoNotAStatus) {
  auto big = pattern(1 << 20, 1);
  const iovec span = span_of(big.span());
  for (const bool registered : {false, true}) {
    if (registered) {
      ASSERT_TRUE(ring_->register_buffers({&span, 1}));
    }
    EXPECT_EQ(write(0, big.span(), {}), std::errc::invalid_argument) << registered;
    EXPECT_EQ(write(0, big.span().first(128 << 10), {}), std::error_code()) << "the ring goes on";
  }
}

// QEMU forgets deallocated blocks only of a drive with discard=unmap, although DLFEAT says that
// they read as zeros: FDP_DISCARD_DEVICE names such a namespace. Elsewhere only neighbours are
// checked.
TEST_F(NvmeGuest, DeallocatedBlocksAreGone) {
  const char* forgetful = std::getenv("FDP_DISCARD_DEVICE");  // NOLINT(concurrency-mt-unsafe)
  if (forgetful != nullptr) file_ = must_open(forgetful);
  device_ = NvmeDevice::open(file_.get(), forgetful != nullptr ? forgetful : path_).value();
  const auto identity = device_->identify_namespace();
  const auto limits = device_->deallocate_limits();
  ASSERT_TRUE(identity && limits);
  auto out = pattern(64 * kPage, 5), in = pattern(64 * kPage, 0);
  constexpr std::uint64_t kFirst = 40000;
  ASSERT_EQ(write(kFirst, out.span(), {}), std::error_code());
  // Two ranges in one command, which leave two pages in the middle.
  const auto page_blocks = static_cast<std::uint32_t>(kPage / block_);
  std::array<NvmeRange, 2> ranges = {
      NvmeRange{.blocks = 31 * page_blocks, .first = kFirst},
      NvmeRange{.blocks = 31 * page_blocks, .first = kFirst + 33ULL * page_blocks}};
  iovec span{ranges.data(), sizeof(ranges)};
  ASSERT_EQ(run(encode_deallocate(nsid(), ranges.size()), {&span, 1}), std::error_code());
  ASSERT_EQ(read(kFirst, in.span()), std::error_code());
  for (std::size_t page = 0; page < 64; ++page) {
    const std::byte* found = in.data() + page * kPage;
    if (page >= 31 && page < 33) {
      EXPECT_EQ(std::memcmp(found, out.data() + page * kPage, kPage), 0) << page;
    } else if (forgetful != nullptr) {
      ASSERT_TRUE(identity->deallocated_reads);
      EXPECT_TRUE(std::all_of(found, found + kPage, [&](std::byte byte) {
        return byte == *identity->deallocated_reads;
      })) << page;
    }
  }
  // A large part, split as the limits want.
  for (auto& part : split_deallocate({kFirst, identity->size_blocks - kFirst}, *limits)) {
    span = {part.data(), part.size() * sizeof(NvmeRange)};
    EXPECT_EQ(run(encode_deallocate(nsid(), part.size()), {&span, 1}), std::error_code());
  }
}

TEST_F(NvmeGuest, WriteStreamNamesAUnitOnTheBlockDevice) {
  const auto block = describe_path(path_);
  ASSERT_TRUE(block && block->device);
  const std::uint32_t streams = block->device->queue.max_write_streams.value_or(0);
  const UniqueFd file = must_open(block->device->block_path, O_DIRECT);
  EXPECT_EQ(sticky_write_hint(file.get()), std::nullopt);
  auto plain_ring = Ring::open({.depth = 4});
  ASSERT_TRUE(plain_ring);
  auto memory = pattern(2 * kPage, 9);
  const std::array<iovec, 2> two = {iovec{memory.data(), kPage},
                                    iovec{memory.data() + kPage, kPage}};
  const iovec one = span_of(memory.span());
  const auto put = [&](std::uint8_t stream, std::span<const iovec> spans) {
    return run(**plain_ring, {.op = RingOp::write,
                              .fd = file.get(),
                              .offset_bytes = 64 * kPage,
                              .spans = spans,
                              .write_stream = stream});
  };
  if (!block->device->queue.max_write_streams) {
    const auto before = handles();
    EXPECT_EQ(put(3, two), std::error_code()) << "kernels before 6.16 ignore it";
    EXPECT_EQ(used_since(before).count(before[0].pid.value), 1U) << "the default handle";
    GTEST_SKIP() << "this kernel has no write streams";
  }
  const auto all = handles();
  EXPECT_EQ(put(static_cast<std::uint8_t>(streams + 1), two), std::errc::invalid_argument);
  if (streams == 0) GTEST_SKIP() << "no write streams here: several reclaim groups, or no FDP";
  EXPECT_EQ(block->device->queue.write_stream_granularity_bytes,
            device_->describe()->configuration->reclaim_unit_bytes);
  EXPECT_EQ(streams, all.size());
  for (std::uint32_t stream = 1; stream <= streams; ++stream) {
    const auto before = handles();
    ASSERT_EQ(put(static_cast<std::uint8_t>(stream), two), std::error_code());
    EXPECT_EQ(
        used_since(before),
        (std::map<unsigned, std::uint64_t>{{all[stream - 1].pid.value, memory.size() / block_}}));
  }
  ASSERT_TRUE((*plain_ring)->register_buffers({&one, 1}));
  const auto before = handles();
  ASSERT_EQ(put(static_cast<std::uint8_t>(streams), {&one, 1}), std::error_code());
  EXPECT_EQ((*plain_ring)->fixed_transfers(), 1U) << "registered memory, the same stream";
  EXPECT_EQ(used_since(before),
            (std::map<unsigned, std::uint64_t>{{all.back().pid.value, memory.size() / block_}}));
}

}  // namespace
}  // namespace fdpstore::io
