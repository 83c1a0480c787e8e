// Errors: what every fallible call returns.
//
// Operating errors (a full disk, a bad option, a damaged file) are returned; programmer errors
// assert. Only the Python bindings throw. An errno keeps its std::generic_category, an NVMe status
// has a category of its own, ours is Errc: a status never reads as an errno.
#pragma once

#include <expected>
#include <string>
#include <system_error>
#include <type_traits>
#include <utility>

namespace fdpstore {

enum class Errc {
  not_found = 1,     // no such key, segment or path
  no_space,          // capacity is used up and nothing can be reclaimed now
  corrupt,           // bytes on disk fail their checks
  closed,            // the store is closed or closing
  invalid_argument,  // a value that can never be right
  invalid_option,    // unknown, malformed or contradictory option
  too_large,         // object or key beyond the configured limit
  busy,              // another process has the store open
  foreign,           // the path holds something that is not ours
  unsupported,       // this machine, file system or device cannot do it
  version_mismatch,  // written by a newer fdpstore
  timed_out,         // gave up after the documented bound
};

const std::error_category& store_category() noexcept;
inline std::error_code make_error_code(Errc code) noexcept {
  return {static_cast<int>(code), store_category()};
}

struct Error {
  std::error_code code;
  std::string what;  // Names the path, device or option, what is wrong, and the remedy.

  // "<what>: <text of code>", or one of the two when the other is empty.
  [[nodiscard]] std::string message() const;
};

template <class T>
using Result = std::expected<T, Error>;

[[nodiscard]] inline std::unexpected<Error> fail(Errc code, std::string what) {
  return std::unexpected(Error{make_error_code(code), std::move(what)});
}
// `errno_value` > 0, as in errno.
[[nodiscard]] inline std::unexpected<Error> fail_errno(int errno_value, std::string what) {
  return std::unexpected(
      Error{std::error_code(errno_value, std::generic_category()), std::move(what)});
}
[[nodiscard]] inline std::unexpected<Error> fail(Error error) {
  return std::unexpected(std::move(error));
}

}  // namespace fdpstore

template <>
struct std::is_error_code_enum<fdpstore::Errc> : std::true_type {};
