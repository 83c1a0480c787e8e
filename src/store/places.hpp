// Places: where a store is, or shall be, when options name both a device and a directory.
//
// Thread:  any.
// Errors:  those of opening the device, where nothing else is left.
#pragma once

#include <string>

#include "backends/raw_backend.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/result.hpp"
#include "ftl/sim_backend.hpp"

namespace fdpstore::store {

// The part of the options that a raw backend needs.
[[nodiscard]] backends::RawBackendOptions raw_options(const Options& options);
// The same for a simulated device.
[[nodiscard]] ftl::SimBackendOptions sim_options(const Options& options);

struct Place {
  bool device = false;
  std::string because;  // completes "… is used because"
};
// A store that is there already stays where it is. Else the device, when it can tell streams apart
// in the way asked for; else the directory.
[[nodiscard]] Result<Place> choose_place(const Options& options);

}  // namespace fdpstore::store
