#include "store/places.hpp"

#include <sys/stat.h>

#include <fmt/format.h>

#include "backends/directory_content.hpp"

namespace fdpstore::store {

backends::RawBackendOptions raw_options(const Options& options) {
  return {.device_path = options.device_path,
          .base_offset_bytes = options.base_offset_bytes,
          .capacity_bytes = options.capacity_bytes,
          .write_mode = options.write_mode,
          .placement = options.placement,
          .directives = {.placement_ids = options.fdp_placement_ids,
                         .data_ruh_ids = options.fdp_data_ruh_ids,
                         .metadata_placement_ids = options.meta_checkpoint_placement_id,
                         .metadata_ruh_ids = options.fdp_metadata_ruh_ids},
          .max_transfer_bytes = options.max_transfer_bytes,
          .use_odirect = options.use_odirect,
          .queue_depth = options.queue_depth,
          .format = options.format,
          .read_only = options.read_only,
          .chosen_because = {}};
}

ftl::SimBackendOptions sim_options(const Options& options) {
  return {.base_offset_bytes = options.base_offset_bytes,
          .capacity_bytes = options.capacity_bytes,
          .write_mode = options.write_mode,
          .placement = options.placement,
          .max_transfer_bytes = options.max_transfer_bytes,
          .format = options.format,
          .read_only = options.read_only};
}

Result<Place> choose_place(const Options& options) {
  struct stat info{};
  if (::stat(options.base_path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    const auto content = backends::inspect_directory(options.base_path);
    if (content && content->has_superblock) return Place{false, "the store is there already"};
  }
  if (options.write_mode == WriteMode::hint) {
    return Place{false, "write_mode = hint is for a directory"};
  }
  auto raw = raw_options(options);
  raw.placement = Strictness::prefer;  // what is wanted is judged below
  raw.read_only = true;                // only looks
  auto device = backends::look_at_raw_device(raw);
  const bool must =
      options.write_mode == WriteMode::uring_cmd || options.write_mode == WriteMode::write_stream;
  if (!device) {
    if (must && options.placement == Strictness::require) return fail(std::move(device.error()));
    return Place{false, device.error().message()};
  }
  if (device->has_store) return Place{true, "the store is there already"};
  if (options.write_mode == WriteMode::plain) return Place{true, "plain writes work there"};
  if (device->placement.reaches_device) {
    return Place{true, fmt::format("{} works there", device->placement.mechanism)};
  }
  if (must && options.placement == Strictness::require) {
    return Place{true, "it was asked for"};  // and opening says why it cannot be
  }
  return Place{false, fmt::format("{} cannot tell streams apart: {}", options.device_path,
                                  device->placement.reason)};
}

}  // namespace fdpstore::store
