// Commands: what they have in common. Each reads its arguments, asks src/store, and prints.
//
// Thread:  the main thread only.
// Errors:  a command that fails throws Failure; main() prints it as `fdpstore: …` and exits with 2.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json.hpp>
#include <boost/program_options.hpp>

#include "fdpstore/result.hpp"

namespace fdpstore::cli {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFindings = 1;  // fsck and import
inline constexpr int kExitError = 2;

struct Failure : std::runtime_error {
  explicit Failure(const std::string& what) : std::runtime_error(what) {}
  explicit Failure(const Error& error) : Failure(error.message()) {}
};

// The value of a result, or a Failure.
inline void value_of(const Result<void>& result) {
  if (!result) throw Failure(result.error());
}
template <class T>
T value_of(Result<T> result) {
  if (!result) throw Failure(result.error());
  return std::move(*result);
}

using Arguments = std::vector<std::string>;

struct Command {
  std::string_view name;
  std::string_view usage;     // behind the name: "PATH [options]"
  std::string_view summary;   // one line, for the list of commands
  std::string_view text;      // what it does, for a person who meets it
  std::string_view examples;  // two at least
  std::string_view exit_codes;
  int (*run)(const Command& command, const Arguments& arguments);
};

extern const Command kInfo, kList, kStat, kFsck, kConfigure, kFormat, kPolicies, kGenTrace, kTrace,
    kCompare, kImport;

// The arguments of a command by name. `positional` names those that need no flag, in order.
// Prints the help and returns nothing when --help is among them; `visible` gets --help added.
// Throws Failure; `unknown_option`, when given, says what about a flag that `visible` does not
// know.
[[nodiscard]] std::optional<boost::program_options::variables_map> read_arguments(
    const Command& command, const Arguments& arguments,
    boost::program_options::options_description& visible,
    const std::vector<std::string>& positional,
    std::string (*unknown_option)(std::string flag) = nullptr);

// As above, for commands on a PATH: fails when there is none.
[[nodiscard]] std::optional<boost::program_options::variables_map> read_path_arguments(
    const Command& command, const Arguments& arguments,
    boost::program_options::options_description& visible);

[[nodiscard]] boost::json::value parse_report(const std::string& json);
// A count in one.
[[nodiscard]] inline std::uint64_t number(const boost::json::object& report, const char* field) {
  return report.at(field).to_number<std::uint64_t>();
}

}  // namespace fdpstore::cli
