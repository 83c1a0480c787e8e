// The kinds of store every contract test runs over, and what differs between them by design.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "fdpstore/options.hpp"
#include "support/sanitizers.hpp"
#include "support/units.hpp"

namespace fdpstore::test {

// Where segments lie: in files of a directory, or in one medium.
enum class Medium : std::uint8_t {
  directory,
  raw_file,  // a pre-sized file
  loop,      // a loop device over one
  sim,       // a simulated SSD with FDP
  device,    // what $FDPSTORE_TEST_DEVICE names
};

struct Variant {
  Layout layout = Layout::segment;
  bool odirect = false;
  bool exclusive = false;  // layout object: this process alone, with a hard capacity
  Medium medium = Medium::directory;
  bool in_memory = false;  // the directory is on tmpfs

  // What DESIGN §4 gives to some layouts only.
  [[nodiscard]] bool has_segments() const { return layout != Layout::object; }
  [[nodiscard]] bool raw() const { return medium != Medium::directory; }
  [[nodiscard]] bool simulated() const { return medium == Medium::sim; }
  // Whether the same is there with O_DIRECT.
  [[nodiscard]] bool has_odirect_twin() const { return !odirect && !exclusive && !in_memory; }
  // One process at a time; capacity, totals and existence are then known exactly.
  [[nodiscard]] bool single_owner() const { return has_segments() || exclusive; }

  [[nodiscard]] std::string name() const {
    static constexpr const char* kMedia[] = {"", "raw_file", "loop", "sim", "device"};
    if (simulated()) return "sim";
    return (raw() ? kMedia[static_cast<std::size_t>(medium)] : std::string(to_string(layout))) +
           (exclusive ? "_exclusive" : "") +
           (in_memory ? "_tmpfs"
            : odirect ? "_odirect"
                      : "_buffered");
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
    Variant{Layout::segment, true, false, Medium::loop},
    Variant{Layout::segment, true, false, Medium::sim},
    Variant{Layout::segment, false, false, Medium::directory, true},
    Variant{Layout::prompt, false, false, Medium::directory, true},
};

// Empty: none.
inline std::string named_device() {
  const char* path = std::getenv("FDPSTORE_TEST_DEVICE");  // NOLINT(concurrency-mt-unsafe)
  return path != nullptr ? path : "";
}

// All of the above, and one for a device where one is named. What threads do to each other is the
// same with and without O_DIRECT.
inline std::vector<Variant> variants() {
  std::vector<Variant> out(kVariants.begin(), kVariants.end());
  if (kThreadSanitizer) std::erase_if(out, [](const Variant& v) { return v.has_odirect_twin(); });
  if (!named_device().empty()) out.push_back({Layout::segment, true, false, Medium::device});
  return out;
}

// Those that a path of the file system names.
inline std::vector<Variant> device_variants() {
  std::vector<Variant> out = variants();
  std::erase_if(out, [](const Variant& v) { return !v.raw() || v.simulated(); });
  return out;
}

// What a store on a device leaves alone before its part.
inline constexpr std::uint64_t kWindowAt = 4 * kMiB;

// A small store: 15 segments of 2 MiB, objects up to 1 MiB. `where`: its directory, or its device.
inline Options small_options(const Variant& variant, const std::filesystem::path& where) {
  Options options;
  options.base_path = where.string();
  options.layout = variant.layout;
  options.use_odirect = variant.odirect;
  options.exclusive = variant.exclusive;
  options.max_object_bytes = 1 * kMiB;
  if (variant.has_segments()) options.segment_bytes = 2 * kMiB;
  if (variant.single_owner()) options.capacity_bytes = 32 * kMiB;
  if (variant.raw()) {
    options.device_path = std::exchange(options.base_path, "");
    options.base_offset_bytes = kWindowAt;
    if (variant.simulated()) options.use_odirect.reset();
  }
  return options;
}

// Where a variant's files lie.
inline std::filesystem::path parent_of(const Variant& variant) {
  return variant.in_memory ? parent_in_memory() : std::filesystem::temp_directory_path();
}

// Whether O_DIRECT works in `dir` (tmpfs and some overlays refuse it).
inline bool direct_io_works(const std::filesystem::path& dir) {
  const auto probe = dir / "odirect-probe";
  const int fd = ::open(probe.c_str(), O_CREAT | O_RDWR | O_DIRECT | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  std::filesystem::remove(probe);
  return fd >= 0;
}

// Empty: `variant` can be tested with files in `dir`.
inline std::string why_not_here(const Variant& variant, const std::filesystem::path& dir) {
  const bool on_files = variant.medium == Medium::directory || variant.medium == Medium::raw_file;
  if (on_files && variant.odirect && !direct_io_works(dir)) {
    return "O_DIRECT does not work in " + dir.string() + "; set TMPDIR";
  }
  return variant.in_memory ? why_not_in_memory() : "";
}

}  // namespace fdpstore::test
