// Import: moves the objects of one store into another, whatever their layouts and media.
//
// What the destination has already is skipped, so an import that ended early goes on where it was
// when it is started again. Both stores must be closed elsewhere. Objects travel as they are: key,
// bytes and salt; which prompt they belonged to and how often they were used is not known.
//
// Thread:  one at a time; a thread of its own reads ahead.
// Owns:    up to three buffers of 32 MiB, or of the largest object.
// Units:   bytes of payload.
// Errors:  what concerns one object is in the report. Else busy (open elsewhere), no_space (says
//          how much is missing, before anything is copied), too_large, those of open_store; and the
//          first error of a batch of which the destination took nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "fdpstore/store.hpp"

namespace fdpstore::store {

struct ImportRequest {
  std::string source;                           // path of a store, or a directory of LMCache's fs
  std::uint64_t source_offset_bytes = 0;        // where the store begins, on a device
  std::string destination;                      // path; made when it is missing
  std::string destination_options_json = "{}";  // over those that a store there has
  bool verify = false;  // reads every object back from the destination and compares; those that
                        // were there before, too
  bool remove = false;  // verifies, and removes from the source what the destination then has
};

struct ImportProblem {
  ListedKey object;
  std::string what;
};

struct ImportReport {
  std::string source, destination;                 // "/mnt/kv (layout object)"
  std::uint64_t objects = 0, bytes = 0;            // of the source
  std::uint64_t seen_objects = 0, seen_bytes = 0;  // of them, dealt with so far
  std::uint64_t copied_objects = 0, copied_bytes = 0;
  std::uint64_t present_objects = 0, present_bytes = 0;  // skipped: the destination had them
  std::uint64_t verified_objects = 0;                    // compared, and the same
  std::uint64_t removed_objects = 0;
  std::uint64_t dropped_objects = 0;  // by the destination meanwhile, to make room
  std::uint64_t failed_objects = 0;
  std::vector<ImportProblem> problems;  // of the first kMaxImportProblems of them
  bool interrupted = false;
  double seconds = 0;

  // Everything of the source is in the destination.
  [[nodiscard]] bool complete() const {
    return !interrupted && failed_objects == 0 && dropped_objects == 0;
  }
};
inline constexpr std::size_t kMaxImportProblems = 100;
std::string to_json(const ImportReport& report);

// After each batch; false ends the import, with what is in flight finished.
using ImportProgress = std::function<bool(const ImportReport& so_far)>;

[[nodiscard]] Result<ImportReport> import_store(const ImportRequest& request,
                                                const ImportProgress& progress = {});

}  // namespace fdpstore::store
