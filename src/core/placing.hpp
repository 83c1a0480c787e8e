// How a policy's stream becomes a use of segments.
#pragma once

#include "fdpstore/backend.hpp"
#include "fdpstore/policy.hpp"

namespace fdpstore::core {

inline SegmentUse use_of(const Policy& policy, StreamId stream) {
  const StreamSpec& spec = policy.streams()[stream.value];
  return {.handle = spec.handle, .lifetime = spec.lifetime};
}

}  // namespace fdpstore::core
