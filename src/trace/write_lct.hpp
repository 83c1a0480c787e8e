// Writing of LMCache's recordings (.lct), of level "l2": what a store was asked, call by call, as
// read_trace() and `lmcache trace info` read it. Keys and sizes only, no payload.
//
// Thread:  any; nothing is shared.
// Units:   seconds since the recording began, and of the wall clock; bytes of payload.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "fdpstore/types.hpp"

namespace fdpstore::trace {

enum class LctCall : std::uint8_t { store, lookup, load, unlock, erase };

// The first frame of a file. `about`: what `lmcache trace info` shows of where it comes from.
[[nodiscard]] std::string lct_header(
    double wall_s, std::initializer_list<std::pair<std::string_view, std::string_view>> about);

// A call, as one frame. `sizes`: of each key, or none.
[[nodiscard]] std::string lct_record(double time_s, double wall_s, LctCall call,
                                     std::span<const KeyRef> keys,
                                     std::span<const std::uint64_t> sizes);
// So many calls are missing here.
[[nodiscard]] std::string lct_gap(double time_s, double wall_s, std::uint64_t calls);

}  // namespace fdpstore::trace
