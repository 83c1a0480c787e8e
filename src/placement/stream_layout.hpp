// Stream layout: the handles a policy file asks for, fitted to those a store has.
//
// Every stream becomes one StreamSpec per handle it gets ("turns" with one handle, "turns.0",
// "turns.1" with two). Streams that name the same handle share it. When the file asks for more
// handles than there are, those whose lifetimes are nearest are merged until they fit: of equally
// near ones those that replace the fewest handles, then those of the shortest lifetime and lowest
// number. All streams of one handle get the longest of their lifetimes, since a segment has only
// one. Deterministic: the same file and limits give the same layout.
//
// Thread:  any; pure.
// Errors:  none: anything fits, down to one handle.
#pragma once

#include <cstdint>
#include <vector>

#include "fdpstore/policy.hpp"
#include "placement/policies.hpp"
#include "placement/policy_file.hpp"

namespace fdpstore::placement {

struct StreamLayout {
  struct Slice {
    std::uint16_t first = 0;  // index into specs
    std::uint16_t count = 0;  // ≥ 1
  };
  std::vector<StreamSpec> specs;
  std::vector<Slice> of_stream;  // by index of PolicyFile::streams
};

[[nodiscard]] StreamLayout lay_out_streams(const PolicyFile& file, const PolicyLimits& limits);

}  // namespace fdpstore::placement
