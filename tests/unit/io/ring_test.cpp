#include "io/ring.hpp"

#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/aligned_buffer.hpp"
#include "io/nvme_command.hpp"
#include "support/nameless_file.hpp"

namespace fdpstore::io {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::unique_ptr<Ring> must_open(std::uint32_t depth, bool commands = false) {
  auto ring = Ring::open({.depth = depth, .commands = commands});
  EXPECT_TRUE(ring) << ring.error().message();
  return ring ? std::move(*ring) : nullptr;
}

// A file without a name, of 1 MiB of distinct bytes.
UniqueFd make_file() {
  std::vector<std::byte> bytes(1 << 20);
  UniqueFd file = test::nameless_file(bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 131 >> 5);
  EXPECT_TRUE(pwrite_all(file.get(), bytes, 0, "file"));
  return file;
}

iovec span_of(std::span<std::byte> bytes) {
  return {bytes.data(), bytes.size()};
}

// Runs one request to its end.
std::error_code run(Ring& ring, RingRequest request) {
  request.user_data = 7;
  ring.push(std::move(request));
  IoCompletion done;
  for (int i = 0; i < 10; ++i) {
    if (ring.reap({&done, 1}, seconds(1)) == 1) {
      EXPECT_EQ(done.user_data, 7U);
      return done.error;
    }
  }
  return std::make_error_code(std::errc::timed_out);
}

TEST(Ring, VectoredWriteIsReadBack) {
  auto ring = must_open(8);
  const UniqueFd file = make_file();
  std::array<std::byte, 3> a{std::byte{1}, std::byte{2}, std::byte{3}};
  std::array<std::byte, 2> b{std::byte{4}, std::byte{5}};
  const std::array<iovec, 2> out = {span_of(a), span_of(b)};
  EXPECT_FALSE(
      run(*ring, {.op = RingOp::write, .fd = file.get(), .offset_bytes = 100, .spans = out}));
  std::array<std::byte, 5> back{};
  const iovec in = span_of(back);
  EXPECT_FALSE(
      run(*ring, {.op = RingOp::read, .fd = file.get(), .offset_bytes = 100, .spans = {&in, 1}}));
  EXPECT_EQ(back, (std::array<std::byte, 5>{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4},
                                            std::byte{5}}));
  EXPECT_FALSE(run(*ring, {.op = RingOp::sync_data, .fd = file.get()}));
  EXPECT_FALSE(run(*ring, {.op = RingOp::write, .fd = file.get()})) << "nothing to write is done";
}

TEST(Ring, ReadPastTheEndIsCorruptAndBadDescriptorItsErrno) {
  auto ring = must_open(8);
  const UniqueFd file = make_file();
  std::array<std::byte, 100> back{};
  const iovec in = span_of(back);
  EXPECT_EQ(run(*ring, {.op = RingOp::read,
                        .fd = file.get(),
                        .offset_bytes = (1 << 20) - 50,
                        .spans = {&in, 1}}),
            make_error_code(Errc::corrupt));
  EXPECT_EQ(run(*ring, {.op = RingOp::read, .fd = 9999, .spans = {&in, 1}}),
            std::errc::bad_file_descriptor);
}

TEST(Ring, ShortReadIsContinuedWithinAndAcrossSpans) {
  auto ring = must_open(4);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const UniqueFd in(ends[0]), out(ends[1]);
  std::array<char, 6> first{}, second{};
  const std::array<iovec, 2> spans = {iovec{first.data(), 6}, iovec{second.data(), 6}};
  // A pipe hands out what it has: 4 + 5 + 3 bytes for one request of 12.
  std::thread writer([fd = out.get()] {
    for (const char* part : {"abcd", "efghi", "jkl"}) {
      EXPECT_GT(::write(fd, part, std::strlen(part)), 0);
      std::this_thread::sleep_for(milliseconds(30));
    }
  });
  EXPECT_FALSE(run(*ring, {.op = RingOp::read, .fd = in.get(), .spans = spans}));
  writer.join();
  EXPECT_EQ(std::string(first.data(), 6) + std::string(second.data(), 6), "abcdefghijkl");
}

TEST(Ring, ShortWriteIsContinuedUntilTheErrorBehindItShows) {
  const UniqueFd file = make_file();
  const pid_t child = ::fork();  // the limit is for a process of its own
  if (child == 0) {
    ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{(1 << 20) + 4096, (1 << 20) + 4096};
    auto ring = must_open(4);
    auto data = AlignedBuffer::make({.size_bytes = 8192});
    std::memset(data->data(), 0x77, data->size());
    const iovec span = span_of(data->span());
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    const auto error =
        run(*ring,
            {.op = RingOp::write, .fd = file.get(), .offset_bytes = 1 << 20, .spans = {&span, 1}});
    ::_exit(error == std::errc::file_too_large ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  EXPECT_EQ(file_size(file.get(), "file").value_or(0), (1U << 20) + 4096) << "the first half";
}

// Many more reads than the depth: all complete, each once, with the file's bytes.
void expect_all_complete(Ring& ring) {
  const UniqueFd file = make_file();
  constexpr std::size_t kCount = 300;
  std::vector<std::byte> back(kCount * 512);
  std::vector<iovec> spans;
  for (std::size_t i = 0; i < kCount; ++i) spans.push_back({back.data() + i * 512, 512});
  for (std::size_t i = 0; i < kCount; ++i) {
    ring.push({.op = RingOp::read,
               .fd = file.get(),
               .offset_bytes = i * 512,
               .spans = {&spans[i], 1},
               .user_data = i});
  }
  EXPECT_EQ(ring.pending(), kCount);
  std::vector<int> seen(kCount);
  std::array<IoCompletion, 16> done;
  for (std::size_t left = kCount; left > 0;) {
    const std::size_t count = ring.reap(done, seconds(5));
    ASSERT_GT(count, 0U);
    for (std::size_t i = 0; i < count; ++i) {
      EXPECT_FALSE(done[i].error);
      EXPECT_EQ(++seen[done[i].user_data], 1);
    }
    left -= count;
  }
  EXPECT_EQ(ring.pending(), 0U);
  std::vector<std::byte> expected(back.size());
  ASSERT_TRUE(pread_all(file.get(), expected, 0, "file"));
  EXPECT_EQ(back, expected);
}

TEST(Ring, MoreRequestsThanTheDepthAllComplete) {
  expect_all_complete(*must_open(2));
}

TEST(Ring, RegisteredMemoryIsUsedOnlyForSpansInside) {
  auto ring = must_open(8);
  const UniqueFd file = make_file();
  auto memory = AlignedBuffer::make({.size_bytes = 64 << 10});
  ASSERT_TRUE(memory);
  // Two ranges with a gap between them, given in the wrong order.
  const std::array<iovec, 2> ranges = {iovec{memory->data() + (32 << 10), 16 << 10},
                                       iovec{memory->data(), 16 << 10}};
  const auto registered = ring->register_buffers(ranges);
  if (!registered) GTEST_SKIP() << registered.error().message();
  const auto read_at = [&](std::size_t at, std::size_t length) {
    const iovec span{memory->data() + at, length};
    std::memset(span.iov_base, 0, length);
    EXPECT_FALSE(run(
        *ring, {.op = RingOp::read, .fd = file.get(), .offset_bytes = 5000, .spans = {&span, 1}}));
    std::vector<std::byte> expected(length);
    EXPECT_TRUE(pread_all(file.get(), expected, 5000, "file"));
    EXPECT_EQ(std::memcmp(span.iov_base, expected.data(), length), 0) << at;
  };
  read_at(100, 1000);
  EXPECT_EQ(ring->fixed_transfers(), 1U);
  read_at(32 << 10, 16 << 10);
  EXPECT_EQ(ring->fixed_transfers(), 2U);
  read_at(15 << 10, 2048);  // leaves the range
  read_at(20 << 10, 1024);  // in the gap
  read_at(60 << 10, 1024);  // behind all
  EXPECT_EQ(ring->fixed_transfers(), 2U);
  ASSERT_TRUE(ring->register_buffers({}));
  read_at(100, 1000);
  EXPECT_EQ(ring->fixed_transfers(), 2U);
}

TEST(Ring, WakeEndsAWaitAndIsNotLost) {
  auto ring = must_open(4);
  std::array<IoCompletion, 1> done;
  for (int round = 0; round < 20; ++round) {
    std::thread other([&] {
      std::this_thread::sleep_for(milliseconds(round % 3));
      ring->wake();
    });
    const auto start = std::chrono::steady_clock::now();
    EXPECT_EQ(ring->reap(done, seconds(20)), 0U);
    EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
    other.join();
  }
  // Before the wait begins, and once for many.
  ring->wake();
  ring->wake();
  auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ring->reap(done, seconds(20)), 0U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
  start = std::chrono::steady_clock::now();
  EXPECT_EQ(ring->reap(done, milliseconds(50)), 0U);
  EXPECT_GE(std::chrono::steady_clock::now() - start, milliseconds(50));
}

TEST(Ring, WakesBesideTrafficAreNeverLost) {
  auto ring = must_open(4);
  const UniqueFd file = make_file();
  std::array<std::byte, 512> back{};
  const iovec span = span_of(back);
  std::atomic<int> wanted{0};
  std::atomic<bool> stop{false};
  std::thread other([&] {
    for (int i = 0; i < 20000; ++i) {
      wanted.fetch_add(1);
      ring->wake();
    }
    stop.store(true);
    ring->wake();
  });
  std::array<IoCompletion, 8> done;
  const auto start = std::chrono::steady_clock::now();
  while (!stop.load()) {
    if (wanted.exchange(0) > 0 && ring->pending() < 100) {
      ring->push({.op = RingOp::read, .fd = file.get(), .spans = {&span, 1}});
    }
    ring->reap(done, seconds(30));
  }
  other.join();
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(20)) << "a wake-up was missed";
  while (ring->pending() > 0) ring->reap(done, seconds(1));
}

TEST(Ring, AnotherThreadMayTakeOver) {
  auto ring = must_open(4);
  const UniqueFd file = make_file();
  std::array<std::byte, 512> back{};
  const iovec span = span_of(back);
  const RingRequest request{.op = RingOp::read, .fd = file.get(), .spans = {&span, 1}};
  for (int i = 0; i < 3; ++i) {
    std::thread engine([&] {
      EXPECT_FALSE(run(*ring, request));
      std::array<IoCompletion, 1> done;
      EXPECT_EQ(ring->reap(done, milliseconds(1)), 0U);  // leaves a wake-up poll behind
    });
    engine.join();
  }
  EXPECT_FALSE(run(*ring, request));
  std::thread waker([&] { ring->wake(); });
  std::array<IoCompletion, 1> done;
  EXPECT_EQ(ring->reap(done, seconds(20)), 0U);
  waker.join();
}

TEST(Ring, AllocateAndUnlinkWork) {
  auto ring = must_open(4);
  const test::TempDir dir;
  const std::string name = dir / "file";
  const test::File file(name, O_RDWR | O_CREAT);
  const auto parent = open_file(dir.string(), O_RDONLY | O_DIRECTORY);
  ASSERT_TRUE(parent);
  EXPECT_FALSE(run(*ring, {.op = RingOp::allocate, .fd = file.fd(), .offset_bytes = 64 << 10}));
  EXPECT_EQ(file_size(file.fd(), name).value_or(0), 64U << 10);
  EXPECT_GE(allocated_size(file.fd(), name).value_or(0), 64U << 10);
  const RingRequest unlink{.op = RingOp::unlink, .fd = parent->get(), .name = "file"};
  EXPECT_FALSE(run(*ring, unlink));
  EXPECT_FALSE(std::filesystem::exists(name));
  EXPECT_EQ(run(*ring, unlink), std::errc::no_such_file_or_directory);
  EXPECT_FALSE(run(*ring, {.op = RingOp::sync_file, .fd = parent->get()}));
}

TEST(Ring, DestructorWaitsForWhatIsInFlight) {
  const UniqueFd file = make_file();
  std::vector<std::byte> back(1 << 20), expected(1 << 20);
  ASSERT_TRUE(pread_all(file.get(), expected, 0, "file"));
  std::vector<iovec> spans;
  for (std::size_t i = 0; i < 256; ++i) spans.push_back({back.data() + i * 4096, 4096});
  {
    auto ring = must_open(8);
    for (std::size_t i = 0; i < 256; ++i) {
      ring->push({.op = RingOp::read,
                  .fd = file.get(),
                  .offset_bytes = i * 4096,
                  .spans = {&spans[i], 1}});
    }
    ring->flush();
  }
  EXPECT_EQ(back, expected);
}

TEST(Ring, WriteStreamIsByte44OfTheEntry) {
  io_uring_sqe entry{};
  set_write_stream(entry, 0xA5);
  std::array<std::uint8_t, sizeof(entry)> bytes{};
  std::memcpy(bytes.data(), &entry, sizeof(entry));
  std::array<std::uint8_t, sizeof(entry)> expected{};
  expected[44] = 0xA5;
  EXPECT_EQ(bytes, expected);
}

TEST(Ring, OrdinaryRequestsWorkInARingForCommands) {
  auto ring = must_open(4, true);
  expect_all_complete(*ring);
  const UniqueFd file = make_file();
  EXPECT_FALSE(run(*ring, {.op = RingOp::sync_data, .fd = file.get()}));
  std::array<IoCompletion, 1> done;
  std::thread waker([&] { ring->wake(); });
  EXPECT_EQ(ring->reap(done, seconds(20)), 0U);
  waker.join();
}

TEST(Ring, CommandNeedsARingForCommandsAndADeviceThatTakesThem) {
  const UniqueFd file = make_file();
  auto memory = AlignedBuffer::make({.size_bytes = 4096});
  const iovec span = span_of(memory->span());
  const RingRequest request{.op = RingOp::command,
                            .fd = file.get(),
                            .spans = {&span, 1},
                            .command = encode_read(1, {.first = 0, .count = 8})};
  auto plain = must_open(4);
  EXPECT_EQ(run(*plain, request), make_error_code(Errc::unsupported));
  EXPECT_EQ(plain->pending(), 0U);
  std::array<std::byte, 512> back{};
  const iovec in = span_of(back);
  const RingRequest read{.op = RingOp::read, .fd = file.get(), .spans = {&in, 1}};
  EXPECT_FALSE(run(*plain, read)) << "the ring goes on";

  auto ring = must_open(4, true);
  EXPECT_EQ(run(*ring, request), std::errc::operation_not_supported);
  RingRequest bad = request;
  bad.fd = 9999;
  EXPECT_EQ(run(*ring, bad), std::errc::bad_file_descriptor);
  EXPECT_FALSE(run(*ring, read));
  EXPECT_EQ(ring->pending(), 0U);
}

TEST(Ring, UselessDepthIsRefused) {
  EXPECT_EQ(Ring::open({.depth = 0}).error().code, make_error_code(Errc::invalid_option));
  EXPECT_EQ(Ring::open({.depth = 100000}).error().code, make_error_code(Errc::invalid_option));
}

}  // namespace
}  // namespace fdpstore::io
