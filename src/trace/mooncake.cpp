// Mooncake JSONL, with the fields of our own that read.hpp lists.
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <boost/filesystem/operations.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "trace/formats.hpp"
#include "trace/read.hpp"

namespace fdpstore::trace {
namespace {

namespace json = boost::json;

constexpr std::uint64_t kDefaultBytes = 1 << 20;
constexpr std::uint32_t kDefaultTokens = 512;
constexpr std::uint64_t kMaxObjectBytes = std::uint64_t{1} << 40;
constexpr std::uint32_t kMaxTokens = 1 << 24;
constexpr std::size_t kMaxLineBytes = 256 << 20;
constexpr OpKind kKinds[] = {OpKind::request, OpKind::lookup, OpKind::load, OpKind::store,
                             OpKind::erase};

// What is wrong with a line, without its number.
struct Malformed {
  std::string text;
};

template <class T>
using Parsed = std::expected<T, Malformed>;

std::unexpected<Malformed> malformed(std::string text) {
  return std::unexpected(Malformed{std::move(text)});
}

// A field that may be missing.
Parsed<std::uint64_t> number(const json::object& line, const char* field, std::uint64_t missing,
                             std::uint64_t most) {
  const json::value* value = line.if_contains(field);
  if (value == nullptr) return missing;
  boost::system::error_code error;
  const auto result = value->to_number<std::uint64_t>(error);
  if (error || result > most) {
    return malformed(fmt::format("'{}' is {}, expected a whole number up to {}", field,
                                 json::serialize(*value).substr(0, 60), most));
  }
  return result;
}

Parsed<std::string> text(const json::object& line, const char* field, const char* missing) {
  const json::value* value = line.if_contains(field);
  if (value == nullptr) return missing;
  if (!value->is_string()) return malformed(fmt::format("'{}' is no text", field));
  return std::string(value->get_string());
}

Parsed<double> timestamp_of(const json::object& line) {
  const json::value* value = line.if_contains("timestamp");
  if (value == nullptr || !value->is_number()) {
    return malformed("'timestamp' (milliseconds) is missing or no number");
  }
  const auto ms = value->to_number<double>();
  if (!std::isfinite(ms) || ms < 0) return malformed("'timestamp' is negative or infinite");
  return ms / 1000;
}

class LineReader {
 public:
  LineReader(const ReadOptions& options, Trace& trace) : options_(options), trace_(trace) {}

  Parsed<void> read(const json::object& line) {
    Op op{.first_key = trace_.keys.size()};
    if (auto time = timestamp_of(line))
      op.time_s = *time;
    else
      return std::unexpected(time.error());
    if (auto kind = kind_of(line))
      op.kind = *kind;
    else
      return std::unexpected(kind.error());
    if (auto scope = scope_of(line))
      op.scope = *scope;
    else
      return std::unexpected(scope.error());
    auto parts = set_sizes(line, op);
    if (!parts) return std::unexpected(parts.error());
    if (auto added = add_keys(line, *parts); !added) return added;
    const std::uint64_t keys = trace_.keys.size() - op.first_key;
    if (keys > std::numeric_limits<std::uint32_t>::max()) return malformed("too many hash_ids");
    if (keys == 0) {
      ++without_keys_;
      return {};
    }
    op.keys = static_cast<std::uint32_t>(keys);
    trace_.ops.push_back(op);
    return {};
  }

  [[nodiscard]] std::uint64_t without_keys() const { return without_keys_; }

 private:
  static Parsed<OpKind> kind_of(const json::object& line) {
    const auto name = text(line, "op", "request");
    if (!name) return std::unexpected(name.error());
    for (const OpKind kind : kKinds) {
      if (to_string(kind) == *name) return kind;
    }
    return malformed("'op' is none of request, lookup, load, store, erase");
  }

  Parsed<std::uint16_t> scope_of(const json::object& line) {
    Scope scope;
    const auto model = text(line, "model", "model"), tenant = text(line, "tenant", ""),
               storage_class = text(line, "class", "");
    const auto rank = number(line, "rank", 0, 255), group = number(line, "group", 0, UINT32_MAX);
    for (const auto* field : {&model, &tenant, &storage_class}) {
      if (!*field) return std::unexpected(field->error());
    }
    for (const auto* field : {&rank, &group}) {
      if (!*field) return std::unexpected(field->error());
    }
    const auto kv_rank = number(line, "kv_rank", *rank << 16, UINT64_MAX);
    if (!kv_rank) return std::unexpected(kv_rank.error());
    const auto index = scopes_.index_of({.model_name = *model,
                                         .kv_rank = *kv_rank,
                                         .object_group_id = static_cast<std::uint32_t>(*group),
                                         .cache_salt = *tenant,
                                         .storage_class = *storage_class},
                                        trace_);
    if (!index) return malformed(index.error().what);
    return *index;
  }

  // Into how many objects a key is split. A line's object_bytes are those of an unsplit key.
  Parsed<std::uint32_t> set_sizes(const json::object& line, Op& op) {
    const auto bytes = number(line, "object_bytes", 0, kMaxObjectBytes);
    const auto tokens = number(line, "key_tokens", kDefaultTokens, kMaxTokens);
    if (!bytes) return std::unexpected(bytes.error());
    if (!tokens) return std::unexpected(tokens.error());
    op.key_tokens =
        options_.key_tokens != 0 ? options_.key_tokens : static_cast<std::uint32_t>(*tokens);
    std::uint32_t parts = 1;
    if (options_.chunk_tokens != 0) {
      if (op.key_tokens == 0 || op.key_tokens % options_.chunk_tokens != 0) {
        return malformed(
            fmt::format("ids of {} tokens cannot be split into chunks of {}: give chunk "
                        "tokens that divide it",
                        op.key_tokens, options_.chunk_tokens));
      }
      parts = op.key_tokens / options_.chunk_tokens;
      op.key_tokens = options_.chunk_tokens;
    }
    if (options_.object_bytes != 0) {
      op.object_bytes = options_.object_bytes;
    } else if (options_.bytes_per_token != 0) {
      op.object_bytes = options_.bytes_per_token * std::max(1U, op.key_tokens);
    } else {
      op.object_bytes = *bytes == 0 ? kDefaultBytes : std::max<std::uint64_t>(1, *bytes / parts);
    }
    return parts;
  }

  Parsed<void> add_keys(const json::object& line, std::uint32_t parts) {
    const json::value* ids = line.if_contains("hash_ids");
    if (ids == nullptr || !ids->is_array()) return malformed("'hash_ids' is missing or no list");
    for (const json::value& value : ids->get_array()) {
      boost::system::error_code error;
      const auto id = value.to_number<std::uint64_t>(error);
      if (error || id > UINT64_MAX / parts - 1) {
        return malformed(fmt::format("hash id {} is no whole number from 0 to {}",
                                     json::serialize(value).substr(0, 60), UINT64_MAX / parts - 1));
      }
      for (std::uint32_t part = 0; part < parts; ++part) {
        trace_.keys.push_back(id * parts + part);
      }
    }
    return {};
  }

  const ReadOptions& options_;
  Trace& trace_;
  ScopeTable scopes_;
  std::uint64_t without_keys_ = 0;
};

std::string json_text(const std::string& value) {
  return json::serialize(json::string_view(value));
}

std::string line_of(const Trace& trace, const Op& op) {
  const Scope& scope = trace.scopes[op.scope];
  const double ms = op.time_s * 1000;
  const bool whole = std::abs(ms - std::round(ms)) < 1e-6 && ms < 0x1p53;
  std::string line =
      fmt::format(R"({{"timestamp": {:.{}f}, "input_length": {}, "output_length": 0)", ms,
                  whole ? 0 : 3, static_cast<std::uint64_t>(op.keys) * std::max(1U, op.key_tokens));
  if (op.kind != OpKind::request) line += fmt::format(R"(, "op": "{}")", to_string(op.kind));
  if (!scope.cache_salt.empty()) line += ", \"tenant\": " + json_text(scope.cache_salt);
  if (scope.model_name != Scope{}.model_name) line += ", \"model\": " + json_text(scope.model_name);
  if (scope.kv_rank != 0) line += fmt::format(R"(, "kv_rank": {})", scope.kv_rank);
  if (scope.object_group_id != 0) line += fmt::format(R"(, "group": {})", scope.object_group_id);
  if (!scope.storage_class.empty()) line += ", \"class\": " + json_text(scope.storage_class);
  line += fmt::format(R"(, "object_bytes": {}, "key_tokens": {}, "hash_ids": [)", op.object_bytes,
                      op.key_tokens);
  const char* comma = "";
  for (const std::uint64_t key : trace.keys_of(op)) {
    fmt::format_to(std::back_inserter(line), "{}{}", std::exchange(comma, ", "), key);
  }
  return line + "]}\n";
}

}  // namespace

Result<Trace> read_jsonl(std::istream& file, const std::string& path, const ReadOptions& options) {
  Trace trace;
  LineReader reader(options, trace);
  std::string line;
  for (std::uint64_t line_number = 1; std::getline(file, line); ++line_number) {
    const auto bad = [&](std::string_view what) {
      return fail(Errc::corrupt,
                  fmt::format("{}:{}: {}; one JSON object with timestamp and hash_ids a line is "
                              "expected",
                              path, line_number, what));
    };
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    if (line.size() > kMaxLineBytes) return bad("longer than 256 MiB");
    boost::system::error_code error;
    const json::value value = json::parse(line, error);
    if (error) return bad(fmt::format("no JSON ({})", error.message()));
    if (!value.is_object()) return bad("no JSON object");
    if (auto read = reader.read(value.get_object()); !read) return bad(read.error().text);
  }
  if (file.bad()) return fail_errno(errno == 0 ? EIO : errno, path);
  if (reader.without_keys() > 0) {
    trace.notes.push_back(
        fmt::format("{} lines without hash_ids were left out", reader.without_keys()));
  }
  return trace;
}

Result<void> write_trace(const Trace& trace, const std::string& path) {
  const std::string temporary = fmt::format("{}.{}.tmp", path, ::getpid());
  errno = 0;
  std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
  for (const Op& op : trace.ops) {
    if (!file) break;
    file << line_of(trace, op);
  }
  file.close();
  boost::system::error_code error;
  if (!file) {
    const int cause = errno == 0 ? EIO : errno;
    boost::filesystem::remove(temporary, error);
    return fail_errno(cause, path + ": cannot be written");
  }
  boost::filesystem::rename(temporary, path, error);
  if (!error) return {};
  const int cause = error.value();
  boost::filesystem::remove(temporary, error);
  return fail_errno(cause, path + ": cannot be replaced");
}

}  // namespace fdpstore::trace
