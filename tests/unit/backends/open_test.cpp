// What opening refuses, what it leaves alone, and the lock.
#include <array>
#include <csignal>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "backends/file_backend.hpp"
#include "backends/file_placement.hpp"
#include "backends/segment_names.hpp"
#include "unit/backends/support.hpp"

namespace fdpstore::test {
namespace {

using backends::open_file_backend;
using testing::AllOf;
using testing::HasSubstr;

backends::FileBackendOptions options_for(const std::string& path) {
  return {.base_path = path, .capacity_bytes = 16 * kMiB};
}

Error error_of(const backends::FileBackendOptions& options) {
  auto backend = open_file_backend(options);
  EXPECT_FALSE(backend) << "it opened";
  return backend ? Error{} : backend.error();
}

std::size_t entries(const fs::path& path) {
  return static_cast<std::size_t>(
      std::distance(fs::recursive_directory_iterator(path), fs::recursive_directory_iterator()));
}

void write_magic(Backend& backend) {
  std::vector<std::byte> block(kSuperblockBytes);
  std::memcpy(block.data(), "FDPSUPER", 8);
  ASSERT_TRUE(backend.write_superblock(0, block));
}

TEST(Open, MissingDirectoryIsMadeForThisUserAlone) {
  const TempDir dir;
  const std::string path = dir / "a/b";
  ASSERT_NE(must_open(options_for(path)), nullptr);
  struct stat info{};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700U);
  ASSERT_EQ(::stat((path + "/superblock").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600U);
}

TEST(Open, PathThatIsNoDirectoryIsNamed) {
  const TempDir dir;
  {
    std::ofstream make(dir / "file");
  }
  const Error error = error_of(options_for(dir / "file"));
  EXPECT_EQ(error.code, std::errc::not_a_directory);
  EXPECT_THAT(error.what, HasSubstr(dir / "file"));
  EXPECT_THAT(error_of(options_for(dir / "file/sub")).what, HasSubstr("file/sub"));
  EXPECT_THAT(error_of(options_for("")).what, HasSubstr("base_path is missing"));
}

TEST(Open, ForeignFilesAreRefusedAndLeftAlone) {
  const TempDir dir;
  {
    std::ofstream make(dir / "thesis.tex");
  }
  const Error error = error_of(options_for(dir.path()));
  EXPECT_EQ(error.code, make_error_code(Errc::foreign));
  EXPECT_THAT(error.what, AllOf(HasSubstr("thesis.tex"), HasSubstr("format=true")));
  EXPECT_EQ(entries(dir.path()), 1U);

  auto options = options_for(dir.path());
  options.format = true;
  auto backend = must_open(options);
  EXPECT_TRUE(fs::exists(dir / "thesis.tex"));
  write_magic(*backend);
  backend.reset();
  // It is a store now: other files beside it are the user's business.
  EXPECT_NE(must_open(options_for(dir.path())), nullptr);
}

TEST(Open, LmcacheDirectoryIsSentToLayoutObject) {
  const TempDir dir;
  {
    std::ofstream make(dir / "m@0x01000001@0@00ff.data");
  }
  const Error error = error_of(options_for(dir.path()));
  EXPECT_EQ(error.code, make_error_code(Errc::foreign));
  EXPECT_THAT(error.what, HasSubstr("layout 'object'"));
}

TEST(Open, LostAndFoundCountsAsEmpty) {
  const TempDir dir;
  fs::create_directory(dir / "lost+found");
  EXPECT_NE(must_open(options_for(dir.path())), nullptr);
}

TEST(Open, ReadOnlyCreatesNothingAndTakesNoLock) {
  const TempDir dir;
  auto inspect = options_for(dir / "store");
  inspect.read_only = true;
  EXPECT_EQ(error_of(inspect).code, make_error_code(Errc::not_found));
  inspect.base_path = dir.path();
  EXPECT_EQ(error_of(inspect).code, make_error_code(Errc::not_found));
  EXPECT_EQ(entries(dir.path()), 0U);

  auto owner = must_open(options_for(dir.path()));
  write_magic(*owner);
  ASSERT_TRUE(owner->set_segment_bytes(kMiB));
  ASSERT_TRUE(owner->allocate({1}, {}));
  const auto data = random_bytes(4096, 1);
  EXPECT_FALSE(write(*owner, {1}, 0, data));
  auto reader = must_open(inspect);
  ASSERT_TRUE(reader->set_segment_bytes(kMiB));
  EXPECT_EQ(reader->existing_segments()->size(), 1U);
  auto back = random_bytes(4096, 2);
  EXPECT_FALSE(read(*reader, {1}, 0, back));
  EXPECT_TRUE(same(back, data));
  std::array<std::byte, kSuperblockBytes> block{};
  EXPECT_FALSE(reader->write_superblock(0, block));
}

TEST(Open, ReadOnlyFileSystemIsNamed) {
  const SmallFileSystem mount(32 * kMiB);
  if (!mount.mounted()) GTEST_SKIP() << mount.why_not();
  ASSERT_TRUE(mount.remount_read_only());
  for (const std::string& path : {mount.string(), mount / "sub"}) {
    const Error error = error_of(options_for(path));
    EXPECT_EQ(error.code, std::errc::read_only_file_system) << path;
    EXPECT_THAT(error.what, AllOf(HasSubstr(path), HasSubstr("read-write")));
  }
}

TEST(Open, DirectoryOfAnotherUserIsNamed) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root, to become another user";
  const TempDir dir;
  fs::create_directory(dir / "private");
  ASSERT_EQ(::chmod(dir.path().c_str(), 0755), 0);
  ASSERT_EQ(::chmod((dir / "private").c_str(), 0755), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    if (::seteuid(65534) != 0) ::_exit(2);
    const auto backend = open_file_backend(options_for(dir / "private"));
    const bool said = !backend && backend.error().code == std::errc::permission_denied &&
                      backend.error().what.find("uid 65534") != std::string::npos;
    ::_exit(said ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(Open, SecondProcessIsRefusedWhileTheFirstLives) {
  const TempDir dir;
  auto owner = must_open(options_for(dir.path()));
  const pid_t child = ::fork();
  if (child == 0) {
    const auto backend = open_file_backend(options_for(dir.path()));
    const bool said = !backend && backend.error().code == make_error_code(Errc::busy) &&
                      backend.error().what.find(dir.path().native()) != std::string::npos;
    ::_exit(said ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
  owner.reset();
  const auto start = std::chrono::steady_clock::now();
  EXPECT_NE(must_open(options_for(dir.path())), nullptr);
  // At once, and not after the two seconds for which a lock that is held is waited for.
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1900));
}

TEST(Open, ForkedChildThatCleansUpLeavesTheLockToItsParent) {
  const TempDir dir;
  auto owner = must_open(options_for(dir.path()));
  pid_t child = ::fork();
  if (child == 0) {
    owner.reset();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status)) << "signal " << WTERMSIG(status);
  child = ::fork();
  if (child == 0) ::_exit(open_file_backend(options_for(dir.path())) ? 1 : 0);
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the lock was given up";
  ASSERT_TRUE(owner->set_segment_bytes(kMiB));
  ASSERT_TRUE(owner->allocate({0}, {}));
  EXPECT_FALSE(write(*owner, {0}, 0, random_bytes(4096, 1)));
}

TEST(Open, KilledProcessWithWritesInFlightFreesTheLock) {
  const TempDir dir;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    auto backend = must_open(options_for(dir.path()));
    if (!backend->set_segment_bytes(8 * kMiB) || !backend->allocate({0}, {})) ::_exit(1);
    const auto data = random_bytes(8 * kMiB, 1);
    std::vector<iovec> spans;
    std::vector<IoRequest> requests;
    for (std::size_t i = 0; i < 128; ++i) spans.push_back({data.data() + (i << 16), 1 << 16});
    for (std::size_t i = 0; i < 128; ++i) {
      requests.push_back(
          {.op = IoOp::write, .segment = {0}, .offset_bytes = i << 16, .spans = {&spans[i], 1}});
    }
    backend->submit(requests);
    if (::write(ready[1], "x", 1) != 1) ::_exit(1);
    ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status));
  auto backend = must_open(options_for(dir.path()));
  ASSERT_NE(backend, nullptr);
  EXPECT_EQ(backend->existing_segments()->size(), 1U);
  ::close(ready[0]);
  ::close(ready[1]);
}

TEST(Open, FullDiskFailsAllocationAndLeavesNoFile) {
  const SmallFileSystem mount(32 * kMiB);
  if (!mount.mounted()) GTEST_SKIP() << mount.why_not();
  auto options = options_for(mount / "store");
  options.capacity_bytes = 1024 * kMiB;
  options.prompt_files = true;
  auto backend = must_open(options);
  ASSERT_TRUE(backend->set_segment_bytes(16 * kMiB));
  ASSERT_TRUE(backend->allocate({0}, {}));
  const auto refused = backend->allocate({1}, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, std::errc::no_space_on_device);
  EXPECT_THAT(refused.error().what, HasSubstr("00000001.seg"));
  EXPECT_FALSE(fs::exists(mount / "store/segments/00000001.seg"));
  // A file that grows meets the end of the disk in a write, which fails and harms nothing else.
  ASSERT_TRUE(backend->allocate({2}, {.prompt = PromptId{1}}));
  const auto small = random_bytes(4096, 1);
  const auto large = random_bytes(15 * kMiB, 2);
  EXPECT_FALSE(write(*backend, {2}, 0, small));
  EXPECT_EQ(write(*backend, {2}, 4096, large), std::errc::no_space_on_device);
  EXPECT_FALSE(write(*backend, {0}, 0, small));
  backend->seal({2}, 4096);
  auto back = random_bytes(4096, 3);
  EXPECT_FALSE(read(*backend, {2}, 0, back));
  EXPECT_TRUE(same(back, small));
  EXPECT_EQ(fs::file_size(mount / "store/segments/prompt-00000001-00000002.seg"), 4096U);
  // A store can be opened again on a full disk.
  {
    std::ofstream(mount / "fill") << std::string(30 * kMiB, 'x');
  }
  backend.reset();
  EXPECT_NE(must_open(options), nullptr);
}

TEST(Open, XfsWorksDirectAndRecordsHints) {
  const SmallFileSystem mount(320 * kMiB, "xfs");
  if (!mount.mounted()) GTEST_SKIP() << mount.why_not();
  auto options = options_for(mount.string());
  options.use_odirect = true;
  auto backend = must_open(options);
  ASSERT_TRUE(backend->set_segment_bytes(kMiB));
  EXPECT_EQ(backend->effective_placement().effective, WriteMode::hint);
  EXPECT_FALSE(backend->effective_placement().reaches_device);
  EXPECT_THAT(backend->effective_placement().reason, HasSubstr("xfs"));
  ASSERT_TRUE(backend->allocate({0}, {.lifetime = Lifetime::long_lived}));
  const auto data = random_bytes(64 << 10, 1);
  EXPECT_FALSE(write(*backend, {0}, 4096, data));
  auto back = random_bytes(64 << 10, 2);
  EXPECT_FALSE(read(*backend, {0}, 4096, back));
  EXPECT_TRUE(same(back, data));
}

TEST(Open, RequiredPlacementThatReachesNoDeviceIsRefused) {
  const TempDir dir;
  auto options = options_for(dir / "store");
  options.placement = Strictness::require;
  for (const WriteMode mode : {WriteMode::automatic, WriteMode::hint}) {
    options.write_mode = mode;
    const Error error = error_of(options);
    EXPECT_EQ(error.code, make_error_code(Errc::unsupported));
    EXPECT_THAT(error.what, AllOf(HasSubstr("placement=prefer"), HasSubstr("F_SET_RW_HINT")));
  }
  options.write_mode = WriteMode::plain;
  EXPECT_NE(must_open(options), nullptr);
  for (const WriteMode mode : {WriteMode::uring_cmd, WriteMode::write_stream}) {
    auto other = options_for(dir / "other");
    other.write_mode = mode;
    EXPECT_EQ(error_of(other).code, make_error_code(Errc::invalid_option));
    EXPECT_FALSE(fs::exists(dir / "other"));
  }
}

TEST(FilePlacement, ReachesTheDeviceOnlyOnF2fsWithWriteStreams) {
  const backends::PlacementRequest request{.path = "/p", .strictness = Strictness::require};
  backends::FileSystem f2fs;
  f2fs.name = "f2fs";
  f2fs.device = "/dev/nvme0n1";
  const auto inode = io::WriteHintMechanism::inode;
  EXPECT_FALSE(backends::choose_file_placement(request, f2fs, inode));
  f2fs.max_write_streams = 4;
  const auto placement = backends::choose_file_placement(request, f2fs, inode);
  ASSERT_TRUE(placement);
  EXPECT_TRUE(placement->reaches_device);
  EXPECT_EQ(placement->effective, WriteMode::hint);
  const auto none =
      backends::choose_file_placement({.path = "/p"}, f2fs, io::WriteHintMechanism::none);
  ASSERT_TRUE(none);
  EXPECT_EQ(none->effective, WriteMode::plain);
  EXPECT_THAT(none->reason, HasSubstr("neither"));
}

TEST(SegmentNames, OnlyOurOwnSpellingIsRead) {
  for (const backends::SegmentName name :
       {backends::SegmentName{{0}, {0}}, {{12}, {0}}, {{123456789}, {0}}, {{7}, {0xDEADBEEF}}}) {
    const auto parsed = backends::parse_segment_name(backends::to_file_name(name));
    ASSERT_TRUE(parsed) << backends::to_file_name(name);
    EXPECT_EQ(parsed->id, name.id);
    EXPECT_EQ(parsed->prompt, name.prompt);
  }
  for (const char* name : {"", ".seg", "1.seg", "00000001.seg~", "00000001", "-0000001.seg",
                           "prompt-1-00000001.seg", "prompt-00000000-00000001.seg",
                           "prompt-DEADBEEF-00000001.seg", "99999999999.seg", "prompt-"}) {
    EXPECT_FALSE(backends::parse_segment_name(name)) << name;
  }
}

}  // namespace
}  // namespace fdpstore::test
