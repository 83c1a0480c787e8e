#include "io/page_cache.hpp"

#include <unistd.h>

namespace fdpstore::io {
namespace {

// As the kernel has them: headers of Debian 12 are older.
constexpr long kCachestat = 451;
struct Range {
  std::uint64_t offset_bytes = 0;
  std::uint64_t bytes = 0;
};
struct Pages {
  std::uint64_t cached = 0;
  std::uint64_t dirty = 0;
  std::uint64_t in_writeback = 0;
  std::uint64_t evicted = 0;
  std::uint64_t recently_evicted = 0;
};

}  // namespace

bool in_page_cache(int fd, std::uint64_t offset_bytes, std::uint64_t bytes) noexcept {
  static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  const Range range{.offset_bytes = offset_bytes, .bytes = bytes};
  Pages pages;
  if (bytes == 0 || ::syscall(kCachestat, fd, &range, &pages, 0U) != 0) return false;
  return pages.cached == (offset_bytes + bytes - 1) / page - offset_bytes / page + 1;
}

}  // namespace fdpstore::io
