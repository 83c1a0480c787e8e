// What every report has: style sheet, script, and the words explained.
//
// Thread:  any; constants.
#pragma once

#include <string_view>

namespace fdpstore::compare {

extern const std::string_view kReportStyle;
extern const std::string_view kReportScript;    // filters, sorting; without it all is shown
extern const std::string_view kReportGlossary;  // HTML

}  // namespace fdpstore::compare
