// Devices of plain files and loop devices: what opening refuses, windows, locks, formatting.
// Namespaces are looked at in the guest.
#include "backends/raw_device.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <functional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/raw_backend.hpp"
#include "unit/backends/raw_support.hpp"
#include "unit/io/loop_device.hpp"

namespace fdpstore::test {
namespace {

using backends::open_raw_backend;
using backends::RawBackendOptions;
using backends::RawDevice;
using testing::AllOf;
using testing::HasSubstr;

Error refused(const RawDevice::Options& options) {
  const auto device = RawDevice::open(options);
  EXPECT_FALSE(device) << "it opened";
  return device ? Error{} : device.error();
}

// Exit status of `what` in a process of its own.
int in_child(const std::function<int()>& what) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(what());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// ------------------------------------------------------------------------------- what is refused

TEST(RawDevice, AbsentPathIsNamedWithTheWayToMakeIt) {
  const TempDir dir;
  const Error error = refused({.path = dir / "absent"});
  EXPECT_EQ(error.code, std::errc::no_such_file_or_directory);
  EXPECT_THAT(error.what, AllOf(HasSubstr(dir / "absent"), HasSubstr("fallocate")));
  EXPECT_TRUE(fs::is_empty(dir.path()));
}

TEST(RawDevice, DirectoryAndOtherKindsAreRefused) {
  const TempDir dir;
  const Error directory = refused({.path = dir.path().native()});
  EXPECT_EQ(directory.code, Errc::invalid_option);
  EXPECT_THAT(directory.what, AllOf(HasSubstr("is a directory"), HasSubstr("base_path")));
  const Error null = refused({.path = "/dev/null"});
  EXPECT_EQ(null.code, Errc::invalid_option);
  EXPECT_THAT(null.what, AllOf(HasSubstr("/dev/null"), HasSubstr("/dev/ngXnY")));
  ASSERT_EQ(::mkfifo((dir / "pipe").c_str(), 0600), 0);
  EXPECT_EQ(refused({.path = dir / "pipe"}).code, Errc::invalid_option);
}

TEST(RawDevice, FileWithoutASizeSaysHowToGiveItOne) {
  const DeviceFile file(0);
  const Error error = refused({.path = file.path()});
  EXPECT_EQ(error.code, Errc::invalid_option);
  EXPECT_THAT(error.what, AllOf(HasSubstr(file.path()), HasSubstr("fallocate -l SIZE")));
}

TEST(RawDevice, FileOfAnotherUserSaysSo) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to be somebody else";
  const DeviceFile file(8 * kMiB);
  fs::permissions(file.dir().path(), fs::perms::group_exec | fs::perms::others_exec,
                  fs::perm_options::add);
  const int status = in_child([&] {
    if (::setuid(65534) != 0) return 2;
    const auto device = RawDevice::open({.path = file.path()});
    if (device || device.error().code != std::errc::permission_denied) return 3;
    const std::string& what = device.error().what;
    return what.find("not permitted to this user (uid 65534)") != std::string::npos &&
                   what.find(file.path()) != std::string::npos
               ? 0
               : 4;
  });
  EXPECT_EQ(status, 0);
}

TEST(RawDevice, WindowMustLieOnTheDevice) {
  const DeviceFile file(8 * kMiB + 1000);
  const auto open = [&](std::uint64_t offset, std::uint64_t capacity) {
    return RawDevice::open(
        {.path = file.path(), .base_offset_bytes = offset, .capacity_bytes = capacity});
  };
  EXPECT_EQ(open(0, 0)->window_bytes(), 8 * kMiB) << "whole blocks only";
  EXPECT_EQ(open(kMiB, 0)->window_bytes(), 7 * kMiB);
  EXPECT_EQ(open(kMiB, 3 * kMiB)->window_bytes(), 3 * kMiB);
  EXPECT_EQ(open(kMiB, 7 * kMiB)->window_bytes(), 7 * kMiB);
  const auto message = [&](std::uint64_t offset, std::uint64_t capacity) {
    const auto device = open(offset, capacity);
    EXPECT_FALSE(device);
    EXPECT_EQ(device.error().code, Errc::invalid_option);
    return device.error().what;
  };
  EXPECT_THAT(message(512, 0), HasSubstr("base_offset_bytes = 512 is no multiple of 4096"));
  EXPECT_THAT(message(16 * kMiB, 0), AllOf(HasSubstr("base_offset_bytes"), HasSubstr("8389608")));
  EXPECT_THAT(message(kMiB, 7 * kMiB + 1),
              AllOf(HasSubstr("capacity_bytes"), HasSubstr("lower it to 7340032")));
  EXPECT_THAT(message(0, ~0ULL), HasSubstr("lower it to 8388608"));
}

TEST(RawDevice, MountedDeviceIsBusyAndSaysWhere) {
  const io::LoopDevice loop(32 * kMiB);
  if (!loop.why_not().empty()) GTEST_SKIP() << loop.why_not();
  const TempDir dir;
  if (std::system(("mkfs.ext4 -q " + loop.path() + " >/dev/null 2>&1 && mount " + loop.path() +
                   " " + dir.path().native())
                      .c_str()) != 0) {
    GTEST_SKIP() << "cannot mount ext4 here";
  }
  const Error error = refused({.path = loop.path()});
  EXPECT_TRUE(RawDevice::open({.path = loop.path(), .read_only = true})) << "looking is free";
  const auto wiped = backends::wipe_raw_device({.device_path = loop.path()}, true);
  ::umount2(dir.path().c_str(), 0);
  EXPECT_EQ(error.code, Errc::busy);
  EXPECT_THAT(error.what, AllOf(HasSubstr(loop.path()), HasSubstr(dir.path().native())));
  ASSERT_FALSE(wiped) << "force is not for what is mounted";
  EXPECT_EQ(wiped.error().code, Errc::busy);
  EXPECT_TRUE(RawDevice::open({.path = loop.path()}));
}

TEST(RawDevice, HintLeftOnADeviceIsReported) {
  const io::LoopDevice loop(32 * kMiB);
  if (!loop.why_not().empty()) GTEST_SKIP() << loop.why_not();
  const auto node = io::open_file(loop.path(), O_RDWR);
  ASSERT_TRUE(node);
  EXPECT_TRUE(RawDevice::open({.path = loop.path()})->warnings().empty());
  constexpr int kSetRwHint = 1036;
  std::uint64_t hint = 5;
  if (::fcntl(node->get(), kSetRwHint, &hint) != 0) GTEST_SKIP() << "no hints on this kernel";
  const auto device = RawDevice::open({.path = loop.path()});
  ASSERT_TRUE(device);
  ASSERT_EQ(device->warnings().size(), 1U);
  EXPECT_THAT(device->warnings()[0], AllOf(HasSubstr("hint 5"), HasSubstr(loop.path())));
  hint = 0;
  ASSERT_EQ(::fcntl(node->get(), kSetRwHint, &hint), 0);
}

// ---------------------------------------------------------------------------------------- the lock

TEST(RawDevice, WindowInUseIsBusyForOtherProcessesAndForThisOne) {
  const DeviceFile file(16 * kMiB);
  const RawDevice::Options options{
      .path = file.path(), .base_offset_bytes = 4 * kMiB, .capacity_bytes = 4 * kMiB};
  auto first = RawDevice::open(options);
  ASSERT_TRUE(first);
  const Error error = refused(options);
  EXPECT_EQ(error.code, Errc::busy);
  EXPECT_THAT(error.what, AllOf(HasSubstr(file.path()), HasSubstr("4194304 to 8388608"),
                                HasSubstr("base_offset_bytes")));
  EXPECT_EQ(in_child([&] {
              const auto other = RawDevice::open(options);
              return !other && other.error().code == Errc::busy ? 0 : 1;
            }),
            0);
  // One byte of overlap is enough, a neighbour is not; who only looks takes no lock.
  EXPECT_EQ(in_child([&] {
              const auto at = [&](std::uint64_t offset, bool read_only) {
                return RawDevice::open({.path = file.path(),
                                        .base_offset_bytes = offset,
                                        .capacity_bytes = 4 * kMiB,
                                        .read_only = read_only});
              };
              if (at(8 * kMiB - 4096, false)) return 1;
              if (!at(8 * kMiB, false)) return 2;
              if (!at(0, false)) return 3;
              if (!at(4 * kMiB, true)) return 4;
              return 0;
            }),
            0);
  first = fail(Errc::closed, "");
  EXPECT_TRUE(RawDevice::open(options));
}

TEST(RawDevice, LockOfAKilledProcessIsGone) {
  const DeviceFile file(16 * kMiB);
  std::array<int, 2> ready{};
  ASSERT_EQ(::pipe(ready.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const auto backend = open_raw_backend({.device_path = file.path()});
    const char answer = backend ? 'y' : 'n';
    (void)!::write(ready[1], &answer, 1);
    ::pause();
  }
  char answer = 0;
  ASSERT_EQ(::read(ready[0], &answer, 1), 1);
  ASSERT_EQ(answer, 'y');
  EXPECT_EQ(refused({.path = file.path()}).code, Errc::busy);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_TRUE(RawDevice::open({.path = file.path()}));
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(RawDevice, ForkedChildDoesNotTakeTheLockAwayWhenItEnds) {
  const DeviceFile file(16 * kMiB);
  auto device = RawDevice::open({.path = file.path()});
  ASSERT_TRUE(device);
  EXPECT_EQ(in_child([&] {
              device = fail(Errc::closed, "");  // its destructor, in the child
              return 0;
            }),
            0);
  EXPECT_EQ(refused({.path = file.path()}).code, Errc::busy);
}

TEST(RawDevice, AFileTellsNoStreamsApartAndSaysWhy) {
  const DeviceFile file(16 * kMiB);
  const auto device = RawDevice::open({.path = file.path()});
  ASSERT_TRUE(device);
  const auto facts = device->placement_facts();
  EXPECT_FALSE(facts.passthrough);
  EXPECT_FALSE(facts.block);
  EXPECT_EQ(facts.write_streams, 0U);
  EXPECT_TRUE(facts.handles.empty());
  EXPECT_THAT(facts.passthrough_reason, HasSubstr(file.path() + " is a file"));
  EXPECT_THAT(facts.write_stream_reason, HasSubstr(file.path() + " is a file"));
  EXPECT_EQ(device->unit_bytes(), 0U);
}

// ------------------------------------------------------------------------------ looking and wiping

TEST(RawLook, SaysWhatIsThereAndChangesNothing) {
  const DeviceFile file(16 * kMiB);
  const RawBackendOptions options{.device_path = file.path(), .read_only = true};
  auto look = backends::look_at_raw_device(options);
  ASSERT_TRUE(look) << look.error().message();
  EXPECT_FALSE(look->has_store);
  EXPECT_EQ(look->content, "");
  EXPECT_EQ(look->placement.effective, WriteMode::plain);
  EXPECT_FALSE(look->placement.reaches_device);
  file.write(kMiB - 1, "x");
  look = backends::look_at_raw_device(options);
  ASSERT_TRUE(look);
  EXPECT_FALSE(look->has_store);
  EXPECT_THAT(look->content, HasSubstr("not fdpstore's"));
  EXPECT_EQ(file.bytes(kMiB - 1, 1), "x");
  EXPECT_TRUE(file.blank(0, kMiB - 1));
  file.write(kMiB - 1, std::string(1, '\0'));
  {
    auto backend = must_open({.device_path = file.path()});
    ASSERT_TRUE(backend->write_superblock(1, superblock('a')));
    look = backends::look_at_raw_device(options);  // while it is open
    ASSERT_TRUE(look) << look.error().message();
    EXPECT_TRUE(look->has_store);
    EXPECT_EQ(look->content, "");
  }
}

TEST(RawLook, RequiredPlacementIsNoReasonNotToLook) {
  const DeviceFile file(16 * kMiB);
  EXPECT_TRUE(backends::look_at_raw_device({.device_path = file.path(),
                                            .write_mode = WriteMode::uring_cmd,
                                            .placement = Strictness::require,
                                            .read_only = true}));
}

TEST(RawWipe, BlankDeviceNeedsNoForceAndOthersDo) {
  const DeviceFile file(16 * kMiB);
  const RawBackendOptions options{.device_path = file.path()};
  EXPECT_TRUE(backends::wipe_raw_device(options, false));
  file.write(5000, "letter");
  auto refused = backends::wipe_raw_device(options, false);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::foreign);
  EXPECT_THAT(refused.error().what, AllOf(HasSubstr(file.path()), HasSubstr("--force")));
  EXPECT_EQ(file.bytes(5000, 6), "letter");
  EXPECT_TRUE(backends::wipe_raw_device(options, true));
  EXPECT_TRUE(file.blank(0, kMiB));
  {
    auto backend = must_open(options);
    ASSERT_TRUE(backend->write_superblock(0, superblock('b')));
    const auto busy = backends::wipe_raw_device(options, true);
    ASSERT_FALSE(busy);
    EXPECT_EQ(busy.error().code, Errc::busy);
  }
  refused = backends::wipe_raw_device(options, false);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("another fdpstore store"));
  EXPECT_TRUE(backends::wipe_raw_device(options, true));
  const auto look = backends::look_at_raw_device(options);
  ASSERT_TRUE(look);
  EXPECT_FALSE(look->has_store);
  EXPECT_EQ(look->content, "");
}

TEST(RawWipe, LeavesWhatIsBesideTheWindow) {
  const DeviceFile file(16 * kMiB);
  file.write(4 * kMiB - 6, "before");
  file.write(8 * kMiB, "behind");
  file.write(4 * kMiB + 10, "inside");
  ASSERT_TRUE(backends::wipe_raw_device(
      {.device_path = file.path(), .base_offset_bytes = 4 * kMiB, .capacity_bytes = 4 * kMiB},
      true));
  EXPECT_EQ(file.bytes(4 * kMiB - 6, 6), "before");
  EXPECT_EQ(file.bytes(8 * kMiB, 6), "behind");
  EXPECT_TRUE(file.blank(4 * kMiB, kMiB));
}

}  // namespace
}  // namespace fdpstore::test
