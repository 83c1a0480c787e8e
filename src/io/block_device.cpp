#include "io/block_device.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <initializer_list>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "io/unique_fd.hpp"
#include "io/write_hint.hpp"

namespace fdpstore::io {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kSectorBytes = 512;  // sysfs counts so, whatever the device's block

// The first line of a small file, without blanks at its end; nothing when it cannot be read.
std::optional<std::string> read_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  if (!std::getline(stream, line)) return std::nullopt;
  line.erase(line.find_last_not_of(" \t") + 1);
  return line;
}

template <class Number = std::uint64_t>
std::optional<Number> read_number(const fs::path& file) {
  const auto line = read_line(file);
  Number value{};
  if (!line) return std::nullopt;
  const char* end = line->data() + line->size();
  const auto parsed = std::from_chars(line->data(), end, value);
  if (parsed.ec != std::errc() || parsed.ptr != end) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> times(std::optional<std::uint64_t> value, std::uint64_t factor) {
  return value ? std::optional(*value * factor) : std::nullopt;
}

bool present(const fs::path& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The last part of what a symbolic link points to: "nvme-generic" of …/subsystem.
std::string link_name(const fs::path& link) {
  std::error_code error;
  return fs::read_symlink(link, error).filename().native();
}

std::vector<fs::path> entries(const fs::path& directory) {
  std::vector<fs::path> found;
  std::error_code error;
  for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error)) {
    found.push_back(at->path());
  }
  std::ranges::sort(found);
  return found;
}

fs::path class_block(const SystemRoots& roots, const std::string& name) {
  return fs::path(roots.sys) / "class/block" / name;
}

std::string device_path(const SystemRoots& roots, const std::string& name) {
  return roots.dev + "/" + name;
}

QueueLimits read_queue(const fs::path& queue) {
  const auto flag = read_number(queue / "rotational");
  return {.logical_block_bytes = read_number<std::uint32_t>(queue / "logical_block_size"),
          .physical_block_bytes = read_number<std::uint32_t>(queue / "physical_block_size"),
          .max_hw_transfer_bytes = times(read_number(queue / "max_hw_sectors_kb"), 1024),
          .max_transfer_bytes = times(read_number(queue / "max_sectors_kb"), 1024),
          .max_segments = read_number<std::uint32_t>(queue / "max_segments"),
          .discard_granularity_bytes = read_number(queue / "discard_granularity"),
          .discard_max_bytes = read_number(queue / "discard_max_bytes"),
          .max_write_streams = read_number<std::uint32_t>(queue / "max_write_streams"),
          .write_stream_granularity_bytes = read_number(queue / "write_stream_granularity"),
          .rotational = flag ? std::optional(*flag != 0) : std::nullopt};
}

// Where a namespace's two devices are: ngXnY and nvmeXnY are neighbours in sysfs, below the
// controller or, with multipath, below the subsystem.
struct Places {
  fs::path self;
  fs::path disk;       // empty when there is none
  fs::path character;  // likewise
};
std::optional<Places> find_places(const fs::path& self, bool character) {
  constexpr std::string_view kBlockPrefix = "nvme";
  constexpr std::string_view kCharacterPrefix = "ng";
  Places places{.self = self, .disk = {}, .character = {}};
  const std::string name = self.filename().native();
  if (character) {
    if (link_name(self / "subsystem") != "nvme-generic" || !name.starts_with(kCharacterPrefix)) {
      return std::nullopt;
    }
    places.character = self;
    places.disk = self.parent_path() /
                  fmt::format("{}{}", kBlockPrefix, name.substr(kCharacterPrefix.size()));
    if (!present(places.disk)) places.disk.clear();
    return places;
  }
  places.disk = present(self / "partition") ? self.parent_path() : self;
  const std::string disk = places.disk.filename().native();
  if (!disk.starts_with(kBlockPrefix)) return places;
  places.character = places.disk.parent_path() /
                     fmt::format("{}{}", kCharacterPrefix, disk.substr(kBlockPrefix.size()));
  if (link_name(places.character / "subsystem") != "nvme-generic") places.character.clear();
  return places;
}

BlockDevice read_device(const Places& places, const SystemRoots& roots) {
  BlockDevice device;
  device.name = places.self.filename().native();
  if (!places.character.empty()) {
    device.character_path = device_path(roots, places.character.filename().native());
  }
  device.nvme = !places.character.empty();
  if (places.disk.empty()) return device;
  device.disk = places.disk.filename().native();
  device.block_path = device_path(roots, device.disk);
  device.partition = present(places.self / "partition");
  const fs::path sized = device.partition ? places.self : places.disk;
  device.start_bytes = read_number(sized / "start").value_or(0) * kSectorBytes;
  device.size_bytes = read_number(sized / "size").value_or(0) * kSectorBytes;
  device.read_only = read_number(sized / "ro").value_or(0) != 0;
  device.model = read_line(places.disk / "device/model").value_or("");
  const std::string bus = link_name(places.disk / "device/subsystem");
  device.nvme = device.nvme || bus == "nvme" || bus == "nvme-subsystem";
  device.queue = read_queue(places.disk / "queue");
  return device;
}

// One of the devices whose use would be ours too.
struct Node {
  std::string name;
  std::string number;  // "259:1"
};

std::vector<Node> related_nodes(const BlockDevice& device, const SystemRoots& roots) {
  std::vector<Node> nodes;
  const auto add = [&](const std::string& name) {
    nodes.push_back({name, read_line(class_block(roots, name) / "dev").value_or("")});
  };
  if (device.disk.empty()) return nodes;
  add(device.disk);
  if (device.partition) {
    add(device.name);
    return nodes;
  }
  for (const fs::path& entry : entries(class_block(roots, device.disk))) {
    if (present(entry / "partition")) add(entry.filename().native());
  }
  return nodes;
}

// mountinfo and swaps write blanks and backslashes as \ooo.
std::string unescape(std::string_view text) {
  constexpr std::size_t kEscapeLength = 4;
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    if (text[i] == '\\' && i + kEscapeLength <= text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + kEscapeLength, code, 8).ptr ==
            text.data() + i + kEscapeLength) {
      plain += static_cast<char>(code);
      i += kEscapeLength - 1;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

std::vector<std::string> words(const std::string& line) {
  std::vector<std::string> found;
  for (std::size_t at = 0; (at = line.find_first_not_of(" \t", at)) != std::string::npos;) {
    const std::size_t end = std::min(line.find_first_of(" \t", at), line.size());
    found.push_back(unescape(std::string_view(line).substr(at, end - at)));
    at = end;
  }
  return found;
}

// Whether a path in the kernel's tables is the node, by name or by number.
bool names_node(const std::string& path, const Node& node, const SystemRoots& roots) {
  if (path == device_path(roots, node.name)) return true;
  struct stat info{};
  return path.starts_with('/') && ::stat(path.c_str(), &info) == 0 && S_ISBLK(info.st_mode) &&
         fmt::format("{}:{}", major(info.st_rdev), minor(info.st_rdev)) == node.number;
}

// "id parent maj:min root point options [optional…] - type source …"; the source counts too, for
// file systems with numbers of their own (btrfs). The first mount of each node will do.
void add_mounts(const std::vector<Node>& nodes, const SystemRoots& roots,
                std::vector<DeviceUse>& uses) {
  constexpr std::size_t kNumber = 2;
  constexpr std::size_t kPoint = 4;
  std::vector<std::vector<std::string>> mounts;
  std::ifstream table(roots.proc + "/self/mountinfo");
  for (std::string line; std::getline(table, line);) mounts.push_back(words(line));
  for (const Node& node : nodes) {
    const auto of_node = [&](const std::vector<std::string>& mount) {
      if (mount.size() <= kPoint) return false;
      if (!node.number.empty() && mount[kNumber] == node.number) return true;
      const auto dash = std::ranges::find(mount, "-");
      return mount.end() - dash > 2 && names_node(dash[2], node, roots);
    };
    const auto mount = std::ranges::find_if(mounts, of_node);
    if (mount == mounts.end()) continue;
    uses.push_back(
        {DeviceUse::Kind::mount,
         fmt::format("{} is mounted on {}", device_path(roots, node.name), (*mount)[kPoint])});
  }
}

void add_swaps(const std::vector<Node>& nodes, const SystemRoots& roots,
               std::vector<DeviceUse>& uses) {
  std::ifstream table(roots.proc + "/swaps");
  for (std::string line; std::getline(table, line);) {
    const auto columns = words(line);
    if (columns.empty()) continue;
    const auto node = std::ranges::find_if(
        nodes, [&](const Node& n) { return names_node(columns[0], n, roots); });
    if (node == nodes.end()) continue;
    uses.push_back(
        {DeviceUse::Kind::swap, fmt::format("{} is swap space", device_path(roots, node->name))});
  }
}

void add_holders(const std::vector<Node>& nodes, const SystemRoots& roots,
                 std::vector<DeviceUse>& uses) {
  for (const Node& node : nodes) {
    for (const fs::path& holder : entries(class_block(roots, node.name) / "holders")) {
      const std::string name = holder.filename().native();
      const auto mapped = read_line(class_block(roots, name) / "dm/name");
      uses.push_back(
          {DeviceUse::Kind::holder,
           fmt::format("{} is part of {}{}", device_path(roots, node.name),
                       device_path(roots, name), mapped ? fmt::format(" ({})", *mapped) : "")});
    }
  }
}

// What the tables of this mount namespace cannot show: a mount made outside the container. The
// kernel lets nobody else claim a device in use, its whole disk, or its partitions.
void add_claim(const BlockDevice& device, const SystemRoots& roots, std::vector<DeviceUse>& uses) {
  const std::string path = device.partition ? device_path(roots, device.name) : device.block_path;
  if (path.empty() || !uses.empty()) return;
  const auto file = open_file(path, O_RDONLY | O_EXCL | O_NONBLOCK);
  if (file || file.error().code != std::errc::device_or_resource_busy) return;
  uses.push_back(
      {DeviceUse::Kind::holder,
       fmt::format("{} is held by another process, or mounted outside this container", path)});
}

}  // namespace

std::string_view to_string(PathKind kind) {
  switch (kind) {
    case PathKind::absent: return "missing";
    case PathKind::regular_file: return "regular file";
    case PathKind::directory: return "directory";
    case PathKind::block_device: return "block device";
    case PathKind::nvme_character: return "NVMe character device";
    case PathKind::other: return "special file";
  }
  return "?";
}

std::optional<BlockDevice> describe_device(dev_t number, bool character, const SystemRoots& roots) {
  std::error_code error;
  const fs::path self =
      fs::canonical(fmt::format("{}/dev/{}/{}:{}", roots.sys, character ? "char" : "block",
                                major(number), minor(number)),
                    error);
  if (error) return std::nullopt;
  const auto places = find_places(self, character);
  if (!places) return std::nullopt;
  return read_device(*places, roots);
}

Result<PathDescription> describe_path(const std::string& path, const SystemRoots& roots) {
  PathDescription description;
  description.path = path;
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return description;
    return fail_errno(errno, fmt::format("cannot look at {}", path));
  }
  if (S_ISREG(info.st_mode)) {
    description.kind = PathKind::regular_file;
    description.size_bytes = static_cast<std::uint64_t>(info.st_size);
  } else if (S_ISDIR(info.st_mode)) {
    description.kind = PathKind::directory;
  } else if (S_ISBLK(info.st_mode)) {
    description.kind = PathKind::block_device;
    description.device = describe_device(info.st_rdev, false, roots);
  } else {
    if (S_ISCHR(info.st_mode)) description.device = describe_device(info.st_rdev, true, roots);
    description.kind = description.device ? PathKind::nvme_character : PathKind::other;
  }
  if (description.device) description.size_bytes = description.device->size_bytes;
  return description;
}

std::vector<DeviceUse> device_uses(const BlockDevice& device, const SystemRoots& roots) {
  const auto nodes = related_nodes(device, roots);
  std::vector<DeviceUse> uses;
  add_mounts(nodes, roots, uses);
  add_swaps(nodes, roots, uses);
  add_holders(nodes, roots, uses);
  add_claim(device, roots, uses);
  return uses;
}

std::optional<std::uint64_t> sticky_write_hint(int fd) {
  const auto hint = get_write_hint(fd, WriteHintMechanism::inode);
  if (!hint || *hint == Lifetime::not_set) return std::nullopt;
  return static_cast<std::uint64_t>(*hint);
}

}  // namespace fdpstore::io
