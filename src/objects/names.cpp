#include "objects/names.hpp"

#include <array>
#include <charconv>
#include <cstring>

#include <fmt/core.h>
#include <xxhash.h>

namespace fdpstore::objects {
namespace {

constexpr std::string_view kSlash = "-SEP-";
constexpr std::string_view kOwnPrefix = "fdpstore-";
constexpr std::size_t kOwnHexDigits = 32;

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  std::size_t at = 0;
  for (std::size_t hit; (hit = text.find(from, at)) != text.npos; at = hit + from.size()) {
    out.append(text.substr(at, hit - at)).append(to);
  }
  return out.append(text.substr(at));
}

bool has_control(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) return true;
  }
  return false;
}

// Whether a file name can carry model and salt so that reading it back gives the same again.
bool scope_is_reversible(std::string_view model, std::string_view salt) {
  if (model.find('@') != model.npos || salt.find_first_of("@/\\") != salt.npos) return false;
  if (has_control(model) || has_control(salt)) return false;
  return replace_all(replace_all(model, "/", kSlash), kSlash, "/") == model;
}

std::uint64_t hash_of(std::string_view text, std::uint64_t seed = 0) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

template <class T>
void append_number(std::vector<std::byte>& out, T value) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.insert(out.end(), bytes, bytes + sizeof value);
}

template <class T>
bool take_number(std::span<const std::byte>& in, T& value) {
  if (in.size() < sizeof value) return false;
  std::memcpy(&value, in.data(), sizeof value);
  in = in.subspan(sizeof value);
  return true;
}

template <class T>
bool parse_hex_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && end == text.data() + text.size();
}

Result<void> check_limits(const KeyRef& key) {
  if (key.chunk_hash.empty()) return fail(Errc::invalid_argument, "a key needs a chunk_hash");
  if (key.chunk_hash.size() > kMaxHashBytes || key.model_name.size() > kMaxModelNameBytes ||
      key.cache_salt.size() > kMaxSaltBytes) {
    return fail(Errc::too_large,
                fmt::format("key too long: chunk_hash {} of {} bytes at most, model_name {} of {}, "
                            "cache_salt {} of {}",
                            key.chunk_hash.size(), kMaxHashBytes, key.model_name.size(),
                            kMaxModelNameBytes, key.cache_salt.size(), kMaxSaltBytes));
  }
  return {};
}

std::string own_name(const KeyRef& key) {
  const auto bytes = encode_key(key);
  const XXH128_hash_t hash = XXH3_128bits(bytes.data(), bytes.size());
  return fmt::format("{}{:016x}{:016x}{}", kOwnPrefix, hash.high64, hash.low64, kObjectSuffix);
}

}  // namespace

void append_hex(std::string& out, std::span<const std::byte> bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const std::size_t at = out.size();
  out.resize(at + 2 * bytes.size());
  char* to = out.data() + at;
  for (const std::byte b : bytes) {
    *to++ = kDigits[std::to_integer<unsigned>(b) >> 4];
    *to++ = kDigits[std::to_integer<unsigned>(b) & 15];
  }
}

bool parse_hex(std::string_view hex, std::vector<std::byte>& out) {
  if (hex.size() % 2 != 0) return false;
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  out.clear();
  out.reserve(hex.size() / 2);
  for (std::size_t i = 0; i < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) return false;
    out.push_back(static_cast<std::byte>(high * 16 + low));
  }
  return true;
}

void NameBuilder::set_scope(const KeyRef& key) {
  if (has_scope_ && key.kv_rank == kv_rank_ && key.object_group_id == group_ &&
      key.model_name == model_ && key.cache_salt == salt_) {
    return;
  }
  has_scope_ = true;
  model_ = key.model_name;
  salt_ = key.cache_salt;
  kv_rank_ = key.kv_rank;
  group_ = key.object_group_id;
  ordinary_ = scope_is_reversible(model_, salt_);
  prefix_ = fmt::format("{}@{:#010x}@{:x}@", replace_all(model_, "/", kSlash), kv_rank_, group_);
  suffix_ = salt_.empty() ? std::string(kObjectSuffix) : fmt::format("@{}{}", salt_, kObjectSuffix);
  // From the fields, not from prefix and suffix: those are ambiguous where ordinary_ is false.
  const std::array<std::uint64_t, 2> numbers{kv_rank_, group_};
  chain_ = hash_of(model_, hash_of(salt_, XXH3_64bits(numbers.data(), sizeof numbers)));
}

Result<ObjectName> NameBuilder::build(const KeyRef& key) {
  if (auto checked = check_limits(key); !checked) return fail(checked.error());
  set_scope(key);
  ObjectName name;
  name.chain = chain_;
  const std::size_t length = prefix_.size() + 2 * key.chunk_hash.size() + suffix_.size();
  if (ordinary_ && length <= kMaxFileNameBytes) {
    name.file.reserve(length);
    name.file = prefix_;
    append_hex(name.file, key.chunk_hash);
    name.file += suffix_;
  } else {
    name.file = own_name(key);
    name.own_key = std::make_shared<const ObjectKey>(key);
  }
  name.digest = hash_of(name.file);
  return name;
}

ObjectName name_of_file(std::string_view file) {
  ObjectName name;
  name.file = file;
  name.digest = hash_of(file);
  return name;
}

bool is_own_name(std::string_view file) {
  std::vector<std::byte> bytes;
  return file.size() == kOwnPrefix.size() + kOwnHexDigits + kObjectSuffix.size() &&
         file.starts_with(kOwnPrefix) && file.ends_with(kObjectSuffix) &&
         parse_hex(file.substr(kOwnPrefix.size(), kOwnHexDigits), bytes);
}

bool is_fs_temporary(std::string_view file) {
  if (!file.ends_with(kTemporarySuffix)) return false;
  file.remove_suffix(kTemporarySuffix.size());
  return parse_name(std::string(file) + std::string(kObjectSuffix)).has_value();
}

std::optional<NameParts> split_name(std::string_view file) {
  if (is_own_name(file)) {
    return NameParts{kOwnPrefix, file.substr(kOwnPrefix.size(), kOwnHexDigits), kObjectSuffix};
  }
  if (!file.ends_with(kObjectSuffix)) return std::nullopt;
  std::size_t begin = 0;
  for (int field = 0; field < 3; ++field) {
    begin = file.find('@', begin);
    if (begin == file.npos) return std::nullopt;
    ++begin;
  }
  std::size_t end = file.find('@', begin);
  if (end == file.npos) end = file.size() - kObjectSuffix.size();
  if (end < begin) return std::nullopt;
  return NameParts{file.substr(0, begin), file.substr(begin, end - begin), file.substr(end)};
}

std::optional<ObjectKey> parse_name(std::string_view file) {
  const auto parts = split_name(file);
  if (!parts || is_own_name(file)) return std::nullopt;
  ObjectKey key;
  const std::size_t rank_at = parts->prefix.find('@') + 1;
  const std::size_t group_at = parts->prefix.find('@', rank_at) + 1;
  const auto rank = parts->prefix.substr(rank_at, group_at - rank_at - 1);
  const auto group = parts->prefix.substr(group_at, parts->prefix.size() - group_at - 1);
  key.model_name = replace_all(parts->prefix.substr(0, rank_at - 1), kSlash, "/");
  if (!rank.starts_with("0x") || !parse_hex_number(rank.substr(2), key.kv_rank))
    return std::nullopt;
  if (!parse_hex_number(group, key.object_group_id)) return std::nullopt;
  if (!parse_hex(parts->hex, key.chunk_hash)) return std::nullopt;
  auto salt = parts->suffix.substr(0, parts->suffix.size() - kObjectSuffix.size());
  if (!salt.empty()) salt.remove_prefix(1);
  key.cache_salt = salt;
  // Only what the key would be called counts as its file: "0x1" for "0x00000001" is never looked
  // up.
  NameBuilder builder;
  const auto name = builder.build(key.ref());
  if (!name || name->file != file) return std::nullopt;
  return key;
}

std::vector<std::byte> encode_key(const KeyRef& key) {
  std::vector<std::byte> out;
  append_number(out, key.kv_rank);
  append_number(out, key.object_group_id);
  append_number(out, static_cast<std::uint16_t>(key.chunk_hash.size()));
  append_number(out, static_cast<std::uint16_t>(key.model_name.size()));
  append_number(out, static_cast<std::uint16_t>(key.cache_salt.size()));
  const auto append = [&](const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::byte*>(data);
    out.insert(out.end(), bytes, bytes + size);
  };
  append(key.chunk_hash.data(), key.chunk_hash.size());
  append(key.model_name.data(), key.model_name.size());
  append(key.cache_salt.data(), key.cache_salt.size());
  return out;
}

std::optional<ObjectKey> decode_key(std::span<const std::byte> bytes) {
  ObjectKey key;
  std::uint16_t hash = 0, model = 0, salt = 0;
  if (!take_number(bytes, key.kv_rank) || !take_number(bytes, key.object_group_id) ||
      !take_number(bytes, hash) || !take_number(bytes, model) || !take_number(bytes, salt) ||
      bytes.size() != std::size_t{hash} + model + salt) {
    return std::nullopt;
  }
  key.chunk_hash.assign(bytes.begin(), bytes.begin() + hash);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  key.model_name.assign(text + hash, model);
  key.cache_salt.assign(text + hash + model, salt);
  return key;
}

}  // namespace fdpstore::objects
