// The kinds of store every contract test runs over, and what differs between them by design.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <ostream>
#include <stdexcept>
#include <string>

#include "fdpstore/options.hpp"

namespace fdpstore::test {

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;

// Where segments lie: in files of a directory, or in one medium.
enum class Medium : std::uint8_t { directory, raw_file };

struct Variant {
  Layout layout = Layout::segment;
  bool odirect = false;
  bool exclusive = false;  // layout object: this process alone, with a hard capacity
  Medium medium = Medium::directory;

  // What DESIGN §4 gives to some layouts only.
  [[nodiscard]] bool has_segments() const { return layout != Layout::object; }
  [[nodiscard]] bool raw() const { return medium != Medium::directory; }
  // One process at a time; capacity, totals and existence are then known exactly.
  [[nodiscard]] bool single_owner() const { return has_segments() || exclusive; }

  [[nodiscard]] std::string name() const {
    return (raw() ? "raw_file" : std::string(to_string(layout))) + (exclusive ? "_exclusive" : "") +
           (odirect ? "_odirect" : "_buffered");
  }
  friend std::ostream& operator<<(std::ostream& out, const Variant& v) { return out << v.name(); }
};

inline constexpr std::array kVariants = {
    Variant{Layout::segment, false, false},
    Variant{Layout::segment, true, false},
    Variant{Layout::prompt, false, false},
    Variant{Layout::prompt, true, false},
    Variant{Layout::object, false, false},
    Variant{Layout::object, true, false},
    Variant{Layout::object, false, true},
    Variant{Layout::segment, false, false, Medium::raw_file},
    Variant{Layout::segment, true, false, Medium::raw_file},
};

// The file that stands for a device, in the directory that the store of other variants is.
inline std::filesystem::path device_file(const std::filesystem::path& path) {
  return path / "device.img";
}

// A small store: 15 or 16 segments of 2 MiB, objects up to 1 MiB. Makes the file for a device.
inline Options small_options(const Variant& variant, const std::filesystem::path& path) {
  Options options;
  options.base_path = path.string();
  options.layout = variant.layout;
  options.use_odirect = variant.odirect;
  options.exclusive = variant.exclusive;
  options.max_object_bytes = 1 * kMiB;
  if (variant.has_segments()) options.segment_bytes = 2 * kMiB;
  if (variant.single_owner()) options.capacity_bytes = 32 * kMiB;
  if (variant.raw()) {
    options.base_path.clear();
    options.device_path = device_file(path).string();
    if (!std::filesystem::exists(options.device_path)) {
      std::filesystem::create_directories(path);
      const int fd = ::open(options.device_path.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
      if (fd < 0 || ::posix_fallocate(fd, 0, 128 * kMiB) != 0) {
        throw std::runtime_error("no room for " + options.device_path);
      }
      ::close(fd);
    }
  }
  return options;
}

// Whether O_DIRECT works in `dir` (tmpfs and some overlays refuse it).
inline bool direct_io_works(const std::filesystem::path& dir) {
  const auto probe = dir / "odirect-probe";
  const int fd = ::open(probe.c_str(), O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  std::filesystem::remove(probe);
  return fd >= 0;
}

}  // namespace fdpstore::test
