#include "option_flags.hpp"

#include <algorithm>
#include <fstream>
#include <iostream>
#include <set>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "fdpstore/options.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace json = boost::json;
namespace po = boost::program_options;

constexpr unsigned kHelpColumns = 100, kHelpLeastText = 60;

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

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const OptionInfo& info : option_table()) names.emplace_back(info.name);
  for (const ForeignOptionInfo& info : foreign_option_table()) names.emplace_back(info.name);
  return names;
}

void read_file(const std::string& path, json::object& given) {
  std::ifstream file(path);
  if (!file) throw Failure(path + ": cannot be read; --config takes a file of name = value lines");
  po::options_description names;
  for (const std::string& name : all_names()) {
    names.add_options()(name.c_str(), po::value<std::string>());
  }
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

void add_option_flags(po::options_description& visible) {
  visible.add_options()("config", po::value<std::string>()->value_name("FILE"),
                        "read options from name = value lines; flags come first");
  po::options_description ours(
      "Options of the store\n(SIZE: bytes, or with KiB MiB GiB TiB, K M G T alike, or decimal kB "
      "MB GB TB; --name alone is --name true)",
      kHelpColumns, kHelpLeastText);
  for (const OptionInfo& info : option_table()) {
    ours.add_options()(flag_of(info.name).c_str(),
                       po::value<std::string>()->value_name(value_name(info)),
                       help_of(info).c_str());
  }
  po::options_description foreign("Names of other stores, for the sake of their configurations",
                                  kHelpColumns, kHelpLeastText);
  for (const ForeignOptionInfo& info : foreign_option_table()) {
    const bool accepted = !info.choices.empty();
    foreign.add_options()(
        flag_of(info.name).c_str(),
        po::value<std::string>()->value_name(accepted ? std::string(info.choices) : "refused"),
        fmt::format("Of {}. {}", info.of, info.help).c_str());
  }
  visible.add(ours).add(foreign);
}

Arguments with_values_of_switches(Arguments arguments) {
  std::set<std::string, std::less<>> switches;
  for (const OptionInfo& info : option_table()) {
    if (info.type == OptionType::boolean) switches.insert("--" + flag_of(info.name));
  }
  for (const ForeignOptionInfo& info : foreign_option_table()) {
    if (info.choices.starts_with("true")) switches.insert("--" + flag_of(info.name));
  }
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (!switches.contains(arguments[i])) continue;
    const bool alone = i + 1 == arguments.size() || arguments[i + 1].starts_with("--");
    if (alone) arguments[i] += "=true";
  }
  return arguments;
}

// What parse_options() says about it: it knows what was meant.
std::string unknown_flag(std::string flag) {
  flag.erase(0, flag.find_first_not_of('-'));
  std::ranges::replace(flag, '-', '_');
  const auto refused = parse_options(json::serialize(json::object{{flag, ""}}));
  return refused ? std::string{} : refused.error().message();
}

}  // namespace

std::optional<po::variables_map> read_option_arguments(const Command& command, Arguments arguments,
                                                       po::options_description& visible,
                                                       const std::vector<std::string>& positional) {
  add_option_flags(visible);
  return read_arguments(command, with_values_of_switches(std::move(arguments)), visible, positional,
                        unknown_flag);
}

json::object given_options(const po::variables_map& values) {
  json::object given;
  for (const std::string& name : all_names()) {
    const auto found = values.find(flag_of(name));
    if (found != values.end()) given[name] = found->second.as<std::string>();
  }
  if (values.contains("config")) read_file(values["config"].as<std::string>(), given);
  return given;
}

void print_option_notes(const json::object& given) {
  for (const std::string& note : option_notes(json::serialize(given))) {
    std::cerr << "fdpstore: note: " << printable(note) << '\n';
  }
}

}  // namespace fdpstore::cli
