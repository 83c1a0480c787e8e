// XXH3 with the widest vector unit of this CPU.
//
// Thread:  any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace fdpstore::format {

[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed = 0);

// seeded_checksum() of a payload that comes piece by piece.
class PayloadChecksum {
 public:
  explicit PayloadChecksum(std::uint64_t seed);
  ~PayloadChecksum();
  PayloadChecksum(const PayloadChecksum&) = delete;
  PayloadChecksum& operator=(const PayloadChecksum&) = delete;
  void add(std::span<const std::byte> piece);
  [[nodiscard]] std::uint64_t value() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fdpstore::format
