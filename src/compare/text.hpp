// Text: how cells, sizes and times are called wherever people read them.
//
// Names and errors come from traces, paths and devices: printable() makes them harmless.
//
// Thread:  any; pure.
// Units:   bytes, seconds and shares in, UTF-8 out; widths in characters of a terminal.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "compare/result.hpp"

namespace fdpstore::compare {

[[nodiscard]] std::string valid_utf8(std::string_view text);  // what is not, becomes U+FFFD
// The same on one line, without control characters and without those that turn text around.
[[nodiscard]] std::string printable(std::string_view text);

[[nodiscard]] std::size_t columns_of(std::string_view text);
[[nodiscard]] std::string shortened(std::string_view text, std::size_t columns);  // "very lon…"
// Lines of at most `columns`, each after `indent`, each ended. Longer words are cut.
[[nodiscard]] std::string wrapped(std::string_view text, std::string_view indent,
                                  std::size_t columns);

[[nodiscard]] std::string duration_text(double seconds);  // "120us", "1.2ms", "12s"
[[nodiscard]] std::string percent_text(double share);     // "38.2"
[[nodiscard]] std::string points_text(double share);      // "+0.4"
[[nodiscard]] std::string ratio_text(double ratio);       // "1.02"
[[nodiscard]] std::string list_text(const std::vector<std::string>& names);  // "a, b and c"

// "lifetime", "slots by tenant", "LRU": printable. A policy file keeps its folders: two may share a
// name.
[[nodiscard]] std::string store_name(const Cell& cell);
// The same and the mode, where it is not the one the store is for: "lifetime (no_fdp)".
[[nodiscard]] std::string cell_label(const Cell& cell);
[[nodiscard]] bool is_oracle(const Cell& cell);

// The parts of where a cell ran: empty when there is nothing to say.
[[nodiscard]] std::string capacity_text(const Cell& cell);  // "10 % (12.0 GiB)"
[[nodiscard]] std::string unit_text(const Cell& cell);      // "1/128 (96.0 MiB)"
[[nodiscard]] std::string drive_text(const Cell& cell);     // "7 % spare, 8 RUHs, 90 % used"
// What a reader should be told of RUs that are small for the objects; empty: nothing.
[[nodiscard]] std::string coarse_text(const Cell& cell);
[[nodiscard]] std::string setting_text(const Cell& cell);  // all, trace first

}  // namespace fdpstore::compare
