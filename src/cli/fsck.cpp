// fdpstore fsck: reads and checks everything in a closed store.
#include <algorithm>
#include <iostream>

#include <fmt/format.h>

#include "command.hpp"
#include "common/text.hpp"
#include "progress.hpp"
#include "store/store_view.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

CheckReport check(const Options& options, bool repair) {
  Progress bar;
  return value_of(check_store(
      options, repair, [&bar](std::uint64_t done, std::uint64_t total) { bar.show(done, total); }));
}

void print(const CheckReport& report, bool repair) {
  for (const CheckFinding& finding : report.findings) {
    std::cout << printable(finding.where) << ": " << printable(finding.what)
              << (finding.repaired ? " (repaired)" : "") << '\n';
  }
  std::cout << fmt::format("{} objects, {} read and checked", report.objects,
                           size_text(report.bytes));
  if (report.segments > 0) std::cout << fmt::format(" in {} segments", report.segments);
  if (report.unverified > 0) {
    std::cout << fmt::format("; {} have no checksum to check", report.unverified);
  }
  const auto open = std::ranges::count(report.findings, false, &CheckFinding::repaired);
  if (report.clean()) {
    std::cout << "; clean\n";
  } else {
    std::cout << fmt::format("; {} findings, {} repaired{}\n", report.findings.size(),
                             report.findings.size() - static_cast<std::size_t>(open),
                             repair || open == 0 ? "" : " (--repair takes out what is damaged)");
  }
}

int run_fsck(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  std::string policy;
  visible.add_options()("repair", "take out what is damaged; the store must be closed")(
      "policy", po::value(&policy)->value_name("NAME"),
      "the policy the store is used with; under another one --repair forgets what it has "
      "learnt, such as which tenant has which stream")("json", "print one JSON object");
  const auto values = read_path_arguments(command, arguments, visible);
  if (!values) return kExitOk;
  const bool repair = values->contains("repair");
  const auto path = (*values)["path"].as<std::string>();
  auto found = value_of(store::find_store(path));
  if (!policy.empty()) found.options.policy = policy;
  if (value_of(store::is_open_elsewhere(found))) {
    if (repair) {
      throw Failure(path + " is open in another process: --repair needs it closed");
    }
    std::cerr
        << "fdpstore: " << path
        << " is open in another process: what it changes meanwhile may be reported as damage\n";
  }
  found.options.read_only = !repair;
  const CheckReport report = check(found.options, repair);
  if (values->contains("json")) {
    std::cout << to_json(report) << '\n';
  } else {
    print(report, repair);
  }
  return report.clean() ? kExitOk : kExitFindings;
}

}  // namespace

const Command kFsck{
    .name = "fsck",
    .usage = "PATH [--repair] [--json]",
    .summary = "reads and checks every object of a closed store",
    .text =
        "Reads every record or file of the store in the directory PATH and compares it with its\n"
        "checksum. Without --repair nothing is changed. With it, what is damaged is taken out:\n"
        "its objects become misses, and LMCache stores them again when it makes them again.\n"
        "Objects that LMCache's fs wrote have no checksum, and are counted as such.\n",
    .examples =
        "  fdpstore fsck /mnt/kv\n"
        "  fdpstore fsck /mnt/kv --repair --json\n",
    .exit_codes = "0 nothing found; 1 findings, repaired or not; 2 it could not be checked.",
    .run = run_fsck,
};

}  // namespace fdpstore::cli
