#include "backends/probe.hpp"

#include <algorithm>

#include <gmock/gmock.h>

#include "io/direct_io.hpp"
#include "unit/backends/support.hpp"

namespace fdpstore::test {
namespace {

using testing::HasSubstr;

const MechanismProbe& mechanism(const PathInfo& info, std::string_view name) {
  const auto found = std::ranges::find(info.mechanisms, name, &MechanismProbe::name);
  EXPECT_NE(found, info.mechanisms.end()) << name;
  return *found;
}

PathInfo must_probe(const std::string& path) {
  auto info = backends::probe_path(path);
  EXPECT_TRUE(info) << info.error().message();
  return info.value_or(PathInfo{});
}

TEST(Probe, EmptyDirectoryTellsFileSystemAndMechanisms) {
  const TempDir dir;
  const PathInfo info = must_probe(dir.path().native());
  EXPECT_EQ(info.kind, "directory");
  EXPECT_EQ(info.content, "empty");
  EXPECT_FALSE(info.file_system.empty());
  EXPECT_FALSE(info.kernel.empty());
  EXPECT_TRUE(info.writable);
  EXPECT_GT(info.total_bytes, 0U);
  for (const auto& probe : info.mechanisms) EXPECT_FALSE(probe.reason.empty()) << probe.name;
  EXPECT_FALSE(mechanism(info, "uring_cmd").works);
  EXPECT_FALSE(mechanism(info, "write_stream").works);
  EXPECT_FALSE(info.recommended.empty());
  EXPECT_TRUE(fs::is_empty(dir.path())) << "the probe left something behind";
}

TEST(Probe, TmpfsIsNamedAndItsHintReachesNothing) {
  if (!fs::exists("/dev/shm")) GTEST_SKIP() << "no /dev/shm";
  const TempDir dir("/dev/shm");
  const PathInfo info = must_probe(dir.path().native());
  EXPECT_EQ(info.file_system, "tmpfs");
  EXPECT_FALSE(mechanism(info, "F_SET_RW_HINT").reaches_device);
}

TEST(Probe, MissingPathIsJudgedByItsNearestParent) {
  const TempDir dir;
  const PathInfo info = must_probe(dir / "a/b/c");
  EXPECT_EQ(info.kind, "missing");
  EXPECT_THAT(info.content, HasSubstr(dir.path().native()));
  EXPECT_EQ(info.file_system, must_probe(dir.path().native()).file_system);
  EXPECT_FALSE(fs::exists(dir / "a"));
}

TEST(Probe, ContentsAreToldApart) {
  const TempDir lmcache, store, other;
  {
    std::ofstream make(lmcache / "org-SEP-m@0x01000001@0@00ff.data");
  }
  EXPECT_THAT(must_probe(lmcache.path().native()).content,
              HasSubstr("LMCache fs directory with 1 object"));
  {
    std::ofstream make(other / "thesis.tex");
  }
  EXPECT_THAT(must_probe(other.path().native()).content, HasSubstr("thesis.tex"));
  {
    auto backend = must_open({.base_path = store.path().native(), .capacity_bytes = 4 * kMiB});
    std::vector<std::byte> block(kSuperblockBytes);
    std::memcpy(block.data(), "FDPSUPER", 8);
    ASSERT_TRUE(backend->write_superblock(0, block));
  }
  EXPECT_THAT(must_probe(store.path().native()).content,
              HasSubstr("fdpstore store (segment files"));
}

TEST(Probe, FileAndCharacterDeviceAreNoPlaceForAStore) {
  const TempDir dir;
  {
    std::ofstream make(dir / "file");
  }
  EXPECT_EQ(must_probe(dir / "file").kind, "file");
  const PathInfo null = must_probe("/dev/null");
  EXPECT_EQ(null.kind, "character device");
  EXPECT_THAT(mechanism(null, "uring_cmd").reason, HasSubstr("no NVMe namespace"));
  EXPECT_EQ(backends::probe_path("/dev/null/x").error().code, std::errc::not_a_directory);
  EXPECT_FALSE(backends::probe_path(""));
}

TEST(Probe, BlockDeviceIsNotHinted) {
  std::string device;
  for (const auto& entry : fs::directory_iterator("/dev")) {
    std::error_code ignored;
    if (fs::is_block_file(entry.path(), ignored)) device = entry.path().native();
  }
  if (device.empty()) GTEST_SKIP() << "no block device node here";
  const PathInfo info = must_probe(device);
  EXPECT_EQ(info.kind, "block device");
  EXPECT_FALSE(mechanism(info, "F_SET_RW_HINT").works);
  EXPECT_FALSE(mechanism(info, "write_stream").reason.empty());
}

TEST(Probe, XfsAndExt4ArePlainAboutHints) {
  for (const char* type : {"ext4", "xfs"}) {
    const SmallFileSystem mount(type == std::string("xfs") ? 320 * kMiB : 32 * kMiB, type);
    if (!mount.mounted()) GTEST_SKIP() << mount.why_not();
    const PathInfo info = must_probe(mount.string());
    EXPECT_EQ(info.file_system, type);
    EXPECT_EQ(info.content, "empty");  // ext4 has lost+found
    EXPECT_TRUE(mechanism(info, "F_SET_RW_HINT").works);
    EXPECT_FALSE(mechanism(info, "F_SET_RW_HINT").reaches_device);
    EXPECT_THAT(mechanism(info, "F_SET_RW_HINT").reason,
                HasSubstr(std::string(type) + " does not pass it to an NVMe device"));
    EXPECT_TRUE(info.direct_io);
    EXPECT_THAT(info.device, HasSubstr("/dev/loop"));
    EXPECT_TRUE(info.writable);
    ASSERT_TRUE(mount.remount_read_only());
    const PathInfo frozen = must_probe(mount.string());
    EXPECT_FALSE(frozen.writable);
    EXPECT_THAT(frozen.recommended, HasSubstr("read-write"));
  }
}

}  // namespace
}  // namespace fdpstore::test
