// What can be said of options without looking at the disk: bounds and contradictions.
#include <cmath>
#include <filesystem>

#include <fmt/format.h>

#include "core/sizing.hpp"
#include "fdpstore/options.hpp"
#include "format/codec.hpp"
#include "ftl/sim_parameters.hpp"
#include "placement/policies.hpp"
#include "store/option_rows.hpp"

namespace fdpstore {
namespace {

// More cannot be numbered, and would be a typing error.
constexpr std::uint64_t kMaxSegments = 1ULL << 24;

std::unexpected<Error> contradiction(std::string what) {
  return fail(Errc::invalid_option, std::move(what));
}

Result<void> check_bounds(const Options& options) {
  for (const store::OptionRow& row : store::option_rows()) {
    if (row.most == 0 || !row.info.alias_of.empty()) continue;
    const double value = std::visit(
        [&](auto member) {
          if constexpr (std::is_convertible_v<decltype(options.*member), double>) {
            return static_cast<double>(options.*member);
          } else {
            return row.least;
          }
        },
        row.member);
    if (!(value >= row.least && value <= row.most)) {  // NaN is neither
      return fail(Errc::invalid_option,
                  fmt::format("{} = {}: use {} … {}", row.info.name,
                              store::option_text(row, options), row.least, row.most));
    }
  }
  return {};
}

// An option that the layout has no use for would be ignored in silence.
Result<void> check_applicable(const Options& options) {
  const Options defaults;
  const std::string_view layout = to_string(options.layout);
  for (const store::OptionRow& row : store::option_rows()) {
    if (row.info.layouts == "all" || row.info.layouts.find(layout) != std::string_view::npos) {
      continue;
    }
    const bool for_device = row.info.layouts == "device";
    if (for_device && !options.device_path.empty()) continue;
    if (store::option_text(row, options) == store::option_text(row, defaults)) continue;
    if (for_device) {
      return contradiction(
          fmt::format("{} = {} is about a device: give device_path, or leave it "
                      "out",
                      row.info.name, store::option_text(row, options)));
    }
    return contradiction(fmt::format(
        "{} = {} has no meaning with layout = {} (it is for layout {}): leave it out, or change "
        "layout",
        row.info.name, store::option_text(row, options), layout, row.info.layouts));
  }
  return {};
}

Result<void> check_paths(const Options& options) {
  if (options.base_path.empty() && options.device_path.empty()) {
    return fail(Errc::invalid_option,
                "base_path is missing: name the directory that the store is, or shall be, in; or "
                "a device by device_path");
  }
  for (const auto& [name, path] : {std::pair("base_path", &options.base_path),
                                   std::pair("device_path", &options.device_path)}) {
    if (path->find('\0') == std::string::npos) continue;
    return fail(Errc::invalid_option,
                fmt::format("{} holds a NUL character, which no path can", name));
  }
  if (!options.device_path.empty() && options.layout != Layout::segment) {
    return contradiction(fmt::format(
        "layout = {} needs a directory, and device_path = {} is given: use layout = segment, or "
        "leave device_path out",
        to_string(options.layout), options.device_path));
  }
  const std::filesystem::path temporary = options.relative_tmp_dir;
  if (temporary.is_absolute()) {
    return contradiction(
        fmt::format("relative_tmp_dir = {} is absolute: it must be relative to base_path = {}",
                    options.relative_tmp_dir, options.base_path));
  }
  for (const auto& part : temporary) {
    if (part != "..") continue;
    return contradiction(
        fmt::format("relative_tmp_dir = {} leads out of base_path = {}: use a name without \"..\"",
                    options.relative_tmp_dir, options.base_path));
  }
  return {};
}

Result<void> check_modes(const Options& options) {
  if (options.device_path.empty() && (options.write_mode == WriteMode::uring_cmd ||
                                      options.write_mode == WriteMode::write_stream)) {
    return contradiction(fmt::format(
        "write_mode = {} writes to a raw device, and base_path = {} is a directory: give "
        "device_path, or use write_mode = auto, hint or plain",
        to_string(options.write_mode), options.base_path));
  }
  if ((options.file_mode & ~0777U) != 0 || (options.file_mode & 0600U) != 0600U) {
    return fail(Errc::invalid_option,
                fmt::format("file_mode = {:04o}: use permission bits up to 0777 that let the owner "
                            "read and write (0600)",
                            options.file_mode));
  }
  if (options.read_only && options.format) {
    return contradiction(
        "format = true makes a store and read_only = true forbids writing: leave "
        "one of them out");
  }
  if (options.read_only && options.exclusive) {
    return contradiction(
        "exclusive = true takes a lock and read_only = true takes none: leave one "
        "of them out");
  }
  return {};
}

// The same handles named in two ways: one of them would be ignored.
Result<void> check_ids(const Options& options) {
  const auto both = [](std::string_view pids, std::string_view handles) {
    return contradiction(fmt::format(
        "{} and {} name the same thing, once as PIDs and once as RUH identifiers: give one of them",
        pids, handles));
  };
  if (!options.fdp_placement_ids.empty() && !options.fdp_data_ruh_ids.empty()) {
    return both("fdp_placement_ids", "fdp_data_ruh_ids");
  }
  if (!options.meta_checkpoint_placement_id.empty() && !options.fdp_metadata_ruh_ids.empty()) {
    return both("meta_checkpoint_placement_id", "fdp_metadata_ruh_ids");
  }
  return {};
}

// What a simulated device has no use for would be ignored in silence.
Result<void> check_simulated(const Options& options) {
  if (!ftl::is_sim_uri(options.device_path)) return {};
  if (auto parsed = ftl::parse_sim_uri(options.device_path); !parsed) {
    return fail(Error{parsed.error().code,
                      "device_path = " + options.device_path + ": " + parsed.error().what});
  }
  const auto refused = [&](std::string_view name, std::string_view remedy) {
    return contradiction(fmt::format("{} does not go with the simulated device_path = {}: {}", name,
                                     options.device_path, remedy));
  };
  if (!options.base_path.empty()) return refused("base_path", "leave it out");
  if (options.use_odirect) return refused("use_odirect", "leave it out");
  if (!options.fdp_placement_ids.empty() || !options.fdp_data_ruh_ids.empty() ||
      !options.meta_checkpoint_placement_id.empty() || !options.fdp_metadata_ruh_ids.empty()) {
    return refused("a choice of placement ids", "say ruhs=… in the URI; RUH 0 is for metadata");
  }
  if (options.write_mode == WriteMode::hint || options.write_mode == WriteMode::write_stream) {
    return refused(fmt::format("write_mode = {}", to_string(options.write_mode)),
                   "use auto, uring_cmd or plain");
  }
  return {};
}

Result<void> check_segments(const Options& options) {
  const bool whole_device = options.capacity_bytes == 0 && options.base_path.empty();
  if (options.capacity_bytes == 0 && !whole_device) {
    return contradiction(fmt::format(
        "layout = {} needs capacity_bytes (or capacity_gb): say how much of the disk the store may "
        "use, or use layout = object",
        to_string(options.layout)));
  }
  if (options.segment_bytes % format::kBlockBytes != 0) {
    return fail(Errc::invalid_option, fmt::format("segment_bytes = {} is no multiple of {}: use {}",
                                                  options.segment_bytes, format::kBlockBytes,
                                                  format::round_up_block(options.segment_bytes)));
  }
  const std::uint64_t least =
      format::record_bytes(options.max_object_bytes) + core::kSegmentOverheadBytes;
  if (options.segment_bytes != 0 && options.segment_bytes < least) {
    return contradiction(fmt::format(
        "segment_bytes = {} cannot hold an object of max_object_bytes = {} with its headers: raise "
        "segment_bytes to {}, or lower max_object_bytes",
        options.segment_bytes, options.max_object_bytes, least));
  }
  if (whole_device) return {};  // its size is known when it is opened
  const std::uint64_t segment =
      options.segment_bytes != 0 ? options.segment_bytes : core::default_segment_bytes(options, 0);
  const std::uint64_t segments = core::segments_in(options.capacity_bytes, segment);
  if (segments < core::kMinSegments) {
    return contradiction(fmt::format(
        "capacity_bytes = {} is too small: {} segments of {} bytes are needed at least (one being "
        "written, one for metadata, two in reserve): raise capacity_bytes to {}, or lower {}",
        options.capacity_bytes, core::kMinSegments, segment,
        core::kMinSegments * segment + core::kOverheadBytes,
        options.segment_bytes != 0
            ? "segment_bytes"
            : fmt::format("max_object_bytes = {}", options.max_object_bytes)));
  }
  if (segments > kMaxSegments) {
    return contradiction(fmt::format(
        "capacity_bytes = {} in segments of segment_bytes = {} makes {} segments, at most {} are "
        "possible: raise segment_bytes",
        options.capacity_bytes, segment, segments, kMaxSegments));
  }
  return {};
}

}  // namespace

Result<void> check_options(const Options& options) {
  for (const auto check :
       {check_bounds, check_paths, check_modes, check_applicable, check_ids, check_simulated}) {
    if (auto checked = check(options); !checked) return checked;
  }
  if (options.layout != Layout::object) {
    if (auto checked = check_segments(options); !checked) return checked;
  }
  if (auto policy = placement::load_policy(options.policy, {}); !policy) {
    return fail(
        Error{policy.error().code, "policy = " + options.policy + ": " + policy.error().what});
  }
  return {};
}

}  // namespace fdpstore
