// What the JSON of reports needs beside store.hpp.
//
// Thread:  any.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include "fdpstore/store.hpp"

namespace fdpstore::store {

// JSON is UTF-8, names on disk are any bytes: what is no UTF-8 becomes U+FFFD.
[[nodiscard]] std::string valid_utf8(std::string_view text);
[[nodiscard]] std::string to_hex(std::string_view bytes);
[[nodiscard]] Result<std::string> from_hex(std::string_view hex);

// An object's key as LMCache names its parts, chunk_hash in hexadecimal; and `bytes`.
[[nodiscard]] boost::json::object to_object(const ListedKey& listed);

}  // namespace fdpstore::store
