// Names of segment files: `00000012.seg`, and in layout `prompt` `prompt-1f2e3d4c-00000012.seg`.
//
// The number is the segment id in decimal. The prompt in hexadecimal is for people: which prompt a
// segment serves is read from its header.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "fdpstore/types.hpp"

namespace fdpstore::backends {

// Ids are below: 1 PiB in segments of 256 MiB.
inline constexpr std::uint32_t kMaxSegmentFiles = 1U << 22;

struct SegmentName {
  SegmentId id;
  PromptId prompt;  // 0: an ordinary segment file
};
std::string to_file_name(const SegmentName& name);
// Nothing for a name that to_file_name() does not make.
std::optional<SegmentName> parse_segment_name(std::string_view name);

}  // namespace fdpstore::backends
