#include "objects/known_files.hpp"

#include <ctime>

namespace fdpstore::objects {
namespace {

constexpr std::uint64_t kSecondNs = 1'000'000'000;
constexpr std::uint64_t kSettledNs = 2 * kSecondNs;  // FAT's change times are this coarse

std::uint64_t nanoseconds(const timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * kSecondNs +
         static_cast<std::uint64_t>(time.tv_nsec);
}

}  // namespace

std::optional<FileState> KnownFiles::find(std::uint64_t digest, const struct stat& info) const {
  Shard& shard = (*table_)[digest % kShards];
  const std::lock_guard guard(shard.mutex);
  const Entry& entry = shard.entries[digest / kShards % kSlots];
  if (entry.digest != digest || entry.state.inode != info.st_ino ||
      entry.state.size_bytes != static_cast<std::uint64_t>(info.st_size) ||
      entry.changed_ns != nanoseconds(info.st_ctim)) {
    return std::nullopt;
  }
  return entry.state;
}

void KnownFiles::remember(std::uint64_t digest, const struct stat& info, const FileState& state) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME_COARSE, &now);
  const std::uint64_t changed = nanoseconds(info.st_ctim);
  if (changed + kSettledNs > nanoseconds(now)) return;
  Shard& shard = (*table_)[digest % kShards];
  const std::lock_guard guard(shard.mutex);
  shard.entries[digest / kShards % kSlots] = {digest, changed, state};
}

}  // namespace fdpstore::objects
