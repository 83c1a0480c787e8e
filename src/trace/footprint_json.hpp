// A footprint as JSON, for scripts and reports: sizes in bytes, times in seconds, shares from 0
// to 1.
//
// Thread:  any; nothing is shared.
#pragma once

#include <boost/json/object.hpp>

#include "trace/footprint.hpp"
#include "trace/trace.hpp"

namespace fdpstore::trace {

[[nodiscard]] boost::json::object to_object(const Trace& trace, const Footprint& footprint);

}  // namespace fdpstore::trace
