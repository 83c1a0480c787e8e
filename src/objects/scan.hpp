// Scan: everything in the base directory, told apart.
//
// Thread:  any; blocks on the file system. Not a snapshot: others may change the directory
// meanwhile. Errors:  errno of reading the directory; an entry that vanishes is skipped.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "fdpstore/options.hpp"
#include "fdpstore/result.hpp"
#include "objects/object_directory.hpp"
#include "objects/usage.hpp"

namespace fdpstore::objects {

struct FoundObject {
  ObjectName name;
  std::string cache_salt;
  FileSizes sizes;
  std::int64_t used_ns = 0;  // the later of mtime and atime
};

// Calls `visit` for each object; stops early, without error, once `stop` is set.
[[nodiscard]] Result<void> scan_objects(const ObjectDirectory& directory,
                                        const std::atomic<bool>& stop,
                                        const std::function<void(FoundObject)>& visit);

// One page of keys; `cursor` is a position in the directory, which file systems keep stable while
// entries come and go.
[[nodiscard]] Result<KeyPage> list_objects(const ObjectDirectory& directory,
                                           std::string_view cursor, std::size_t page_size,
                                           std::string_view model_name);

// Temporary files left by killed processes, ours and fs's, last written more than
// options.tmp_max_age_s ago (all, with exclusive: nobody else can be writing them). Paths relative
// to the base; directories come after what is in them.
[[nodiscard]] std::vector<std::string> find_stale_temporaries(const ObjectDirectory& directory,
                                                              const Options& options,
                                                              const std::atomic<bool>& stop);
// Removes them; returns how many files went.
std::uint64_t remove_temporaries(const ObjectDirectory& directory,
                                 const std::vector<std::string>& paths);

}  // namespace fdpstore::objects
