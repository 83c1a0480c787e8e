// What a directory holds, told by names and one magic number: ours, LMCache's, or another
// program's.
//
// Thread:  any; blocks on the file system. Not a snapshot: others may change the directory
// meanwhile. Errors:  the errno of reading the directory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fdpstore/result.hpp"

namespace fdpstore::backends {

inline constexpr char kSuperblockName[] = "superblock";
inline constexpr char kSegmentsName[] = "segments";
// The first eight bytes of a superblock: format::kSuperblockMagic, as it lies on disk. This layer
// does not know the format; tests of the store compare the two.
inline constexpr std::string_view kSuperblockMagic = "FDPSUPER";

struct DirectoryContent {
  bool has_superblock = false;  // a file of that name with the magic in one of its copies
  std::uint64_t segment_files = 0;
  std::uint64_t lmcache_objects = 0;  // names like LMCache's fs adapter makes: *@*.data
  std::uint64_t foreign_entries = 0;  // anything else; `lost+found` is not counted
  std::string foreign_example;        // one of them, or of the LMCache objects

  [[nodiscard]] bool has_foreign() const { return foreign_entries + lmcache_objects > 0; }
  // "empty", "fdpstore store (segment files)", "LMCache fs directory with 12 objects", …
  [[nodiscard]] std::string describe() const;
};
[[nodiscard]] Result<DirectoryContent> inspect_directory(const std::string& path);

}  // namespace fdpstore::backends
