// fdpstore info: what a path is, and what placement can do there.
#include <iostream>

#include <fmt/format.h>

#include "command.hpp"
#include "fdpstore/store.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

void print(const PathInfo& info) {
  Facts facts;
  facts.add("Path", info.path);
  facts.add("Kind", info.kind + (info.writable ? ", writable" : ", not writable"));
  if (!info.file_system.empty()) {
    facts.add("File system", fmt::format("{} on {}, {} free of {}", info.file_system,
                                         info.device.empty() ? "an unknown device" : info.device,
                                         size_text(info.free_bytes), size_text(info.total_bytes)));
  }
  facts.add("O_DIRECT", info.direct_io
                            ? fmt::format("works: offsets in multiples of {}, memory of {} bytes",
                                          info.direct_io_offset_align, info.direct_io_memory_align)
                            : "does not work here");
  facts.add("Kernel", info.kernel);
  if (!info.content.empty()) facts.add("Content", info.content);
  facts.print(std::cout);

  std::cout << '\n';
  Table table({{"MECHANISM"}, {"ACCEPTED"}, {"REACHES THE DEVICE"}, {"WHY"}});
  for (const MechanismProbe& probe : info.mechanisms) {
    table.add({probe.name, probe.works ? "yes" : "no", probe.reaches_device ? "yes" : "no",
               probe.reason});
  }
  table.print(std::cout);
  if (info.recommended.empty()) return;
  std::cout << '\n';
  Facts advice;
  advice.add("Recommended", info.recommended);
  advice.print(std::cout);
}

int run(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  visible.add_options()("json", "print one JSON object");
  const auto values = read_path_arguments(command, arguments, visible);
  if (!values) return kExitOk;
  const PathInfo info = value_of(probe_path((*values)["path"].as<std::string>()));
  if (values->contains("json")) {
    std::cout << to_json(info) << '\n';
  } else {
    print(info);
  }
  return kExitOk;
}

}  // namespace

const Command kInfo{
    .name = "info",
    .usage = "PATH [--json]",
    .summary = "what a path is, which placement mechanisms work there, what reaches the device",
    .text =
        "Says what PATH is (directory, device, nothing yet), what lies below it, what it holds,\n"
        "and for each way to tell the device about data lifetimes whether the kernel accepts\n"
        "it here and whether the device gets to see it, with the reason. It tries things out\n"
        "with temporary files and leaves nothing behind.\n",
    .examples =
        "  fdpstore info /mnt/kv\n"
        "  fdpstore info /mnt/kv --json | jq '.mechanisms[] | select(.works)'\n",
    .exit_codes = "0; 2 when PATH cannot be looked at.",
    .run = run,
};

}  // namespace fdpstore::cli
