// fdpstore compare: which policy, on this trace and drive, at what cost.
#include <sys/utsname.h>
#include <unistd.h>

#include <atomic>
#include <charconv>
#include <csignal>
#include <ctime>
#include <deque>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>
#include <boost/filesystem/path.hpp>

#include "command.hpp"
#include "compare/plan.hpp"
#include "compare/report_html.hpp"
#include "compare/run.hpp"
#include "compare/summary_json.hpp"
#include "compare/table.hpp"
#include "compare/text.hpp"
#include "store/option_rows.hpp"
#include "text.hpp"
#include "trace/read.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;
namespace fs = boost::filesystem;

std::atomic<bool> g_stop{false};

void stop(int /*signal*/) {
  g_stop = true;
  std::signal(SIGINT, SIG_DFL);  // the second one ends it at once
}

std::vector<std::string> list_of(const std::string& text) {
  std::vector<std::string> items;
  std::stringstream stream(text);
  for (std::string item; std::getline(stream, item, ',');) {
    if (!item.empty()) items.push_back(item);
  }
  return items;
}

double number_of(const std::string& text, const char* option) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size()) return value;
  throw Failure(fmt::format("compare: --{}: '{}' is no number", option, printable(text)));
}

std::vector<double> numbers_of(const std::string& text, const char* option) {
  std::vector<double> numbers;
  for (const std::string& item : list_of(text)) numbers.push_back(number_of(item, option));
  return numbers;
}

void add_options(po::options_description& visible) {
  const auto text = [](const char* name, const char* fallback) {
    auto* value = po::value<std::string>()->value_name(name);
    return *fallback == '\0' ? value : value->default_value(fallback);
  };
  visible.add_options()(
      "trace", po::value<std::vector<std::string>>()->composing()->value_name("TRACE"),
      "a file, or gen:RECIPE[,parameter=value,...] (fdpstore gen-trace --help), or several of them "
      "with ';' between, for a load that changes; may be "
      "repeated. Default: chat, rag, and both mixes of nine workers")(
      "object-bytes", text("SIZE", ""), "of each object (default: the recipe's, of a file 1MiB)")(
      "policy", text("LIST", "lifetime,separated,tenant"),
      "policies by name or path (fdpstore policies)")(
      "mode", text("LIST", "no_fdp,mixed,separated"),
      "no_fdp: one stream for all; mixed: one placement id; separated: as the policy says")(
      "capacity", text("LIST", "10%,30%"),
      "of the drive: share of the trace's unique bytes, or a size")(
      "ru", text("LIST", "1/128"), "reclaim unit: share of the capacity, or a size")(
      "ruhs", text("N", "8"), "reclaim unit handles")("op", text("LIST", "7"),
                                                      "spare space of the drive, per cent")(
      "utilisation", text("LIST", "1"), "share of the drive that the store has")(
      "neighbour", text("SHARE", "0"),
      "share of the drive that somebody else overwrites at random, as fast as the store writes")(
      "device", text("DEVICE", "sim:"),
      "sim:[key=value,...] (map, gc, isolation, dies and others), a directory, or a device")(
      "destroy", "the device's content may go")("no-baselines",
                                                "leave out slot stores and object-level LRU")(
      "oracle", "add a policy that knows the future")("quick",
                                                      "a first look, in less than a minute")(
      "jobs", text("N", ""),
      "cells at a time (default: half of the processors; 1 on a real device)")(
      "max-passes", text("N", "64"), "give a cell up that is not steady by then")(
      "out", text("DIR", "fdpstore-compare"), "where report.html and the summaries go")(
      "json", "print the comparison as JSON instead of a table");
}

std::optional<po::variables_map> read_compare(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  add_options(visible);
  return read_arguments(command, arguments, visible, {});
}

std::string get(const po::variables_map& values, const char* name) {
  return values[name].as<std::string>();
}

compare::Wanted wanted_of(const po::variables_map& values) {
  compare::Wanted wanted;
  wanted.policies = list_of(get(values, "policy"));
  wanted.modes = list_of(get(values, "mode"));
  wanted.capacities = list_of(get(values, "capacity"));
  wanted.units = list_of(get(values, "ru"));
  wanted.spares = numbers_of(get(values, "op"), "op");
  wanted.utilisations = numbers_of(get(values, "utilisation"), "utilisation");
  wanted.ruhs = static_cast<std::uint32_t>(number_of(get(values, "ruhs"), "ruhs"));
  wanted.neighbour_share = number_of(get(values, "neighbour"), "neighbour");
  if (wanted.neighbour_share < 0 || wanted.neighbour_share > 0.5) {
    throw Failure("compare: --neighbour: from 0 to 0.5 of the drive is possible");
  }
  wanted.baselines = !values.contains("no-baselines");
  wanted.oracle = values.contains("oracle");
  wanted.device = get(values, "device");
  wanted.may_destroy = values.contains("destroy");
  if (values.contains("quick")) {
    if (values["policy"].defaulted()) wanted.policies = {"lifetime", "separated"};
    if (values["mode"].defaulted()) wanted.modes = {"no_fdp", "separated"};
    if (values["capacity"].defaulted()) wanted.capacities = {"10%"};
  }
  return wanted;
}

std::vector<std::string> specs_of(const po::variables_map& values) {
  if (values.contains("trace")) return values["trace"].as<std::vector<std::string>>();
  if (values.contains("quick")) return {"gen:chat,requests=3000", "gen:mix-rawblock,scale=0.1"};
  return {"gen:chat", "gen:rag", "gen:mix-rawblock,scale=0.1", "gen:mix-agentic,scale=0.1"};
}

std::string command_line(const Arguments& arguments) {
  std::string line = "fdpstore compare";
  for (const std::string& argument : arguments) {
    const bool plain = argument.find_first_of(" '\"$`\\!*?;&|<>()~#") == std::string::npos;
    line += plain ? " " + argument : " '" + argument + "'";
  }
  return line;
}

std::string machine() {
  utsname name{};
  if (::uname(&name) != 0) return {};
  return fmt::format("{} {}, {} processors", name.sysname, name.release,
                     std::thread::hardware_concurrency());
}

std::string today() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
}

// One line that is written over on a terminal; else a line for each cell that ends.
void show(const compare::RunState& state) {
  static const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const std::string setting = " · " + compare::setting_text(*state.cell);
  std::string line =
      fmt::format("[{}/{}] {}", state.done, state.total, compare::cell_label(*state.cell));
  if (state.ended == nullptr) {
    if (!terminal) return;
    line += fmt::format(", pass {} at {:.0f} %, {:.1f} capacities written", state.progress.pass,
                        100 * state.progress.pass_share, state.progress.capacities);
    if (state.progress.dlwa > 0) line += fmt::format(", DLWA {:.3f}", state.progress.dlwa);
    std::cerr << '\r' << compare::shortened(line + setting, 100) << "\x1b[K" << std::flush;
    return;
  }
  if (!state.ended->error.empty()) {
    line += ": failed: " + compare::printable(state.ended->error);
  } else {
    line += fmt::format(": hit ratio {} %", compare::percent_text(state.ended->hit_ratio));
    if (state.ended->total_wa) line += fmt::format(", total WA {:.3f}", *state.ended->total_wa);
    line += fmt::format(" ({:.0f} s)", state.ended->wall_s);
  }
  std::cerr << (terminal ? "\r" : "") << line << setting << (terminal ? "\x1b[K" : "") << '\n'
            << std::flush;
}

void write_file(const fs::path& path, const std::string& text) {
  boost::system::error_code error;
  fs::create_directories(path.parent_path(), error);
  std::ofstream out(path.string(), std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) {
    throw Failure(fmt::format("compare: {} cannot be written; give --out a directory that can",
                              path.string()));
  }
}

void write_files(const fs::path& directory, const compare::Comparison& comparison) {
  for (const compare::Result& result : comparison.results) {
    write_file(directory / compare::run_id(result.cell) / "summary.json",
               compare::summary_json(comparison, result));
  }
  write_file(directory / "comparison.json", compare::comparison_json(comparison));
  write_file(directory / "report.html", compare::report_html(comparison));
}

std::uint32_t jobs_of(const po::variables_map& values, const compare::Wanted& wanted) {
  if (values.contains("jobs")) {
    const double jobs = number_of(get(values, "jobs"), "jobs");
    if (jobs < 1 || jobs > 256) throw Failure("compare: --jobs: from 1 to 256 is possible");
    return static_cast<std::uint32_t>(jobs);
  }
  if (!wanted.device.starts_with("sim:")) return 1;
  // A cell keeps its replay and its store's engine busy, by turns.
  return std::max(2U, std::thread::hardware_concurrency() / 2);
}

int run_compare(const Command& command, const Arguments& arguments) {
  const auto values = read_compare(command, arguments);
  if (!values) return kExitOk;
  const compare::Wanted wanted = wanted_of(*values);
  compare::RunOptions options;
  options.jobs = jobs_of(*values, wanted);
  options.progress = show;
  options.replay.stop = &g_stop;
  options.replay.max_passes =
      static_cast<std::uint32_t>(number_of(get(*values, "max-passes"), "max-passes"));
  trace::ReadOptions reading;
  if (values->contains("object-bytes")) {
    reading.object_bytes = value_of(store::parse_size(get(*values, "object-bytes")));
  }
  const fs::path out = get(*values, "out");
  write_file(out / ".writable", "");
  fs::remove(out / ".writable");

  std::deque<trace::Trace> traces;
  std::deque<compare::PreparedTrace> prepared;
  std::vector<compare::Job> jobs;
  compare::Comparison comparison;
  for (const std::string& spec : specs_of(*values)) {
    std::cerr << "Reading " << printable(spec) << " …" << '\n' << std::flush;
    traces.push_back(value_of(trace::open_trace(spec, reading)));
    prepared.push_back(compare::prepare(traces.back()));
    comparison.traces.push_back(prepared.back().facts);
    for (compare::Cell& cell : value_of(compare::plan(wanted, prepared.back()))) {
      jobs.push_back({std::move(cell), &prepared.back()});
    }
  }
  std::signal(SIGINT, stop);
  std::signal(SIGTERM, stop);
  comparison.command = command_line(arguments);
  comparison.version = FDPSTORE_VERSION;
  comparison.machine = machine();
  comparison.date = today();
  comparison.results = compare::run_cells(jobs, options);
  comparison.interrupted = comparison.results.size() < jobs.size();
  write_files(out, comparison);
  if (values->contains("json")) {
    std::cout << compare::comparison_json(comparison) << '\n';
  } else {
    std::cout << compare::table(comparison) << "\nReport: " << (out / "report.html").string()
              << "\n";
  }
  const bool failed = std::ranges::any_of(
      comparison.results, [](const compare::Result& result) { return !result.error.empty(); });
  return failed || comparison.interrupted ? kExitError : kExitOk;
}

}  // namespace

const Command kCompare{
    .name = "compare",
    .usage = "[--trace TRACE]… [--policy LIST] [--capacity LIST] [--device DEVICE] [options]",
    .summary = "which placement policy costs how much, on this trace and drive",
    .text =
        "Replays traces against the real store under several policies, and against models of\n"
        "what else there is: LMCache's raw_block (fixed slots; with placement ids by tenant) and\n"
        "object-level LRU, which says what hit ratio the bytes could give. By default on a\n"
        "simulated SSD with FDP, so on any machine. Each cell runs pass after pass, until the\n"
        "drive is in steady state: 4 times its capacity written, and write amplification the\n"
        "same from pass to pass. Prints a table with advice, and writes report.html, one\n"
        "summary.json per cell and comparison.json. Ctrl-C ends it and keeps what is finished.\n"
        "\n"
        "On a real drive DLWA comes from its FDP statistics log (null where there is none), and\n"
        "latency is wall time.\n",
    .examples =
        "  fdpstore compare --quick\n"
        "  fdpstore compare --trace mooncake.jsonl --capacity 5%,20% --ru 1/128,1/600 --oracle\n"
        "  fdpstore compare --trace gen:chat,tenants=32 --ruhs 4 --policy lifetime,tenant\n"
        "  fdpstore compare --trace gen:chat --device /dev/ng0n1 --destroy --capacity 100G\n",
    .exit_codes = "0; 2 when a cell failed or was cut short, or an option is wrong.",
    .run = run_compare,
};

}  // namespace fdpstore::cli
