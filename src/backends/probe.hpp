// What a path is, and which placement mechanisms work there.
//
// Thread:  any; blocks on the file system.
// Errors:  the errno of a path that cannot be looked at; what does not work is an answer. Nothing
//          that stays is changed: files made for the probe have no name, hints are set to
//          themselves.
#pragma once

#include <string>

#include "fdpstore/store.hpp"

namespace fdpstore::backends {

[[nodiscard]] Result<PathInfo> probe_path(const std::string& path);

}  // namespace fdpstore::backends
