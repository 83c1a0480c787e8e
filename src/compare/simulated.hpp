// What a comparison needs to know of simulated devices.
//
// Thread:  any; pure.
#pragma once

#include <algorithm>

#include "compare/subject.hpp"
#include "ftl/sim_device.hpp"
#include "ftl/sim_parameters.hpp"

namespace fdpstore::compare {

// Bytes a second that all dies together program, or the link carries.
[[nodiscard]] inline double program_bandwidth(const ftl::SimParameters& parameters) {
  constexpr double kPageBytes = 64 << 10;  // TimeParameters::program_us is of so many
  constexpr double kPerGb = 1e9;
  const ftl::TimeParameters& time = parameters.time;
  return std::min(time.dies * kPageBytes / (time.program_us / 1e6), time.link_gbps * kPerGb);
}

// What the device and its clock say since the beginning.
inline void count_device(ftl::SimDevice& device, Counts& counts) {
  const ftl::FtlCounters said = device.counters();
  counts.device_counts = true;
  counts.device_host_bytes = said.host_bytes;
  counts.media_bytes = said.media_bytes;
  counts.erased_bytes = said.erased_bytes;
  counts.copied_bytes = said.copied_units * device.parameters().ftl.map_bytes;
  counts.ruh_bytes = said.handle_bytes;
  counts.clock_s = device.clock().now_s();
}

}  // namespace fdpstore::compare
