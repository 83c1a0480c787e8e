#include "store/import_store.hpp"

#include <sys/stat.h>

#include <chrono>
#include <filesystem>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "format/layout.hpp"
#include "store/importer.hpp"
#include "store/option_rows.hpp"
#include "store/reports_json.hpp"
#include "store/store_view.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;

std::string describe(const StoreInfo& info) {
  return fmt::format("{} (layout {})", info.path, info.layout);
}

Result<void> check_closed(const FoundStore& found, const std::string& path) {
  const auto open = is_open_elsewhere(found);
  if (!open) return fail(open.error());
  if (!*open) return {};
  return fail(Errc::busy,
              fmt::format("{} is open in another process: import needs it closed, so that nothing "
                          "changes meanwhile; stop that process first",
                          path));
}

// For reading; for writing too where objects are to be removed.
Result<Options> source_options(FoundStore found, const ImportRequest& request) {
  if (auto closed = check_closed(found, request.source); !closed) return fail(closed.error());
  found.options.read_only = !request.remove;
  if (found.options.layout == Layout::object) {
    found.options.max_object_bytes = format::kMaxLengthBytes;
  }
  return found.options;
}

bool names_device(const std::string& path) {
  struct stat info{};
  if (path.starts_with("sim:")) return true;
  return ::stat(path.c_str(), &info) == 0 && !S_ISDIR(info.st_mode);
}

// What a store there has, with the options given over it.
Result<Options> destination_options(const ImportRequest& request,
                                    const std::optional<FoundStore>& found) {
  Options base;
  if (found) {
    base = found->options;
    base.read_only = false;
  } else if (names_device(request.destination)) {
    base.device_path = request.destination;
    base.layout = Layout::segment;
  } else {
    base.base_path = request.destination;
  }
  // The only copy is then the new one: it shall survive a power cut.
  if (request.remove) base.durability = Durability::device;
  auto options = parse_options_over(base, request.destination_options_json);
  if (!options) return options;
  if (options->base_path != base.base_path || options->device_path != base.device_path ||
      options->read_only) {
    return fail(Errc::invalid_option,
                fmt::format("base_path, device_path and read_only have no place here: {} is where "
                            "the objects go",
                            request.destination));
  }
  return options;
}

Result<ImportReport> transfer(Store& source, Store& destination, const Importer::Options& options,
                              const ImportProgress& progress) {
  const auto begin = std::chrono::steady_clock::now();
  ImportReport report;
  report.source = describe(source.status().info);
  report.destination = describe(destination.status().info);
  Importer importer(source, destination, options);
  if (auto surveyed = importer.survey(report); !surveyed) return fail(surveyed.error());
  if (progress && !progress(report)) {
    report.interrupted = true;
  } else if (auto copied = importer.run(report, progress); !copied) {
    return fail(copied.error());
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return report;
}

}  // namespace

Result<ImportReport> import_store(const ImportRequest& request, const ImportProgress& progress) {
  auto from = find_store(request.source, request.source_offset_bytes);
  if (!from) return fail(std::move(from.error()));
  std::optional<FoundStore> to;
  // Whatever else is there, opening it for writing says best what is wrong.
  if (auto found = find_store(request.destination)) to = std::move(*found);
  if (to && to->socket_name == from->socket_name) {
    return fail(Errc::invalid_argument,
                fmt::format("{} and {} are one store: name another destination", request.source,
                            request.destination));
  }
  if (to) {
    if (auto closed = check_closed(*to, request.destination); !closed) return fail(closed.error());
  }
  const auto reading = source_options(std::move(*from), request);
  if (!reading) return fail(reading.error());
  const auto writing = destination_options(request, to);
  if (!writing) return fail(writing.error());
  auto source = open_store(*reading);
  if (!source) return fail(std::move(source.error()));
  auto destination = open_store(*writing);
  if (!destination) return fail(std::move(destination.error()));
  const auto made = find_store(request.destination, writing->base_offset_bytes);
  auto report = transfer(**source, **destination,
                         {.verify = request.verify || request.remove,
                          .remove = request.remove,
                          .max_object_bytes = writing->max_object_bytes,
                          .segment_bytes = made ? made->options.segment_bytes : 0},
                         progress);
  auto written = (*destination)->close();
  auto read = (*source)->close();
  if (!report) return report;
  if (!written) return fail(std::move(written.error()));
  if (!read) return fail(std::move(read.error()));
  return report;
}

std::string to_json(const ImportReport& report) {
  json::array problems;
  for (const ImportProblem& problem : report.problems) {
    json::object one = to_object(problem.object);
    one["what"] = valid_utf8(problem.what);
    problems.push_back(std::move(one));
  }
  return json::serialize(json::object{
      {"complete", report.complete()},
      {"source", valid_utf8(report.source)},
      {"destination", valid_utf8(report.destination)},
      {"objects", report.objects},
      {"bytes", report.bytes},
      {"seen_objects", report.seen_objects},
      {"seen_bytes", report.seen_bytes},
      {"copied_objects", report.copied_objects},
      {"copied_bytes", report.copied_bytes},
      {"present_objects", report.present_objects},
      {"present_bytes", report.present_bytes},
      {"verified_objects", report.verified_objects},
      {"removed_objects", report.removed_objects},
      {"dropped_objects", report.dropped_objects},
      {"failed_objects", report.failed_objects},
      {"problems", std::move(problems)},
      {"interrupted", report.interrupted},
      {"seconds", report.seconds},
  });
}

}  // namespace fdpstore::store
