// fdpstore info: what a path is, and what placement can do there.
#include <iostream>

#include <fmt/format.h>

#include "command.hpp"
#include "common/text.hpp"
#include "fdpstore/store.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

void add_device(Facts& facts, const DeviceInfo& device) {
  if (!device.model.empty()) {
    facts.add(
        "Device",
        fmt::format("{}{}{}", printable(device.model),
                    device.serial.empty() ? "" : ", serial " + printable(device.serial),
                    device.firmware.empty() ? "" : ", firmware " + printable(device.firmware)));
  }
  std::string limits =
      fmt::format("{} in blocks of {} bytes", size_text(device.size_bytes), device.block_bytes);
  if (device.nsid != 0) limits += fmt::format(", namespace {}", device.nsid);
  facts.add("Size", limits);
  facts.add("Limits",
            fmt::format(
                "{} a command, {} pieces of memory; write streams: {}",
                device.max_transfer_bytes == 0 ? "any size" : size_text(device.max_transfer_bytes),
                device.max_segments == 0 ? "any number of" : std::to_string(device.max_segments),
                device.max_write_streams ? std::to_string(*device.max_write_streams)
                                         : "this kernel has none"));
  if (!device.fdp) {
    facts.add("FDP", "off: " + device.fdp_reason);
  } else {
    facts.add("FDP",
              fmt::format("on; reclaim units of {}{}{}",
                          device.reclaim_unit_bytes == 0 ? "unknown size"
                                                         : size_text(device.reclaim_unit_bytes),
                          device.isolation.empty() ? "" : ", handles " + device.isolation,
                          device.fdp_reason.empty() ? "" : " (" + device.fdp_reason + ")"));
  }
  if (device.statistics) {
    const auto host = static_cast<double>(device.host_written_bytes);
    facts.add(
        "Written",
        fmt::format("by hosts {}, to media {}, erased {}{} (all of endurance group {})",
                    size_text(device.host_written_bytes), size_text(device.media_written_bytes),
                    size_text(device.media_erased_bytes),
                    host == 0 ? ""
                              : fmt::format("; write amplification {:.3f}",
                                            static_cast<double>(device.media_written_bytes) / host),
                    device.endurance_group));
  } else {
    facts.add("Written", "unknown: " + device.statistics_reason);
  }
  for (const std::string& user : device.users) facts.add("In use", printable(user));
  for (const std::string& warning : device.warnings) facts.add("Note", printable(warning));
}

void print_handles(const DeviceInfo& device) {
  if (device.handles.empty()) return;
  std::cout << '\n';
  Table table({{"PID", Table::Align::right},
               {"RUH", Table::Align::right},
               {"LEFT IN ITS RECLAIM UNIT", Table::Align::right}});
  for (const PlacementHandle& handle : device.handles) {
    table.add({std::to_string(handle.pid), std::to_string(handle.ruh),
               size_text(handle.available_bytes)});
  }
  table.print(std::cout);
}

void print(const PathInfo& info) {
  Facts facts;
  facts.add("Path", info.path);
  facts.add("Kind", info.kind + (info.writable ? ", writable" : ", not writable"));
  if (!info.file_system.empty()) {
    facts.add("File system", fmt::format("{} on {}, {} free of {}", info.file_system,
                                         info.device.empty() ? "an unknown device" : info.device,
                                         size_text(info.free_bytes), size_text(info.total_bytes)));
  }
  if (info.device_info) add_device(facts, *info.device_info);
  if (!info.device_info)
    facts.add("O_DIRECT",
              info.direct_io ? fmt::format("works: offsets in multiples of {}, memory of {} bytes",
                                           info.direct_io_offset_align, info.direct_io_memory_align)
                             : "does not work here");
  facts.add("Kernel", info.kernel);
  if (!info.content.empty()) facts.add("Content", info.content);
  facts.print(std::cout);
  if (info.device_info) print_handles(*info.device_info);

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
  if (!info.automatic.empty()) advice.add("write_mode = auto", info.automatic);
  advice.add("Recommended", info.recommended);
  advice.print(std::cout);
}

int run_info(const Command& command, const Arguments& arguments) {
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
        "with temporary files and leaves nothing behind. Of a device it shows limits, FDP,\n"
        "placement handles and statistics, who uses it, and what write_mode = auto takes.\n",
    .examples =
        "  fdpstore info /mnt/kv\n"
        "  fdpstore info /dev/ng0n1\n"
        "  fdpstore info /mnt/kv --json | jq '.mechanisms[] | select(.works)'\n",
    .exit_codes = "0; 2 when PATH cannot be looked at.",
    .run = run_info,
};

}  // namespace fdpstore::cli
