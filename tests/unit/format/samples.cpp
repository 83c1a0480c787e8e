#include "samples.hpp"

#include <cstring>

#include "format/checksum.hpp"

namespace fdpstore::format::samples {

void reseal(std::span<std::byte> block, std::size_t at) {
  std::memset(block.data() + at, 0, sizeof(std::uint64_t));
  const std::uint64_t sum = xxh3(block);
  std::memcpy(block.data() + at, &sum, sizeof sum);
}

}  // namespace fdpstore::format::samples
