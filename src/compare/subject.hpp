// Subject: what a trace is replayed against: our store, or a model of another one.
//
// Thread:  the replaying thread's.
// Units:   bytes, seconds of the subject's own clock.
// Errors:  of the store or device behind it; a subject that failed is done.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "compare/result.hpp"
#include "fdpstore/result.hpp"
#include "trace/trace.hpp"

namespace fdpstore::compare {

// What the subject is asked, one operation of the trace.
struct Request {
  const trace::Op* op = nullptr;
  const trace::Scope* scope = nullptr;
  std::span<const std::uint64_t> keys;       // unique over passes
  std::span<const std::uint64_t> next_uses;  // of each key: position of its next use in the stream
                                             // of all keys, kNever when there is none
  std::uint64_t position = 0;                // of the first key in that stream
  double time_s = 0;                         // on the subject's clock, at the earliest
};
inline constexpr std::uint64_t kNever = UINT64_MAX;

struct Outcome {
  std::uint32_t leading = 0;  // keys present up to the first that is not
  std::uint32_t present = 0;
  std::uint32_t stored = 0;
  double store_s = -1, load_s = -1;  // how long it took; negative: there was nothing to do
};

// Since the beginning.
struct Counts {
  std::uint64_t stored_objects = 0, stored_bytes = 0;
  std::uint64_t host_written_bytes = 0;  // by the store
  std::uint64_t reinserted_bytes = 0;
  bool device_counts = false;  // the rest is known
  std::uint64_t device_host_bytes = 0, media_bytes = 0, erased_bytes = 0, copied_bytes = 0;
  std::vector<std::uint64_t> ruh_bytes;
  double clock_s = 0;
};

class SubjectUnderTest {
 public:
  virtual ~SubjectUnderTest() = default;
  SubjectUnderTest(const SubjectUnderTest&) = delete;
  SubjectUnderTest& operator=(const SubjectUnderTest&) = delete;

  [[nodiscard]] virtual fdpstore::Result<Outcome> run(const Request& request) = 0;
  [[nodiscard]] virtual fdpstore::Result<Counts> counts() = 0;
  // Bytes a second that its device takes at most; 0: not known, requests come as fast as they can.
  [[nodiscard]] virtual double write_bandwidth() const { return 0; }
  // Why counts() has no device counts.
  [[nodiscard]] virtual std::string no_device_counts() const { return {}; }
  // Finishes what is in flight.
  [[nodiscard]] virtual fdpstore::Result<void> close() { return {}; }

 protected:
  SubjectUnderTest() = default;
};

// The subject that the cell names. `max_object_bytes`: of the trace.
[[nodiscard]] fdpstore::Result<std::unique_ptr<SubjectUnderTest>> make_subject(
    const Cell& cell, std::uint64_t max_object_bytes);

[[nodiscard]] std::unique_ptr<SubjectUnderTest> make_lru(std::uint64_t capacity_bytes);
[[nodiscard]] fdpstore::Result<std::unique_ptr<SubjectUnderTest>> make_slots(
    const Cell& cell, std::uint64_t max_object_bytes);
[[nodiscard]] fdpstore::Result<std::unique_ptr<SubjectUnderTest>> make_store(
    const Cell& cell, std::uint64_t max_object_bytes);

}  // namespace fdpstore::compare
