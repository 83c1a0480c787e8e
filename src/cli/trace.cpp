// fdpstore trace: looks at traces. fdpstore trace info: what one asks of a store.
#include <algorithm>
#include <iostream>
#include <numeric>
#include <optional>

#include <fmt/format.h>
#include <unistd.h>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "common/text.hpp"
#include "fdpstore/types.hpp"
#include "progress.hpp"
#include "store/option_rows.hpp"
#include "store/record_trace.hpp"
#include "text.hpp"
#include "trace/footprint.hpp"
#include "trace/footprint_json.hpp"
#include "trace/read.hpp"
#include "trace_text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kScopesShown = 16;
constexpr auto kInfoUsage =
    "info FILE [--object-bytes SIZE] [--chunk-tokens N] [--scopes] [--json]";
constexpr auto kRecordUsage = "record STORE FILE [--seconds N] [--json]";

std::string percent(double share) {
  return fmt::format("{:.1f} %", 100 * share);
}

std::string duration_text(double seconds) {
  return seconds < 10 ? fmt::format("{:.3f} s", seconds) : fmt::format("{:.0f} s", seconds);
}

std::string size_of(double bytes) {
  return size_text(static_cast<std::uint64_t>(bytes));
}

void print_lru(const trace::Footprint& footprint) {
  using enum Table::Align;
  Table table({{"CACHE", right}, {"CAPACITY", right}, {"HITS", right}, {"LEADING RUN", right}});
  for (const trace::CacheHits& one : footprint.lru) {
    table.add({fmt::format("{:.0f} %", 100 * one.share), size_text(one.bytes),
               percent(one.hits.tokens), percent(one.hits.leading)});
  }
  table.add({"unlimited", size_text(footprint.total.bytes), percent(footprint.unlimited.tokens),
             percent(footprint.unlimited.leading)});
  std::cout << "\nHits by tokens of a cache that drops what was used longest ago:\n";
  table.print(std::cout);
}

std::vector<std::string> cells(std::vector<std::string> names, const trace::Usage& usage) {
  names.insert(names.end(), {std::to_string(usage.operations), std::to_string(usage.uses),
                             std::to_string(usage.objects), size_text(usage.bytes),
                             percent(usage.once_share())});
  return names;
}

Table usage_table(std::vector<Table::Column> columns) {
  using enum Table::Align;
  columns.insert(columns.end(), {{"OPERATIONS", right},
                                 {"USES", right},
                                 {"OBJECTS", right},
                                 {"SIZE", right},
                                 {"USED ONCE", right}});
  return Table(std::move(columns));
}

void print_classes(const trace::Footprint& footprint) {
  if (footprint.classes.size() < 2) return;
  Table table = usage_table({{"CLASS"}});
  for (const auto& [name, usage] : footprint.classes) {
    table.add(cells({name.empty() ? "(none)" : name}, usage));
  }
  std::cout << '\n';
  table.print(std::cout);
}

void print_scopes(const trace::Trace& trace, const trace::Footprint& footprint, bool all) {
  if (trace.scopes.size() < 2) return;
  std::vector<std::size_t> order(trace.scopes.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (!all && order.size() > kScopesShown) {
    std::ranges::stable_sort(order, std::ranges::greater{},
                             [&](std::size_t i) { return footprint.scopes[i].bytes; });
    order.resize(kScopesShown);
  }
  Table table = usage_table({{"SALT"}, {"RANK", Table::Align::right}, {"MODEL"}});
  for (const std::size_t i : order) {
    const trace::Scope& scope = trace.scopes[i];
    table.add(cells({scope.cache_salt.empty() ? "-" : scope.cache_salt,
                     std::to_string(rank_of(scope.kv_rank)), scope.model_name},
                    footprint.scopes[i]));
  }
  std::cout << '\n';
  table.print(std::cout);
  if (order.size() < trace.scopes.size()) {
    std::cout << fmt::format("… the largest {} of {}; --scopes shows all\n", order.size(),
                             trace.scopes.size());
  }
}

std::uint64_t size_option(const po::variables_map& values, const char* name) {
  if (!values.contains(name)) return 0;
  const auto size = store::parse_size(values[name].as<std::string>());
  if (!size) throw Failure(fmt::format("trace: --{}: {}", name, size.error().what));
  if (*size == 0 || *size > std::uint64_t{1} << 40) {
    throw Failure(fmt::format("trace: --{}: from 1 byte to 1 TiB is possible", name));
  }
  return *size;
}

std::uint32_t tokens_option(const po::variables_map& values, const char* name) {
  constexpr std::int64_t kMost = 1 << 24;
  if (!values.contains(name)) return 0;
  const auto tokens = values[name].as<std::int64_t>();
  if (tokens < 1 || tokens > kMost) {
    throw Failure(fmt::format("trace: --{}: from 1 to {} is possible", name, kMost));
  }
  return static_cast<std::uint32_t>(tokens);
}

int run_trace_info(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  visible.add_options()("object-bytes", po::value<std::string>()->value_name("SIZE"),
                        "of each object (default: the recipe's; JSONL: the line's, else 1MiB)")(
      "bytes-per-token", po::value<std::string>()->value_name("SIZE"),
      "JSONL: gives the size of an object by its tokens (Llama-3-8B, bf16: 128KiB)")(
      "key-tokens", po::value<std::int64_t>()->value_name("N"),
      "JSONL: tokens of one hash id (default the line's, else 512)")(
      "chunk-tokens", po::value<std::int64_t>()->value_name("N"),
      "JSONL: splits each id into objects of so many tokens (LMCache: 256)")(
      "scopes", "show every tenant and rank, however many there are")("json",
                                                                      "print one JSON object");
  const auto values = read_arguments(command, arguments, visible, {"file"});
  if (!values) return kExitOk;
  if (!values->contains("file")) {
    throw Failure(fmt::format("trace: FILE is missing; usage: fdpstore trace {}", kInfoUsage));
  }
  const auto trace =
      value_of(trace::open_trace((*values)["file"].as<std::string>(),
                                 {.object_bytes = size_option(*values, "object-bytes"),
                                  .bytes_per_token = size_option(*values, "bytes-per-token"),
                                  .key_tokens = tokens_option(*values, "key-tokens"),
                                  .chunk_tokens = tokens_option(*values, "chunk-tokens")}));
  const trace::Footprint footprint = trace::analyse(trace);
  if (values->contains("json")) {
    std::cout << boost::json::serialize(trace::to_object(trace, footprint)) << '\n';
    return kExitOk;
  }
  print_summary(trace, footprint);
  print_lru(footprint);
  print_classes(footprint);
  print_scopes(trace, footprint, values->contains("scopes"));
  return kExitOk;
}

void print(const store::RecordReport& report, const std::string& file) {
  std::cout << fmt::format("{} calls in {:.1f} s, {} in {}\n", report.calls, report.seconds,
                           size_text(report.bytes), printable(file));
  if (report.lost_calls > 0) {
    std::cout << fmt::format(
        "note: {} calls came faster than they could be taken, and are missing\n",
        report.lost_calls);
  }
  if (report.store_closed) std::cout << "note: it ended because the store was closed\n";
}

int run_trace_record(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  double seconds = 0;
  visible.add_options()("seconds", po::value(&seconds)->value_name("N"),
                        "end after so long (default: when Ctrl-C is pressed)")(
      "json", "print one JSON object");
  const auto values = read_arguments(command, arguments, visible, {"store", "file"});
  if (!values) return kExitOk;
  if (!values->contains("file")) {
    throw Failure(fmt::format("trace: {} is missing; usage: fdpstore trace {}",
                              values->contains("store") ? "FILE" : "STORE", kRecordUsage));
  }
  if (values->contains("seconds") && !(seconds > 0)) {
    throw Failure("trace: --seconds: more than 0 is possible");
  }
  const StopOnSignal stop;
  const bool terminal = is_terminal(STDERR_FILENO);
  const auto file = (*values)["file"].as<std::string>();
  const auto report = value_of(store::record_trace(
      (*values)["store"].as<std::string>(), file, [&](const store::RecordReport& so_far) {
        if (terminal) {
          std::cerr << fmt::format("\r{} calls, {}\033[K", so_far.calls, size_text(so_far.bytes))
                    << std::flush;
        }
        return !StopOnSignal::wanted() && (seconds == 0 || so_far.seconds < seconds);
      }));
  if (terminal) std::cerr << "\r\033[K";
  if (values->contains("json")) {
    std::cout << to_json(report) << '\n';
  } else {
    print(report, file);
  }
  return kExitOk;
}

int run_trace(const Command& command, const Arguments& arguments) {
  if (!arguments.empty() && arguments.front() == "record") {
    return run_trace_record(command, {arguments.begin() + 1, arguments.end()});
  }
  if (!arguments.empty() && arguments.front() == "info") {
    return run_trace_info(command, {arguments.begin() + 1, arguments.end()});
  }
  if (!arguments.empty() && (arguments.front() == "--help" || arguments.front() == "-h")) {
    return run_trace_info(command, {"--help"});  // one text explains both
  }
  throw Failure(fmt::format("trace: {}; usage: fdpstore trace {}",
                            arguments.empty() ? "info or record is missing"
                                              : printable(arguments.front()) + " is not known",
                            command.usage));
}

}  // namespace

void print_summary(const trace::Trace& trace, const trace::Footprint& footprint) {
  Facts facts;
  facts.add("Trace", trace.name);
  facts.add("Made by", trace.origin);
  std::string kinds;
  for (std::size_t i = 0; i < trace::kOpKinds; ++i) {
    if (footprint.operations[i] == 0) continue;
    kinds += fmt::format("{}{} {}{}", kinds.empty() ? "" : ", ", footprint.operations[i],
                         to_string(static_cast<trace::OpKind>(i)),
                         footprint.operations[i] == 1 ? "" : "s");
  }
  facts.add("Operations", fmt::format("{} in {}, in {} scope{} (tenant, model and rank)", kinds,
                                      duration_text(footprint.duration_s), trace.scopes.size(),
                                      trace.scopes.size() == 1 ? "" : "s"));
  const trace::Usage& total = footprint.total;
  facts.add("Objects", fmt::format("{} of {}, used {} times ({}); {} of them once", total.objects,
                                   size_text(total.bytes), total.uses, size_text(total.used_bytes),
                                   percent(total.once_share())));
  if (footprint.reuses > 0) {
    const auto &bytes = footprint.reuse_bytes, &time = footprint.reuse_s;
    facts.add("Used again",
              fmt::format("half within {}, 90 % within {}, 99 % within {}", duration_text(time.p50),
                          duration_text(time.p90), duration_text(time.p99)));
    facts.add("", fmt::format("and half within {} of other objects, 90 % within {}, 99 % within {}",
                              size_of(bytes.p50), size_of(bytes.p90), size_of(bytes.p99)));
  }
  for (const std::string& note : trace.notes) facts.add("Note", note);
  facts.print(std::cout);
}

const Command kTrace{
    .name = "trace",
    .usage = "info FILE […] | record STORE FILE [--seconds N] [--json]",
    .summary = "looks at traces, and records what a live store is asked",
    .text =
        "info says what the trace in FILE asks of a store: how many objects there are, how often "
        "and\n"
        "how soon they are used again, and which share of the tokens asked for an LRU cache of\n"
        "a given size would have: all of them that are there, and those of the leading run,\n"
        "which are all that a serving engine can take. FILE is Mooncake JSONL (one request a\n"
        "line: timestamp, hash_ids), a recording of LMCache (lmcache server --trace-level\n"
        "storage --trace-output FILE), or gen:RECIPE[,parameter=value…] for a trace made to\n"
        "order, as `fdpstore gen-trace` writes it.\n\n"
        "record writes what the store in STORE is asked from now on (stores, lookups, loads,\n"
        "unlocks, deletes: keys and sizes, no payload) into FILE, until --seconds have passed,\n"
        "Ctrl-C is pressed, or the store is closed. Another process (LMCache) must have the\n"
        "store open, and hardly notices: what comes too fast is left out, counted and told.\n"
        "FILE is a recording as LMCache makes them: `trace info`, `compare --trace FILE` and\n"
        "`lmcache trace info` read it. What was in the store before is not in it, so that a\n"
        "recording for `compare` had better begin with an empty store, or last for long.\n"
        "FILE names models, tenants and chunks; only its owner may read it (0600).\n",
    .examples =
        "  fdpstore trace info mooncake_conversation.jsonl --chunk-tokens 256\n"
        "  fdpstore trace info gen:coding_agent,tenants=8\n"
        "  fdpstore trace info t.lct --json | jq '.hit_ratio_lru'\n"
        "  fdpstore trace record /mnt/kv live.lct --seconds 3600\n"
        "  fdpstore compare --trace live.lct\n",
    .exit_codes = "0; 2 when FILE is no trace or cannot be read, or nothing can be recorded.",
    .run = run_trace,
};

}  // namespace fdpstore::cli
