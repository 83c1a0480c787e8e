// Reading and writing of traces.
//
// Mooncake JSONL: one request a line, `timestamp` (ms), `hash_ids`, and what we do not need:
// `input_length`, `output_length`. Optional fields of our own: `tenant` (the whole cache salt),
// `model`, `kv_rank` (packed, as types.hpp has it) or `rank`, `group`, `class`, `object_bytes`,
// `key_tokens` (what one id stands for), `op` (request, lookup, load, store, erase).
// LMCache recordings: .lct files of `lmcache server --trace-level storage`.
//
// Thread:  any; nothing is shared.
// Units:   bytes of payload; tokens.
// Errors:  an errno where a file cannot be read or written; foreign: neither of the two formats;
//          corrupt: a line or record that is malformed, named by its number or byte offset;
//          invalid_argument: options that contradict the file. An empty trace is an error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fdpstore/result.hpp"
#include "trace/trace.hpp"

namespace fdpstore::trace {

// For JSONL; of a recording or a recipe, object_bytes takes the place of the sizes that it tells,
// and a recipe has nothing else of these (invalid_option).
struct ReadOptions {
  std::uint64_t object_bytes = 0;     // of each object. 0: the line's, the recipe's; else 1 MiB
  std::uint64_t bytes_per_token = 0;  // then object_bytes = tokens of an object times this
  std::uint32_t key_tokens = 0;       // of one hash id. 0: the line's; else 512, as Mooncake's
  std::uint32_t chunk_tokens = 0;     // splits each id into objects of so many tokens. 0: does not
};

// What the file is, is told by its content. Ops out of order are sorted, and `notes` says so.
[[nodiscard]] Result<Trace> read_trace(const std::string& path, const ReadOptions& options = {});

// A path, or gen:RECIPE[,parameter=value…] (recipe.hpp); several, one after the other in time, with
// ';' between them: a load that changes.
[[nodiscard]] Result<Trace> open_trace(const std::string& spec, const ReadOptions& options = {});

// As Mooncake JSONL, one op a line, times to the microsecond. Replaces the file, as a whole.
[[nodiscard]] Result<void> write_trace(const Trace& trace, const std::string& path);

[[nodiscard]] std::string_view to_string(OpKind kind);

}  // namespace fdpstore::trace
