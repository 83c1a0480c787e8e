// A small ext4 of its own, mounted from a file: what a test fills up without harm.
//
// Owns:    image file and mount. Needs root and a loop device; else mounted() is false.
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
  explicit SmallFileSystem(std::uint64_t bytes) {
    const auto image = dir_.path() / "image";
    mount_point_ = dir_.path() / "mnt";
    std::filesystem::create_directory(mount_point_);
    const std::string size = std::to_string(bytes);
    // -m 0: no blocks kept for root, so that "full" is full for the tests as well.
    mounted_ = ::geteuid() == 0 && run("truncate -s " + size + " '" + image.string() + "'") &&
               run("mkfs.ext4 -q -m 0 '" + image.string() + "'") &&
               run("mount -o loop '" + image.string() + "' '" + mount_point_.string() + "'");
  }
  ~SmallFileSystem() {
    if (mounted_) (void)::umount2(mount_point_.c_str(), MNT_DETACH);
  }
  SmallFileSystem(const SmallFileSystem&) = delete;
  SmallFileSystem& operator=(const SmallFileSystem&) = delete;

  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::filesystem::path& path() const { return mount_point_; }

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
    return std::system((command + " 2>/dev/null").c_str()) == 0;
  }

  TempDir dir_;
  std::filesystem::path mount_point_;
  bool mounted_ = false;
};

}  // namespace fdpstore::test
