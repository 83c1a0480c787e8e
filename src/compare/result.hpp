// Result: what one cell of a comparison was, and what came out.
//
// A cell is one store (ours under a policy, or a baseline) on one device with one trace. Everything
// is measured in steady state: over the last pass through the trace.
//
// Thread:  plain data.
// Units:   bytes, seconds, shares 0 … 1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace fdpstore::compare {

// What stores the objects.
enum class Subject : std::uint8_t {
  fdpstore,      // the real store, under `policy`
  slots,         // fixed slots, freed ones used again, as LMCache's raw_block without FDP
  slots_tenant,  // the same, placement id by cache_salt prefix
  slots_affine,  // and a freed slot is used again for the same placement id where possible
  lru,           // object-level LRU in as many bytes; writes nothing: the hit ratio to compare with
};
std::string_view to_string(Subject subject);

struct Cell {
  std::string trace;  // Trace::name
  Subject subject = Subject::fdpstore;
  std::string policy;                // fdpstore only: name or path; "oracle" knows the future
  std::string mode = "separated";    // "no_fdp", "mixed", "separated"
  std::uint64_t capacity_bytes = 0;  // of the device
  double capacity_share = 0;         // of the trace's unique bytes; 0: capacity was given in bytes
  double utilisation = 1;            // share of the device that the store has
  double spare_percent = 7;          // beyond the capacity
  std::uint64_t ru_bytes = 0;
  double unfilled_share = 0;  // of an RU: what is left where no whole object fits any more
  std::uint32_t ruhs = 8;
  double neighbour_share = 0;  // of the device, overwritten at random 4 KiB by somebody else
  std::string device;          // URI or path it ran on
  bool may_destroy = false;    // a device's content, to make the store on it
};

// A stretch of writing, for the way to steady state.
struct Window {
  double capacities = 0;  // written by the host since the beginning, in device capacities
  double dlwa = 0;        // within the window
  double hit_ratio = 0;   // leading runs, within the window
};

struct Latency {
  double p50_s = 0, p99_s = 0, p999_s = 0;
  std::uint64_t samples = 0;
};

struct Result {
  Cell cell;
  std::string error;    // not empty: the cell failed, and the rest says nothing
  bool steady = false;  // successive passes agree; else what is missing is in `note`
  std::string note;
  std::uint32_t passes = 0;  // through the trace, the measured one included
  double wall_s = 0;         // that the cell took

  // Of the measured pass.
  std::uint64_t requests = 0, keys = 0, stored_objects = 0, stored_bytes = 0;
  double hit_ratio = 0;                  // tokens in leading runs / tokens looked up
  double object_hit_ratio = 0;           // keys present / keys looked up
  std::uint64_t host_written_bytes = 0;  // by the store
  std::uint64_t device_host_bytes = 0;   // as the device counts them (with a neighbour: all)
  std::uint64_t media_written_bytes = 0, media_erased_bytes = 0, gc_copied_bytes = 0;
  std::optional<double> dlwa;  // media / host bytes
  std::string dlwa_reason;     // why there is none
  double host_wa = 0;          // host_written_bytes / stored_bytes
  std::optional<double> total_wa;
  std::uint64_t header_bytes = 0;        // of host_written_bytes: one block per stored object
  std::uint64_t reinserted_bytes = 0;    // of host_written_bytes
  std::vector<std::uint64_t> ruh_bytes;  // host bytes per RUH
  Latency store_latency, load_latency;   // per task; device time on `sim`, else wall time
  double device_seconds = 0;             // the measured pass took
  std::vector<Window> windows;           // of the whole run
};

// What was compared, for the report.
struct TraceFacts {
  std::string name, origin;
  std::uint64_t requests = 0, references = 0, unique_objects = 0, unique_bytes = 0;
  double single_use_share = 0;
  double infinite_hit_ratio = 0;  // leading runs, by tokens
};
struct Comparison {
  std::string command;  // that repeats it
  std::string version, machine, date;
  std::vector<TraceFacts> traces;
  std::vector<Result> results;
  bool interrupted = false;  // not all cells were run
};

}  // namespace fdpstore::compare
