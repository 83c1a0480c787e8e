// One run of the fault campaign: a seeded workload over a store on a faulty medium, and a model of
// what the store has promised, which every answer is compared with.
//
// Thread:  any; a run uses the calling thread and those of its store.
// Errors:  the text of the first broken promise; empty when there was none.
#pragma once

#include <cstdint>
#include <string>

namespace fdpstore::test {

enum class Faults : std::uint8_t {
  cuts,    // kills and power cuts only
  errors,  // and requests that fail
  damage,  // and what no device should do: lost and misdirected writes, rot
};

struct RunSetup {
  std::uint64_t seed = 0;
  Faults faults = Faults::cuts;
  bool on_files = false;  // the file backend in a directory of its own, instead of memory
  std::uint32_t steps = 120;
  bool verbose = false;
};
// What the campaign does with a seed.
RunSetup setup_of(std::uint64_t seed);

struct RunReport {
  std::string failure;
  std::uint64_t stored = 0, erased = 0, hits = 0, dropped = 0;
  std::uint64_t cuts = 0, opens = 0, injected = 0, requests = 0, excused = 0;
  RunReport& operator+=(const RunReport& other);
};
RunReport run_campaign(const RunSetup& setup);

}  // namespace fdpstore::test
