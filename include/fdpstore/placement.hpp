// Placement asked for, and real: what every layer reports about write hints.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fdpstore {

// How a handle is expressed on a write.
enum class WriteMode : std::uint8_t { automatic, hint, uring_cmd, write_stream, plain };
enum class Strictness : std::uint8_t { prefer, require };

std::string_view to_string(WriteMode mode);
std::string_view to_string(Strictness strictness);

struct EffectivePlacement {
  WriteMode asked = WriteMode::automatic;
  Strictness strictness = Strictness::prefer;
  WriteMode effective = WriteMode::plain;  // never `automatic`
  std::string mechanism;                   // "F_SET_FILE_RW_HINT", "F_SET_RW_HINT", "none", …
  bool reaches_device = false;  // whether the device itself sees a difference between streams
  std::string reason;           // one sentence a person can act on
};

}  // namespace fdpstore
