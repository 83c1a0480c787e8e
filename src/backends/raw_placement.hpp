// How a raw device tells streams apart: PIDs, write streams, or nothing.
//
// Thread:  any; a pure function of what was found and what was asked for.
// Errors:  invalid_option for ids the device does not have, naming those it has; unsupported where
//          placement = require cannot be kept.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"
#include "io/nvme_data.hpp"

namespace fdpstore::backends {

// Which placement ids are whose; lists that are empty are found out.
struct DirectiveOptions {
  std::vector<std::uint32_t> placement_ids = {};           // PIDs for data
  std::vector<std::uint32_t> data_ruh_ids = {};            // the same as RUH identifiers
  std::vector<std::uint32_t> metadata_placement_ids = {};  // the first counts
  std::vector<std::uint32_t> metadata_ruh_ids = {};
};

struct RawPlacementRequest {
  std::string path;
  WriteMode write_mode = WriteMode::automatic;
  Strictness strictness = Strictness::prefer;
  DirectiveOptions directives = {};
};

// What the device offers. A mechanism that is not there says why.
struct RawPlacementFacts {
  bool passthrough = false;               // NVMe commands can be sent
  std::string passthrough_reason;         // why not
  std::vector<io::HandleStatus> handles;  // of the namespace; empty without FDP
  std::string fdp_reason;                 // why there are none
  bool block = false;                     // it can be written as a block device
  std::uint32_t write_streams = 0;        // max_write_streams
  std::string write_stream_reason;        // why there are none
};

struct RawPlacement {
  EffectivePlacement effective;
  // PIDs for uring_cmd, stream numbers (from 1) for write_stream; empty for plain. Without
  // `metadata`, metadata shares data[0].
  std::vector<std::uint16_t> data;
  std::optional<std::uint16_t> metadata;
};

[[nodiscard]] Result<RawPlacement> choose_raw_placement(const RawPlacementRequest& request,
                                                        const RawPlacementFacts& facts);

}  // namespace fdpstore::backends
