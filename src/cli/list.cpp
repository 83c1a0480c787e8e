// fdpstore ls: the objects of a store.
#include <algorithm>
#include <iostream>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "common/text.hpp"
#include "store/reports_json.hpp"
#include "store/store_view.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kPageKeys = 1000;

void add_row(Table& table, const ListedKey& listed) {
  const boost::json::object fields = store::to_object(listed);
  table.add({size_text(listed.bytes), listed.key.model_name,
             fmt::format("0x{:08x}", listed.key.kv_rank),
             std::to_string(listed.key.object_group_id),
             listed.key.cache_salt.empty() ? "-" : std::string(fields.at("cache_salt").as_string()),
             std::string(fields.at("chunk_hash").as_string())});
}

int run_list(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  std::string model;
  std::size_t limit = 0;
  visible.add_options()("model", po::value(&model)->value_name("NAME"),
                        "only objects of this model")(
      "limit", po::value(&limit)->value_name("N")->default_value(0, "all"), "stop after N objects")(
      "json", "print one JSON object a line");
  const auto values = read_path_arguments(command, arguments, visible);
  if (!values) return kExitOk;
  if (limit == 0) limit = SIZE_MAX;

  auto view = value_of(store::StoreView::open((*values)["path"].as<std::string>(), ""));
  Table table(
      {{"SIZE", Table::Align::right}, {"MODEL"}, {"KV_RANK"}, {"GROUP"}, {"SALT"}, {"HASH"}});
  std::string cursor;
  do {
    const KeyPage page = value_of(view.list(cursor, std::min(limit, kPageKeys), model));
    for (const ListedKey& listed : page.keys) {
      if (limit == 0) break;
      --limit;
      if (values->contains("json")) {
        std::cout << boost::json::serialize(store::to_object(listed)) << '\n';
      } else {
        add_row(table, listed);
      }
    }
    if (!table.empty()) table.print(std::cout);
    cursor = page.next;
  } while (!cursor.empty() && limit > 0);
  return kExitOk;
}

}  // namespace

const Command kList{
    .name = "ls",
    .usage = "PATH [--model NAME] [--limit N] [--json]",
    .summary = "the objects of a store",
    .text =
        "Lists the objects of the store in the directory PATH: size, and the parts of the key\n"
        "as LMCache names them. A store that another process has open is asked; a closed one\n"
        "is read from disk, and nothing is changed. The order is stable and arbitrary.\n",
    .examples =
        "  fdpstore ls /mnt/kv --limit 20\n"
        "  fdpstore ls /mnt/kv --model meta-llama/Llama-3.1-8B --json | wc -l\n",
    .exit_codes = "0; 2 when PATH is no store or cannot be read.",
    .run = run_list,
};

}  // namespace fdpstore::cli
