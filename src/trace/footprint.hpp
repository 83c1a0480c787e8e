// Footprint: what a trace asks of a store, whatever the store: how much there is, how often and
// how soon it comes again, and how much of it a cache of a given size could give.
//
// A use is one key of a request, lookup, load or store; a load or store that answers a lookup of
// the same key is the same use. Cached: what the trace stored and did not delete.
//
// Thread:  any; nothing is shared.
// Units:   bytes of payload, seconds, shares from 0 to 1.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "trace/trace.hpp"

namespace fdpstore::trace {

struct Usage {
  std::uint64_t operations = 0;
  std::uint64_t uses = 0;
  std::uint64_t used_bytes = 0;
  std::uint64_t objects = 0;  // different ones
  std::uint64_t bytes = 0;    // of these
  std::uint64_t once = 0;     // objects used a single time

  [[nodiscard]] double once_share() const {
    return objects == 0 ? 0 : static_cast<double>(once) / static_cast<double>(objects);
  }
};

struct Percentiles {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
};

// Of the tokens looked up: those that are there, and those up to the first that is not.
struct HitRatio {
  double tokens = 0;
  double leading = 0;
};

struct CacheHits {
  double share = 0;         // of all different bytes
  std::uint64_t bytes = 0;  // capacity
  HitRatio hits;
};

struct Footprint {
  Usage total;
  std::vector<Usage> scopes;                           // as Trace::scopes
  std::vector<std::pair<std::string, Usage>> classes;  // by name
  std::array<std::uint64_t, kOpKinds> operations{};    // by OpKind
  double duration_s = 0;
  double tokens_looked_up = 0;  // an unknown number counts as 1
  std::uint64_t reuses = 0;     // uses after the first of an object; the percentiles are of them
  Percentiles reuse_bytes;      // different bytes used in between
  Percentiles reuse_s;
  HitRatio unlimited;
  // Objects in order of last use; of one operation the last key goes first, so that a prefix
  // outlives what follows it.
  std::vector<CacheHits> lru;
};

inline constexpr std::array kLruShares{0.05, 0.10, 0.20, 0.30, 0.50};

[[nodiscard]] Footprint analyse(const Trace& trace);

}  // namespace fdpstore::trace
