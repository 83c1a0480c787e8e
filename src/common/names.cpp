// Names of enumerations, as options and reports spell them.
#include "fdpstore/options.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore {

std::string_view to_string(Lifetime lifetime) {
  switch (lifetime) {
    case Lifetime::not_set: return "not_set";
    case Lifetime::none: return "none";
    case Lifetime::short_lived: return "short";
    case Lifetime::medium: return "medium";
    case Lifetime::long_lived: return "long";
    case Lifetime::extreme: return "extreme";
  }
  return "?";
}

std::string_view to_string(WriteMode mode) {
  switch (mode) {
    case WriteMode::automatic: return "auto";
    case WriteMode::hint: return "hint";
    case WriteMode::uring_cmd: return "uring_cmd";
    case WriteMode::write_stream: return "write_stream";
    case WriteMode::plain: return "plain";
  }
  return "?";
}

std::string_view to_string(Strictness strictness) {
  return strictness == Strictness::require ? "require" : "prefer";
}

std::string_view to_string(Layout layout) {
  switch (layout) {
    case Layout::object: return "object";
    case Layout::prompt: return "prompt";
    case Layout::segment: return "segment";
  }
  return "?";
}

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::automatic: return "auto";
    case LogLevel::off: return "off";
    case LogLevel::error: return "error";
    case LogLevel::warn: return "warn";
    case LogLevel::info: return "info";
    case LogLevel::debug: return "debug";
  }
  return "?";
}

std::string_view to_string(Durability durability) {
  return durability == Durability::device ? "device" : "process";
}

}  // namespace fdpstore
