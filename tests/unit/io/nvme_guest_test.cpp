// The NVMe layer against a real kernel and an emulated namespace: in the guest (FDP_GUEST=1) with
// /dev/ng0n1 (FDP); skipped elsewhere. Namespaces as shared/vm/run-guest.sh makes them.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/aligned_buffer.hpp"
#include "io/block_device.hpp"
#include "io/nvme_device.hpp"
#include "io/nvme_status.hpp"
#include "io/ring.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::io {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;

constexpr char kFdp[] = "/dev/ng0n1";
constexpr char kFdpBlock[] = "/dev/nvme0n1";
constexpr char kPlain[] = "/dev/ng1n1";  // a namespace without FDP (run-guest.sh -2)
constexpr std::size_t kPage = AlignedBuffer::kAlignBytes;
constexpr std::uint16_t kGroup = 1;

iovec span_of(std::span<std::byte> bytes) {
  return {bytes.data(), bytes.size()};
}

class NvmeGuest : public testing::Test {
 protected:
  void SetUp() override {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    if (std::getenv("FDP_GUEST") == nullptr) GTEST_SKIP() << "not in the guest (FDP_GUEST)";
    if (::access(kFdp, F_OK) != 0) GTEST_SKIP() << "no " << kFdp;
    file_ = must_open(kFdp);
    auto device = NvmeDevice::open(file_.get(), kFdp);
    ASSERT_TRUE(device) << device.error().message();
    device_.emplace(std::move(*device));
    auto ring = Ring::open({.depth = 8, .commands = true});
    ASSERT_TRUE(ring) << ring.error().message();
    ring_ = std::move(*ring);
    auto identity = device_->identify_namespace();
    ASSERT_TRUE(identity) << identity.error().message();
    block_ = identity->block_bytes;
    blocks_ = identity->size_blocks;
  }

  static UniqueFd must_open(const char* path, int flags = 0) {
    auto file = open_file(path, O_RDWR | flags);
    EXPECT_TRUE(file) << file.error().message();
    return file ? std::move(*file) : UniqueFd();
  }
  static AlignedBuffer pattern(std::size_t size, unsigned seed) {
    auto buffer = AlignedBuffer::make({.size_bytes = size});
    for (std::size_t i = 0; i < size; ++i) {
      buffer->data()[i] = static_cast<std::byte>((seed * 2654435761U + i * 40503U) >> 8);
    }
    return std::move(*buffer);
  }
  [[nodiscard]] std::uint32_t nsid() const { return device_->nsid(); }
  std::error_code run(Ring& ring, const RingRequest& request) {
    ring.push(request);
    IoCompletion done;
    if (ring.reap({&done, 1}, seconds(20)) == 1) return done.error;
    return std::make_error_code(std::errc::timed_out);
  }
  std::error_code run(const NvmeCommand& command, std::span<const iovec> spans) {
    return run(*ring_,
               {.op = RingOp::command, .fd = file_.get(), .spans = spans, .command = command});
  }
  std::error_code write(std::uint64_t first, std::span<std::byte> bytes,
                        std::optional<PlacementId> pid) {
    const iovec span = span_of(bytes);
    return run(encode_write(nsid(), {first, bytes.size() / block_}, pid), {&span, 1});
  }
  std::error_code read(std::uint64_t first, std::span<std::byte> bytes) {
    const iovec span = span_of(bytes);
    return run(encode_read(nsid(), {first, bytes.size() / block_}), {&span, 1});
  }
  std::vector<HandleStatus> handles() {
    auto all = device_->handle_status();
    EXPECT_TRUE(all) << all.error().message();
    return all ? *all : std::vector<HandleStatus>();
  }
  // Blocks of room that each PID's reclaim unit lost since `before`.
  std::map<unsigned, std::uint64_t> used_since(const std::vector<HandleStatus>& before) {
    std::map<unsigned, std::uint64_t> used;
    const auto after = handles();
    EXPECT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
      EXPECT_EQ(after[i].pid, before[i].pid);
      if (after[i].available_blocks == before[i].available_blocks) continue;
      used[after[i].pid.value] = before[i].available_blocks - after[i].available_blocks;
    }
    return used;
  }
  FdpStatistics statistics() {
    const auto found = device_->fdp_statistics(kGroup);
    EXPECT_TRUE(found) << found.error().message();
    return found ? *found : FdpStatistics();
  }

  UniqueFd file_;
  std::optional<NvmeDevice> device_;
  std::unique_ptr<Ring> ring_;
  std::size_t block_ = 0;
  std::uint64_t blocks_ = 0;
};

TEST_F(NvmeGuest, EverythingTheNamespaceSaysIsRead) {
  const auto found = device_->describe();
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->nsid, 1U);
  EXPECT_EQ(found->identity.endurance_group, kGroup);
  EXPECT_EQ(found->identity.metadata_bytes, 0U);
  EXPECT_EQ(unusable_format(found->identity), "");
  ASSERT_TRUE(found->controller) << found->controller.error().message();
  EXPECT_EQ(found->controller->model, "QEMU NVMe Ctrl");
  EXPECT_EQ(found->controller->serial, "fdp0");
  EXPECT_EQ(found->controller->max_transfer_bytes, 512U << 10);
  EXPECT_TRUE(found->controller->deallocate && found->controller->fdp);
  ASSERT_TRUE(found->deallocate_limits) << found->deallocate_limits.error().message();
  ASSERT_TRUE(found->handles) << found->handles.error().message();
  ASSERT_TRUE(found->fdp) << found->fdp.error().message();
  EXPECT_TRUE(found->fdp->enabled);
  ASSERT_TRUE(found->configuration) << found->configuration.error().message();
  EXPECT_TRUE(found->configuration->valid);
  EXPECT_EQ(found->configuration->index, found->fdp->configuration);
  EXPECT_GE(found->configuration->reclaim_groups, 1U);
  ASSERT_TRUE(found->statistics) << found->statistics.error().message();
  EXPECT_EQ(found->statistics->endurance_group, kGroup);
  ASSERT_FALSE(found->handles->empty());
  for (const HandleStatus& handle : *found->handles) {
    EXPECT_LT(handle.handle, found->configuration->handles.size());
    EXPECT_LE(handle.available_blocks * block_, found->configuration->reclaim_unit_bytes);
    EXPECT_LT(found->configuration->placement_handle(handle.pid), found->handles->size());
  }
}

TEST_F(NvmeGuest, PathsAndLimitsAgreeWithTheDevice) {
  const auto character = describe_path(kFdp);
  const auto block = describe_path(kFdpBlock);
  ASSERT_TRUE(character && block && character->device && block->device);
  EXPECT_EQ(character->kind, PathKind::nvme_character);
  EXPECT_EQ(block->kind, PathKind::block_device);
  for (const auto& path : {*character, *block}) {
    EXPECT_EQ(path.size_bytes, blocks_ * block_);
    EXPECT_EQ(path.device->character_path, kFdp);
    EXPECT_EQ(path.device->block_path, kFdpBlock);
    EXPECT_TRUE(path.device->nvme);
    EXPECT_EQ(path.device->model, "QEMU NVMe Ctrl");
    EXPECT_EQ(path.device->queue.logical_block_bytes, block_);
    EXPECT_EQ(path.device->queue.max_hw_transfer_bytes, 512U << 10);
    EXPECT_TRUE(device_uses(*path.device).empty());
  }
}

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
  device_ = NvmeDevice::open(file_.get(), forgetful != nullptr ? forgetful : kFdp).value();
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

TEST_F(NvmeGuest, UpdateOpensFreshUnitsForTheNamedHandlesOnly) {
  const auto configuration = device_->describe()->configuration;
  ASSERT_TRUE(configuration);
  const std::uint64_t full = configuration->reclaim_unit_bytes / block_;
  const auto all = handles();
  if (all.size() < 3) GTEST_SKIP() << "needs three handles";
  for (std::size_t i = 0; i < 3; ++i) {
    auto out = pattern(kPage, 1);
    ASSERT_EQ(write(0, out.span(), all[i].pid), std::error_code());
  }
  const std::uint64_t third = handles()[2].available_blocks;
  EXPECT_LT(third, full);
  EXPECT_LT(handles()[0].available_blocks, full);
  const auto updated = device_->update_handles(std::array{all[0].pid, all[1].pid});
  ASSERT_TRUE(updated) << updated.error().message();
  EXPECT_EQ(handles()[0].available_blocks, full);
  EXPECT_EQ(handles()[1].available_blocks, full);
  EXPECT_EQ(handles()[2].available_blocks, third);
  // The same through the ring.
  auto list = AlignedBuffer::make({.size_bytes = kPage});
  std::memcpy(list->data(), &all[2].pid, sizeof(all[2].pid));
  const iovec span{list->data(), sizeof(all[2].pid)};
  EXPECT_EQ(run(encode_handle_update(nsid(), 1), {&span, 1}), std::error_code());
  EXPECT_EQ(handles()[2].available_blocks, full);
  EXPECT_TRUE(device_->update_handles({})) << "none is nothing to do";
}

TEST_F(NvmeGuest, HandleStatusComesThroughTheRingToo) {
  auto page = AlignedBuffer::make({.size_bytes = kHandleStatusBytes});
  const iovec span = span_of(page->span());
  ASSERT_EQ(run(encode_handle_status(nsid()), {&span, 1}), std::error_code());
  const auto all = parse_handle_status(page->span());
  ASSERT_TRUE(all);
  EXPECT_EQ(*all, handles());
}

TEST_F(NvmeGuest, EventsAreEnabledAndSeen) {
  const auto configuration = device_->describe()->configuration;
  ASSERT_TRUE(configuration);
  const auto all_handles = handles();
  if (all_handles.size() < 2) GTEST_SKIP() << "QEMU updates no handle where there is only one";
  const PlacementId pid = all_handles[1].pid;
  const std::uint16_t handle = configuration->placement_handle(pid);
  constexpr std::array kTypes = {FdpEventType::unit_not_fully_written};
  const auto enabled = [&] {
    const auto all = device_->supported_events(handle);
    EXPECT_TRUE(all) << all.error().message();
    for (const auto& event : all ? *all : std::vector<NvmeDevice::EventSupport>()) {
      if (event.type == kTypes[0]) return event.enabled;
    }
    ADD_FAILURE() << "the event is not listed";
    return false;
  };
  const auto count = [&] {
    const auto events = device_->fdp_events(kGroup, NvmeDevice::EventSource::host);
    EXPECT_TRUE(events) << events.error().message();
    return events ? events->size() : 0;
  };
  const auto cut_short = [&] {
    auto out = pattern(kPage, 1);
    EXPECT_EQ(write(0, out.span(), pid), std::error_code());
    EXPECT_TRUE(device_->update_handles({&pid, 1}));
  };
  const auto off = device_->enable_events(handle, kTypes, false);
  ASSERT_TRUE(off) << off.error().message();
  EXPECT_FALSE(enabled());
  const std::size_t before = count();
  cut_short();
  EXPECT_EQ(count(), before) << "not enabled";
  ASSERT_TRUE(device_->enable_events(handle, kTypes, true));
  EXPECT_TRUE(enabled());
  cut_short();
  ASSERT_EQ(count(), before + 1);
  const auto events = device_->fdp_events(kGroup, NvmeDevice::EventSource::host);
  const FdpEvent& last = events->back();
  EXPECT_EQ(last.type, FdpEventType::unit_not_fully_written);
  EXPECT_EQ(last.pid, pid);
  EXPECT_EQ(last.nsid, 1U);
  EXPECT_EQ(last.handle, all_handles[1].handle);
  EXPECT_GT(last.timestamp_ms, 0U);
  EXPECT_TRUE(device_->fdp_events(kGroup, NvmeDevice::EventSource::controller));
}

TEST_F(NvmeGuest, BadRequestsAreSpelledOut) {
  auto out = pattern(kPage, 1);
  const auto beyond = write(blocks_, out.span(), {});
  EXPECT_EQ(beyond, NvmeStatus::lba_out_of_range);
  EXPECT_EQ(beyond, std::errc::invalid_argument);
  EXPECT_EQ(beyond.message(), "LBA out of range (NVMe generic status 0x80)");
  EXPECT_EQ(read(blocks_ - 1, out.span()), NvmeStatus::lba_out_of_range);
  const auto unknown = device_->execute({.opcode = 0x7F, .nsid = 1}, {});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, NvmeStatus::invalid_opcode);
  EXPECT_THAT(unknown.error().message(), HasSubstr("NVMe command 0x7f to /dev/ng0n1"));
  const auto unknown_pid = device_->update_handles(std::array{PlacementId{0x0FFF}});
  ASSERT_FALSE(unknown_pid);
  EXPECT_EQ(unknown_pid.error().code, NvmeStatus::invalid_field);
  EXPECT_FALSE(device_->fdp_statistics(0));
  EXPECT_FALSE(device_->fdp_configurations(77));
}

TEST_F(NvmeGuest, NamespaceWithoutFdpSaysSo) {
  if (::access(kPlain, F_OK) != 0) GTEST_SKIP() << "no " << kPlain;
  const UniqueFd file = must_open(kPlain);
  const auto device = NvmeDevice::open(file.get(), kPlain);
  ASSERT_TRUE(device);
  const auto found = device->describe();
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_GT(found->identity.size_blocks, 0U);
  EXPECT_TRUE(found->controller);
  EXPECT_FALSE(found->handles);
  EXPECT_FALSE(found->fdp);
  EXPECT_FALSE(found->configuration);
  EXPECT_FALSE(found->statistics);
  for (const Error& error : {found->handles.error(), found->fdp.error(),
                             found->configuration.error(), found->statistics.error()}) {
    EXPECT_THAT(error.message(), HasSubstr(kPlain));
  }
}

TEST_F(NvmeGuest, WhatNeedsRootIsAbsentWithItsReason) {
  std::fflush(nullptr);
  const pid_t child = ::fork();  // the descriptor stays open; the process loses its rights
  if (child == 0) {
    if (::setgid(65534) != 0 || ::setuid(65534) != 0) ::_exit(2);
    const auto found = device_->describe();
    if (!found) ::_exit(3);  // identify is for everybody since Linux 6.2
    const bool right =
        !found->statistics && !found->fdp &&
        found->statistics.error().code == std::errc::permission_denied &&
        found->statistics.error().message().find("CAP_SYS_ADMIN") != std::string::npos &&
        found->identity.block_bytes == block_ && found->controller;
    ::_exit(right ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(NvmeGuest, WriteStreamNamesAUnitOnTheBlockDevice) {
  const auto block = describe_path(kFdpBlock);
  ASSERT_TRUE(block && block->device);
  const std::uint32_t streams = block->device->queue.max_write_streams.value_or(0);
  const UniqueFd file = must_open(kFdpBlock, O_DIRECT);
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
  for (std::uint8_t stream = 1; stream <= streams; ++stream) {
    const auto before = handles();
    ASSERT_EQ(put(stream, two), std::error_code());
    EXPECT_EQ(
        used_since(before),
        (std::map<unsigned, std::uint64_t>{{all[stream - 1U].pid.value, memory.size() / block_}}));
  }
  ASSERT_TRUE((*plain_ring)->register_buffers({&one, 1}));
  const auto before = handles();
  ASSERT_EQ(put(static_cast<std::uint8_t>(streams), {&one, 1}), std::error_code());
  EXPECT_EQ((*plain_ring)->fixed_transfers(), 1U) << "registered memory, the same stream";
  EXPECT_EQ(used_since(before),
            (std::map<unsigned, std::uint64_t>{{all.back().pid.value, memory.size() / block_}}));
}

TEST(NvmeDevice, OtherFilesAreNoNamespace) {
  const auto file = open_file("/dev/null", O_RDWR);
  ASSERT_TRUE(file);
  const auto device = NvmeDevice::open(file->get(), "/dev/null");
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, std::errc::inappropriate_io_control_operation);
  EXPECT_THAT(device.error().message(), HasSubstr("/dev/null is no NVMe namespace"));
}

}  // namespace
}  // namespace fdpstore::io
