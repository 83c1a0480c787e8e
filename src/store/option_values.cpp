// Values of options: from JSON or a command line's text, and back.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>

#include "store/option_rows.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;

constexpr double kGiB = 1ULL << 30;

template <class T>
using MemberType = std::remove_cvref_t<decltype(std::declval<Options>().*std::declval<T>())>;

std::unexpected<Error> bad_value(const OptionRow& row, const json::value& value,
                                 std::string_view expected) {
  return fail(Errc::invalid_option,
              fmt::format("{} = {}: {}", row.info.name, json::serialize(value), expected));
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return result;
}

std::string_view trim(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

Result<double> parse_real(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || !std::isfinite(number)) {
    return fail(Errc::invalid_option, "expected a number");
  }
  return number;
}

// Factor of a unit, 0 when there is no such unit.
double unit_factor(std::string_view unit) {
  const std::string name = lower(unit);
  if (name.empty() || name == "b") return 1;
  const auto power = std::string_view("kmgtp").find(name[0]);
  if (power == std::string_view::npos) return 0;
  const double exponent = static_cast<double>(power) + 1;
  const std::string_view rest = std::string_view(name).substr(1);
  if (rest.empty() || rest == "ib") return std::pow(1024.0, exponent);
  if (rest == "b") return std::pow(1000.0, exponent);
  return 0;
}

// A number that JSON wrote as 1e9 or 4.0 is as whole as 4.
Result<std::uint64_t> whole_number(const json::value& value) {
  if (value.is_uint64()) return value.get_uint64();
  if (value.is_int64() && value.get_int64() >= 0) {
    return static_cast<std::uint64_t>(value.get_int64());
  }
  if (value.is_double() && value.get_double() >= 0 && value.get_double() < 1.8e19 &&
      std::floor(value.get_double()) == value.get_double()) {
    return static_cast<std::uint64_t>(value.get_double());
  }
  if (value.is_string()) return parse_size(std::string_view(value.get_string()));
  return fail(Errc::invalid_option, "expected a whole number, not negative");
}

Result<bool> truth(const json::value& value) {
  if (value.is_bool()) return value.get_bool();
  if (value.is_string()) {
    const std::string text = lower(std::string_view(value.get_string()));
    if (text == "true") return true;
    if (text == "false") return false;
  }
  return fail(Errc::invalid_option, "expected true or false");
}

Result<double> real_number(const json::value& value) {
  if (value.is_string()) return parse_real(trim(std::string_view(value.get_string())));
  if (!value.is_number()) return fail(Errc::invalid_option, "expected a number");
  return value.to_number<double>();
}

Result<std::uint64_t> gib(const json::value& value) {
  const auto number = real_number(value);
  if (!number) return fail(number.error());
  if (*number < 0 || *number * kGiB >= 9.2e18) {
    return fail(Errc::invalid_option, "expected a number of GiB, not negative");
  }
  return static_cast<std::uint64_t>(*number * kGiB);  // cut off, as LMCache does
}

// Permission bits read as octal, which a JSON number cannot be.
Result<std::uint32_t> permission_bits(const json::value& value) {
  constexpr auto kExpected = "write the permission bits as an octal text such as \"0640\"";
  if (!value.is_string()) return fail(Errc::invalid_option, kExpected);
  const std::string_view text = value.get_string();
  std::uint32_t bits = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), bits, 8);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return fail(Errc::invalid_option, kExpected);
  }
  return bits;
}

constexpr std::uint32_t kMaxId = 65535;
using Ids = std::vector<std::uint32_t>;

std::optional<std::uint32_t> id_of(const json::value& value) {
  if (value.is_string()) return {};
  const auto id = whole_number(value);
  if (!id || *id > kMaxId) return {};
  return static_cast<std::uint32_t>(*id);
}

std::optional<std::uint32_t> id_of(std::string_view text) {
  std::uint32_t id = 0;
  text = trim(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (error != std::errc{} || end != text.data() + text.size() || id > kMaxId) return {};
  return id;
}

// Both ends count; none: they are no ids, or in the wrong order.
std::optional<Ids> span_of_ids(std::optional<std::uint32_t> first,
                               std::optional<std::uint32_t> last) {
  if (!first || !last || *last < *first) return {};
  Ids ids;
  for (std::uint32_t id = *first; id <= *last; ++id) ids.push_back(id);
  return ids;
}

// {"start": 0, "count": 4}, or {"range": [first, last]}.
std::optional<Ids> ids_of(const json::object& object) {
  if (const json::value* range = object.if_contains("range"); range != nullptr) {
    const json::array* ends = range->if_array();
    if (object.size() != 1 || ends == nullptr || ends->size() != 2) return {};
    return span_of_ids(id_of((*ends)[0]), id_of((*ends)[1]));
  }
  const json::value* start = object.if_contains("start");
  const json::value* count = object.if_contains("count");
  if (object.size() != 2 || start == nullptr || count == nullptr) return {};
  const auto first = id_of(*start), length = id_of(*count);
  if (!first || !length) return {};
  if (*length == 0) return Ids{};
  if (*first + *length - 1 > kMaxId) return {};
  return span_of_ids(first, *first + *length - 1);
}

std::optional<Ids> ids_of(const json::array& array) {
  Ids ids;
  for (const json::value& item : array) {
    const auto id = id_of(item);
    if (!id) return {};
    ids.push_back(*id);
  }
  return ids;
}

// "0-3,8", or one of the other forms as text, as a command line gives it.
std::optional<Ids> ids_of(std::string_view text) {
  text = trim(text);
  if (text.starts_with('[') || text.starts_with('{')) {
    boost::system::error_code error;
    const json::value value = json::parse(text, error);
    if (error) return {};
    if (const json::array* array = value.if_array()) return ids_of(*array);
    return ids_of(value.get_object());
  }
  Ids ids;
  while (!text.empty()) {
    const std::string_view part = text.substr(0, text.find(','));
    text.remove_prefix(std::min(text.size(), part.size() + 1));
    const auto dash = part.find('-');
    const auto first = id_of(part.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : id_of(part.substr(dash + 1));
    const auto span = span_of_ids(first, last);
    if (!span) return {};
    ids.insert(ids.end(), span->begin(), span->end());
  }
  return ids;
}

Result<Ids> list_of_ids(const json::value& value) {
  std::optional<Ids> ids;
  if (const json::array* array = value.if_array()) {
    ids = ids_of(*array);
  } else if (const json::object* object = value.if_object()) {
    ids = ids_of(*object);
  } else if (const json::string* text = value.if_string()) {
    ids = ids_of(std::string_view(*text));
  } else if (const auto id = id_of(value)) {
    ids = Ids{*id};
  }
  if (ids) return std::move(*ids);
  return fail(
      Errc::invalid_option,
      "expected ids below 65536, such as [0, 1, 2], \"0-2,5\", {\"start\": 0, \"count\": 4} "
      "or {\"range\": [0, 3]} (both ends count)");
}

template <class E>
Result<E> choice_of(const OptionRow& row, const json::value& value) {
  std::vector<std::string_view> names;
  std::string_view rest = row.info.choices;
  while (!rest.empty()) {
    names.push_back(rest.substr(0, rest.find('|')));
    rest.remove_prefix(std::min(rest.size(), names.back().size() + 1));
  }
  const std::string_view given = value.is_string() ? std::string_view(value.get_string()) : "";
  // Enumerators are numbered in the order of their names in the table.
  const auto found = std::find(names.begin(), names.end(), given);
  if (found != names.end()) return static_cast<E>(found - names.begin());
  const std::string_view meant = nearest(given, names);
  return fail(Errc::invalid_option,
              fmt::format("expected one of {}{}", fmt::join(names, ", "),
                          meant.empty() ? "" : fmt::format("; did you mean {}?", meant)));
}

template <class T>
Result<T> convert(const OptionRow& row, const json::value& value) {
  if constexpr (std::is_same_v<T, bool>) {
    return truth(value);
  } else if constexpr (std::is_same_v<T, std::optional<bool>>) {
    if (value.is_string() && value.get_string() == "auto") return std::nullopt;
    auto on = truth(value);
    if (!on) return fail(Errc::invalid_option, "expected true, false or auto");
    return *on;
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return fail(Errc::invalid_option, "expected a text");
    return std::string(value.get_string());
  } else if constexpr (std::is_enum_v<T>) {
    return choice_of<T>(row, value);
  } else if constexpr (std::is_same_v<T, std::vector<std::uint32_t>>) {
    return list_of_ids(value);
  } else if constexpr (std::is_same_v<T, double>) {
    return real_number(value);
  } else if (row.info.type == OptionType::text) {
    return permission_bits(value);
  } else {
    auto number = row.info.unit == "GiB" ? gib(value) : whole_number(value);
    if (!number) return fail(std::move(number.error()));
    if (*number > std::numeric_limits<T>::max()) {
      return fail(Errc::invalid_option, fmt::format("at most {} is possible", row.most));
    }
    return static_cast<T>(*number);
  }
}

}  // namespace

Result<std::uint64_t> parse_size(std::string_view text) {
  text = trim(text);
  const auto digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view number = text.substr(0, digits);
  const std::string_view unit = trim(text.substr(digits));
  constexpr auto kExpected = "expected a whole number, or a size such as 64MiB or 1.5GB";
  const double factor = unit_factor(unit);
  if (number.empty() || factor == 0) return fail(Errc::invalid_option, kExpected);
  // Without a unit: all 64 bits count.
  if (factor == 1) {
    std::uint64_t bytes = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), bytes);
    if (error != std::errc{} || end != number.data() + number.size()) {
      return fail(Errc::invalid_option, kExpected);
    }
    return bytes;
  }
  const auto count = parse_real(number);
  if (!count || *count * factor >= 1.8e19) return fail(Errc::invalid_option, kExpected);
  return static_cast<std::uint64_t>(*count * factor);
}

Result<void> set_option(const OptionRow& row, const json::value& value, Options& options) {
  if (value.is_null()) return {};
  return std::visit(
      [&](auto member) -> Result<void> {
        auto converted = convert<MemberType<decltype(member)>>(row, value);
        if (!converted) return bad_value(row, value, converted.error().what);
        options.*member = std::move(*converted);
        return {};
      },
      row.member);
}

json::value get_option(const OptionRow& row, const Options& options) {
  return std::visit(
      [&](auto member) -> json::value {
        using T = MemberType<decltype(member)>;
        const T& value = options.*member;
        if constexpr (std::is_enum_v<T>) {
          return json::value(to_string(value));
        } else if constexpr (std::is_same_v<T, std::optional<bool>>) {
          return value ? json::value(*value) : json::value(nullptr);
        } else if constexpr (std::is_same_v<T, double>) {
          // 300 reads better than 3E2.
          if (std::abs(value) < 1e15 && std::floor(value) == value) {
            return static_cast<std::int64_t>(value);
          }
          return value;
        } else if constexpr (std::is_same_v<T, std::uint32_t>) {
          const bool octal = row.info.type == OptionType::text;
          return octal ? json::value(fmt::format("{:04o}", value)) : json::value(value);
        } else if constexpr (std::is_same_v<T, std::vector<std::uint32_t>>) {
          return json::value_from(value);
        } else {
          return json::value(value);
        }
      },
      row.member);
}

std::string option_text(const OptionRow& row, const Options& options) {
  const json::value value = get_option(row, options);
  if (value.is_null()) return "auto";
  if (value.is_string()) return std::string(value.get_string());
  return json::serialize(value);
}

std::string_view nearest(std::string_view name, std::span<const std::string_view> candidates) {
  std::string_view best;
  std::size_t best_distance = std::max<std::size_t>(2, name.size() / 3) + 1;
  for (const std::string_view candidate : candidates) {
    // Levenshtein distance, one row of the table at a time.
    std::vector<std::size_t> row(candidate.size() + 1);
    for (std::size_t j = 0; j < row.size(); ++j) row[j] = j;
    for (std::size_t i = 0; i < name.size(); ++i) {
      std::size_t diagonal = std::exchange(row[0], i + 1);
      for (std::size_t j = 0; j < candidate.size(); ++j) {
        const std::size_t replaced = diagonal + (name[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
      }
    }
    // A name cut short or with a word too many ("capacity") is meant as well.
    const bool part = name.size() >= 4 && (candidate.starts_with(name) ||
                                           (candidate.size() >= 4 && name.starts_with(candidate)));
    const std::size_t distance = part ? std::min<std::size_t>(row.back(), 1) : row.back();
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace fdpstore::store
