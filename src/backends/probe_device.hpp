// What a device says about itself, and what placement can do there: for `fdpstore info`.
//
// Thread:  any. Reads only.
// Errors:  none: what cannot be had says why.
#pragma once

#include "fdpstore/store.hpp"

namespace fdpstore::backends {

// `info.path` exists and is no directory and no regular file; fills in all the rest.
void probe_device(PathInfo& info);

}  // namespace fdpstore::backends
