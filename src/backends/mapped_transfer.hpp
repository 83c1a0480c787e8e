// Reads and writes of a file that is mapped: they are copies, made at once.
//
// Thread:  the backend's.
// Errors:  none; false: all of it has to be read or written.
#pragma once

#include <cstdint>

#include "fdpstore/backend.hpp"
#include "io/mapping.hpp"

namespace fdpstore::backends {

// `at_bytes`: in the file. False: as Mapping::read() and write() say; a part may have been copied.
[[nodiscard]] bool transfer_mapped(const io::Mapping& mapping, std::uint64_t at_bytes,
                                   const IoRequest& request);

}  // namespace fdpstore::backends
