// Trace: what a serving system asked of its KV-cache store, in order, ready to be replayed.
//
// Thread:  a Trace is plain data; nothing here locks.
// Units:   seconds since the trace began; bytes of payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace fdpstore::trace {

// Keys are unique within a scope only. One tensor-parallel rank of one model of one tenant.
struct Scope {
  std::string model_name = "model";
  std::uint64_t kv_rank = 0;  // as types.hpp has it
  std::uint32_t object_group_id = 0;
  std::string cache_salt;       // the tenant before ':'
  std::string storage_class{};  // what the caller knows of it ("hot_churn"); empty: nothing
};

enum class OpKind : std::uint8_t {
  request,  // looks all keys up, loads the leading ones that are there, stores the others
  lookup,   // only looks up
  load,     // loads those that are there
  store,    // stores them all
  erase,    // deletes them
};
inline constexpr std::size_t kOpKinds = 5;

struct Op {
  double time_s = 0;
  OpKind kind = OpKind::request;
  std::uint16_t scope = 0;         // index into Trace::scopes
  std::uint32_t keys = 0;          // how many
  std::uint64_t first_key = 0;     // index into Trace::keys
  std::uint64_t object_bytes = 0;  // of each object
  std::uint32_t key_tokens = 0;    // tokens that one key stands for; 0: unknown, counted as 1
};

struct Trace {
  std::string name;    // of the file or recipe, for reports
  std::string origin;  // how to get it again: path, or the gen-trace command
  std::vector<Scope> scopes;
  std::vector<Op> ops;              // in order of time
  std::vector<std::uint64_t> keys;  // ranges of it belong to ops; several may share one
  std::vector<std::string> notes;   // what whoever reads the trace should be told

  [[nodiscard]] std::span<const std::uint64_t> keys_of(const Op& op) const {
    return std::span(keys).subspan(op.first_key, op.keys);
  }
};

}  // namespace fdpstore::trace
