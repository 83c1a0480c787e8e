// The rows behind option_table(): what an option is called, and which member of Options it sets.
//
// Thread:  any; everything is constant.
// Errors:  Errc::invalid_option; messages name the option, its value, what is wrong, the remedy.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <boost/json/value.hpp>

#include "fdpstore/options.hpp"

namespace fdpstore::store {

using OptionMember =
    std::variant<bool Options::*, std::optional<bool> Options::*, std::uint64_t Options::*,
                 std::uint32_t Options::*, double Options::*, std::string Options::*,
                 Layout Options::*, WriteMode Options::*, Strictness Options::*,
                 Durability Options::*, LogLevel Options::*, std::vector<std::uint32_t> Options::*>;

struct OptionRow {
  OptionInfo info;
  OptionMember member;
  double least = 0;  // numbers only: bounds, both allowed
  double most = 0;
};

// In the order of option_table(). An alias stands behind the option it sets.
std::span<const OptionRow> option_rows();
const OptionRow* find_option(std::string_view name);  // nullptr: no such option

// parse_options(), but for what the JSON leaves out as `base` has it.
[[nodiscard]] Result<Options> parse_options_over(Options base, std::string_view json);

// Sets the row's member. null leaves it as it is. Texts are read as a command line would give them.
[[nodiscard]] Result<void> set_option(const OptionRow& row, const boost::json::value& value,
                                      Options& options);
// As set_option accepts it; null: unset.
[[nodiscard]] boost::json::value get_option(const OptionRow& row, const Options& options);
// The same for messages: text without quotes.
[[nodiscard]] std::string option_text(const OptionRow& row, const Options& options);

// "4096", "64MiB", "1.5 GiB", "10G". KiB MiB GiB TiB PiB and K M G T P are powers of 1024; kB MB GB
// TB PB are powers of 1000; case does not matter. Fractions are cut off to whole bytes. The message
// does not name an option.
[[nodiscard]] Result<std::uint64_t> parse_size(std::string_view text);

// The name closest to `name` of those that differ little enough to be meant, or "".
[[nodiscard]] std::string_view nearest(std::string_view name,
                                       std::span<const std::string_view> candidates);

}  // namespace fdpstore::store
