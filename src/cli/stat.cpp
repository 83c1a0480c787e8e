// fdpstore stat: what is in a store, and where it was placed.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>

#include <fmt/format.h>

#include "command.hpp"
#include "common/text.hpp"
#include "fdpstore/types.hpp"
#include "stat_watch.hpp"
#include "store/metrics.hpp"
#include "store/store_view.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace json = boost::json;
namespace po = boost::program_options;

constexpr std::size_t kSegmentsShown = 32;

std::string text(const json::object& object, const char* field) {
  return std::string(object.at(field).as_string());
}
std::string size(const json::object& object, const char* field) {
  return size_text(number(object, field));
}

std::string percent(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "";
  return fmt::format(" ({:.1f} %)", 100 * static_cast<double>(part) / static_cast<double>(whole));
}

void print_placement(Facts& facts, const json::object& status, bool live) {
  const json::object& placement = status.at("placement").as_object();
  const std::string asked = fmt::format("write_mode = {}, placement = {}, policy {}, durability {}",
                                        text(placement, "asked"), text(placement, "strictness"),
                                        text(status, "policy"), text(status, "durability"));
  if (live) {
    facts.add("Placement asked", asked);
  } else {
    facts.add("Placement asked", "not on disk; below: what " + asked + " would give");
  }
  facts.add("Effective",
            fmt::format("{} ({}), {} the device", text(placement, "effective"),
                        text(placement, "mechanism"),
                        placement.at("reaches_device").as_bool() ? "reaches" : "does not reach"));
  facts.add("", text(placement, "reason"));
}

void print_since_open(Facts& facts, const json::object& status) {
  const auto keys = number(status, "lookup_keys"), hits = number(status, "lookup_hits");
  facts.add("Since open",
            fmt::format("stored {} ({}), loaded {} ({}), {} of {} keys looked up "
                        "were hits{}",
                        number(status, "stored_objects"), size(status, "stored_bytes"),
                        number(status, "loaded_objects"), size(status, "loaded_bytes"), hits, keys,
                        percent(hits, keys)));
  facts.add("", fmt::format("deleted {}, reclaimed {}, re-inserted {} ({}), damaged {}, failed "
                            "stores {}, failed loads {}",
                            number(status, "deleted_objects"), number(status, "reclaimed_objects"),
                            number(status, "reinserted_objects"), size(status, "reinserted_bytes"),
                            number(status, "damaged_objects"), number(status, "failed_puts"),
                            number(status, "failed_gets")));
  const auto stored = number(status, "stored_bytes");
  const auto written = number(status, "host_written_bytes");
  if (stored > 0) {
    facts.add("Host WA", fmt::format("{:.3f}: {} written for what was stored",
                                     static_cast<double>(written) / static_cast<double>(stored),
                                     size_text(written)));
  }
  if (!status.at("device_waf").is_null()) {
    facts.add("Device WA",
              fmt::format("{:.3f}: by its own count {} of media for {} from hosts, all of its "
                          "endurance group",
                          status.at("device_waf").to_number<double>(),
                          size(status, "device_media_bytes"), size(status, "device_host_bytes")));
  } else if (status.at("device_host_bytes").is_null()) {
    facts.add("Device WA", "not known: " + text(status, "device_reason"));
  }
}

void print_facts(const json::object& status) {
  const bool live = status.at("answered_by_owner").as_bool();
  Facts facts;
  facts.add("Store", text(status, "path"));
  facts.add("State", live ? "open in another process, which was asked"
                          : "not open elsewhere, read from disk");
  facts.add("Layout",
            text(status, "layout") +
                (status.at("direct_io").as_bool() ? ", O_DIRECT" : ", through the page cache"));
  if (const auto uuid = text(status, "store_uuid"); !uuid.empty()) facts.add("UUID", uuid);
  facts.add("Health", status.at("healthy").as_bool() ? "good" : text(status, "unhealthy_reason"));
  print_placement(facts, status, live);
  const auto capacity = number(status, "capacity_bytes");
  const auto allocated = number(status, "allocated_bytes");
  facts.add("On disk", capacity == 0
                           ? size_text(allocated) + ", no bound"
                           : fmt::format("{} of {}{}", size_text(allocated), size_text(capacity),
                                         percent(allocated, capacity)));
  facts.add("Objects", fmt::format("{}, {}; {} locked", number(status, "live_objects"),
                                   size(status, "live_bytes"), number(status, "locked_objects")));
  if (live) print_since_open(facts, status);
  for (const json::value& warning : status.at("warnings").as_array()) {
    facts.add("Note", std::string(warning.as_string()));
  }
  facts.print(std::cout);
}

void print_tenants(const json::object& status) {
  struct Usage {
    std::uint64_t salts = 0, objects = 0, bytes = 0;
  };
  std::map<std::string, Usage, std::less<>> tenants;
  for (const json::value& one : status.at("salts").as_array()) {
    const json::object& salt = one.as_object();
    Usage& usage = tenants[std::string(tenant_of(salt.at("cache_salt").as_string()))];
    ++usage.salts;
    usage.objects += number(salt, "objects");
    usage.bytes += number(salt, "bytes");
  }
  using enum Table::Align;
  Table table({{"TENANT"}, {"SALTS", right}, {"OBJECTS", right}, {"SIZE", right}});
  for (const auto& [tenant, usage] : tenants) {
    table.add({tenant.empty() ? "(none)" : tenant, std::to_string(usage.salts),
               std::to_string(usage.objects), size_text(usage.bytes)});
  }
  if (table.empty()) return;
  std::cout << '\n';
  table.print(std::cout);
}

void print_streams(const json::object& status) {
  using enum Table::Align;
  Table table({{"STREAM"},
               {"LIFETIME"},
               {"HANDLE", right},
               {"OBJECTS", right},
               {"SIZE", right},
               {"WRITTEN", right},
               {"NOTE"}});
  for (const json::value& one : status.at("streams").as_array()) {
    const json::object& stream = one.as_object();
    table.add({text(stream, "name"), text(stream, "lifetime"),
               std::to_string(number(stream, "handle")), std::to_string(number(stream, "objects")),
               size(stream, "bytes"), size(stream, "written_bytes"), text(stream, "note")});
  }
  if (table.empty()) return;
  std::cout << '\n';
  table.print(std::cout);
}

void print_segments(const json::object& status, bool all) {
  using enum Table::Align;
  const json::array& segments = status.at("segments").as_array();
  if (segments.empty()) return;
  std::map<std::string, std::uint64_t, std::less<>> states;
  Table table({{"SEGMENT", right},
               {"STATE"},
               {"STREAM"},
               {"ON DISK", right},
               {"USED", right},
               {"LIVE", right},
               {"OBJECTS", right}});
  std::size_t shown = 0;
  for (const json::value& one : segments) {
    const json::object& segment = one.as_object();
    ++states[text(segment, "state")];
    if (!all && ++shown > kSegmentsShown) continue;
    const std::string stream = text(segment, "stream");
    table.add({std::to_string(number(segment, "id")), text(segment, "state"),
               stream.empty() ? "-" : stream, size(segment, "allocated_bytes"),
               size(segment, "used_bytes"), size(segment, "live_bytes"),
               std::to_string(number(segment, "objects"))});
  }
  std::cout << "\nSegments: " << segments.size();
  for (const auto& [state, count] : states) std::cout << ", " << count << ' ' << state;
  std::cout << '\n';
  table.print(std::cout);
  if (!all && segments.size() > kSegmentsShown) {
    std::cout << fmt::format("… and {} more; --segments shows all\n",
                             segments.size() - kSegmentsShown);
  }
}

// "--watch 5" is "--watch=5": a value that may be left out must stick to its name.
Arguments with_watch_value(Arguments arguments) {
  const auto watch = std::ranges::find(arguments, "--watch");
  if (watch == arguments.end() || watch + 1 == arguments.end()) return arguments;
  const std::string& next = *(watch + 1);
  if (next.empty() || next.find_first_not_of("0123456789.") != std::string::npos) return arguments;
  *watch += "=" + next;
  arguments.erase(watch + 1);
  return arguments;
}

int watch(const po::variables_map& values, const std::string& policy) {
  constexpr double kLeastSeconds = 0.05, kMostSeconds = 86400;
  const auto seconds = values["watch"].as<double>();
  if (!(seconds >= kLeastSeconds && seconds <= kMostSeconds)) {
    throw Failure(fmt::format("stat: --watch: from {} to {} seconds are possible", kLeastSeconds,
                              kMostSeconds));
  }
  if (values.contains("segments") || values.contains("prometheus")) {
    throw Failure("stat: --watch shows rates: leave --segments and --prometheus out");
  }
  return watch_store({.path = values["path"].as<std::string>(),
                      .policy = policy,
                      .seconds = seconds,
                      .count = values.contains("count") ? values["count"].as<std::uint64_t>() : 0,
                      .json = values.contains("json")});
}

int run_stat(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  std::string policy;
  visible.add_options()("segments", "show every segment, however many there are")(
      "policy", po::value(&policy)->value_name("NAME"),
      "names the streams of a store that is not open (default: lifetime)")(
      "watch", po::value<double>()->value_name("[SECONDS]")->implicit_value(1),
      "show rates, a line every SECONDS (default 1), until Ctrl-C; a store that is not open is "
      "waited for")("count", po::value<std::uint64_t>()->value_name("N"),
                    "with --watch: end after N lines")("prometheus",
                                                       "print metrics as Prometheus reads them")(
      "json", "print one JSON object, with all segments; with --watch one a line");
  const auto values = read_path_arguments(command, with_watch_value(arguments), visible);
  if (!values) return kExitOk;
  if (values->contains("watch")) return watch(*values, policy);
  if (values->contains("count")) throw Failure("stat: --count goes with --watch");
  auto view = value_of(store::StoreView::open((*values)["path"].as<std::string>(), policy));
  const std::string report = value_of(view.status());
  if (values->contains("json")) {
    std::cout << report << '\n';
    return kExitOk;
  }
  const json::value status = parse_report(report);
  if (values->contains("prometheus")) {
    std::cout << store::to_prometheus(status.as_object());
    return kExitOk;
  }
  print_facts(status.as_object());
  print_tenants(status.as_object());
  print_streams(status.as_object());
  print_segments(status.as_object(), values->contains("segments"));
  return kExitOk;
}

}  // namespace

const Command kStat{
    .name = "stat",
    .usage = "PATH [--watch [SECONDS]] [--segments] [--prometheus] [--json]",
    .summary = "usage by tenant, stream and segment; placement asked for and effective",
    .text =
        "Shows what the store in the directory PATH holds, by tenant (the cache salt up to\n"
        "\":\"), stream and segment, and both what placement was asked for and what is\n"
        "effective. A store that another process has open is asked, which also tells what\n"
        "happened since it was opened; a closed one is read from disk, and nothing is changed.\n"
        "--watch shows what happens in a store that another process has open: stores, loads and\n"
        "lookups per second, hits, what reclaim dropped, bytes written for a byte stored (host\n"
        "WA) and, where the device counts, media bytes for a byte written (device WA).\n",
    .examples =
        "  fdpstore stat /mnt/kv\n"
        "  fdpstore stat --watch 5 /mnt/kv\n"
        "  fdpstore stat /mnt/kv --prometheus > /var/lib/node_exporter/fdpstore.prom\n"
        "  fdpstore stat /mnt/kv --json | jq '.streams[] | {name, bytes}'\n",
    .exit_codes = "0; 2 when PATH is no store or cannot be read.",
    .run = run_stat,
};

}  // namespace fdpstore::cli
