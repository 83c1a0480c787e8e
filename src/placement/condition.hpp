// Condition: one term of a rule in a policy file ("turn>=2", "salt:agent-*"), and lists of numbers.
//
// Thread:  any; immutable once parsed.
// Errors:  parse functions return Errc::invalid_option; the message quotes the term and lists what
//          would be valid. The caller adds file and line.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/policy.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore::placement {

// first … last; last is kOpenEnd for "2-" (everything from 2 on).
struct NumberRange {
  static constexpr std::uint32_t kOpenEnd = ~std::uint32_t{0};
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

// "3", "0-2", "0-3,8"; with `open_end` also "2-" as the last item, and "all" for "0-".
[[nodiscard]] Result<std::vector<NumberRange>> parse_numbers(std::string_view text, bool open_end);

// `*` stands for any run of characters, `?` for one.
[[nodiscard]] bool glob_matches(std::string_view glob, std::string_view text);

// The rank an object is placed by: the caller's explicit one, else the one in kv_rank.
[[nodiscard]] std::uint32_t placement_rank(const ObjectFacts& object);

class Condition {
 public:
  [[nodiscard]] static Result<Condition> parse(std::string_view term);

  [[nodiscard]] bool matches(const ObjectFacts& object) const;
  [[nodiscard]] bool is_catch_all() const { return subject_ == Subject::everything; }
  // The glob of `class:` or `stream:`: what a caller may ask for by name.
  [[nodiscard]] std::optional<std::string_view> asked_class() const;

 private:
  enum class Subject : std::uint8_t {
    everything,
    prefix_shared,
    unseen,  // no operand
    turn,
    position,
    size,
    reuse,  // compared with number_
    salt,
    tenant,
    model,
    asked,  // matched with glob_
    rank,
    group,  // found in ranges_
  };
  enum class Comparison : std::uint8_t { less, less_equal, equal, greater_equal, greater };

  [[nodiscard]] static Result<Condition> parse_comparison(std::string_view term,
                                                          std::size_t operator_at);
  [[nodiscard]] static Result<Condition> parse_match(std::string_view term, std::size_t colon_at);
  [[nodiscard]] bool holds(std::uint64_t value) const;
  [[nodiscard]] bool in_ranges(std::uint64_t value) const;

  Subject subject_ = Subject::everything;
  Comparison comparison_ = Comparison::equal;
  std::uint64_t number_ = 0;
  std::string glob_;
  std::vector<NumberRange> ranges_;
};

}  // namespace fdpstore::placement
