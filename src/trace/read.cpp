#include "trace/read.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <limits>

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>

#include "trace/formats.hpp"
#include "trace/recipe.hpp"

namespace fdpstore::trace {
namespace {

namespace fs = boost::filesystem;

constexpr std::string_view kGeneratorPrefix = "gen:";
constexpr std::size_t kStartBytes = 64;

// Whether the frame after the length holds what LMCache's header begins with.
bool looks_like_lct(std::string_view start) {
  return start.size() > 16 && start.find("header") != std::string_view::npos &&
         start.find("LMCT") != std::string_view::npos;
}

bool looks_like_jsonl(std::string_view start) {
  const std::size_t first = start.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && start[first] == '{';
}

// In order, from 0 on.
void set_in_order(Trace& trace) {
  const std::uint64_t misplaced = static_cast<std::uint64_t>(
      std::ranges::count_if(trace.ops, [latest = 0.0](const Op& op) mutable {
        const bool late = op.time_s < latest;
        latest = std::max(latest, op.time_s);
        return late;
      }));
  if (misplaced > 0) {
    std::ranges::stable_sort(trace.ops, {}, &Op::time_s);
    trace.notes.push_back(
        fmt::format("{} of {} operations were not in order of time and have been sorted", misplaced,
                    trace.ops.size()));
  }
  const double begin_s = trace.ops.front().time_s;
  for (Op& op : trace.ops) op.time_s -= begin_s;
}

}  // namespace

std::string_view to_string(OpKind kind) {
  switch (kind) {
    case OpKind::request: return "request";
    case OpKind::lookup: return "lookup";
    case OpKind::load: return "load";
    case OpKind::store: return "store";
    case OpKind::erase: return "erase";
  }
  return "?";
}

Result<std::uint16_t> ScopeTable::index_of(const Scope& scope, Trace& trace) {
  const auto [place, is_new] =
      known_.try_emplace({scope.model_name, scope.kv_rank, scope.object_group_id, scope.cache_salt,
                          scope.storage_class},
                         static_cast<std::uint16_t>(trace.scopes.size()));
  if (!is_new) return place->second;
  if (trace.scopes.size() > std::numeric_limits<std::uint16_t>::max()) {
    return fail(Errc::too_large,
                "more than 65536 combinations of model, rank, group, tenant and class; merge some");
  }
  trace.scopes.push_back(scope);
  return place->second;
}

Result<Trace> read_trace(const std::string& path, const ReadOptions& options) {
  boost::system::error_code error;
  if (fs::is_directory(path, error)) {
    return fail_errno(EISDIR, path + ": a trace is a file");
  }
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail_errno(errno == 0 ? EIO : errno, path);
  std::string start(kStartBytes, '\0');
  file.read(start.data(), kStartBytes);
  start.resize(static_cast<std::size_t>(file.gcount()));
  file.clear();
  file.seekg(0);
  if (!file) {
    return fail(Errc::unsupported, path + ": cannot be read twice (a pipe?); give a regular file");
  }

  Result<Trace> trace;
  if (looks_like_jsonl(start)) {
    trace = read_jsonl(file, path, options);
  } else if (looks_like_lct(start)) {
    const auto size = fs::file_size(path, error);
    trace = read_lct(file, path, error ? 0 : size, options);
  } else if (start.empty()) {
    return fail(Errc::invalid_argument, path + ": an empty file is no trace");
  } else {
    return fail(Errc::foreign,
                path +
                    ": neither Mooncake JSONL (a JSON object a line) nor a recording of LMCache "
                    "(.lct)");
  }
  if (!trace) return trace;
  if (trace->ops.empty()) {
    return fail(Errc::invalid_argument, path + ": no request in it; an empty trace tells nothing");
  }
  trace->name = fs::path(path).filename().string();
  trace->origin = path;
  set_in_order(*trace);
  return trace;
}

namespace {

// `more` goes on where `trace` ends: keys, scopes and times of its own.
Result<void> append(Trace& trace, Trace more) {
  const std::size_t scopes = trace.scopes.size();
  if (scopes + more.scopes.size() > UINT16_MAX) {
    return fail(Errc::invalid_argument, fmt::format("{} and {} together have more than {} scopes",
                                                    trace.name, more.name, UINT16_MAX));
  }
  const double end_s = trace.ops.empty() ? 0 : trace.ops.back().time_s;
  const std::uint64_t keys = trace.keys.size();
  for (Op& op : more.ops) {
    op.time_s += end_s;
    op.scope = static_cast<std::uint16_t>(op.scope + scopes);
    op.first_key += keys;
    trace.ops.push_back(op);
  }
  std::ranges::move(more.scopes, std::back_inserter(trace.scopes));
  std::ranges::move(more.notes, std::back_inserter(trace.notes));
  trace.keys.insert(trace.keys.end(), more.keys.begin(), more.keys.end());
  trace.name += " then " + more.name;
  trace.origin += " then " + more.origin;
  return {};
}

}  // namespace

Result<Trace> open_trace(const std::string& spec, const ReadOptions& options) {
  if (const std::size_t end = spec.find(';'); end != std::string::npos) {
    auto first = open_trace(spec.substr(0, end), options);
    if (!first) return first;
    auto rest = open_trace(spec.substr(end + 1), options);
    if (!rest) return rest;
    if (auto appended = append(*first, std::move(*rest)); !appended) {
      return fail(std::move(appended.error()));
    }
    return first;
  }
  if (!spec.starts_with(kGeneratorPrefix)) return read_trace(spec, options);
  auto recipe = parse_recipe(std::string_view(spec).substr(kGeneratorPrefix.size()));
  if (!recipe) return fail(std::move(recipe.error()));
  if (options.bytes_per_token != 0 || options.key_tokens != 0 || options.chunk_tokens != 0) {
    return fail(Errc::invalid_option,
                spec +
                    ": bytes and numbers of tokens are for trace files only; say how large an "
                    "object is (--object-bytes SIZE, or gen:RECIPE,object_bytes=SIZE)");
  }
  if (recipe->object_bytes == 0) recipe->object_bytes = options.object_bytes;
  return generate(*recipe);
}

}  // namespace fdpstore::trace
