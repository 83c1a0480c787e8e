// Recording of what a store that another process has open is asked (`fdpstore trace record`).
//
// Thread:  one at a time; blocks until the recording has ended.
// Owns:    the file, made with mode 0600: it names models, tenants and chunks. What is in it when
//          the process is killed can be read.
// Errors:  not_found (nobody has it open), busy (another process records it), the errno of writing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "fdpstore/result.hpp"

namespace fdpstore::store {

struct RecordReport {
  std::uint64_t calls = 0;
  std::uint64_t lost_calls = 0;  // came faster than they were taken; the file says where
  std::uint64_t bytes = 0;       // of the file
  double seconds = 0;
  bool store_closed = false;  // which ended the recording
};
std::string to_json(const RecordReport& report);

// Called about ten times a second, from when it has begun; false ends it.
using RecordProgress = std::function<bool(const RecordReport& so_far)>;

[[nodiscard]] Result<RecordReport> record_trace(const std::string& store_path,
                                                const std::string& file_path,
                                                const RecordProgress& progress);

}  // namespace fdpstore::store
