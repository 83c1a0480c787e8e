// SegmentFiles: which segment files there are, and their descriptors.
//
// Thread:  the owner's; no locks inside.
// Owns:    descriptors and mappings. A segment being written keeps its own; of sealed ones the
//          most recently used stay open, up to a limit, and others are reopened on demand.
// Units:   bytes.
// Errors:  the errno, in a message that names the file.
#pragma once

#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

#include "backends/segment_names.hpp"
#include "fdpstore/backend.hpp"
#include "fdpstore/result.hpp"
#include "io/mapping.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::backends {

struct SegmentFile {
  SegmentName name;
  std::uint64_t size_bytes = 0;       // of the file; everything below it is allocated
  std::uint64_t allocated_bytes = 0;  // when it was last looked at
  bool open_for_writing = false;      // between allocate() or reopen() and seal()
  bool name_is_durable = true;        // false until the directory is synced after making the file
  std::uint32_t pins = 0;             // requests in flight: the descriptor must stay
  io::UniqueFd fd;
  io::Mapping mapping;  // as long as `fd` is open; nothing where files are not mapped

  // A prompt's file takes space as it is written.
  [[nodiscard]] bool grows() const { return name.prompt.value != 0; }

 private:
  friend class SegmentFiles;
  std::list<std::uint32_t>::iterator recent;  // valid while sealed and fd is open
  bool in_recent = false;
};

class SegmentFiles {
 public:
  struct Options {
    int directory_fd = -1;       // borrowed
    std::string directory_path;  // for messages
    int open_flags = 0;          // O_DIRECT, or nothing
    std::uint32_t file_mode = 0600;
    std::uint32_t max_sealed_descriptors = 256;
    bool read_only = false;
    bool mapped = false;  // the file system is memory
  };
  explicit SegmentFiles(Options options) : options_(std::move(options)) {}

  // Reads the directory; files that are no segments are left alone.
  [[nodiscard]] Result<void> scan();
  [[nodiscard]] std::vector<ExistingSegment> existing() const;  // in id order
  // nullptr: there is none. The pointer is valid until forget() or make() of this segment.
  SegmentFile* find(SegmentId id);

  // A file for `name`, open for writing: made, or the one that is there. An ordinary one is
  // allocated to `full_bytes`. A file of another name for the same segment is removed.
  [[nodiscard]] Result<SegmentFile*> make(const SegmentName& name, std::uint64_t full_bytes);
  [[nodiscard]] Result<SegmentFile*> reopen(SegmentId id, std::uint64_t full_bytes);
  // The descriptor to read from, opened if need be.
  [[nodiscard]] Result<int> descriptor(SegmentFile& file);
  // No more writes; what lies behind `used_bytes` of a file that grows is given back.
  void seal(SegmentFile& file, std::uint64_t used_bytes);
  // A dead segment's file stays for the next. Nothing may be in flight on it.
  void rest(SegmentFile& file);
  void close(SegmentFile& file);
  // The file is gone from the directory.
  void forget(SegmentId id);

  [[nodiscard]] std::string path(const SegmentFile& file) const;

 private:
  [[nodiscard]] Result<io::UniqueFd> open(const SegmentFile& file, int flags) const;
  [[nodiscard]] Result<void> fill(SegmentFile& file, std::uint64_t full_bytes);
  [[nodiscard]] Result<void> remove(SegmentFile& file);
  [[nodiscard]] Result<void> open_to_write(SegmentFile& file, int flags);
  void map(SegmentFile& file);
  void touch(SegmentFile& file);
  void drop_recent(SegmentFile& file);

  Options options_;
  std::unordered_map<std::uint32_t, SegmentFile> files_;
  std::list<std::uint32_t> recent_;  // sealed ones with an open descriptor, last used first
};

}  // namespace fdpstore::backends
