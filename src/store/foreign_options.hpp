// Foreign options: names of LMCache's adapters and of an earlier proof of concept that are no rows
// of option_table(): what they become here, or why they are refused.
//
// Thread:  any; everything is constant.
// Errors:  Errc::invalid_option; the message names the values that have a meaning here.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include "fdpstore/options.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore::store {

// One value of such a name, and the option of ours that says it.
struct Translation {
  std::string_view name;
  std::string_view given;          // as JSON, or the text
  std::string_view option, value;  // "": nothing to set, it is so anyway
};

const ForeignOptionInfo* find_foreign(std::string_view name);  // nullptr: no such name

// nullptr: `name` is none of them, or one that has no meaning here.
[[nodiscard]] Result<const Translation*> translate(const std::string& name,
                                                   const boost::json::value& value);

}  // namespace fdpstore::store
