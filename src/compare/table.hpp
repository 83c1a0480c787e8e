// Table: a comparison for the terminal.
//
// One block for each setting (trace × capacity × RU × drive), failures with their reason, and
// advice in plain words: of each setting, and of a trace over all its settings. At most 120
// columns.
//
// Thread:  any; pure.
#pragma once

#include <string>

#include "compare/result.hpp"

namespace fdpstore::compare {

[[nodiscard]] std::string table(const Comparison& comparison);

}  // namespace fdpstore::compare
