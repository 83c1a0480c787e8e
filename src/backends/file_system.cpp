#include "backends/file_system.hpp"

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

namespace fdpstore::backends {
namespace {

// For systems without /proc; numbers of linux/magic.h.
std::string name_by_magic(std::uint64_t magic) {
  constexpr std::array<std::pair<std::uint64_t, const char*>, 9> kNames = {{
      {0xEF53, "ext4"},
      {0x58465342, "xfs"},
      {0x9123683E, "btrfs"},
      {0xF2F52010, "f2fs"},
      {0x01021994, "tmpfs"},
      {0x794C7630, "overlay"},
      {0x6969, "nfs"},
      {0x65735546, "fuse"},
      {0x2FC12FC1, "zfs"},
  }};
  for (const auto& [number, name] : kNames) {
    if (number == magic) return name;
  }
  return {};
}

// mountinfo writes blanks and backslashes as \ooo.
std::string unescape(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out.push_back(static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8)));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

struct Mount {
  std::uint32_t major = 0, minor = 0;
  std::string type, source;
};

// The line of /proc/self/mountinfo with this id: "id parent maj:min root point options … - type
// source superoptions".
std::optional<Mount> mount_by_id(std::uint64_t mount_id) {
  std::ifstream table("/proc/self/mountinfo");
  for (std::string line; std::getline(table, line);) {
    std::istringstream words(line);
    std::uint64_t id = 0, parent = 0;
    char colon = 0;
    Mount mount;
    std::string root, word;
    if (!(words >> id >> parent >> mount.major >> colon >> mount.minor >> root)) continue;
    if (id != mount_id) continue;
    while (words >> word && word != "-") {
    }
    if (!(words >> mount.type >> mount.source)) continue;
    mount.source = unescape(mount.source);
    return mount;
  }
  return std::nullopt;
}

std::optional<std::uint32_t> read_number(const std::string& path) {
  std::uint32_t value = 0;
  if (std::ifstream(path) >> value) return value;
  return std::nullopt;
}

}  // namespace

std::optional<std::uint32_t> max_write_streams(std::uint32_t major, std::uint32_t minor) {
  const std::string base = fmt::format("/sys/dev/block/{}:{}", major, minor);
  // A partition's directory lies inside its disk's, and only the disk has a queue.
  for (const char* queue : {"/queue/", "/../queue/"}) {
    if (auto value = read_number(base + queue + "max_write_streams")) return value;
  }
  return std::nullopt;
}

Result<FileSystem> file_system_of(const std::string& path) {
  struct statx info{};
  if (::statx(AT_FDCWD, path.c_str(), 0, STATX_BASIC_STATS | STATX_MNT_ID, &info) != 0) {
    return fail_errno(errno, fmt::format("cannot stat {}", path));
  }
  struct statfs raw{};
  struct statvfs space{};
  if (::statfs(path.c_str(), &raw) != 0 || ::statvfs(path.c_str(), &space) != 0) {
    return fail_errno(errno, fmt::format("cannot ask for the file system of {}", path));
  }
  FileSystem result;
  result.name = name_by_magic(static_cast<std::uint64_t>(raw.f_type) & 0xFFFFFFFF);
  result.total_bytes = static_cast<std::uint64_t>(space.f_blocks) * space.f_frsize;
  result.free_bytes = static_cast<std::uint64_t>(space.f_bavail) * space.f_frsize;
  result.read_only = (space.f_flag & ST_RDONLY) != 0;
  std::uint32_t major = info.stx_dev_major, minor = info.stx_dev_minor;
  const auto mount =
      (info.stx_mask & STATX_MNT_ID) != 0 ? mount_by_id(info.stx_mnt_id) : std::nullopt;
  if (mount) {
    result.name = mount->type;
    result.device = mount->source;
    major = mount->major;
    minor = mount->minor;
    // btrfs has a made-up device number; the source says what it is on.
    struct stat source{};
    if (::stat(mount->source.c_str(), &source) == 0 && S_ISBLK(source.st_mode)) {
      major = ::major(source.st_rdev);
      minor = ::minor(source.st_rdev);
    }
  }
  result.max_write_streams = max_write_streams(major, minor);
  return result;
}

HintReach hint_reach(const FileSystem& file_system) {
  const std::string& name = file_system.name;
  if (name == "f2fs") {
    if (file_system.max_write_streams.value_or(0) > 0) {
      return {true, fmt::format("f2fs maps the hint to one of the {} write streams of {}",
                                *file_system.max_write_streams, file_system.device)};
    }
    return {false, fmt::format("f2fs would map the hint to a write stream, but {} has none "
                               "(queue/max_write_streams)",
                               file_system.device)};
  }
  if (name == "tmpfs") {
    return {false, "recorded on the inode; tmpfs is memory, there is no device below it"};
  }
  return {false, fmt::format("recorded on the inode; {} does not pass it to an NVMe device",
                             name.empty() ? "this file system" : name)};
}

}  // namespace fdpstore::backends
