// Checks a directory of layout `object`: what `fdpstore fsck` does.
//
// Reads every object and holds it against its attribute; finds temporary files of killed processes.
// With `repair` the store must be closed: damaged objects and stale temporary files are removed.
//
// Thread:  any; blocks for as long as reading everything takes.
// Errors:  those of opening the directory; Errc::busy when `repair` finds it open elsewhere.
#pragma once

#include "fdpstore/options.hpp"
#include "fdpstore/result.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::objects {

[[nodiscard]] Result<CheckReport> check_object_directory(const Options& options, bool repair,
                                                         const CheckProgress& progress);

}  // namespace fdpstore::objects
