// Report: a comparison as one HTML file that needs nothing else, neither network nor server.
//
// Top to bottom: which store to use for each trace and what it costs; an overview of all settings;
// charts of one setting at a time; every cell in a table that sorts; the commands; the words.
// Everything that comes from outside is escaped.
//
// Thread:  any; pure.
#pragma once

#include <string>

#include "compare/result.hpp"

namespace fdpstore::compare {

[[nodiscard]] std::string report_html(const Comparison& comparison);

}  // namespace fdpstore::compare
