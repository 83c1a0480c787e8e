// Reader: loads payloads and checks them.
//
// Thread:  the engine's.
// Owns:    scratch memory of loads under way; pins segments (Segment::readers) while they are read.
//          Borrows the caller's buffer until `done` has run.
// Errors:  Errc::corrupt when bytes came but are not the object's; an errno when none came.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/context.hpp"
#include "core/verifier.hpp"

namespace fdpstore::core {

class Reader {
 public:
  using Done = std::move_only_function<void(Result<void>)>;

  explicit Reader(Context& context);
  ~Reader();
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  // `out` is exactly state.location.payload_bytes long; its content is undefined on failure.
  void load(const Key& key, const ObjectState& state, std::span<std::byte> out, Done done);
  // Takes its part in verifying what has come, and ends loads.
  void step();
  // Something is there to be verified now.
  [[nodiscard]] bool busy() const { return verifier_.waiting(); }
  [[nodiscard]] bool idle() const { return verifying_.empty(); }
  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }

 private:
  struct Load;
  [[nodiscard]] std::vector<iovec> plan(Load& load) const;
  void find_in_memory(Load& load);
  // From that byte of the payload on, where one part of it is there.
  void read(std::unique_ptr<Load> load, std::uint64_t from_bytes);
  void has_come(std::unique_ptr<Load> load, std::error_code error);
  [[nodiscard]] bool is_right(const Load& load) const;
  void finish(Load& load, std::error_code error, bool right);

  Context& context_;
  std::uint64_t in_flight_bytes_ = 0;
  boost::unordered_flat_map<const Verifier::Payload*, std::unique_ptr<Load>> verifying_;
  Verifier verifier_;
};

}  // namespace fdpstore::core
