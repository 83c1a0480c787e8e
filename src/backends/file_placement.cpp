#include "backends/file_placement.hpp"

#include <fmt/format.h>

namespace fdpstore::backends {

Result<EffectivePlacement> choose_file_placement(const PlacementRequest& request,
                                                 const FileSystem& file_system,
                                                 io::WriteHintMechanism mechanism) {
  if (request.write_mode == WriteMode::uring_cmd || request.write_mode == WriteMode::write_stream) {
    return fail(Errc::invalid_option,
                fmt::format("write_mode={} is for a device, and base_path {} is a directory; use "
                            "write_mode=auto, hint or plain",
                            to_string(request.write_mode), request.path));
  }
  EffectivePlacement placement;
  placement.asked = request.write_mode;
  placement.strictness = request.strictness;
  placement.mechanism = to_string(io::WriteHintMechanism::none);
  if (request.write_mode == WriteMode::plain) {
    placement.reason = "none was asked for (write_mode=plain)";
    return placement;
  }
  if (mechanism == io::WriteHintMechanism::none) {
    placement.reason = fmt::format("{} accepts neither F_SET_FILE_RW_HINT nor F_SET_RW_HINT",
                                   file_system.name.empty() ? "the file system" : file_system.name);
  } else {
    const HintReach reach = hint_reach(file_system);
    placement.effective = WriteMode::hint;
    placement.mechanism = to_string(mechanism);
    placement.reaches_device = reach.reaches_device;
    placement.reason = reach.reason;
  }
  if (request.strictness == Strictness::require && !placement.reaches_device) {
    return fail(Errc::unsupported,
                fmt::format("placement=require cannot be kept in base_path {}: {} with mechanism "
                            "{}: {}. Use placement=prefer, or write_mode=plain to ask for none; to "
                            "reach an FDP device takes the raw-block mode",
                            request.path, file_system.name, placement.mechanism, placement.reason));
  }
  return placement;
}

}  // namespace fdpstore::backends
