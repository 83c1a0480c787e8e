// fdpstore gen-trace: writes a trace made to order.
#include <algorithm>
#include <iostream>
#include <optional>
#include <sstream>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "common/text.hpp"
#include "text.hpp"
#include "trace/footprint.hpp"
#include "trace/footprint_json.hpp"
#include "trace/read.hpp"
#include "trace/recipe.hpp"
#include "trace_text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

std::string flag_of(std::string_view name) {
  std::string flag(name);
  std::ranges::replace(flag, '_', '-');
  return flag;
}

std::string recipe_table() {
  using enum Table::Align;
  Table table({{"RECIPE"}, {"OBJECT", right}, {"REQUESTS", right}, {"TENANTS", right}, {"WHAT"}});
  for (const trace::RecipeInfo& info : trace::recipes()) {
    table.add({std::string(info.name), info.object_bytes == 0 ? "" : size_text(info.object_bytes),
               info.requests == 0 ? "" : std::to_string(info.requests),
               info.object_bytes == 0 ? "9" : std::to_string(info.tenants),
               std::string(info.summary)});
  }
  std::ostringstream out;
  table.print(out);
  return out.str();
}

std::optional<po::variables_map> read_gen_trace(const Command& command,
                                                const Arguments& arguments) {
  po::options_description visible("Options");
  visible.add_options()("out,o", po::value<std::string>()->value_name("FILE"),
                        "where to write it; replaces the file");
  visible.add_options()("class", po::value<std::string>()->value_name("NAME"),
                        "of the recipe `agentic`: the same as the recipe of that name");
  for (const trace::ParameterInfo& info : trace::recipe_parameters()) {
    const std::string fallback =
        info.default_value.empty() ? "the recipe's" : std::string(info.default_value);
    visible.add_options()(flag_of(info.name).c_str(),
                          po::value<std::string>()->value_name(std::string(info.unit)),
                          fmt::format("{} Default: {}.", info.help, fallback).c_str());
  }
  visible.add_options()("json", "print what `fdpstore trace info --json` prints");
  Command shown = command;
  const std::string text = std::string(command.text) + '\n' + recipe_table();
  shown.text = text;
  return read_arguments(shown, arguments, visible, {"recipe"});
}

trace::Recipe recipe_of(const po::variables_map& values) {
  std::string spec = values["recipe"].as<std::string>();
  if (values.contains("class")) spec += ",class=" + values["class"].as<std::string>();
  trace::Recipe recipe = value_of(trace::parse_recipe(spec));
  for (const trace::ParameterInfo& info : trace::recipe_parameters()) {
    const std::string flag = flag_of(info.name);
    if (!values.contains(flag)) continue;
    value_of(trace::set_parameter(recipe, info.name, values[flag].as<std::string>()));
  }
  return recipe;
}

int run_gen_trace(const Command& command, const Arguments& arguments) {
  const auto values = read_gen_trace(command, arguments);
  if (!values) return kExitOk;
  if (!values->contains("recipe")) {
    throw Failure("gen-trace: which recipe? Known are:\n" + recipe_table() +
                  "See fdpstore gen-trace --help.");
  }
  const trace::Recipe recipe = recipe_of(*values);
  if (!values->contains("out")) {
    throw Failure(
        "gen-trace: --out FILE is missing; `fdpstore trace info gen:RECIPE` looks at a recipe "
        "without a file");
  }
  const trace::Trace trace = value_of(trace::generate(recipe));
  value_of(trace::write_trace(trace, (*values)["out"].as<std::string>()));
  const trace::Footprint footprint = trace::analyse(trace);
  if (values->contains("json")) {
    std::cout << boost::json::serialize(trace::to_object(trace, footprint)) << '\n';
  } else {
    print_summary(trace, footprint);
  }
  return kExitOk;
}

}  // namespace

const Command kGenTrace{
    .name = "gen-trace",
    .usage = "RECIPE --out FILE [--requests N] [--tenants N] [--scale X] […]",
    .summary = "writes a trace made to order: chat, retrieval, agents, mixes of them",
    .text =
        "Writes a trace of the traffic that RECIPE describes, in Mooncake's JSONL format with a\n"
        "few fields more (tenant, kv_rank, class, object_bytes). The same recipe, parameters and\n"
        "seed give the same file everywhere. Requests arrive at random (Poisson); ids stand for\n"
        "chunks of 256 tokens after one prefix, so that a later turn of a conversation begins\n"
        "with the ids of the earlier one. `random` deletes and stores; all others ask for\n"
        "objects and store what is not there. The workers of a mix touch the same number of\n"
        "bytes each (64 GiB at --scale 1). Where a FILE is asked for elsewhere,\n"
        "gen:RECIPE,tenants=4,seed=7 does without one.\n",
    .examples =
        "  fdpstore gen-trace chat --tenants 8 --out chat.jsonl\n"
        "  fdpstore gen-trace coding_agent --ranks 4 --object-bytes 2MiB --seed 7 -o code.jsonl\n"
        "  fdpstore gen-trace mix-rawblock --scale 0.1 --out mix.jsonl\n",
    .exit_codes = "0; 2 for a bad argument, or when FILE cannot be written.",
    .run = run_gen_trace,
};

}  // namespace fdpstore::cli
