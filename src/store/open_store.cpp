// open_store and check_store: where options become backend, policy, lineage and store.
#include <fmt/format.h>

#include "backends/file_backend.hpp"
#include "backends/probe.hpp"
#include "common/log.hpp"
#include "core/check.hpp"
#include "core/segment_store.hpp"
#include "fdpstore/store.hpp"
#include "ftl/sim_backend.hpp"
#include "objects/object_check.hpp"
#include "objects/object_store.hpp"
#include "placement/policies.hpp"
#include "placement/prompt_tracker.hpp"
#include "store/open_on.hpp"
#include "store/places.hpp"
#include "store/served_store.hpp"

namespace fdpstore {
namespace {

// Layout `object` has no open segments: streams need not be merged.
constexpr std::uint32_t kObjectHandles = 256;

core::PolicyFactory policy_factory(const Options& options) {
  return [name = options.policy](std::uint32_t data_handles, std::string reason) {
    return placement::load_policy(name,
                                  {.data_handles = data_handles, .reason = std::move(reason)});
  };
}

Result<std::unique_ptr<Backend>> open_directory(const Options& options, std::string because) {
  return backends::open_file_backend({
      .base_path = options.base_path,
      .prompt_files = options.layout == Layout::prompt,
      .capacity_bytes = options.capacity_bytes,
      .use_odirect = options.use_odirect,
      .write_mode = options.write_mode,
      .placement = options.placement,
      .queue_depth = options.queue_depth,
      .file_mode = options.file_mode,
      .format = options.format,
      .read_only = options.read_only,
      .chosen_because = std::move(because),
  });
}

Result<std::unique_ptr<Backend>> open_device(const Options& options, std::string because) {
  auto raw = store::raw_options(options);
  raw.chosen_because = std::move(because);
  return backends::open_raw_backend(raw);
}

// A simulated device lives as long as the store, or its name is held elsewhere.
Result<std::unique_ptr<Backend>> open_simulated(const Options& options) {
  const auto parameters = ftl::parse_sim_uri(options.device_path);
  if (!parameters) return fail(parameters.error());
  auto device = ftl::SimDevice::find_or_make(*parameters);
  if (!device) return fail(std::move(device.error()));
  return ftl::open_sim_backend(std::move(*device), store::sim_options(options));
}

Result<std::unique_ptr<Backend>> open_chosen(const Options& options) {
  if (ftl::is_sim_uri(options.device_path)) return open_simulated(options);
  if (options.device_path.empty()) return open_directory(options, "");
  if (options.base_path.empty()) return open_device(options, "");
  const auto choice = store::choose_place(options);
  if (!choice) return fail(choice.error());
  std::string because =
      fmt::format("; {} is used because {}",
                  choice->device ? options.device_path : options.base_path, choice->because);
  return choice->device ? open_device(options, std::move(because))
                        : open_directory(options, std::move(because));
}

void log_opened(const StoreStatus& status) {
  const StoreInfo& info = status.info;
  log().info(
      "opened {} (layout {}, policy {}) in {:.2f} s with {} objects, {} bytes; placement asked "
      "{} ({}), effective {} by {}: {}",
      info.path, info.layout, info.policy, info.open_seconds, info.live_objects, info.live_bytes,
      to_string(info.placement.asked), to_string(info.placement.strictness),
      to_string(info.placement.effective), info.placement.mechanism, info.placement.reason);
  for (const std::string& warning : status.warnings) log().info("{}: {}", info.path, warning);
}

// Fills in what the medium decides.
Result<std::unique_ptr<Backend>> open_backend(Options& options) {
  auto backend = open_chosen(options);
  if (backend && options.capacity_bytes == 0) {
    options.capacity_bytes = (*backend)->geometry().medium_bytes;
  }
  return backend;
}

Result<std::unique_ptr<Store>> open_segments(const Options& options) {
  Options effective = options;
  auto backend = open_backend(effective);
  if (!backend) return fail(std::move(backend.error()));
  return store::open_on(effective, std::move(*backend));
}

Result<std::unique_ptr<Store>> open_objects(const Options& options) {
  auto policy = placement::load_policy(
      options.policy, {.data_handles = kObjectHandles, .reason = "one file per object"});
  if (!policy) return fail(std::move(policy.error()));
  return objects::open_object_store(options, std::move(*policy), store::make_lineage());
}

}  // namespace

namespace store {

std::unique_ptr<Lineage> make_lineage() {
  return std::make_unique<placement::PromptTracker>(placement::PromptTracker::Limits{});
}

Result<std::unique_ptr<Store>> open_on(const Options& options, std::unique_ptr<Backend> backend,
                                       std::unique_ptr<Lineage> lineage) {
  return core::open_segment_store(options, std::move(backend), policy_factory(options),
                                  lineage ? std::move(lineage) : make_lineage());
}

}  // namespace store

Result<std::unique_ptr<Store>> open_store(const Options& options) {
  if (auto checked = check_options(options); !checked) return fail(std::move(checked.error()));
  if (options.log_level != LogLevel::automatic) {
    if (auto set = set_log_level(to_string(options.log_level)); !set) return fail(set.error());
  }
  auto opened = options.layout == Layout::object ? open_objects(options) : open_segments(options);
  if (!opened || options.read_only) return opened;
  if (log().should_log(spdlog::level::info)) log_opened((*opened)->status());
  return store::serve_diagnostics(
      std::move(*opened), options.base_path.empty() ? options.device_path : options.base_path);
}

Result<void> format_device(const Options& options, bool force) {
  if (auto checked = check_options(options); !checked) return checked;
  if (options.device_path.empty()) {
    return fail(Errc::invalid_option, "device_path is missing: name the device to format");
  }
  if (ftl::is_sim_uri(options.device_path)) {
    return fail(Errc::invalid_option,
                fmt::format("device_path = {} is simulated, and made anew by each open: there is "
                            "nothing to format",
                            options.device_path));
  }
  Options device = options;
  device.base_path.clear();
  if (auto wiped = backends::wipe_raw_device(store::raw_options(device), force); !wiped) {
    return wiped;
  }
  auto opened = open_segments(device);
  if (!opened) return fail(std::move(opened.error()));
  return (*opened)->close();
}

Result<CheckReport> check_store(const Options& options, bool repair,
                                const CheckProgress& progress) {
  if (auto checked = check_options(options); !checked) return fail(std::move(checked.error()));
  if (options.layout == Layout::object) {
    return objects::check_object_directory(options, repair, progress);
  }
  Options effective = options;
  effective.read_only = !repair;
  auto backend = open_backend(effective);
  if (!backend) return fail(std::move(backend.error()));
  return core::check_segments(effective, std::move(*backend), policy_factory(options), repair,
                              progress);
}

Result<PathInfo> probe_path(const std::string& path) {
  return backends::probe_path(path);
}

}  // namespace fdpstore
