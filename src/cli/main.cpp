// fdpstore: the command. One table of commands; each is a file beside this one.
#include <array>
#include <exception>
#include <iostream>
#include <optional>

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "command.hpp"
#include "common/log.hpp"

namespace fdpstore::cli {
namespace {

constexpr std::array kCommands{&kInfo,     &kConfigure, &kFormat, &kStat,    &kList,  &kFsck,
                               &kPolicies, &kGenTrace,  &kTrace,  &kCompare, &kImport};

std::string command_list() {
  std::string text;
  for (const Command* command : kCommands) {
    text += fmt::format("  {:<11}{}\n", command->name, command->summary);
  }
  return text;
}

void print_help() {
  std::cout
      << "fdpstore: a KV-cache store for LMCache that places data by lifetime on SSDs.\n\n"
         "Usage: fdpstore COMMAND [arguments]\n\nCommands:\n"
      << command_list()
      << "\nfdpstore --log-level LEVEL COMMAND (or $FDPSTORE_LOG) says how much is logged on the "
         "standard\nerror: off, error, warn (default), info, debug.\n"
         "fdpstore COMMAND --help explains a command; fdpstore --version prints the "
         "version.\n\n"
         "Examples:\n"
         "  fdpstore info /mnt/kv                    what works here?\n"
         "  fdpstore configure --base-path /mnt/kv --layout segment --capacity-gb 500\n"
         "                                           JSON for lmcache server --l2-adapter\n\n"
         "Exit codes: 0 done; 1 fsck or import found something; 2 error, told on "
         "stderr.\n";
}

// What stands before the command.
Arguments take_log_level(Arguments arguments) {
  constexpr std::string_view kFlag = "--log-level";
  if (arguments.empty() || !arguments.front().starts_with(kFlag)) return arguments;
  std::string level = arguments.front().substr(kFlag.size());
  arguments.erase(arguments.begin());
  if (level.starts_with('=')) {
    level.erase(0, 1);
  } else if (level.empty() && !arguments.empty()) {
    level = arguments.front();
    arguments.erase(arguments.begin());
  }
  value_of(set_log_level(level));
  return arguments;
}

int run(const Arguments& all) {
  const Arguments arguments = take_log_level(all);
  if (arguments.empty()) {
    throw Failure("which command? Known are:\n" + command_list() + "See fdpstore --help.");
  }
  const std::string& name = arguments.front();
  if (name == "--help" || name == "-h" || name == "help") {
    print_help();
    return kExitOk;
  }
  if (name == "--version") {
    std::cout << "fdpstore " FDPSTORE_VERSION "\n";
    return kExitOk;
  }
  for (const Command* command : kCommands) {
    if (command->name == name) {
      return command->run(*command, {arguments.begin() + 1, arguments.end()});
    }
  }
  throw Failure(fmt::format("there is no command {}. Known are:\n{}See fdpstore --help.", name,
                            command_list()));
}

}  // namespace
}  // namespace fdpstore::cli

int main(int argc, char** argv) {
  using fdpstore::cli::kExitError;
  try {
    // stdout is for results.
    spdlog::set_default_logger(spdlog::stderr_logger_mt("default"));
    spdlog::set_pattern("%v");
    spdlog::set_level(spdlog::level::warn);
    fdpstore::log().set_pattern("%n: %v");
    const int code = fdpstore::cli::run({argv + 1, argv + argc});
    std::cout.flush();
    if (!std::cout) {
      std::cerr << "fdpstore: writing to the standard output failed\n";
      return kExitError;
    }
    return code;
  } catch (const std::exception& error) {
    std::cout.flush();
    std::cerr << "fdpstore: " << error.what() << '\n';
    return kExitError;
  }
}
