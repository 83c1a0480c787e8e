// LMCache's recordings (lmcache/v1/mp_observability/trace/format.py and codecs.py of 0.5.6): frames
// of a 4-byte big-endian length and a msgpack map. The first is a header, the others are calls:
// {type, t_mono, t_wall, qualname, args}. Keys and layouts are wrapped: {"__t__": tag, "v": …}.
//
// Calls of the storage manager ("storage"): submit_prefetch_task looks up and loads, finish_write
// stores what reserve_write told the size of. Calls of an L2 adapter ("l2"): store, lookup, load,
// delete with `keys` and perhaps `sizes`. Both are called by their last name.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "common/xxh3.hpp"
#include "trace/formats.hpp"
#include "trace/msgpack.hpp"

namespace fdpstore::trace {
namespace {

using msgpack::Cursor;

constexpr std::size_t kLengthBytes = 4;
constexpr std::int64_t kVersion = 1;  // of the format, and of the schema of calls
constexpr double kMaxBytes = 0x1p40;

constexpr std::array<std::pair<std::string_view, double>, 21> kTypeBytes{{
    {"torch.float64", 8},         {"torch.double", 8},
    {"torch.int64", 8},           {"torch.uint64", 8},
    {"torch.complex64", 8},       {"torch.complex128", 16},
    {"torch.float32", 4},         {"torch.int32", 4},
    {"torch.uint32", 4},          {"torch.bfloat16", 2},
    {"torch.float16", 2},         {"torch.int16", 2},
    {"torch.uint16", 2},          {"torch.int8", 1},
    {"torch.uint8", 1},           {"torch.bool", 1},
    {"torch.float8_e4m3fn", 1},   {"torch.float8_e5m2", 1},
    {"torch.float8_e4m3fnuz", 1}, {"torch.float8_e5m2fnuz", 1},
    {"torch.float8_e8m0fnu", 1},
}};

struct Key {
  std::uint16_t scope = 0;
  std::uint64_t hash = 0;
  std::uint64_t bytes = 0;  // 0: unknown
};

// What of a record cannot be read, for a message.
using Unreadable = std::string;
template <class T>
using Checked = std::expected<T, Unreadable>;

std::optional<Cursor> unwrapped(const Cursor& value, std::string_view tag) {
  auto name = value.field("__t__");
  if (!name || name->text() != tag) return std::nullopt;
  return value.field("v");
}

// Bytes of an object of that layout: of all its tensors together.
std::optional<std::uint64_t> layout_bytes(const Cursor& wrapped) {
  const auto layout = unwrapped(wrapped, "MemoryLayoutDesc");
  if (!layout) return std::nullopt;
  auto shapes = layout->field("shapes"), types = layout->field("dtypes");
  if (!shapes || !types) return std::nullopt;
  const auto tensors = shapes->list();
  if (!tensors || types->list() != tensors) return std::nullopt;
  double sum = 0;
  for (std::uint32_t i = 0; i < *tensors; ++i) {
    const auto name = types->text();
    const auto* type =
        std::ranges::find(kTypeBytes, name.value_or(""), [](auto& one) { return one.first; });
    const auto dimensions = shapes->list();
    if (type == kTypeBytes.end() || !dimensions) return std::nullopt;
    double bytes = type->second;
    for (std::uint32_t d = 0; d < *dimensions; ++d) {
      const auto size = shapes->integer();
      if (!size || *size < 0) return std::nullopt;
      bytes *= static_cast<double>(*size);
    }
    sum += bytes;
  }
  if (!(sum >= 1 && sum <= kMaxBytes)) return std::nullopt;
  return static_cast<std::uint64_t>(sum);
}

enum class Call : std::uint8_t {
  prefetch,
  reserve,
  finish,
  store,
  lookup,
  load,
  erase,
  gap,
  none,
  other
};

Call call_of(std::string_view qualname) {
  static constexpr std::array<std::pair<std::string_view, Call>, 16> kCalls{{
      {"submit_prefetch_task", Call::prefetch},
      {"reserve_write", Call::reserve},
      {"finish_write", Call::finish},
      {"finish_read_prefetched", Call::none},
      {"__enter__", Call::none},
      {"__exit__", Call::none},
      {"store", Call::store},
      {"submit_store_task", Call::store},
      {"lookup", Call::lookup},
      {"submit_lookup_and_lock_task", Call::lookup},
      {"load", Call::load},
      {"submit_load_task", Call::load},
      {"unlock", Call::none},
      {"submit_unlock", Call::none},
      {"delete", Call::erase},
      {"gap", Call::gap},
  }};
  const std::string_view last = qualname.substr(qualname.rfind('.') + 1);
  for (const auto& [name, call] : kCalls) {
    if (name == last) return call;
  }
  return Call::other;
}

// Makes ops of records.
class RecordReader {
 public:
  // `by_reservation`: stores are taken from reserve_write, for recordings without finish_write.
  RecordReader(Trace& trace, bool by_reservation)
      : trace_(trace), by_reservation_(by_reservation) {}

  Checked<void> read(const Cursor& record) {
    auto type = record.field("type"), time = record.field("t_mono");
    auto name = record.field("qualname");
    const auto args = record.field("args");
    if (!type || type->text() != "record" || !time || !name || !args) {
      return std::unexpected("no record of a call");
    }
    const auto time_s = time->real();
    const auto qualname = name->text();
    if (!time_s || !std::isfinite(*time_s) || *time_s < 0 || !qualname) {
      return std::unexpected("its time or name cannot be read");
    }
    time_s_ = *time_s;
    auto read = dispatch(call_of(*qualname), *args);
    if (!read) return std::unexpected(fmt::format("{} of {}", read.error(), printable(*qualname)));
    return read;
  }

  [[nodiscard]] bool only_reservations() const { return reservations_ > 0 && finished_ == 0; }

  void add_notes() {
    if (others_ > 0) {
      trace_.notes.push_back(fmt::format("{} records of other calls were left out", others_));
    }
    if (lost_ > 0) {
      trace_.notes.push_back(
          fmt::format("{} calls are missing: they came faster than they could be recorded", lost_));
    }
    if (memory_only_ > 0) {
      trace_.notes.push_back(
          fmt::format("{} lookups in memory only (skip_l2) were left out", memory_only_));
    }
    if (by_reservation_) {
      trace_.notes.emplace_back(
          "no write is recorded as finished, so those reserved count as stored");
    }
    if (keys_ > 0 && !salts_recorded_) {
      trace_.notes.emplace_back(
          "the recording has no cache_salt, as of LMCache 0.5.6: all tenants are one");
    }
    if (unknown_types_ > 0) {
      trace_.notes.push_back(
          fmt::format("{} layouts of unknown types were left out", unknown_types_));
    }
  }

  // Ops of unknown size take that of their scope, else of any scope; else what the user says.
  Result<void> fill_sizes(const std::string& path, std::uint64_t given) {
    std::map<std::uint16_t, std::uint64_t> of_scope;
    std::uint64_t of_any = given;
    for (const Op& op : trace_.ops) {
      if (op.object_bytes == 0) continue;
      of_scope.try_emplace(op.scope, op.object_bytes);
      if (of_any == 0) of_any = op.object_bytes;
    }
    for (Op& op : trace_.ops) {
      if (given != 0) op.object_bytes = given;
      if (op.object_bytes != 0) continue;
      const auto known = of_scope.find(op.scope);
      op.object_bytes = known == of_scope.end() ? of_any : known->second;
      if (op.object_bytes != 0) continue;
      return fail(Errc::invalid_argument,
                  path + ": the recording tells no size of objects; give object_bytes");
    }
    return {};
  }

 private:
  static std::string printable(std::string_view text) {
    std::string result(text.substr(0, 80));
    std::ranges::replace_if(result, [](char c) { return c < 0x20 || c == 0x7F; }, '?');
    return result;
  }

  Checked<void> dispatch(Call call, const Cursor& args) {
    switch (call) {
      case Call::none: return {};
      case Call::other: ++others_; return {};
      case Call::prefetch: return read_prefetch(args);
      case Call::reserve: return read_reservation(args);
      case Call::finish:
        ++finished_;
        return by_reservation_ ? Checked<void>{} : read_op(OpKind::store, args);
      case Call::store: return read_op(OpKind::store, args);
      case Call::lookup: return read_op(OpKind::lookup, args);
      case Call::load: return read_op(OpKind::load, args);
      case Call::erase: return read_op(OpKind::erase, args);
      case Call::gap: return read_gap(args);
    }
    return {};
  }

  // Of our own recordings (write_lct.cpp): calls that came too fast.
  Checked<void> read_gap(const Cursor& args) {
    auto calls = args.field("calls");
    const auto count = calls ? calls->integer() : std::nullopt;
    if (!count || *count < 0) return std::unexpected("`calls` cannot be read");
    lost_ += static_cast<std::uint64_t>(*count);
    return {};
  }

  // A row per rank and object group.
  Checked<void> read_prefetch(const Cursor& args) {
    auto memory_only = args.field("skip_l2");
    if (memory_only && memory_only->boolean() == true) {
      ++memory_only_;
      return {};
    }
    const auto wrapped = args.field("spec");
    const auto spec = wrapped ? unwrapped(*wrapped, "PrefetchTaskSpec") : std::nullopt;
    auto rows = spec ? spec->field("key_groups") : std::nullopt;
    const auto count = rows ? rows->list() : std::nullopt;
    if (!count) return std::unexpected("`spec` cannot be read");
    for (std::uint32_t i = 0; i < *count; ++i) {
      const auto row = unwrapped(*rows, "GroupedObjectKeys");
      if (!row || !rows->skip()) return std::unexpected("`key_groups` cannot be read");
      auto keys = read_keys(*row);
      if (!keys) return std::unexpected(std::move(keys.error()));
      set_size(*row, *keys);
      add(OpKind::lookup, *keys);
      add(OpKind::load, *keys);
    }
    return {};
  }

  Checked<void> read_reservation(const Cursor& args) {
    ++reservations_;
    auto keys = read_keys(args);
    if (!keys) return std::unexpected(std::move(keys.error()));
    set_size(args, *keys);
    if (by_reservation_) add(OpKind::store, *keys);
    return {};
  }

  Checked<void> read_op(OpKind kind, const Cursor& args) {
    auto keys = read_keys(args);
    if (!keys) return std::unexpected(std::move(keys.error()));
    if (auto sizes = args.field("sizes")) {
      if (sizes->list() != keys->size()) return std::unexpected("not as many sizes as keys");
      for (Key& key : *keys) {
        const auto size = sizes->integer();
        if (!size || *size <= 0 || static_cast<double>(*size) > kMaxBytes) {
          return std::unexpected("a size cannot be read");
        }
        remember_size(key, static_cast<std::uint64_t>(*size));
      }
    }
    add(kind, *keys);
    return {};
  }

  // Of the value's `keys`, with sizes as far as they are known.
  Checked<std::vector<Key>> read_keys(const Cursor& value) {
    auto list = value.field("keys");
    const auto count = list ? list->list() : std::nullopt;
    if (!count) return std::unexpected("`keys` cannot be read");
    std::vector<Key> keys;
    for (std::uint32_t i = 0; i < *count; ++i) {
      const auto fields = unwrapped(*list, "ObjectKey");
      if (!fields || !list->skip()) return std::unexpected("a key cannot be read");
      auto key = read_key(*fields);
      if (!key) return std::unexpected(std::move(key.error()));
      keys.push_back(*key);
    }
    return keys;
  }

  Checked<Key> read_key(const Cursor& fields) {
    auto hash = fields.field("chunk_hash"), model = fields.field("model_name");
    auto rank = fields.field("kv_rank"), group = fields.field("object_group_id");
    auto salt = fields.field("cache_salt");
    if (!hash || !model || !rank) return std::unexpected("a key lacks a field");
    const auto bytes = hash->bytes();
    const auto name = model->text();
    const auto kv_rank = rank->integer(), group_id = group ? group->integer() : 0;
    const auto tenant = salt ? salt->text() : std::string_view{};
    if (!bytes || !name || !kv_rank || *kv_rank < 0 || !group_id || *group_id < 0 ||
        *group_id > UINT32_MAX || !tenant) {
      return std::unexpected("a field of a key cannot be read");
    }
    ++keys_;
    salts_recorded_ |= salt.has_value();
    auto scope = scopes_.index_of({.model_name = std::string(*name),
                                   .kv_rank = static_cast<std::uint64_t>(*kv_rank),
                                   .object_group_id = static_cast<std::uint32_t>(*group_id),
                                   .cache_salt = std::string(*tenant)},
                                  trace_);
    if (!scope) return std::unexpected(std::move(scope.error().what));
    Key key{.scope = *scope, .hash = xxh3(std::as_bytes(std::span(*bytes)))};
    const auto known = sizes_.find(key.hash ^ key.scope);
    if (known != sizes_.end()) key.bytes = known->second;
    return key;
  }

  void set_size(const Cursor& value, std::vector<Key>& keys) {
    const auto layout = value.field("layout_desc");
    const auto bytes = layout ? layout_bytes(*layout) : std::nullopt;
    if (!bytes) {
      ++unknown_types_;
      return;
    }
    for (Key& key : keys) remember_size(key, *bytes);
  }

  void remember_size(Key& key, std::uint64_t bytes) {
    key.bytes = bytes;
    sizes_[key.hash ^ key.scope] = bytes;
  }

  // An op per scope and size: a store mixes prompts and ranks.
  void add(OpKind kind, std::vector<Key> keys) {
    const auto place = [](const Key& key) { return std::pair(key.scope, key.bytes); };
    std::ranges::stable_sort(keys, {}, place);
    for (std::size_t at = 0; at < keys.size();) {
      Op op{.time_s = time_s_,
            .kind = kind,
            .scope = keys[at].scope,
            .first_key = trace_.keys.size(),
            .object_bytes = keys[at].bytes};
      const auto here = place(keys[at]);
      for (; at < keys.size() && place(keys[at]) == here; ++at, ++op.keys) {
        trace_.keys.push_back(keys[at].hash);
      }
      trace_.ops.push_back(op);
    }
  }

  Trace& trace_;
  bool by_reservation_;
  ScopeTable scopes_;
  std::unordered_map<std::uint64_t, std::uint64_t> sizes_;  // by hash and scope
  double time_s_ = 0;
  bool salts_recorded_ = false;
  std::uint64_t keys_ = 0, reservations_ = 0, finished_ = 0, others_ = 0, unknown_types_ = 0,
                memory_only_ = 0, lost_ = 0;
};

struct Frame {
  std::string bytes;
  std::uint64_t offset = 0;  // of its length
};

class FrameReader {
 public:
  FrameReader(std::istream& file, std::uint64_t file_bytes) : file_(file), size_(file_bytes) {}

  // False at the end; what is left of a frame that was cut off counts as the end.
  bool read(Frame& frame) {
    std::array<char, kLengthBytes> length{};
    frame.offset = offset_;
    if (left() < kLengthBytes || !file_.read(length.data(), length.size())) return false;
    std::uint32_t bytes = 0;
    for (const char c : length) bytes = bytes << 8 | static_cast<std::uint8_t>(c);
    if (left() - kLengthBytes < bytes) return false;
    frame.bytes.resize(bytes);
    if (!file_.read(frame.bytes.data(), bytes)) return false;
    offset_ += kLengthBytes + bytes;
    return true;
  }
  [[nodiscard]] std::uint64_t left() const { return size_ - std::min(size_, offset_); }

 private:
  std::istream& file_;
  std::uint64_t size_;
  std::uint64_t offset_ = 0;
};

Result<void> check_header(FrameReader& frames, const std::string& path) {
  const auto refuse = [&](Errc code, std::string_view what) {
    return fail(code, fmt::format("{}: {}", path, what));
  };
  Frame frame;
  if (!frames.read(frame)) return refuse(Errc::corrupt, "the recording ends within its header");
  const Cursor header(frame.bytes);
  auto magic = header.field("magic"), format = header.field("format_version"),
       schema = header.field("trace_schema_version"), level = header.field("level");
  if (!magic || magic->bytes() != "LMCT" || !format || !schema || !level) {
    return refuse(Errc::corrupt, "the header of the recording, at byte 0, cannot be read");
  }
  const auto format_version = format->integer(), schema_version = schema->integer();
  if (format_version != kVersion || schema_version != kVersion) {
    return refuse(Errc::version_mismatch,
                  fmt::format("a recording of format {} and schema {}; those of LMCache 0.5.6 (1 "
                              "and 1) are read",
                              format_version.value_or(-1), schema_version.value_or(-1)));
  }
  const auto name = level->text();
  if (name != "storage" && name != "l2") {
    return refuse(Errc::unsupported,
                  "the recording has no calls of the storage manager; record with lmcache server "
                  "--trace-level storage");
  }
  return {};
}

Result<Trace> read_records(std::istream& file, const std::string& path, std::uint64_t file_bytes,
                           std::uint64_t object_bytes, bool by_reservation) {
  Trace trace;
  FrameReader frames(file, file_bytes);
  if (auto header = check_header(frames, path); !header) return fail(std::move(header.error()));
  RecordReader reader(trace, by_reservation);
  Frame frame;
  while (frames.read(frame)) {
    if (auto read = reader.read(Cursor(frame.bytes)); !read) {
      return fail(Errc::corrupt,
                  fmt::format("{}: the record at byte {}: {}; `head -c {}` keeps what is before it",
                              path, frame.offset, read.error(), frame.offset));
    }
  }
  if (file.bad()) return fail_errno(EIO, path);
  if (!by_reservation && reader.only_reservations()) {
    file.clear();
    file.seekg(0);
    return read_records(file, path, file_bytes, object_bytes, true);
  }
  if (frames.left() > 0) {
    trace.notes.push_back(
        fmt::format("the last {} bytes are a record that was cut off", frames.left()));
  }
  reader.add_notes();
  if (auto filled = reader.fill_sizes(path, object_bytes); !filled) {
    return fail(std::move(filled.error()));
  }
  return trace;
}

}  // namespace

Result<Trace> read_lct(std::istream& file, const std::string& path, std::uint64_t file_bytes,
                       const ReadOptions& options) {
  return read_records(file, path, file_bytes, options.object_bytes, false);
}

}  // namespace fdpstore::trace
