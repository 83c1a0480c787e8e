// Charts of the report: inline SVG, coloured by the page's style sheet.
//
// Thread:  any; pure. Series borrow the Comparison.
// Units:   of a chart's own box, which the page scales to its column.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compare/advice.hpp"
#include "compare/result.hpp"

namespace fdpstore::compare {

// Text for HTML, between tags or in a quoted attribute; printable.
[[nodiscard]] std::string escaped(std::string_view text);

// One store in the charts: the same look everywhere in a report.
struct Series {
  const Result* result = nullptr;  // did not fail
  std::string label;               // not escaped
  std::string look;                // class that sets the colour
  bool winner = false;
};
[[nodiscard]] std::string marker_svg(const Series& series, double x, double y, double size);

struct FrontierOptions {
  std::optional<double> lru_hit_ratio = std::nullopt;
  bool by_total = true;
  bool labels = true;  // else small, for an overview
};
[[nodiscard]] std::string frontier_svg(const std::vector<Series>& all,
                                       const FrontierOptions& options);
// Empty where there is nothing to draw.
[[nodiscard]] std::string dlwa_svg(const std::vector<Series>& all);
enum class Task { store, load };
[[nodiscard]] std::string latency_svg(const std::vector<Series>& all, Task task);
[[nodiscard]] std::string ruh_svg(const std::vector<Series>& all);

}  // namespace fdpstore::compare
