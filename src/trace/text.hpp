// Values as users write them. Any thread; no state.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fdpstore::trace {

// Digits only, all of `text`.
[[nodiscard]] std::optional<std::uint64_t> parse_count(std::string_view text);
// A decimal number, finite and not negative.
[[nodiscard]] std::optional<double> parse_real(std::string_view text);
// "4096", "64MiB", "4M" (powers of 1024), "1.5GB" (of 1000); at least 1.
[[nodiscard]] std::optional<std::uint64_t> parse_bytes(std::string_view text);

}  // namespace fdpstore::trace
