#include "command.hpp"

#include <iostream>
#include <optional>

#include <fmt/format.h>
#include <boost/json/parse.hpp>

namespace fdpstore::cli {
namespace {

namespace po = boost::program_options;

void print_help(const Command& command, const po::options_description& visible) {
  std::cout << "Usage: fdpstore " << command.name << ' ' << command.usage << "\n\n"
            << command.text << '\n'
            << visible << "\nExamples:\n"
            << command.examples << "\nExit codes: " << command.exit_codes << '\n';
}

}  // namespace

std::optional<po::variables_map> read_arguments(const Command& command, const Arguments& arguments,
                                                po::options_description& visible,
                                                const std::vector<std::string>& positional,
                                                std::string (*unknown_option)(std::string flag)) {
  visible.add_options()("help,h", "print this text");
  po::options_description all;
  all.add(visible);
  po::positional_options_description places;
  for (const std::string& name : positional) {
    all.add_options()(name.c_str(), po::value<std::string>());
    places.add(name.c_str(), 1);
  }
  // An option must be written in full: a new one shall not change what a script's short form means.
  const int style = po::command_line_style::default_style ^ po::command_line_style::allow_guessing;
  po::variables_map values;
  try {
    po::store(po::command_line_parser(arguments).options(all).positional(places).style(style).run(),
              values);
    po::notify(values);
  } catch (const po::unknown_option& error) {
    const std::string flag = error.get_option_name();
    throw Failure(unknown_option != nullptr
                      ? unknown_option(flag)
                      : fmt::format("{}: unknown option {}; see fdpstore {} --help", command.name,
                                    flag, command.name));
  } catch (const po::too_many_positional_options_error&) {
    throw Failure(fmt::format("{}: too many arguments; usage: fdpstore {} {}", command.name,
                              command.name, command.usage));
  } catch (const po::error& error) {
    throw Failure(
        fmt::format("{}: {}; see fdpstore {} --help", command.name, error.what(), command.name));
  }
  if (!values.contains("help")) return values;
  print_help(command, visible);
  return std::nullopt;
}

std::optional<po::variables_map> read_path_arguments(const Command& command,
                                                     const Arguments& arguments,
                                                     po::options_description& visible) {
  auto values = read_arguments(command, arguments, visible, {"path"});
  if (values && !values->contains("path")) {
    throw Failure(fmt::format("{}: PATH is missing; usage: fdpstore {} {}", command.name,
                              command.name, command.usage));
  }
  return values;
}

boost::json::value parse_report(const std::string& json) {
  boost::system::error_code error;
  auto value = boost::json::parse(json, error);
  if (error) throw Failure("a report is no valid JSON: " + error.message());
  return value;
}

}  // namespace fdpstore::cli
