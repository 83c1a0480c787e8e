// What becomes of placement on files: a pure decision, apart from I/O so that each case is
// testable.
#pragma once

#include <string>

#include "backends/file_system.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"
#include "io/write_hint.hpp"

namespace fdpstore::backends {

struct PlacementRequest {
  std::string path;  // for messages
  WriteMode write_mode = WriteMode::automatic;
  Strictness strictness = Strictness::prefer;
};
// `mechanism`: what the probe found to work. Errors: invalid_option for a mode that files do not
// have; unsupported when placement is required and would not reach a device.
[[nodiscard]] Result<EffectivePlacement> choose_file_placement(const PlacementRequest& request,
                                                               const FileSystem& file_system,
                                                               io::WriteHintMechanism mechanism);

}  // namespace fdpstore::backends
