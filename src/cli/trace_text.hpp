// What the commands on traces print alike.
//
// Thread:  the main thread only.
#pragma once

#include "trace/footprint.hpp"
#include "trace/trace.hpp"

namespace fdpstore::cli {

// A few lines on the standard output.
void print_summary(const trace::Trace& trace, const trace::Footprint& footprint);

}  // namespace fdpstore::cli
