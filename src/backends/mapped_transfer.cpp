#include "backends/mapped_transfer.hpp"

#include <cstddef>
#include <span>

namespace fdpstore::backends {

bool transfer_mapped(const io::Mapping& mapping, std::uint64_t at_bytes, const IoRequest& request) {
  for (const iovec& span : request.spans) {
    const std::span bytes(static_cast<std::byte*>(span.iov_base), span.iov_len);
    const bool copied =
        request.op == IoOp::read ? mapping.read(at_bytes, bytes) : mapping.write(at_bytes, bytes);
    if (!copied) return false;
    at_bytes += bytes.size();
  }
  return true;
}

}  // namespace fdpstore::backends
