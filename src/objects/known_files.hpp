// KnownFiles: files whose attribute was found in order, so that a lookup need not read it again.
//
// A file that is replaced has another inode or change time; a changed attribute moves the change
// time, too. A change time of just now is not trusted: a second change may not move it any more.
//
// Thread:  any; a short lock per shard.
// Owns:    a table of fixed size (5 MiB); what does not fit pushes out what was there.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>

#include <sys/stat.h>

namespace fdpstore::objects {

enum class FileVerdict : std::uint8_t {
  absent,
  good,        // an object, as far as was looked
  unverified,  // the same, without an attribute: written by fs, or where there are none
  other_size,  // an object of another size than asked for; nothing is wrong with it
  damaged,     // fails its size, checksum or key; `what` says which
  unreadable,  // written by a newer fdpstore: neither served nor removed
};
struct FileState {
  FileVerdict verdict = FileVerdict::absent;
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes = 0;
  std::uint64_t inode = 0;
  bool rewritten = false;  // the mtime is not the one we left
  const char* what = "";

  [[nodiscard]] bool present() const {
    return verdict == FileVerdict::good || verdict == FileVerdict::unverified;
  }
};

class KnownFiles {
 public:
  // The state remembered for exactly this file.
  [[nodiscard]] std::optional<FileState> find(std::uint64_t digest, const struct stat& info) const;
  void remember(std::uint64_t digest, const struct stat& info, const FileState& state);

 private:
  static constexpr std::size_t kShards = 64;
  static constexpr std::size_t kSlots = 1024;
  struct Entry {
    std::uint64_t digest = 0;
    std::uint64_t changed_ns = 0;
    FileState state;
  };
  struct Shard {
    std::mutex mutex;
    std::array<Entry, kSlots> entries;
  };
  using Table = std::array<Shard, kShards>;
  std::unique_ptr<Table> table_ = std::make_unique<Table>();
};

}  // namespace fdpstore::objects
