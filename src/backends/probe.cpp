#include "backends/probe.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "backends/directory_content.hpp"
#include "backends/file_system.hpp"
#include "backends/probe_device.hpp"
#include "backends/raw_backend.hpp"
#include "io/direct_io.hpp"
#include "io/unique_fd.hpp"
#include "io/write_hint.hpp"

namespace fdpstore::backends {
namespace fs = std::filesystem;
namespace {

std::string kernel_release() {
  struct utsname names{};
  return ::uname(&names) == 0 ? names.release : "";
}

std::string kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "directory";
  if (S_ISREG(mode)) return "file";
  if (S_ISBLK(mode)) return "block device";
  if (S_ISCHR(mode)) return "character device";
  if (S_ISSOCK(mode)) return "socket";
  return S_ISFIFO(mode) ? "named pipe" : "something else";
}

// Writing to the path as it is, by this process.
bool is_writable(const std::string& path, mode_t mode) {
  return ::faccessat(AT_FDCWD, path.c_str(), W_OK | (S_ISDIR(mode) ? X_OK : 0), AT_EACCESS) == 0;
}

void fill_direct_io(PathInfo& info, const Result<io::DirectIo>& probe) {
  if (!probe || !probe->works) return;
  info.direct_io = true;
  info.direct_io_offset_align = probe->offset_align_bytes;
  info.direct_io_memory_align = probe->memory_align_bytes;
}

// A file to try hints on: nameless in a directory, or the file itself.
Result<io::UniqueFd> file_to_hint(const std::string& path, bool is_directory) {
  return io::open_file(path, is_directory ? O_TMPFILE | O_RDWR : O_RDONLY);
}

void add_hints(PathInfo& info, const FileSystem& file_system, const std::string& path,
               bool is_directory) {
  const auto file = file_to_hint(path, is_directory);
  for (const auto mechanism : {io::WriteHintMechanism::descriptor, io::WriteHintMechanism::inode}) {
    MechanismProbe probe{.name = std::string(io::to_string(mechanism)), .reason = {}};
    if (!file) {
      probe.reason = "not tried: " + file.error().message();
    } else if (const auto tried = io::try_write_hint(file->get(), mechanism); !tried) {
      const bool gone = mechanism == io::WriteHintMechanism::descriptor &&
                        tried.error().code == std::errc::invalid_argument;
      probe.reason = gone ? "Linux has had none since 5.18" : tried.error().message();
    } else {
      const HintReach reach = hint_reach(file_system);
      probe.works = true;
      probe.reaches_device = reach.reaches_device;
      probe.reason = reach.reason;
    }
    info.mechanisms.push_back(std::move(probe));
  }
}

MechanismProbe device_only(std::string name, std::string reason) {
  return {.name = std::move(name), .reason = std::move(reason)};
}

std::string recommend_directory(const PathInfo& info, const DirectoryContent& content,
                                bool file_system_is_read_only) {
  if (file_system_is_read_only) {
    return "Mount the file system read-write, or choose another directory: nothing can be stored "
           "here.";
  }
  if (!info.writable) {
    return "Change the owner or mode of the directory, or choose another one: this user cannot "
           "write here.";
  }
  if (info.free_bytes < (1U << 20)) return "Make room first: the file system is full.";
  if (content.has_superblock) {
    return "Open it with the layout that it was made with; capacity_bytes may differ.";
  }
  if (content.lmcache_objects > 0) {
    return "layout=object serves this directory as it is; for layout=segment name an empty "
           "directory.";
  }
  if (content.foreign_entries > 0) {
    return "Name an empty or missing directory for layout=segment: this one holds other files.";
  }
  const bool reaches = std::ranges::any_of(info.mechanisms, &MechanismProbe::reaches_device);
  return fmt::format("layout=segment with capacity_bytes set{}; {}.",
                     info.direct_io ? "" : ", buffered since O_DIRECT does not work here",
                     reaches ? "hints reach the device, so that placement=require can be kept"
                             : "placement=prefer, because no hint reaches a device from here");
}

// `path` exists and is a directory or a file.
Result<void> probe_file_system(PathInfo& info, const std::string& path, bool is_directory) {
  const auto file_system = file_system_of(path);
  if (!file_system) return fail(file_system.error());
  info.file_system = file_system->name;
  info.device = file_system->device;
  info.total_bytes = file_system->total_bytes;
  info.free_bytes = file_system->free_bytes;
  fill_direct_io(info, is_directory ? io::probe_direct_io(path) : io::probe_direct_read(path));
  add_hints(info, *file_system, path, is_directory);
  const std::string streams =
      file_system->max_write_streams
          ? fmt::format("{} has {}", file_system->device, *file_system->max_write_streams)
          : fmt::format("{} states none", file_system->device);
  info.mechanisms.push_back(
      device_only("write_stream",
                  fmt::format("for block devices, and {} does not pass it on from a file ({} in "
                              "queue/max_write_streams)",
                              file_system->name, streams)));
  info.mechanisms.push_back(
      device_only("uring_cmd", "for NVMe character devices (/dev/ngXnY), not for files"));
  if (!is_directory) {
    const auto look = look_at_raw_device({.device_path = path, .read_only = true});
    info.content = !look                   ? "a file: " + look.error().message()
                   : look->has_store       ? "an fdpstore store on a file that stands for a device"
                   : look->content.empty() ? "a blank file"
                                           : "a file with " + look->content;
    info.recommended =
        "A directory is what fdpstore keeps files in (base_path); a blank file of the size wanted "
        "can stand for a device to try out the raw-block mode (device_path).";
    return {};
  }
  const auto content = inspect_directory(path);
  if (!content) return fail(content.error());
  info.content = content->describe();
  info.recommended = recommend_directory(info, *content, file_system->read_only);
  return {};
}

// The nearest existing parent of a path that does not exist.
std::string nearest_parent(const std::string& path) {
  fs::path at = fs::absolute(path).lexically_normal();
  std::error_code ignored;
  while (at.has_relative_path() && !fs::exists(at, ignored)) at = at.parent_path();
  return at.native();
}

Result<void> probe_missing(PathInfo& info) {
  info.kind = "missing";
  const std::string parent = nearest_parent(info.path);
  struct stat status{};
  if (::stat(parent.c_str(), &status) != 0) {
    return fail_errno(errno, fmt::format("cannot look at {}", parent));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail_errno(ENOTDIR, fmt::format("{}: {} is not a directory", info.path, parent));
  }
  info.writable = is_writable(parent, status.st_mode);
  if (auto done = probe_file_system(info, parent, true); !done) return done;
  const auto file_system = file_system_of(parent);
  info.content = fmt::format("nothing: it does not exist and would be made in {}", parent);
  info.recommended = recommend_directory(info, {}, file_system && file_system->read_only);
  return {};
}

}  // namespace

Result<PathInfo> probe_path(const std::string& path) {
  PathInfo info;
  info.path = path;
  info.kernel = kernel_release();
  if (path.empty()) return fail(Errc::invalid_argument, "no path was given; name a directory");
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) return fail_errno(errno, fmt::format("cannot look at {}", path));
    if (auto done = probe_missing(info); !done) return fail(done.error());
    return info;
  }
  info.kind = kind_of(status.st_mode);
  info.writable = is_writable(path, status.st_mode);
  if (S_ISDIR(status.st_mode) || S_ISREG(status.st_mode)) {
    auto done = probe_file_system(info, path, S_ISDIR(status.st_mode));
    if (!done) return fail(done.error());
  } else {
    probe_device(info);
  }
  return info;
}

}  // namespace fdpstore::backends
