// Devices of plain files and loop devices: what opening refuses, windows, locks, formatting, and
// segments as ranges. Namespaces are looked at in the guest.
#include "backends/raw_device.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <functional>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/directory_content.hpp"
#include "backends/raw_backend.hpp"
#include "unit/backends/support.hpp"
#include "unit/io/loop_device.hpp"

namespace fdpstore::test {
namespace {

using backends::open_raw_backend;
using backends::RawBackendOptions;
using backends::RawDevice;
using testing::AllOf;
using testing::HasSubstr;

constexpr std::uint64_t kSegment = 2 * kMiB;

// A file standing for a device.
class DeviceFile {
 public:
  explicit DeviceFile(std::uint64_t size_bytes) {
    {
      std::ofstream make(path_);
    }
    fs::resize_file(path_, size_bytes);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }
  void write(std::uint64_t at, const std::string& bytes) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }
  [[nodiscard]] std::string bytes(std::uint64_t at, std::size_t length) const {
    std::ifstream file(path_, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    std::string out(length, '\0');
    file.read(out.data(), static_cast<std::streamsize>(length));
    return out;
  }
  [[nodiscard]] bool blank(std::uint64_t at, std::size_t length) const {
    return bytes(at, length) == std::string(length, '\0');
  }

 private:
  TempDir dir_;
  std::string path_ = dir_ / "device";
};

Error refused(const RawDevice::Options& options) {
  const auto device = RawDevice::open(options);
  EXPECT_FALSE(device) << "it opened";
  return device ? Error{} : device.error();
}

std::unique_ptr<Backend> must_open(const RawBackendOptions& options) {
  auto backend = open_raw_backend(options);
  EXPECT_TRUE(backend) << backend.error().message();
  return backend ? std::move(*backend) : nullptr;
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

std::vector<std::byte> superblock(char fill) {
  std::vector<std::byte> block(kSuperblockBytes, static_cast<std::byte>(fill));
  std::ranges::copy(std::as_bytes(std::span(backends::kSuperblockMagic)), block.begin());
  return block;
}

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

// ------------------------------------------------------------------------------- segments,
// requests

class RawSegments : public ::testing::TestWithParam<bool> {  // O_DIRECT
 protected:
  static constexpr std::uint64_t kBase = 4 * kMiB;
  static constexpr std::uint64_t kWindow = 9 * kMiB;  // four segments behind the head

  [[nodiscard]] RawBackendOptions options(std::uint64_t base = kBase) const {
    return {.device_path = file_.path(),
            .base_offset_bytes = base,
            .capacity_bytes = kWindow,
            .use_odirect = GetParam()};
  }
  [[nodiscard]] std::unique_ptr<Backend> opened(std::uint64_t base = kBase) const {
    auto backend = must_open(options(base));
    EXPECT_TRUE(backend->set_segment_bytes(kSegment));
    return backend;
  }
  DeviceFile file_{32 * kMiB};
};
INSTANTIATE_TEST_SUITE_P(Raw, RawSegments, ::testing::Bool(), [](const auto& param) {
  return std::string(param.param ? "odirect" : "buffered");
});

TEST_P(RawSegments, GeometryIsTheWindows) {
  auto backend = opened();
  EXPECT_EQ(backend->geometry().medium_bytes, kWindow);
  EXPECT_EQ(backend->geometry().max_segments, 4U);
  EXPECT_EQ(backend->geometry().segment_bytes, kSegment);
  EXPECT_EQ(backend->geometry().unit_bytes, 0U);
  EXPECT_TRUE(backend->capabilities().fixed_size_segments);
  EXPECT_FALSE(backend->capabilities().must_fill) << "there is no reclaim unit to be in step with";
  EXPECT_EQ(backend->capabilities().cached_writes, !GetParam());
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
