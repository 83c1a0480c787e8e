// Recovery: from what is on the medium to the index (DESIGN §5).
//
// Reads summaries; in segments that were open it walks record headers from the last summary on, and
// across a hole looks block by block no further than writes can have been in flight. What it finds
// without a summary is believed only when the payload's checksum is right.
//
// Thread:  the engine's, before anything else runs.
// Errors:  only what makes the whole store unreadable. Damage to a part is a finding.
#pragma once

#include <string>
#include <vector>

#include "core/context.hpp"

namespace fdpstore::core {

struct Recovered {
  std::vector<Segment*> open_data;  // newest first, with Segment::appending made up
  std::vector<Segment*> metadata;   // likewise
  std::string policy_state;
  std::vector<CheckFinding> findings;
};

// `clean`: the superblock says that the last close was in order.
[[nodiscard]] Result<Recovered> recover(Context& context, bool clean);

}  // namespace fdpstore::core
