// fdpstore configure: the --l2-adapter JSON for LMCache, checked.
#include <filesystem>
#include <iostream>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/store.hpp"
#include "option_flags.hpp"

namespace fdpstore::cli {
namespace {

namespace json = boost::json;
namespace po = boost::program_options;

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

// Only what was given, by the names of our own options, with values as LMCache's JSON has them.
json::object adapter_params(const json::object& given, const Options& options) {
  const json::value effective = parse_report(to_json(options));
  const json::value defaults = parse_report(to_json(Options{}));
  json::object params;
  std::set<std::string_view> names;
  for (const OptionInfo& info : option_table()) {
    const std::string_view name = info.alias_of.empty() ? info.name : info.alias_of;
    if (given.contains(info.name)) names.insert(name);
  }
  for (const OptionInfo& info : option_table()) {
    if (!info.alias_of.empty()) continue;
    // What a name of another store became is no option that was given.
    const bool translated =
        info.name != "layout" && effective.at(info.name) != defaults.at(info.name);
    if (names.contains(info.name) || translated) params[info.name] = effective.at(info.name);
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

int run_configure(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options", 100, 60);
  visible.add_options()("pretty", "print indented")(
      "check", "also open the store, as LMCache would (makes it when it is new), and close it");
  const auto values = read_option_arguments(command, arguments, visible, {});
  if (!values) return kExitOk;
  json::object given = given_options(*values);
  // LMCache may run in another working directory.
  if (auto* path = given.if_contains("base_path"); path != nullptr && !path->as_string().empty()) {
    *path = std::filesystem::absolute(std::string(path->as_string())).lexically_normal().native();
  }
  const Options options = value_of(parse_options(json::serialize(given)));
  print_option_notes(given);
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
        "(under adapter_params, with \"_\" for \"-\"), as flags here, and in a file. Names of\n"
        "LMCache's fs, fs_native and raw_block are taken too, and told where they differ.\n"
        "Nothing is created or opened without --check.\n",
    .examples =
        "  fdpstore configure --base-path /mnt/kv\n"
        "  fdpstore configure --base-path /mnt/kv --layout segment --capacity-gb 500 --check\n"
        "  lmcache server --l2-adapter \"$(fdpstore configure --base-path /mnt/kv)\"\n",
    .exit_codes = "0; 2 for an option that is unknown, malformed or contradicts another.",
    .run = run_configure,
};

}  // namespace fdpstore::cli
