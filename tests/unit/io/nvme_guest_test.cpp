// What a namespace says, asked through a real kernel (in the guest).
#include <array>
#include <cstdio>
#include <cstring>

#include <gmock/gmock.h>
#include <sys/wait.h>

#include "io/block_device.hpp"
#include "io/nvme_status.hpp"
#include "nvme_guest.hpp"

namespace fdpstore::io {
namespace {

using testing::HasSubstr;

TEST_F(NvmeGuest, EverythingTheNamespaceSaysIsRead) {
  const auto found = device_->describe();
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->nsid, 1U);
  EXPECT_EQ(found->identity.endurance_group, kGroup);
  EXPECT_EQ(found->identity.metadata_bytes, 0U);
  EXPECT_EQ(unusable_format(found->identity), "");
  ASSERT_TRUE(found->controller) << found->controller.error().message();
  EXPECT_EQ(found->controller->model, "QEMU NVMe Ctrl");
  EXPECT_EQ(found->controller->serial, kFdpSerial);
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
  const auto character = describe_path(path_);
  ASSERT_TRUE(character && character->device);
  const std::string block_path = character->device->block_path;
  EXPECT_THAT(block_path, HasSubstr("/dev/nvme"));
  const auto block = describe_path(block_path);
  ASSERT_TRUE(block && block->device);
  EXPECT_EQ(character->kind, PathKind::nvme_character);
  EXPECT_EQ(block->kind, PathKind::block_device);
  for (const auto& path : {*character, *block}) {
    EXPECT_EQ(path.size_bytes, blocks_ * block_);
    EXPECT_EQ(path.device->character_path, path_);
    EXPECT_EQ(path.device->block_path, block_path);
    EXPECT_TRUE(path.device->nvme);
    EXPECT_EQ(path.device->model, "QEMU NVMe Ctrl");
    EXPECT_EQ(path.device->queue.logical_block_bytes, block_);
    EXPECT_EQ(path.device->queue.max_hw_transfer_bytes, 512U << 10);
    EXPECT_TRUE(device_uses(*path.device).empty());
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
  EXPECT_THAT(unknown.error().message(), HasSubstr("NVMe command 0x7f to " + path_));
  const auto unknown_pid = device_->update_handles(std::array{PlacementId{0x0FFF}});
  ASSERT_FALSE(unknown_pid);
  EXPECT_EQ(unknown_pid.error().code, NvmeStatus::invalid_field);
  EXPECT_FALSE(device_->fdp_statistics(0));
  EXPECT_FALSE(device_->fdp_configurations(77));
}

TEST_F(NvmeGuest, NamespaceWithoutFdpSaysSo) {
  const std::string path = find_namespace(kPlainSerial);
  if (path.empty()) GTEST_SKIP() << "no namespace of a controller " << kPlainSerial;
  const UniqueFd file = must_open(path);
  const auto device = NvmeDevice::open(file.get(), path);
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
    EXPECT_THAT(error.message(), HasSubstr(path));
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
