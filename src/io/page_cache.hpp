// Whether bytes of a file are in the page cache.
//
// Thread:  any.
// Source:  cachestat(2), Linux 6.5.
#pragma once

#include <cstdint>

namespace fdpstore::io {

// False also where the kernel cannot or will not say. True may be out of date, and covers pages
// that are still being read.
[[nodiscard]] bool in_page_cache(int fd, std::uint64_t offset_bytes, std::uint64_t bytes) noexcept;

}  // namespace fdpstore::io
