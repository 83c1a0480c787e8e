#include "trace/msgpack.hpp"

#include <algorithm>
#include <bit>
#include <limits>

namespace fdpstore::trace::msgpack {
namespace {

using Kind = Token::Kind;

Token integer_token(std::int64_t value) {
  return {.kind = Kind::integer, .integer = value, .real = static_cast<double>(value), .data = {}};
}
Token real_token(double value) {
  return {.kind = Kind::real, .real = value, .data = {}};
}

}  // namespace

std::optional<std::uint64_t> Cursor::number(std::size_t bytes) {
  if (rest_.size() < bytes) return std::nullopt;
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<std::uint8_t>(rest_[i]);
  rest_.remove_prefix(bytes);
  return value;
}

std::optional<Token> Cursor::data(Kind kind, std::size_t size) {
  if (rest_.size() < size) return std::nullopt;
  const Token token{.kind = kind, .data = rest_.substr(0, size)};
  rest_.remove_prefix(size);
  return token;
}

std::optional<Token> Cursor::container(Kind kind, std::uint64_t count) {
  // Each value takes a byte at least.
  const std::uint64_t values = kind == Kind::map ? 2 * count : count;
  if (values > rest_.size()) return std::nullopt;
  return Token{.kind = kind, .data = {}, .count = static_cast<std::uint32_t>(count)};
}

// 0xCA … 0xD3: floats and integers of 1, 2, 4 or 8 bytes.
std::optional<Token> Cursor::numeric(std::uint8_t first) {
  const bool is_float = first < 0xCC;
  const std::size_t bytes =
      is_float ? std::size_t{4} << (first - 0xCA) : std::size_t{1} << (first & 3);
  const auto value = number(bytes);
  if (!value) return std::nullopt;
  if (is_float) {
    return real_token(bytes == 4 ? std::bit_cast<float>(static_cast<std::uint32_t>(*value))
                                 : std::bit_cast<double>(*value));
  }
  if (first < 0xD0) {
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return integer_token(static_cast<std::int64_t>(std::min(*value, kMost)));
  }
  const int unused = 64 - 8 * static_cast<int>(bytes);
  return integer_token(static_cast<std::int64_t>(*value << unused) >> unused);
}

// What is preceded by its size in 1, 2 or 4 bytes.
std::optional<Token> Cursor::sized(std::uint8_t first) {
  const auto after = [&](std::size_t bytes, auto make) -> std::optional<Token> {
    const auto size = number(bytes);
    return size ? make(*size) : std::nullopt;
  };
  const auto of = [&](Kind kind) {
    return [this, kind](std::uint64_t size) { return data(kind, size); };
  };
  const auto holding = [&](Kind kind) {
    return [this, kind](std::uint64_t count) { return container(kind, count); };
  };
  switch (first) {
    case 0xC4: return after(1, of(Kind::bytes));
    case 0xC5: return after(2, of(Kind::bytes));
    case 0xC6: return after(4, of(Kind::bytes));
    case 0xD9: return after(1, of(Kind::text));
    case 0xDA: return after(2, of(Kind::text));
    case 0xDB: return after(4, of(Kind::text));
    case 0xDC: return after(2, holding(Kind::list));
    case 0xDD: return after(4, holding(Kind::list));
    case 0xDE: return after(2, holding(Kind::map));
    case 0xDF: return after(4, holding(Kind::map));
    // Extensions: a type of one byte belongs to them.
    case 0xC7: return after(1, [this](auto size) { return data(Kind::extension, size + 1); });
    case 0xC8: return after(2, [this](auto size) { return data(Kind::extension, size + 1); });
    case 0xC9: return after(4, [this](auto size) { return data(Kind::extension, size + 1); });
    default: return std::nullopt;
  }
}

std::optional<Token> Cursor::next() {
  const auto byte = number(1);
  if (!byte) return std::nullopt;
  const auto first = static_cast<std::uint8_t>(*byte);
  if (first < 0x80) return integer_token(first);
  if (first < 0x90) return container(Kind::map, first & 0x0F);
  if (first < 0xA0) return container(Kind::list, first & 0x0F);
  if (first < 0xC0) return data(Kind::text, first & 0x1F);
  if (first >= 0xE0) return integer_token(static_cast<std::int8_t>(first));
  if (first == 0xC0) return Token{};
  if (first == 0xC2 || first == 0xC3) {
    Token token = integer_token(first & 1);
    token.kind = Kind::boolean;
    return token;
  }
  if (first >= 0xCA && first <= 0xD3) return numeric(first);
  if (first >= 0xD4 && first <= 0xD8) {
    return data(Kind::extension, 1 + (std::size_t{1} << (first - 0xD4)));
  }
  return sized(first);  // 0xC1 is not used, and refused there
}

bool Cursor::skip() {
  for (std::uint64_t pending = 1; pending > 0; --pending) {
    const auto token = next();
    if (!token) return false;
    pending += token->kind == Kind::map ? 2 * std::uint64_t{token->count} : token->count;
  }
  return true;
}

std::optional<Cursor> Cursor::field(std::string_view name) const {
  Cursor at = *this;
  const auto map = at.next();
  if (!map || map->kind != Kind::map) return std::nullopt;
  for (std::uint32_t i = 0; i < map->count; ++i) {
    Cursor key = at;
    if (!at.skip()) return std::nullopt;
    if (key.text() == name) return at;
    if (!at.skip()) return std::nullopt;
  }
  return std::nullopt;
}

std::optional<std::string_view> Cursor::data_of(Kind kind) {
  const auto token = next();
  if (!token || token->kind != kind) return std::nullopt;
  return token->data;
}

std::optional<bool> Cursor::boolean() {
  const auto token = next();
  if (!token || token->kind != Kind::boolean) return std::nullopt;
  return token->integer != 0;
}

std::optional<std::int64_t> Cursor::integer() {
  const auto token = next();
  if (!token || token->kind != Kind::integer) return std::nullopt;
  return token->integer;
}

std::optional<double> Cursor::real() {
  const auto token = next();
  if (!token || (token->kind != Kind::real && token->kind != Kind::integer)) return std::nullopt;
  return token->real;
}

std::optional<std::uint32_t> Cursor::list() {
  const auto token = next();
  if (!token || token->kind != Kind::list) return std::nullopt;
  return token->count;
}

}  // namespace fdpstore::trace::msgpack
