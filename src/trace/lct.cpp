#include "trace/formats.hpp"
namespace fdpstore::trace {
Result<Trace> read_lct(std::istream& /*file*/, const std::string& path,
                       std::uint64_t /*file_bytes*/) {
  return fail(Errc::unsupported, path + ": recordings come next");
}
}  // namespace fdpstore::trace
