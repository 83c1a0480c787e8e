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

// Options of LMCache's raw_block and of an earlier proof of concept that ours say otherwise.
struct Translation {
  std::string_view name;
  std::string_view given;          // as JSON
  std::string_view option, value;  // "": nothing to set, it is so anyway
};
constexpr std::array kTranslations{
    Translation{"use_uring_cmd", "true", "write_mode", "uring_cmd"},
    Translation{"use_uring_cmd", "false", "", ""},
    Translation{"fdp_enabled", "true", "placement", "require"},
    Translation{"fdp_enabled", "false", "write_mode", "plain"},
    Translation{"use_fdp", "true", "placement", "require"},
    Translation{"use_fdp", "false", "write_mode", "plain"},
    Translation{"fdp_directive_type", "2", "", ""},
    Translation{"fdp_data_placement_policy", "cache_salt_prefix", "policy", "tenant"},
    Translation{"fdp_data_placement_policy", "none", "policy", "separated"},
    Translation{"io_engine", "io_uring", "", ""},
    Translation{"block_align", "4096", "", ""},
    Translation{"header_bytes", "4096", "", ""},
    Translation{"enable_zero_copy", "true", "", ""},
    Translation{"load_checkpoint_on_init", "true", "", ""},
    Translation{"meta_verify_on_load", "true", "", ""},
};

// Those that mean nothing here, and why.
constexpr std::string_view kNoCheckpoint =
    "metadata lives in the segments that it describes, there is no checkpoint";
constexpr std::string_view kNoSlots = "segments are freed whole, there are no slots to reuse";
constexpr std::string_view kOneThread = "one thread and a ring serve a device (queue_depth)";
constexpr std::array<std::pair<std::string_view, std::string_view>, 10> kMeaningless{{
    {"meta_total_bytes", kNoCheckpoint},
    {"meta_magic", kNoCheckpoint},
    {"meta_version", kNoCheckpoint},
    {"meta_checkpoint_interval_sec", kNoCheckpoint},
    {"meta_idle_quiet_ms", kNoCheckpoint},
    {"meta_enable_periodic", kNoCheckpoint},
    {"fdp_slot_reuse_policy", kNoSlots},
    {"num_store_workers", kOneThread},
    {"num_lookup_workers", kOneThread},
    {"num_load_workers", kOneThread},
}};

// What LMCache itself reads, beside adapter_params.
constexpr std::array<std::string_view, 9> kOuterNames{
    "type",  "module_path", "class_name",  "adapter_params", "eviction", "persist_enabled",
    "serde", "shared",      "affinity_tag"};

std::unexpected<Error> unknown_option(const std::string& name) {
  for (const auto& [meaningless, why] : kMeaningless) {
    if (name != meaningless) continue;
    return fail(Errc::invalid_option, fmt::format("{}: {}; leave it out", name, why));
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

std::unexpected<Error> set_twice(std::string_view one, std::string_view other) {
  return fail(Errc::invalid_option,
              fmt::format("{} and {} set the same thing: give one of them", one, other));
}

// What an option of another store is here; nullptr: it has no translation. An error names the
// values that have one.
Result<const Translation*> translate(const std::string& name, const json::value& value) {
  // A command line's values are texts, whatever they mean.
  const std::string given =
      value.is_string() ? std::string(value.get_string()) : json::serialize(value);
  std::vector<std::string_view> possible;
  for (const Translation& translation : kTranslations) {
    if (translation.name != name) continue;
    if (translation.given == given) return &translation;
    possible.push_back(translation.given);
  }
  if (possible.empty()) return nullptr;
  return fail(Errc::invalid_option, fmt::format("{} = {}: only {} is possible here; leave it out",
                                                name, given, fmt::join(possible, " or ")));
}

// With placement off, raw_block's passthrough commands carry no directive: that is write_mode =
// plain, whichever node of the namespace it goes through.
bool is_moot(const Translation& translation, const json::object& all) {
  if (translation.name != "use_uring_cmd") return false;
  for (const std::string_view name : {"fdp_enabled", "use_fdp"}) {
    const json::value* value = all.if_contains(name);
    if (value != nullptr && (*value == json::value(false) || *value == json::value("false"))) {
      return true;
    }
  }
  return false;
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
    if (row == nullptr) {
      if (value.is_null()) continue;
      const auto translation = translate(key, value);
      if (!translation) return fail(translation.error());
      if (*translation == nullptr) return unknown_option(key);
      if ((*translation)->option.empty() || is_moot(**translation, *object)) continue;
      const auto [other, first] = given.emplace((*translation)->option, (*translation)->name);
      if (!first) return set_twice(other->second, key);
      if (auto set = store::set_option(*store::find_option((*translation)->option),
                                       json::value((*translation)->value), options);
          !set) {
        return fail(set.error());
      }
      continue;
    }
    if (value.is_null()) continue;  // LMCache's way to leave an option out
    const auto target = row->info.alias_of.empty() ? row->info.name : row->info.alias_of;
    const auto [other, first] = given.emplace(target, row->info.name);
    if (!first) return set_twice(other->second, row->info.name);
    if (auto set = store::set_option(*row, value, options); !set) return fail(set.error());
  }
  if (!options.device_path.empty() && !given.contains("layout")) options.layout = Layout::segment;
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
