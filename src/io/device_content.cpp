#include "io/device_content.hpp"

#include <cerrno>
#include <memory>
#include <vector>

#include <blkid/blkid.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

namespace fdpstore::io {
namespace {

struct FreeProbe {
  void operator()(blkid_probe probe) const { blkid_free_probe(probe); }
};
using Probe = std::unique_ptr<std::remove_pointer_t<blkid_probe>, FreeProbe>;

std::unexpected<Error> cannot_read(std::string_view path) {
  return fail_errno(errno != 0 ? errno : EIO, fmt::format("cannot read what {} holds", path));
}

// libblkid takes a window behind the end for an empty one.
Result<void> check_window(int fd, const ContentRange& range, std::string_view path) {
  const off_t end = ::lseek(fd, 0, SEEK_END);
  if (end < 0) return cannot_read(path);
  const auto size = static_cast<std::uint64_t>(end);
  if (range.offset_bytes <= size && range.size_bytes <= size - range.offset_bytes) return {};
  return fail(Errc::invalid_argument,
              fmt::format("{} has {} bytes, too few for {} bytes at offset {}", path, size,
                          range.size_bytes, range.offset_bytes));
}

Result<Probe> open_probe(int fd, const ContentRange& range, std::string_view path) {
  errno = 0;
  if (auto inside = check_window(fd, range, path); !inside) return fail(inside.error());
  Probe probe(blkid_new_probe());
  if (probe == nullptr) return fail_errno(ENOMEM, "cannot set up libblkid");
  if (blkid_probe_set_device(probe.get(), fd, static_cast<blkid_loff_t>(range.offset_bytes),
                             static_cast<blkid_loff_t>(range.size_bytes)) != 0) {
    return cannot_read(path);
  }
  blkid_probe_enable_superblocks(probe.get(), 1);
  blkid_probe_set_superblocks_flags(probe.get(),
                                    BLKID_SUBLKS_TYPE | BLKID_SUBLKS_USAGE | BLKID_SUBLKS_LABEL);
  blkid_probe_enable_partitions(probe.get(), 1);
  return probe;
}

std::string value_of(blkid_probe probe, const char* name) {
  const char* value = nullptr;
  return blkid_probe_lookup_value(probe, name, &value, nullptr) == 0 ? value : "";
}

std::string in_words(const DeviceContent& content) {
  std::string what = content.type;
  if (content.usage == "filesystem") what += " file system";
  if (content.usage == "raid") what = fmt::format("part of a RAID or volume group ({})", what);
  if (content.usage == "crypto") what = fmt::format("encrypted volume ({})", what);
  if (content.usage == "other") what = fmt::format("{} signature", what);
  if (!content.label.empty()) what += fmt::format(" labelled '{}'", content.label);
  return what;
}

// What the probe stands on: a superblock, a partition table, or both.
DeviceContent current(blkid_probe probe) {
  DeviceContent content{.type = value_of(probe, "TYPE"),
                        .usage = value_of(probe, "USAGE"),
                        .label = value_of(probe, "LABEL"),
                        .what = {}};
  const std::string table = value_of(probe, "PTTYPE");
  if (!content.type.empty()) content.what = in_words(content);
  if (table.empty()) return content;
  content.what += fmt::format("{}{} partition table", content.what.empty() ? "" : " and a ", table);
  if (content.type.empty()) {
    content.type = table;
    content.usage = "partition table";
  }
  return content;
}

// All signatures, one after the other, where no single one is the right one.
Result<std::optional<DeviceContent>> contradictory(int fd, const ContentRange& range,
                                                   std::string_view path) {
  auto probe = open_probe(fd, range, path);
  if (!probe) return fail(probe.error());
  std::vector<std::string> all;
  while (blkid_do_probe(probe->get()) == 0) all.push_back(current(probe->get()).what);
  return DeviceContent{.type = "ambiguous",
                       .usage = "other",
                       .label = {},
                       .what = fmt::format("several signatures: {}", fmt::join(all, ", "))};
}

}  // namespace

Result<std::optional<DeviceContent>> probe_content(int fd, const ContentRange& range,
                                                   std::string_view path) {
  constexpr int kFound = 0;
  constexpr int kNothing = 1;
  constexpr int kAmbivalent = -2;
  const auto probe = open_probe(fd, range, path);
  if (!probe) return fail(probe.error());
  switch (blkid_do_safeprobe(probe->get())) {
    case kFound: return current(probe->get());
    case kNothing: return std::nullopt;
    case kAmbivalent: return contradictory(fd, range, path);
    default: return cannot_read(path);
  }
}

}  // namespace fdpstore::io
