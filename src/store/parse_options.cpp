// parse_options and to_json(Options).
#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "store/foreign_options.hpp"
#include "store/option_rows.hpp"

namespace fdpstore {
namespace {

namespace json = boost::json;

// What LMCache itself reads, beside adapter_params.
constexpr std::array<std::string_view, 9> kOuterNames{
    "type",  "module_path", "class_name",  "adapter_params", "eviction", "persist_enabled",
    "serde", "shared",      "affinity_tag"};

std::unexpected<Error> unknown_option(const std::string& name) {
  if (const ForeignOptionInfo* foreign = store::find_foreign(name)) {
    return fail(Errc::invalid_option, fmt::format("{}: {}; leave it out", name, foreign->help));
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

// With placement off, raw_block's passthrough commands carry no directive: that is write_mode =
// plain, whichever node of the namespace it goes through.
bool is_moot(const store::Translation& translation, const json::object& all) {
  if (translation.name != "use_uring_cmd") return false;
  for (const std::string_view name : {"fdp_enabled", "use_fdp"}) {
    const json::value* value = all.if_contains(name);
    if (value != nullptr && (*value == json::value(false) || *value == json::value("false"))) {
      return true;
    }
  }
  return false;
}

Result<json::object> parse_object(std::string_view text) {
  boost::system::error_code error;
  json::value document = json::parse(text, error);
  if (error) {
    return fail(Errc::invalid_option, "options are no valid JSON: " + error.message());
  }
  if (!document.is_object()) {
    return fail(Errc::invalid_option,
                "options are no JSON object; expected {\"base_path\": \"…\", …}");
  }
  return std::move(document.get_object());
}

// Which options were set, and by which name.
using Given = std::map<std::string_view, std::string_view>;

Result<void> set_foreign(const std::string& name, const json::value& value, const json::object& all,
                         Given& given, Options& options) {
  const auto translation = store::translate(name, value);
  if (!translation) return fail(translation.error());
  if (*translation == nullptr) return unknown_option(name);
  if ((*translation)->option.empty() || is_moot(**translation, all)) return {};
  const auto [other, first] = given.emplace((*translation)->option, (*translation)->name);
  if (!first) return set_twice(other->second, name);
  return store::set_option(*store::find_option((*translation)->option),
                           json::value((*translation)->value), options);
}

}  // namespace

Result<Options> store::parse_options_over(Options base, std::string_view text) {
  const auto object = parse_object(text);
  if (!object) return fail(object.error());
  Options options = std::move(base);
  Given given;
  for (const auto& [key, value] : *object) {
    if (value.is_null()) {  // LMCache's way to leave an option out
      if (find_option(key) != nullptr || find_foreign(key) != nullptr) continue;
      return unknown_option(key);
    }
    const OptionRow* row = find_option(key);
    if (row == nullptr) {
      if (auto set = set_foreign(key, value, *object, given, options); !set) {
        return fail(set.error());
      }
      continue;
    }
    const auto target = row->info.alias_of.empty() ? row->info.name : row->info.alias_of;
    const auto [other, first] = given.emplace(target, row->info.name);
    if (!first) return set_twice(other->second, row->info.name);
    if (auto set = set_option(*row, value, options); !set) return fail(set.error());
  }
  if (!options.device_path.empty() && !given.contains("layout")) options.layout = Layout::segment;
  if (auto checked = check_options(options); !checked) return fail(std::move(checked.error()));
  return options;
}

Result<Options> parse_options(std::string_view json) {
  return store::parse_options_over({}, json);
}

std::vector<std::string> option_notes(std::string_view text) {
  std::vector<std::string> notes;
  const auto object = parse_object(text);
  if (!object) return notes;
  for (const auto& [key, value] : *object) {
    if (value.is_null()) continue;
    const store::OptionRow* row = store::find_option(key);
    if (row != nullptr && row->info.differs) {
      notes.push_back(fmt::format("{}: {}", row->info.name, row->info.help));
    } else if (const ForeignOptionInfo* foreign = store::find_foreign(key);
               foreign != nullptr && !foreign->choices.empty()) {
      notes.push_back(fmt::format("{} of {}: {}", foreign->name, foreign->of, foreign->help));
    }
  }
  return notes;
}

std::string to_json(const Options& options) {
  json::object object;
  for (const store::OptionRow& row : store::option_rows()) {
    if (row.info.alias_of.empty()) object[row.info.name] = store::get_option(row, options);
  }
  return json::serialize(object);
}

}  // namespace fdpstore
