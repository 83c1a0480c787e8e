#include "io/block_device.hpp"

#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/unique_fd.hpp"
#include "loop_device.hpp"
#include "support/files.hpp"

namespace fdpstore::io {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// A made-up /sys, /proc and /dev with: nvme0n1 (259:2, two partitions 259:3 and 259:4) and its
// ng0n1 (244:1), as the kernel shows a namespace with multipath; and a virtio disk vda (254:0).
class MadeUp : public testing::Test {
 protected:
  MadeUp() {
    roots_ = {.sys = top_ / "sys", .proc = top_ / "proc", .dev = top_ / "dev"};
    fs::create_directories(roots_.dev);
    write(roots_.proc + "/self/mountinfo", "22 1 254:0 / / rw - ext4 /dev/vda rw\n");
    write(roots_.proc + "/swaps", "Filename Type Size Used Priority\n");
    const std::string subsystem = "devices/virtual/nvme-subsystem/nvme-subsys0";
    add_block(subsystem + "/nvme0n1", "259:2", 2097152);
    add_partition(subsystem + "/nvme0n1", "nvme0n1p1", "259:3", 2048, 4096);
    add_partition(subsystem + "/nvme0n1", "nvme0n1p2", "259:4", 8192, 1024);
    write(sys(subsystem + "/model"), "Made Up Drive       \n");
    link(subsystem + "/nvme0n1/device", subsystem);
    write(sys("class/nvme-subsystem/x"), "");
    link(subsystem + "/subsystem", "class/nvme-subsystem");
    fs::create_directories(sys(subsystem + "/ng0n1"));
    write(sys("class/nvme-generic/x"), "");
    link(subsystem + "/ng0n1/subsystem", "class/nvme-generic");
    link("dev/char/244:1", subsystem + "/ng0n1");
    add_block("devices/pci0/virtio1/block/vda", "254:0", 1000);
  }

  static void write(const std::string& file, const std::string& text) {
    fs::create_directories(fs::path(file).parent_path());
    std::ofstream(file) << text;
  }
  [[nodiscard]] std::string sys(const std::string& path) const { return roots_.sys + "/" + path; }
  void link(const std::string& from, const std::string& to) const {
    fs::create_directories(fs::path(sys(from)).parent_path());
    fs::create_directory_symlink(sys(to), sys(from));
  }
  void add_block(const std::string& path, const std::string& number, int sectors) const {
    write(sys(path + "/dev"), number + "\n");
    write(sys(path + "/size"), std::to_string(sectors) + "\n");
    write(sys(path + "/ro"), "0\n");
    fs::create_directories(sys(path + "/holders"));
    link("dev/block/" + number, path);
    link("class/block/" + fs::path(path).filename().native(), path);
  }
  void add_partition(const std::string& disk, const std::string& name, const std::string& number,
                     int start, int sectors) const {
    add_block(disk + "/" + name, number, sectors);
    write(sys(disk + "/" + name + "/partition"), "1\n");
    write(sys(disk + "/" + name + "/start"), std::to_string(start) + "\n");
  }
  void add_queue() const {
    const auto set = [&](const char* name, const char* value) {
      write(sys(std::string("class/block/nvme0n1/queue/") + name), std::string(value) + "\n");
    };
    set("logical_block_size", "512");
    set("physical_block_size", "4096");
    set("max_hw_sectors_kb", "512");
    set("max_sectors_kb", "256");
    set("max_segments", "129");
    set("discard_granularity", "4096");
    set("discard_max_bytes", "2147483136");
    set("max_write_streams", "8");
    set("write_stream_granularity", "67108864");
    set("rotational", "0");
  }
  [[nodiscard]] BlockDevice device(int number_major, int number_minor, bool character) const {
    const auto found = describe_device(
        makedev(static_cast<unsigned>(number_major), static_cast<unsigned>(number_minor)),
        character, roots_);
    EXPECT_TRUE(found);
    return found.value_or(BlockDevice());
  }
  [[nodiscard]] std::vector<std::string> uses(const BlockDevice& of) const {
    std::vector<std::string> texts;
    for (const DeviceUse& use : device_uses(of, roots_)) {
      std::string text = use.what;
      for (std::size_t at = 0; (at = text.find(roots_.dev)) != std::string::npos;) {
        text.replace(at, roots_.dev.size(), "/dev");
      }
      texts.push_back(text);
    }
    return texts;
  }

  const test::TempDir top_;
  SystemRoots roots_;
};

TEST_F(MadeUp, DiskAndItsPassthroughDeviceKnowEachOther) {
  for (const bool character : {false, true}) {
    const BlockDevice found = character ? device(244, 1, true) : device(259, 2, false);
    EXPECT_EQ(found.name, character ? "ng0n1" : "nvme0n1");
    EXPECT_EQ(found.disk, "nvme0n1");
    EXPECT_EQ(found.block_path, roots_.dev + "/nvme0n1");
    EXPECT_EQ(found.character_path, roots_.dev + "/ng0n1");
    EXPECT_EQ(found.size_bytes, 1ULL << 30);
    EXPECT_EQ(found.model, "Made Up Drive");
    EXPECT_TRUE(found.nvme);
    EXPECT_FALSE(found.partition);
    EXPECT_FALSE(found.read_only);
  }
}

TEST_F(MadeUp, PartitionLiesInItsDisk) {
  const BlockDevice found = device(259, 3, false);
  EXPECT_EQ(found.name, "nvme0n1p1");
  EXPECT_EQ(found.disk, "nvme0n1");
  EXPECT_TRUE(found.partition);
  EXPECT_EQ(found.start_bytes, 1ULL << 20);
  EXPECT_EQ(found.size_bytes, 2ULL << 20);
  EXPECT_EQ(found.character_path, roots_.dev + "/ng0n1");
  EXPECT_TRUE(found.nvme);
  write(sys("class/block/nvme0n1p1/ro"), "1\n");
  EXPECT_TRUE(device(259, 3, false).read_only);
}

TEST_F(MadeUp, QueueLimitsAreReadOrAbsent) {
  const QueueLimits none = device(259, 2, false).queue;
  EXPECT_FALSE(none.logical_block_bytes || none.max_hw_transfer_bytes || none.max_write_streams ||
               none.rotational);
  add_queue();
  for (const BlockDevice& found :
       {device(259, 2, false), device(259, 3, false), device(244, 1, true)}) {
    const QueueLimits& queue = found.queue;
    EXPECT_EQ(queue.logical_block_bytes, 512U);
    EXPECT_EQ(queue.physical_block_bytes, 4096U);
    EXPECT_EQ(queue.max_hw_transfer_bytes, 512U << 10);
    EXPECT_EQ(queue.max_transfer_bytes, 256U << 10);
    EXPECT_EQ(queue.max_segments, 129U);
    EXPECT_EQ(queue.discard_granularity_bytes, 4096U);
    EXPECT_EQ(queue.discard_max_bytes, 2147483136U);
    EXPECT_EQ(queue.max_write_streams, 8U);
    EXPECT_EQ(queue.write_stream_granularity_bytes, 64U << 20);
    EXPECT_EQ(queue.rotational, false);
  }
  write(sys("class/block/nvme0n1/queue/max_write_streams"), "many\n");
  EXPECT_EQ(device(259, 2, false).queue.max_write_streams, std::nullopt);
}

TEST_F(MadeUp, OtherDevicesAreNotNvme) {
  const BlockDevice disk = device(254, 0, false);
  EXPECT_FALSE(disk.nvme);
  EXPECT_EQ(disk.character_path, "");
  EXPECT_EQ(disk.size_bytes, 512000U);
  EXPECT_FALSE(describe_device(makedev(254, 7), false, roots_)) << "not in sysfs";
  // A controller (/dev/nvme0) and a terminal are character devices, but no namespaces.
  fs::create_directories(sys("devices/pci0/nvme/nvme0"));
  write(sys("class/nvme/x"), "");
  link("devices/pci0/nvme/nvme0/subsystem", "class/nvme");
  link("dev/char/245:0", "devices/pci0/nvme/nvme0");
  EXPECT_FALSE(describe_device(makedev(245, 0), true, roots_));
  EXPECT_FALSE(describe_device(makedev(5, 0), true, roots_));
}

TEST_F(MadeUp, NamespaceWithoutABlockDeviceStillCounts) {
  // The kernel makes only ngXnY of a format that its block layer cannot use.
  fs::remove_all(sys("devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1"));
  const BlockDevice found = device(244, 1, true);
  EXPECT_TRUE(found.nvme);
  EXPECT_EQ(found.disk, "");
  EXPECT_EQ(found.block_path, "");
  EXPECT_EQ(found.size_bytes, 0U);
  EXPECT_THAT(uses(found), ElementsAre());
}

TEST_F(MadeUp, NobodyUsesAFreeDisk) {
  EXPECT_THAT(uses(device(259, 2, false)), ElementsAre());
  EXPECT_THAT(uses(device(244, 1, true)), ElementsAre());
}

TEST_F(MadeUp, MountsOfThePartitionCountForTheDiskAndNotForNeighbours) {
  write(roots_.proc + "/self/mountinfo",
        "22 1 254:0 / / rw - ext4 /dev/vda rw\n"
        "30 22 259:3 / /srv/a\\040b rw shared:1 - ext4 " +
            roots_.dev +
            "/nvme0n1p1 rw\n"
            "31 22 259:3 /sub /elsewhere rw - ext4 " +
            roots_.dev + "/nvme0n1p1 rw\n");
  const std::string mounted = "/dev/nvme0n1p1 is mounted on /srv/a b";
  EXPECT_THAT(uses(device(259, 3, false)), ElementsAre(mounted));
  EXPECT_THAT(uses(device(259, 2, false)), ElementsAre(mounted));
  EXPECT_THAT(uses(device(244, 1, true)), ElementsAre(mounted));
  EXPECT_THAT(uses(device(259, 4, false)), ElementsAre());
  EXPECT_THAT(uses(device(254, 0, false)), ElementsAre("/dev/vda is mounted on /"));
  EXPECT_EQ(device_uses(device(259, 3, false), roots_)[0].kind, DeviceUse::Kind::mount);
}

TEST_F(MadeUp, MountOfTheWholeDiskCountsForItsPartition) {
  write(roots_.proc + "/self/mountinfo", "30 22 259:2 / /srv rw - xfs /dev/x rw\n");
  EXPECT_THAT(uses(device(259, 3, false)), ElementsAre("/dev/nvme0n1 is mounted on /srv"));
}

TEST_F(MadeUp, MountUnderANumberOfItsOwnIsFoundByItsSource) {
  write(roots_.proc + "/self/mountinfo",
        "30 22 0:44 /@ /srv rw shared:1 master:2 - btrfs " + roots_.dev + "/nvme0n1p2 rw\n");
  EXPECT_THAT(uses(device(259, 4, false)), ElementsAre("/dev/nvme0n1p2 is mounted on /srv"));
  EXPECT_THAT(uses(device(259, 3, false)), ElementsAre());
}

TEST_F(MadeUp, SwapAndHoldersAreReported) {
  write(roots_.proc + "/swaps", "Filename Type Size Used Priority\n" + roots_.dev +
                                    "/nvme0n1p2 partition 512 0 -2\n/swapfile file 512 0 -3\n");
  add_block("devices/virtual/block/dm-0", "252:0", 8);
  write(sys("class/block/dm-0/dm/name"), "vg-lv\n");
  add_block("devices/virtual/block/md0", "9:0", 8);
  link("class/block/nvme0n1p1/holders/dm-0", "devices/virtual/block/dm-0");
  link("class/block/nvme0n1/holders/md0", "devices/virtual/block/md0");
  EXPECT_THAT(uses(device(259, 2, false)),
              ElementsAre("/dev/nvme0n1p2 is swap space", "/dev/nvme0n1 is part of /dev/md0",
                          "/dev/nvme0n1p1 is part of /dev/dm-0 (vg-lv)"));
  EXPECT_THAT(uses(device(259, 4, false)),
              ElementsAre("/dev/nvme0n1p2 is swap space", "/dev/nvme0n1 is part of /dev/md0"));
  const auto all = device_uses(device(259, 2, false), roots_);
  EXPECT_EQ(all[0].kind, DeviceUse::Kind::swap);
  EXPECT_EQ(all[1].kind, DeviceUse::Kind::holder);
}

TEST_F(MadeUp, DamagedTablesAreNoUse) {
  write(roots_.proc + "/self/mountinfo",
        "\n1 2\n30 22 259:9 / /x rw - btrfs\n30 22 259:9 / /x\\04");
  write(roots_.proc + "/swaps", "\n\n");
  EXPECT_THAT(uses(device(259, 2, false)), ElementsAre());
  fs::remove_all(roots_.proc);
  EXPECT_THAT(uses(device(259, 2, false)), ElementsAre());
}

TEST_F(MadeUp, PathsAreToldByLooking) {
  const auto kind = [&](const std::string& path) {
    const auto found = describe_path(path, roots_);
    EXPECT_TRUE(found) << found.error().message();
    return found ? found->kind : PathKind::other;
  };
  const std::string file = top_ / "nvme0n1";  // a name alone means nothing
  write(file, std::string(5000, 'x'));
  EXPECT_EQ(kind(file), PathKind::regular_file);
  EXPECT_EQ(describe_path(file, roots_)->size_bytes, 5000U);
  fs::create_symlink(file, top_ / "link");
  EXPECT_EQ(kind(top_ / "link"), PathKind::regular_file);
  EXPECT_EQ(kind(top_.string()), PathKind::directory);
  EXPECT_EQ(kind(top_ / "none"), PathKind::absent);
  EXPECT_EQ(kind(top_ / "none/below"), PathKind::absent);
  EXPECT_EQ(kind("/dev/null"), PathKind::other);
  ASSERT_EQ(::mkfifo((top_ / "fifo").c_str(), 0600), 0);
  EXPECT_EQ(kind(top_ / "fifo"), PathKind::other);
  const auto below_a_file = describe_path(file + "/x", roots_);
  ASSERT_FALSE(below_a_file);
  EXPECT_EQ(below_a_file.error().code, std::errc::not_a_directory);
  EXPECT_THAT(below_a_file.error().message(), HasSubstr(file));
}

TEST_F(MadeUp, DeviceNodesAreFoundByNumber) {
  const std::string block = top_ / "a", character = top_ / "b";
  if (::mknod(block.c_str(), S_IFBLK | 0600, makedev(259, 3)) != 0 ||
      ::mknod(character.c_str(), S_IFCHR | 0600, makedev(244, 1)) != 0) {
    GTEST_SKIP() << "device nodes cannot be made here (not root)";
  }
  const auto partition = describe_path(block, roots_);
  ASSERT_TRUE(partition && partition->device);
  EXPECT_EQ(partition->kind, PathKind::block_device);
  EXPECT_EQ(partition->device->name, "nvme0n1p1");
  EXPECT_EQ(partition->size_bytes, 2ULL << 20);
  const auto passthrough = describe_path(character, roots_);
  ASSERT_TRUE(passthrough && passthrough->device);
  EXPECT_EQ(passthrough->kind, PathKind::nvme_character);
  EXPECT_EQ(passthrough->device->name, "ng0n1");
  EXPECT_EQ(passthrough->size_bytes, 1ULL << 30);
}

TEST(BlockDeviceHere, LoopDeviceIsDescribed) {
  LoopDevice loop(8 << 20);
  if (!loop.why_not().empty()) GTEST_SKIP() << loop.why_not();
  const auto found = describe_path(loop.path());
  ASSERT_TRUE(found && found->device);
  EXPECT_EQ(found->kind, PathKind::block_device);
  EXPECT_EQ(found->size_bytes, 8U << 20);
  EXPECT_EQ("/dev/" + found->device->name, loop.path());
  EXPECT_EQ(found->device->block_path, loop.path());
  EXPECT_FALSE(found->device->nvme || found->device->partition || found->device->read_only);
  EXPECT_EQ(found->device->queue.logical_block_bytes, 512U);
  EXPECT_GT(found->device->queue.max_segments.value_or(0), 0U);
  EXPECT_TRUE(device_uses(*found->device).empty());
  // What no table shows: somebody has claimed it.
  const auto claim = open_file(loop.path(), O_RDONLY | O_EXCL);
  ASSERT_TRUE(claim);
  const auto uses = device_uses(*found->device);
  ASSERT_EQ(uses.size(), 1U);
  EXPECT_THAT(uses[0].what, HasSubstr(loop.path() + " is held by another process"));
}

TEST(BlockDeviceHere, HintLeftOnTheInodeIsFound) {
  constexpr int kSetInodeHint = 1036;
  LoopDevice loop(1 << 20);
  if (!loop.why_not().empty()) GTEST_SKIP() << loop.why_not();
  const auto first = open_file(loop.path(), O_RDWR);
  ASSERT_TRUE(first);
  EXPECT_EQ(sticky_write_hint(first->get()), std::nullopt);
  std::uint64_t hint = 3;
  if (::fcntl(first->get(), kSetInodeHint, &hint) != 0) {
    GTEST_SKIP() << "this kernel takes no hint on a block device";
  }
  const auto second = open_file(loop.path(), O_RDONLY);
  ASSERT_TRUE(second);
  EXPECT_EQ(sticky_write_hint(second->get()), 3U);
  hint = 0;  // it would stay on the node
  EXPECT_EQ(::fcntl(first->get(), kSetInodeHint, &hint), 0);
  EXPECT_EQ(sticky_write_hint(second->get()), std::nullopt);
}

}  // namespace
}  // namespace fdpstore::io
