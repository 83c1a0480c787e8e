// Descriptors, memory, hints and the O_DIRECT probe.
#include <array>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include "io/aligned_buffer.hpp"
#include "io/direct_io.hpp"
#include "io/unique_fd.hpp"
#include "io/write_hint.hpp"
#include "support/files.hpp"

namespace fdpstore::io {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class Files : public testing::Test {
 protected:
  [[nodiscard]] std::string at(const std::string& name) const { return temp_ / name; }

 private:
  const test::TempDir temp_;

 protected:
  const std::string dir_ = temp_.string();
};

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

TEST_F(Files, DescriptorIsClosedOnceByItsLastOwner) {
  auto file = open_file(at("f"), O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  const int fd = file->get();
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  {
    UniqueFd taken = std::move(*file);
    EXPECT_FALSE(*file);  // NOLINT(bugprone-use-after-move): that is what is tested
    EXPECT_TRUE(is_open(fd));
  }
  EXPECT_FALSE(is_open(fd));
}

TEST_F(Files, ErrorsNameThePath) {
  const auto missing = open_file(at("none/f"), O_RDONLY);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, std::errc::no_such_file_or_directory);
  EXPECT_THAT(missing.error().message(), HasSubstr(at("none/f")));
  const auto dir = open_file(dir_, O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(dir);
  EXPECT_THAT(open_at(dir->get(), dir_, "f", O_RDONLY).error().message(), HasSubstr(at("f")));
}

TEST_F(Files, TransfersAreWholeOrErrors) {
  auto file = open_file(at("f"), O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  std::array<std::byte, 5000> out{}, in{};
  out.fill(std::byte{9});
  ASSERT_TRUE(pwrite_all(file->get(), out, 100, "f"));
  EXPECT_EQ(file_size(file->get(), "f").value_or(0), 5100U);
  ASSERT_TRUE(pread_all(file->get(), in, 100, "f"));
  EXPECT_EQ(in, out);
  const auto past = pread_all(file->get(), in, 101, "f");
  ASSERT_FALSE(past);
  EXPECT_EQ(past.error().code, make_error_code(Errc::corrupt));
  EXPECT_TRUE(sync_file(file->get(), "f"));
  EXPECT_TRUE(sync_data(file->get(), "f"));
  EXPECT_TRUE(sync_directory(dir_));
  EXPECT_FALSE(pread_all(-1, in, 0, "f"));
  EXPECT_FALSE(pwrite_all(-1, out, 0, "f"));
}

TEST_F(Files, AllocationTakesSpaceAndTruncationGivesItBack) {
  auto file = open_file(at("f"), O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  ASSERT_TRUE(allocate_file(file->get(), 1 << 20, "f"));
  EXPECT_EQ(file_size(file->get(), "f").value_or(0), 1U << 20);
  EXPECT_GE(allocated_size(file->get(), "f").value_or(0), 1U << 20);
  ASSERT_TRUE(truncate_file(file->get(), 4096, "f"));
  EXPECT_LE(allocated_size(file->get(), "f").value_or(~0ULL), 64U << 10);
  EXPECT_EQ(allocate_file(file->get(), 1ULL << 50, "big").error().code.category(),
            std::generic_category());
}

TEST_F(Files, EventCounterIsDrained) {
  const auto event = make_event_fd();
  ASSERT_TRUE(event);
  EXPECT_EQ(drain_event_fd(event->get()), 0U);
  signal_event_fd(event->get());
  signal_event_fd(event->get());
  EXPECT_EQ(drain_event_fd(event->get()), 2U);
  EXPECT_EQ(drain_event_fd(event->get()), 0U);
}

TEST(AlignedBuffer, IsPageAlignedZeroedAndMoves) {
  for (const bool huge : {false, true}) {
    for (const bool populate : {false, true}) {
      auto made =
          AlignedBuffer::make({.size_bytes = 10000, .huge_pages = huge, .populate = populate});
      ASSERT_TRUE(made);
      AlignedBuffer buffer = std::move(*made);
      EXPECT_EQ(buffer.size(), 10000U);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.data()) % AlignedBuffer::kAlignBytes, 0U);
      for (const std::byte byte : buffer.span()) ASSERT_EQ(byte, std::byte{0});
      buffer.data()[9999] = std::byte{1};
    }
  }
  EXPECT_EQ(AlignedBuffer::make({}).value_or(AlignedBuffer()).size(), 0U);
  EXPECT_FALSE(AlignedBuffer::make({.size_bytes = 1ULL << 60}));
}

TEST_F(Files, HintProbeChangesNothingAndHintsAreRecorded) {
  auto file = open_file(at("f"), O_RDWR | O_CREAT);
  ASSERT_TRUE(file);
  const WriteHintMechanism mechanism = probe_write_hint(file->get());
  if (mechanism == WriteHintMechanism::none) GTEST_SKIP() << "no write hints in " << dir_;
  for (const Lifetime lifetime : {Lifetime::extreme, Lifetime::short_lived, Lifetime::none}) {
    ASSERT_TRUE(set_write_hint(file->get(), mechanism, lifetime));
    EXPECT_EQ(probe_write_hint(file->get()), mechanism);
    EXPECT_EQ(get_write_hint(file->get(), mechanism).value_or(Lifetime::not_set), lifetime);
  }
  EXPECT_FALSE(set_write_hint(file->get(), mechanism, static_cast<Lifetime>(77)));
}

TEST(WriteHint, WhatIsNoFileIsRefused) {
  const auto device = open_file("/dev/null", O_RDWR);
  ASSERT_TRUE(device);
  EXPECT_EQ(probe_write_hint(device->get()), WriteHintMechanism::none);
  EXPECT_EQ(set_write_hint(device->get(), WriteHintMechanism::inode, Lifetime::medium).error().code,
            make_error_code(Errc::unsupported));
}

TEST_F(Files, DirectIoProbeKeepsItsWordAndLeavesNothing) {
  const auto probe = probe_direct_io(dir_);
  ASSERT_TRUE(probe) << probe.error().message();
  EXPECT_TRUE(fs::is_empty(dir_));
  EXPECT_FALSE(probe->reason.empty());
  if (!probe->works) GTEST_SKIP() << probe->reason;
  EXPECT_LE(probe->offset_align_bytes, 4096U);
  // A transfer with just the alignment it states.
  auto file = open_file(at("f"), O_RDWR | O_CREAT | O_DIRECT);
  ASSERT_TRUE(file);
  const auto buffer = AlignedBuffer::make({.size_bytes = 16 << 10});
  ASSERT_TRUE(buffer);
  const std::span<std::byte> block = buffer->span().subspan(probe->memory_align_bytes, 4096);
  EXPECT_TRUE(pwrite_all(file->get(), block, 4096, "f"));
  EXPECT_TRUE(pread_all(file->get(), block, 4096, "f"));
  const auto by_reading = probe_direct_read(at("f"));
  ASSERT_TRUE(by_reading);
  EXPECT_TRUE(by_reading->works);
  EXPECT_EQ(by_reading->memory_align_bytes, probe->memory_align_bytes);
}

TEST(DirectIo, FileSystemWithoutItIsAnAnswerNotAnError) {
  const auto probe = probe_direct_read("/proc/self/mountinfo");
  ASSERT_TRUE(probe) << probe.error().message();
  EXPECT_FALSE(probe->works);
  EXPECT_FALSE(probe->reason.empty());
  EXPECT_FALSE(probe_direct_io("/no/such/directory"));
}

}  // namespace
}  // namespace fdpstore::io
