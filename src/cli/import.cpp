// fdpstore import: moves the objects of one store into another.
#include <iostream>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "common/text.hpp"
#include "option_flags.hpp"
#include "progress.hpp"
#include "store/import_store.hpp"
#include "store/option_rows.hpp"
#include "store/reports_json.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

constexpr int kExitInterrupted = 130;  // as a shell has it for SIGINT

store::ImportReport import(const store::ImportRequest& request) {
  const StopOnSignal stop;
  Progress bar;
  return value_of(store::import_store(request, [&](const store::ImportReport& so_far) {
    bar.show(so_far.seen_bytes, so_far.bytes,
             so_far.present_objects > 0
                 ? fmt::format(", {} of it there before", size_text(so_far.present_bytes))
                 : "");
    return !StopOnSignal::wanted();
  }));
}

void print(const store::ImportReport& report) {
  Facts facts;
  facts.add("From", report.source);
  facts.add("To", report.destination);
  facts.add("Copied", fmt::format("{} of {} objects, {}, in {:.1f} s", report.copied_objects,
                                  report.objects, size_text(report.copied_bytes), report.seconds));
  facts.add("There before",
            fmt::format("{}, {}", report.present_objects, size_text(report.present_bytes)));
  if (report.verified_objects > 0) {
    facts.add("Verified", fmt::format("{} read back, and the same", report.verified_objects));
  }
  if (report.removed_objects > 0) {
    facts.add("Removed", fmt::format("{} from the source", report.removed_objects));
  }
  if (report.dropped_objects > 0) {
    facts.add("Dropped", fmt::format("{} by the destination, to make room: give it more capacity",
                                     report.dropped_objects));
  }
  if (report.failed_objects > 0) facts.add("Failed", std::to_string(report.failed_objects));
  facts.print(std::cout);
  for (const store::ImportProblem& problem : report.problems) {
    std::cout << printable(boost::json::serialize(store::to_object(problem.object))) << ": "
              << printable(problem.what) << '\n';
  }
}

int run_import(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  std::string source_offset;
  visible.add_options()("verify",
                        "read every object back from DST and compare, those that were there "
                        "before, too")(
      "remove", "verify, and remove from SRC what DST then has (default: keep it)")(
      "source-offset", po::value(&source_offset)->value_name("SIZE"),
      "where the store begins, when SRC is a device (default 0)")("json", "print one JSON object");
  const auto values = read_option_arguments(command, arguments, visible, {"source", "destination"});
  if (!values) return kExitOk;
  if (!values->contains("destination")) {
    throw Failure(fmt::format("import: {} is missing; usage: fdpstore import {}",
                              values->contains("source") ? "DST" : "SRC", command.usage));
  }
  store::ImportRequest request{.source = (*values)["source"].as<std::string>(),
                               .destination = (*values)["destination"].as<std::string>(),
                               .verify = values->contains("verify"),
                               .remove = values->contains("remove")};
  if (!source_offset.empty()) {
    request.source_offset_bytes = value_of(store::parse_size(source_offset));
  }
  const auto given = given_options(*values);
  request.destination_options_json = boost::json::serialize(given);
  print_option_notes(given);
  const store::ImportReport report = import(request);
  if (values->contains("json")) {
    std::cout << to_json(report) << '\n';
  } else {
    print(report);
  }
  if (report.interrupted) {
    std::cerr << "fdpstore: interrupted after " << report.seen_objects << " of " << report.objects
              << " objects; the same command goes on from there\n";
    return kExitInterrupted;
  }
  return report.complete() ? kExitOk : kExitFindings;
}

}  // namespace

const Command kImport{
    .name = "import",
    .usage = "SRC DST [--verify] [--remove] [options of the store in DST]",
    .summary = "moves objects between stores, layouts, media; takes over a directory of fs",
    .text =
        "Copies the objects of the store SRC into the store DST. Each is a directory, a device,\n"
        "or a file standing for one; SRC may be a directory that LMCache's fs or fs_native wrote.\n"
        "DST is made when it is new, with the options given. What DST has already is skipped, so\n"
        "that an import that was interrupted or killed goes on when it is started again. A load\n"
        "from SRC checks checksums where there are any; --verify reads back from DST as well.\n"
        "Both stores must be closed, and DST must have room for all: else nothing is copied.\n"
        "With --remove, an object leaves SRC when DST has given it back, and DST is opened with\n"
        "durability = device unless said otherwise. The space of removed objects is free at once\n"
        "where each is a file; segments keep it for what comes, until their store is removed.\n",
    .examples =
        "  fdpstore import /mnt/lmcache-fs /mnt/kv --layout segment --capacity-gb 500\n"
        "  fdpstore import /mnt/kv /dev/ng0n1 --verify\n"
        "  fdpstore import /mnt/kv /mnt/plain-files --layout object --remove --json\n",
    .exit_codes =
        "0 DST has everything; 1 some objects could not be copied, or were dropped; 2 it\n"
        "could not be done; 130 interrupted.",
    .run = run_import,
};

}  // namespace fdpstore::cli
