// A loop device over a nameless file, for tests; gone with the object.
#pragma once

#include <cerrno>
#include <cstring>
#include <string>

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "io/unique_fd.hpp"
#include "support/nameless_file.hpp"

namespace fdpstore::io {

class LoopDevice {
 public:
  explicit LoopDevice(std::uint64_t size_bytes) : why_not_(set_up(size_bytes)) {}
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;
  ~LoopDevice() {
    if (why_not_.empty()) ::ioctl(device_.get(), LOOP_CLR_FD, 0);
  }

  // Empty when there is a device; else the reason to skip the test.
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string set_up(std::uint64_t size_bytes) {
    const auto because = [](const std::string& what) { return what + ": " + std::strerror(errno); };
    file_ = test::nameless_file(size_bytes);
    const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!control) return because("no loop devices here");
    for (int attempt = 0; attempt < 20; ++attempt) {  // others may take the free one
      const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
      if (number < 0) return because("no free loop device");
      path_ = "/dev/loop" + std::to_string(number);
      device_ = UniqueFd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
      if (!device_) return because("cannot open " + path_);
      loop_config config{};
      config.fd = static_cast<__u32>(file_.get());
      if (::ioctl(device_.get(), LOOP_CONFIGURE, &config) == 0) return {};
      if (errno != EBUSY) return because("cannot set up " + path_);
    }
    return "all loop devices are taken";
  }

  UniqueFd file_;
  UniqueFd device_;
  std::string path_;
  std::string why_not_;  // last: set_up() fills the others
};

}  // namespace fdpstore::io
