// Reader: loads payloads and checks them.
//
// Thread:  the engine's.
// Owns:    scratch memory of reads in flight; pins segments (Segment::readers) meanwhile.
//          Borrows the caller's buffer until `done` has run.
// Errors:  Errc::corrupt when bytes came but are not the object's; an errno when none came.
#pragma once

#include <functional>
#include <span>

#include "core/context.hpp"

namespace fdpstore::core {

class Reader {
 public:
  using Done = std::move_only_function<void(Result<void>)>;

  explicit Reader(Context& context) : context_(context) {}

  // `out` is exactly state.location.payload_bytes long; its content is undefined on failure.
  void load(const Key& key, const ObjectState& state, std::span<std::byte> out, Done done);
  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }

 private:
  struct Load;
  [[nodiscard]] std::vector<iovec> plan(Load& load) const;
  void finish(Load& load, std::error_code error);

  Context& context_;
  std::uint64_t in_flight_bytes_ = 0;
};

}  // namespace fdpstore::core
