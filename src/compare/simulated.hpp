// What a comparison needs to know of simulated devices.
//
// Thread:  any; pure.
#pragma once

#include <algorithm>

#include "ftl/sim_parameters.hpp"

namespace fdpstore::compare {

// Bytes a second that all dies together program, or the link carries.
[[nodiscard]] inline double program_bandwidth(const ftl::SimParameters& parameters) {
  constexpr double kPageBytes = 64 << 10;  // TimeParameters::program_us is of so many
  constexpr double kPerGb = 1e9;
  const ftl::TimeParameters& time = parameters.time;
  return std::min(time.dies * kPageBytes / (time.program_us / 1e6), time.link_gbps * kPerGb);
}

}  // namespace fdpstore::compare
