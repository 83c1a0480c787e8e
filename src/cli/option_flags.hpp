// Options of a store on a command line and in a file: the names of option_table() and
// foreign_option_table(), with '-' for '_' in flags.
//
// Thread:  the main thread only.
// Errors:  Failure; an unknown name is answered as parse_options() does.
#pragma once

#include <boost/json/object.hpp>
#include <boost/program_options.hpp>

#include "command.hpp"

namespace fdpstore::cli {

// read_arguments() with two groups of flags more, and --config FILE. `--flag` alone, of what is
// true or false, is `--flag=true`.
[[nodiscard]] std::optional<boost::program_options::variables_map> read_option_arguments(
    const Command& command, Arguments arguments,
    boost::program_options::options_description& visible,
    const std::vector<std::string>& positional);

// What was given, as parse_options() takes it; a flag goes before a line of the file.
[[nodiscard]] boost::json::object given_options(
    const boost::program_options::variables_map& values);

// Names that mean not quite what they mean elsewhere, and what of it; on the standard error.
void print_option_notes(const boost::json::object& given);

}  // namespace fdpstore::cli
