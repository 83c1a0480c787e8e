// A small file system of its own, mounted from a file: what a test fills up without harm.
//
// Owns:    image file and mount. Needs root, mkfs and a loop device; else mounted() is false.
#pragma once

#include <sys/mount.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/files.hpp"

namespace fdpstore::test {

class SmallFileSystem {
 public:
  // `type` "ext4" or "xfs"; xfs needs 300 MiB.
  explicit SmallFileSystem(std::uint64_t bytes, const std::string& type = "ext4")
      : why_not_(set_up(bytes, type)) {}
  ~SmallFileSystem() {
    if (mounted()) (void)::umount2(mount_point_.c_str(), MNT_DETACH);
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  [[nodiscard]] bool mounted() const { return why_not_.empty(); }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] const std::filesystem::path& path() const { return mount_point_; }
  [[nodiscard]] std::string string() const { return mount_point_.string(); }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (mount_point_ / name).string();
  }
  [[nodiscard]] bool remount_read_only() const {
    return run("mount -o remount,ro '" + string() + "'");
  }

  // Leaves at most `bytes` free, and a few blocks less for what describes the file, filler().
  void fill_up_to(std::uint64_t bytes) const {
    const File file(filler(), O_CREAT | O_RDWR);
    constexpr std::uint64_t kStep = 64 * 1024;
    for (std::uint64_t size = 0;; size += kStep) {
      if (std::filesystem::space(mount_point_).available <= bytes + kStep) return;
      const int error = ::posix_fallocate(file.fd(), static_cast<off_t>(size), kStep);
      if (error == ENOSPC) return;
      if (error != 0) {
        errno = error;
        throw_errno("posix_fallocate");
      }
    }
  }
  [[nodiscard]] std::filesystem::path filler() const { return mount_point_ / "filler"; }

 private:
  static bool run(const std::string& command) {
    return std::system(("( " + command + " ) >/dev/null 2>&1").c_str()) == 0;
  }
  std::string set_up(std::uint64_t bytes, const std::string& type) {
    if (::geteuid() != 0) return "mounting needs root";
    const std::string image = dir_ / "image";
    std::filesystem::create_directory(mount_point_);
    File(image, O_CREAT | O_RDWR);
    std::filesystem::resize_file(image, bytes);
    // ext4 -m 0: no blocks kept for root, so that "full" is full for the tests as well.
    const std::string options = type == "ext4" ? " -m 0" : "";
    if (!run("mkfs." + type + " -q" + options + " '" + image + "'")) {
      return "mkfs." + type + " is not there or fails";
    }
    if (!run("mount -o loop '" + image + "' '" + string() + "'")) {
      return "cannot mount " + type + " on a loop device here";
    }
    return {};
  }

  TempDir dir_;
  std::filesystem::path mount_point_ = dir_.path() / "mnt";
  std::string why_not_;  // last: set_up() needs the others
};

}  // namespace fdpstore::test
