// fdpstore format: an empty store on a device.
#include <algorithm>
#include <iostream>
#include <iterator>

#include <fmt/format.h>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "common/text.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/store.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace json = boost::json;
namespace po = boost::program_options;

// Those that are fixed when a store is made, or say where.
constexpr const char* kOptions[] = {"base_offset_bytes", "capacity_bytes", "segment_bytes",
                                    "max_object_bytes",  "policy",         "write_mode",
                                    "placement"};

int run_format(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  visible.add_options()("force", "destroy what is there");
  for (const OptionInfo& info : option_table()) {
    if (std::ranges::find(kOptions, info.name) == std::end(kOptions)) continue;
    std::string flag(info.name);
    std::ranges::replace(flag, '_', '-');
    visible.add_options()(flag.c_str(), po::value<std::string>()->value_name("VALUE"),
                          std::string(info.help).c_str());
  }
  const auto values = read_path_arguments(command, arguments, visible);
  if (!values) return kExitOk;
  json::object given{{"device_path", (*values)["path"].as<std::string>()}};
  for (const char* name : kOptions) {
    std::string flag(name);
    std::ranges::replace(flag, '_', '-');
    if (values->contains(flag)) given[name] = (*values)[flag].as<std::string>();
  }
  Options options = value_of(parse_options(json::serialize(given)));
  value_of(format_device(options, values->contains("force")));
  options.read_only = true;
  const auto store = value_of(open_store(options));
  const StoreStatus status = store->status();
  std::cout << fmt::format("{}: an empty store of {}; placement {} ({})\n", options.device_path,
                           size_text(status.info.capacity_bytes),
                           to_string(status.info.placement.effective),
                           status.info.placement.mechanism);
  for (const std::string& warning : status.warnings) std::cout << "note: " << warning << '\n';
  return kExitOk;
}

}  // namespace

const Command kFormat{
    .name = "format",
    .usage = "DEVICE [--force] [options]",
    .summary = "makes an empty store on a device",
    .text =
        "Makes DEVICE (an NVMe character device, a block device, or a file standing for one)\n"
        "blank, deallocating all of it, and begins an empty store there. What holds a partition\n"
        "table, a file system, another store or unknown data is refused unless --force is given;\n"
        "what is mounted or otherwise in use is refused in any case.\n",
    .examples =
        "  fdpstore format /dev/ng0n1\n"
        "  fdpstore format /dev/nvme0n1p2 --force --capacity-bytes 100GiB\n",
    .exit_codes = "0; 2 when it was refused or failed.",
    .run = run_format,
};

}  // namespace fdpstore::cli
