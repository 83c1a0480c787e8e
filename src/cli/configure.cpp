// fdpstore configure: the --l2-adapter JSON for LMCache, checked.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::cli {
namespace {

namespace json = boost::json;
namespace po = boost::program_options;

std::string flag_of(std::string_view name) {
  std::string flag(name);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string help_of(const OptionInfo& info) {
  std::string text(info.help);
  if (!info.default_value.empty()) text += fmt::format(" Default: {}.", info.default_value);
  if (info.layouts != "all") text += fmt::format(" Layouts: {}.", info.layouts);
  return text;
}

std::string value_name(const OptionInfo& info) {
  if (!info.choices.empty()) return std::string(info.choices);
  if (info.unit == "bytes") return "SIZE";
  if (!info.unit.empty()) return std::string(info.unit);
  switch (info.type) {
    case OptionType::boolean:
      return info.default_value == "auto" ? "true|false|auto" : "true|false";
    case OptionType::integer:
    case OptionType::real: return "N";
    case OptionType::text:
    case OptionType::choice: break;
  }
  return "TEXT";
}

// The table's options: with '-' for a command line, as they are for a file.
void add_table(po::options_description& description, bool as_flags) {
  for (const OptionInfo& info : option_table()) {
    const std::string name = as_flags ? flag_of(info.name) : std::string(info.name);
    description.add_options()(name.c_str(), po::value<std::string>()->value_name(value_name(info)),
                              help_of(info).c_str());
  }
}

void read_file(const std::string& path, json::object& given) {
  std::ifstream file(path);
  if (!file) throw Failure(path + ": cannot be read; --config takes a file of name = value lines");
  po::options_description names;
  add_table(names, false);
  po::variables_map values;
  try {
    po::store(po::parse_config_file(file, names), values);
  } catch (const po::unknown_option& error) {
    // The parser of options knows what was meant.
    given[error.get_option_name()] = "";
  } catch (const po::error& error) {
    throw Failure(fmt::format("{}: {}", path, error.what()));
  }
  for (const auto& [name, value] : values) {
    if (!given.contains(name)) given[name] = value.as<std::string>();
  }
}

// Indented, for people who keep it in a file.
void print_pretty(std::ostream& out, const json::value& value, const std::string& indent) {
  const json::object* object = value.if_object();
  if (object == nullptr || object->empty()) {
    out << json::serialize(value);
    return;
  }
  out << "{\n";
  const char* comma = "";
  for (const auto& [name, field] : *object) {
    out << std::exchange(comma, ",\n") << indent << "  " << json::serialize(json::value(name))
        << ": ";
    print_pretty(out, field, indent + "  ");
  }
  out << '\n' << indent << '}';
}

// Only what was given, under the option's first name, with values as LMCache's JSON has them.
json::object adapter_params(const json::object& given, const Options& options) {
  const json::value effective = parse_report(to_json(options));
  json::object params;
  for (const OptionInfo& info : option_table()) {
    if (!given.contains(info.name)) continue;
    const std::string_view name = info.alias_of.empty() ? info.name : info.alias_of;
    params[name] = effective.at(name);
  }
  return params;
}

void explain(const Options& options) {
  std::cerr << "fdpstore: no `eviction` block: ";
  if (options.capacity_bytes > 0) {
    std::cerr << "the store keeps its own bound (capacity_bytes) and knows what to drop together; "
                 "LMCache's eviction would delete single objects, and skips locked ones\n";
  } else {
    std::cerr << "nothing bounds this directory, as with LMCache's fs; give --capacity-gb for a "
                 "bound\n";
  }
}

std::optional<po::variables_map> read_flags(const Command& command, const Arguments& arguments,
                                            po::options_description& visible) {
  try {
    return read_arguments(command, arguments, visible, "");
  } catch (const po::unknown_option& error) {
    std::string name = error.get_option_name();
    name.erase(0, name.find_first_not_of('-'));
    std::ranges::replace(name, '-', '_');
    const auto refused = parse_options(json::serialize(json::object{{name, ""}}));
    throw Failure(refused ? Error{} : refused.error());
  }
}

int run(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options", 100, 60);
  visible.add_options()("config", po::value<std::string>()->value_name("FILE"),
                        "read options from name = value lines; flags come first")("pretty",
                                                                                  "print indented")(
      "check", "also open the store, as LMCache would (makes it when it is new), and close it");
  po::options_description store_options(
      "Options of the store\n(SIZE: bytes, or with KiB MiB GiB TiB, K M G T alike, or decimal kB "
      "MB "
      "GB TB)",
      100, 60);
  add_table(store_options, true);
  visible.add(store_options);
  const auto values = read_flags(command, arguments, visible);
  if (!values) return kExitOk;

  json::object given;
  for (const OptionInfo& info : option_table()) {
    const auto found = values->find(flag_of(info.name));
    if (found != values->end()) given[info.name] = found->second.as<std::string>();
  }
  if (values->contains("config")) read_file((*values)["config"].as<std::string>(), given);
  // LMCache may run in another working directory.
  if (auto* path = given.if_contains("base_path"); path != nullptr && !path->as_string().empty()) {
    *path = std::filesystem::absolute(std::string(path->as_string())).lexically_normal().native();
  }
  const Options options = value_of(parse_options(json::serialize(given)));
  if (values->contains("check")) {
    auto store = value_of(open_store(options));
    value_of(store->close());
  }
  const json::object adapter{{"type", "plugin"},
                             {"module_path", "fdpstore.lmcache"},
                             {"class_name", "FdpL2Adapter"},
                             {"adapter_params", adapter_params(given, options)}};
  if (values->contains("pretty")) {
    print_pretty(std::cout, adapter, "");
  } else {
    std::cout << json::serialize(adapter);
  }
  std::cout << '\n';
  explain(options);
  return kExitOk;
}

}  // namespace

const Command kConfigure{
    .name = "configure",
    .usage = "--base-path DIR [options]",
    .summary = "checks options, prints the --l2-adapter JSON for LMCache",
    .text =
        "Checks the options of a store and prints the JSON that `lmcache server --l2-adapter`\n"
        "takes, with what was given and nothing else. The options are the same in that JSON\n"
        "(under adapter_params, with \"_\" for \"-\"), as flags here, and in a file.\n"
        "Nothing is created or opened without --check.\n",
    .examples =
        "  fdpstore configure --base-path /mnt/kv\n"
        "  fdpstore configure --base-path /mnt/kv --layout segment --capacity-gb 500 --check\n"
        "  lmcache server --l2-adapter \"$(fdpstore configure --base-path /mnt/kv)\"\n",
    .exit_codes = "0; 2 for an option that is unknown, malformed or contradicts another.",
    .run = run,
};

}  // namespace fdpstore::cli
