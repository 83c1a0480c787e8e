// fdpstore policies: the policies that ship with fdpstore.
#include <iostream>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "store/policy_list.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

int run_policies(const Command& command, const Arguments& arguments) {
  po::options_description visible("Options");
  visible.add_options()("json", "print one JSON array");
  const auto values = read_arguments(command, arguments, visible, {});
  if (!values) return kExitOk;
  boost::json::array array;
  Table table({{"POLICY"}, {"WHAT GOES TOGETHER"}});
  for (const store::PolicySummary& policy : store::list_policies()) {
    array.push_back({{"name", policy.name}, {"description", policy.description}});
    table.add({policy.name, policy.description});
  }
  if (values->contains("json")) {
    std::cout << boost::json::serialize(array) << '\n';
    return kExitOk;
  }
  table.print(std::cout);
  std::cout << "\nTheir files, to copy and edit, are looked for in:\n";
  for (const std::string& directory : store::policy_directories()) {
    std::cout << "  " << directory << '\n';
  }
  return kExitOk;
}

}  // namespace

const Command kPolicies{
    .name = "policies",
    .usage = "[--json]",
    .summary = "the placement policies that ship with fdpstore",
    .text =
        "Lists the policies that ship with fdpstore, for the option `policy`: which objects each\n"
        "of them keeps together. A policy is a text file; copy one, edit it, and give its path\n"
        "as `policy`.\n",
    .examples =
        "  fdpstore policies\n"
        "  fdpstore configure --base-path /mnt/kv --policy tenant\n",
    .exit_codes = "0; 2 for a bad argument.",
    .run = run_policies,
};

}  // namespace fdpstore::cli
