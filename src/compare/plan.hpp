// Plan: the cells of a comparison, from what a user wants compared.
//
// Thread:  any; pure.
// Errors:  invalid_option names the option, what is wrong, and the remedy.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "compare/replay.hpp"
#include "compare/result.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore::compare {

struct Wanted {
  std::vector<std::string> policies = {"lifetime", "separated", "tenant"};
  std::vector<std::string> modes = {"no_fdp", "mixed", "separated"};
  // "10%" of a trace's unique bytes, or bytes ("64G").
  std::vector<std::string> capacities = {"10%", "30%"};
  std::vector<std::string> units = {"1/128"};  // RU: a share of the capacity, or bytes
  std::vector<double> utilisations = {1};
  std::vector<double> spares = {7};  // per cent
  std::uint32_t ruhs = 8;
  double neighbour_share = 0;
  bool baselines = true;        // slots and LRU
  bool oracle = false;          // a policy that knows the future
  std::string device = "sim:";  // further parameters of the simulated one, or a path
  bool may_destroy = false;     // the content of that device
};

[[nodiscard]] fdpstore::Result<std::vector<Cell>> plan(const Wanted& wanted,
                                                       const PreparedTrace& trace);

}  // namespace fdpstore::compare
