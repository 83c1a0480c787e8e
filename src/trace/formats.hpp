// Formats: what read.cpp puts together. Each reader takes the open file and its path for messages,
// and leaves ops in the order of the file, with times as the file has them.
//
// Errors:  as read.hpp says.
#pragma once

#include <cstdint>
#include <istream>
#include <map>
#include <string>
#include <tuple>

#include "fdpstore/result.hpp"
#include "trace/read.hpp"
#include "trace/trace.hpp"

namespace fdpstore::trace {

[[nodiscard]] Result<Trace> read_jsonl(std::istream& file, const std::string& path,
                                       const ReadOptions& options);
// `file_bytes`: a frame that claims more is cut off.
[[nodiscard]] Result<Trace> read_lct(std::istream& file, const std::string& path,
                                     std::uint64_t file_bytes, const ReadOptions& options);

// Gives each scope its index.
class ScopeTable {
 public:
  // Fails (too_large) beyond the 65,536 that a trace can have.
  [[nodiscard]] Result<std::uint16_t> index_of(const Scope& scope, Trace& trace);

 private:
  std::map<std::tuple<std::string, std::uint64_t, std::uint32_t, std::string, std::string>,
           std::uint16_t>
      known_;
};

}  // namespace fdpstore::trace
