// XXH3 with the widest vector unit of this CPU.
//
// Thread:  any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fdpstore::format {

[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed = 0);

}  // namespace fdpstore::format
