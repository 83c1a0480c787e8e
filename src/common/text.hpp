// Text for people.
//
// Thread:  any; pure.
#pragma once

#include <cstdint>
#include <string>

namespace fdpstore {

[[nodiscard]] std::string size_text(std::uint64_t bytes);  // "1.5 GiB", "17 B"

}  // namespace fdpstore
