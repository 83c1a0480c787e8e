// Summaries: a comparison for scripts, fields as in SCHEMA.md.
//
// summary.json, one for each cell, keeps the names that the earlier FDP harness used (mode, waf,
// workers, …) and adds ours. What was not measured is null, never 0.
//
// Thread:  any; pure.
// Units:   as the names say; else bytes and shares 0 … 1.
#pragma once

#include <string>

#include "compare/result.hpp"

namespace fdpstore::compare {

inline constexpr int kSummarySchemaVersion = 1;

// Names the cell in files: [a-z0-9_.-] only, the same in every run; equal cells share one.
[[nodiscard]] std::string run_id(const Cell& cell);
// `result`: of `comparison`.
[[nodiscard]] std::string summary_json(const Comparison& comparison, const Result& result);
// All of them, and the advice.
[[nodiscard]] std::string comparison_json(const Comparison& comparison);

}  // namespace fdpstore::compare
