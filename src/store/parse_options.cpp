// parse_options and to_json(Options).
#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "store/option_rows.hpp"

namespace fdpstore {
namespace {

namespace json = boost::json;

// Names of raw-block stores: of LMCache's raw_block, of the earlier proof of concept, and our own
// to come. A user who brings such a configuration is told so, instead of "unknown option".
constexpr std::array<std::string_view, 34> kRawBlockNames{
    "device_path",
    "device_paths",
    "per_tp_device_paths",
    "block_align",
    "header_bytes",
    "meta_total_bytes",
    "meta_magic",
    "meta_version",
    "meta_checkpoint_interval_sec",
    "meta_idle_quiet_ms",
    "meta_enable_periodic",
    "load_checkpoint_on_init",
    "meta_verify_on_load",
    "enable_zero_copy",
    "io_engine",
    "iouring_queue_depth",
    "use_iouring",
    "use_uring",
    "use_uring_cmd",
    "max_data_transfer_size",
    "fdp_enabled",
    "fdp_placement_ids",
    "fdp_data_placement_policy",
    "fdp_slot_reuse_policy",
    "meta_checkpoint_placement_id",
    "num_store_workers",
    "num_lookup_workers",
    "num_load_workers",
    "use_fdp",
    "fdp_ruh_ids",
    "fdp_data_ruh_ids",
    "fdp_metadata_ruh_ids",
    "fdp_directive_type",
    "fdp_metadata_mode",
};

// What LMCache itself reads, beside adapter_params.
constexpr std::array<std::string_view, 9> kOuterNames{
    "type",  "module_path", "class_name",  "adapter_params", "eviction", "persist_enabled",
    "serde", "shared",      "affinity_tag"};

std::unexpected<Error> unknown_option(const std::string& name) {
  if (std::ranges::find(kRawBlockNames, name) != kRawBlockNames.end()) {
    return fail(Errc::invalid_option,
                fmt::format("{}: this version of fdpstore has no raw-block mode; store in a "
                            "directory instead: base_path, layout = segment and capacity_bytes",
                            name));
  }
  if (std::ranges::find(kOuterNames, name) != kOuterNames.end()) {
    return fail(Errc::invalid_option,
                fmt::format("{} is no option of fdpstore but of LMCache's adapter specification: "
                            "it goes beside adapter_params, not into it",
                            name));
  }
  std::vector<std::string_view> names;
  for (const OptionInfo& info : option_table()) names.push_back(info.name);
  std::string plain = name;
  std::ranges::replace(plain, '-', '_');
  const std::string_view meant = store::nearest(plain, names);
  return fail(Errc::invalid_option,
              meant.empty()
                  ? fmt::format("unknown option {}; known are {}", name, fmt::join(names, ", "))
                  : fmt::format("unknown option {}; did you mean {}?", name, meant));
}

}  // namespace

Result<Options> parse_options(std::string_view text) {
  boost::system::error_code error;
  const json::value document = json::parse(text, error);
  if (error) {
    return fail(Errc::invalid_option, "options are no valid JSON: " + error.message());
  }
  const json::object* object = document.if_object();
  if (object == nullptr) {
    return fail(Errc::invalid_option,
                "options are no JSON object; expected {\"base_path\": \"…\", …}");
  }
  Options options;
  std::map<std::string_view, std::string_view> given;  // option → name it was given by
  for (const auto& [key, value] : *object) {
    const store::OptionRow* row = store::find_option(key);
    if (row == nullptr) return unknown_option(key);
    if (value.is_null()) continue;  // LMCache's way to leave an option out
    const auto target = row->info.alias_of.empty() ? row->info.name : row->info.alias_of;
    const auto [other, first] = given.emplace(target, row->info.name);
    if (!first) {
      return fail(Errc::invalid_option,
                  fmt::format("{} and {} set the same thing: give one of them", other->second,
                              row->info.name));
    }
    if (auto set = store::set_option(*row, value, options); !set) return fail(set.error());
  }
  if (auto checked = check_options(options); !checked) return fail(std::move(checked.error()));
  return options;
}

std::string to_json(const Options& options) {
  json::object object;
  for (const store::OptionRow& row : store::option_rows()) {
    if (row.info.alias_of.empty()) object[row.info.name] = store::get_option(row, options);
  }
  return json::serialize(object);
}

}  // namespace fdpstore
