// Msgpack: a reader over bytes in memory that trusts nothing in them. It allocates nothing and does
// not recurse: what a value claims to hold is checked against the bytes that are left.
//
// Thread:  one at a time; a Cursor is a position, to be copied freely.
// Owns:    nothing; borrows the bytes.
// Errors:  nothing returned means malformed or cut off; the cursor is then of no further use.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace fdpstore::trace::msgpack {

struct Token {
  enum class Kind : std::uint8_t { nil, boolean, integer, real, text, bytes, list, map, extension };
  Kind kind = Kind::nil;
  std::int64_t integer = 0;  // boolean: 0 or 1; beyond 2^63: cut to its maximum
  double real = 0;           // real and integer
  std::string_view data;     // text, bytes
  std::uint32_t count = 0;   // list: values; map: pairs of them; they follow
};

class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : rest_(bytes) {}

  std::optional<Token> next();
  // Past one value and all in it; false: malformed.
  [[nodiscard]] bool skip();
  // At the value of a map that begins here: nothing when this is no map or has no such key.
  [[nodiscard]] std::optional<Cursor> field(std::string_view name) const;
  [[nodiscard]] bool at_end() const { return rest_.empty(); }

  // The next value, if it is of that kind.
  std::optional<std::string_view> text() { return data_of(Token::Kind::text); }
  std::optional<std::string_view> bytes() { return data_of(Token::Kind::bytes); }
  std::optional<bool> boolean();
  std::optional<std::int64_t> integer();
  std::optional<double> real();         // integers too
  std::optional<std::uint32_t> list();  // how many values follow

 private:
  std::optional<std::string_view> data_of(Token::Kind kind);
  std::optional<std::uint64_t> number(std::size_t bytes);  // big-endian
  std::optional<Token> data(Token::Kind kind, std::size_t size);
  std::optional<Token> container(Token::Kind kind, std::uint64_t count);
  std::optional<Token> sized(std::uint8_t first);
  std::optional<Token> numeric(std::uint8_t first);

  std::string_view rest_;
};

}  // namespace fdpstore::trace::msgpack
