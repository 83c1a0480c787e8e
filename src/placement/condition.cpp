#include "placement/condition.hpp"

#include <array>
#include <charconv>
#include <utility>

#include <fmt/core.h>

#include "placement/text.hpp"

namespace fdpstore::placement {
namespace {

constexpr std::string_view kValidConditions =
    "valid conditions are *, prefix-shared, unseen, turn>=N, position<N, size>=N[KiB|MiB|GiB], "
    "reuse>=N (each with <, <=, =, >= or >), salt:GLOB, tenant:GLOB, model:GLOB, rank:LIST, "
    "group:LIST, class:GLOB, stream:GLOB, joined by 'and'";

std::optional<std::uint64_t> parse_size(std::string_view text) {
  static constexpr std::array<std::pair<std::string_view, std::uint64_t>, 8> kUnits{{
      {"", 1},
      {"B", 1},
      {"KiB", 1ULL << 10},
      {"MiB", 1ULL << 20},
      {"GiB", 1ULL << 30},
      {"KB", 1'000},
      {"MB", 1'000'000},
      {"GB", 1'000'000'000},
  }};
  const std::size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const auto number = parse_number<std::uint64_t>(text.substr(0, digits));
  const std::string_view unit = trimmed(text.substr(digits));
  for (const auto& [name, factor] : kUnits) {
    if (name != unit || !number || *number > UINT64_MAX / factor) continue;
    return *number * factor;
  }
  return std::nullopt;
}

}  // namespace

Result<std::vector<NumberRange>> parse_numbers(std::string_view text, bool open_end) {
  const auto invalid = [&] {
    return fail(Errc::invalid_option,
                fmt::format("'{}' is no list of numbers; write for example 0, 1-2, or 0-3,8{}",
                            text, open_end ? ", 2- for all from 2 on, or all" : ""));
  };
  if (open_end && text == "all") return std::vector{NumberRange{0, NumberRange::kOpenEnd}};
  std::vector<NumberRange> ranges;
  for (std::string_view item : split_at(text, ",")) {
    const std::size_t dash = item.find('-');
    const auto first = parse_number<std::uint32_t>(trimmed(item.substr(0, dash)));
    if (!first || *first == NumberRange::kOpenEnd) return invalid();
    if (!ranges.empty() && ranges.back().last == NumberRange::kOpenEnd) return invalid();
    if (dash == std::string_view::npos) {
      ranges.push_back({*first, *first});
      continue;
    }
    const std::string_view end = trimmed(item.substr(dash + 1));
    if (end.empty() && open_end) {
      ranges.push_back({*first, NumberRange::kOpenEnd});
      continue;
    }
    const auto last = parse_number<std::uint32_t>(end);
    if (!last || *last < *first || *last == NumberRange::kOpenEnd) return invalid();
    ranges.push_back({*first, *last});
  }
  return ranges;
}

bool glob_matches(std::string_view glob, std::string_view text) {
  std::size_t g = 0, t = 0;
  std::size_t star = std::string_view::npos, retry = 0;
  while (t < text.size()) {
    if (g < glob.size() && glob[g] == '*') {
      star = g++;
      retry = t;
    } else if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g;
      ++t;
    } else if (star != std::string_view::npos) {
      g = star + 1;  // let the last star take one character more
      t = ++retry;
    } else {
      return false;
    }
  }
  return glob.find_first_not_of('*', g) == std::string_view::npos;
}

std::uint32_t placement_rank(const ObjectFacts& object) {
  return object.explicit_rank.value_or(rank_of(object.key.kv_rank));
}

Result<Condition> Condition::parse(std::string_view term) {
  Condition condition;
  if (term == "*") return condition;
  if (term == "prefix-shared") {
    condition.subject_ = Subject::prefix_shared;
    return condition;
  }
  if (term == "unseen") {
    condition.subject_ = Subject::unseen;
    return condition;
  }
  const std::size_t at = term.find_first_of("<>=:");
  if (at == std::string_view::npos) {
    return fail(Errc::invalid_option,
                fmt::format("unknown condition '{}'; {}", term, kValidConditions));
  }
  return term[at] == ':' ? parse_match(term, at) : parse_comparison(term, at);
}

Result<Condition> Condition::parse_comparison(std::string_view term, std::size_t operator_at) {
  static constexpr std::array<std::pair<std::string_view, Subject>, 4> kSubjects{{
      {"turn", Subject::turn},
      {"position", Subject::position},
      {"size", Subject::size},
      {"reuse", Subject::reuse},
  }};
  static constexpr std::array<std::pair<std::string_view, Comparison>, 5> kComparisons{{
      {"<", Comparison::less},
      {"<=", Comparison::less_equal},
      {"=", Comparison::equal},
      {">=", Comparison::greater_equal},
      {">", Comparison::greater},
  }};
  const std::size_t operand_at = std::min(term.find_first_not_of("<>=", operator_at), term.size());
  const std::string_view subject = trimmed(term.substr(0, operator_at));
  const std::string_view comparison = term.substr(operator_at, operand_at - operator_at);
  const std::string_view operand = trimmed(term.substr(operand_at));
  for (const auto& [name, value] : kSubjects) {
    if (name != subject) continue;
    for (const auto& [sign, meaning] : kComparisons) {
      if (sign != comparison) continue;
      const auto number =
          value == Subject::size ? parse_size(operand) : parse_number<std::uint64_t>(operand);
      if (!number) {
        return fail(
            Errc::invalid_option,
            fmt::format("'{}' in '{}' is no {}", operand, term,
                        value == Subject::size ? "size; write for example 4096, 512KiB or 4MiB"
                                               : "whole number; write for example " +
                                                     std::string(name) + std::string(sign) + "2"));
      }
      Condition condition;
      condition.subject_ = value;
      condition.comparison_ = meaning;
      condition.number_ = *number;
      return condition;
    }
    return fail(
        Errc::invalid_option,
        fmt::format("'{}' in '{}' is no comparison; use <, <=, =, >= or >", comparison, term));
  }
  return fail(Errc::invalid_option,
              fmt::format("unknown condition '{}'; {}", term, kValidConditions));
}

Result<Condition> Condition::parse_match(std::string_view term, std::size_t colon_at) {
  static constexpr std::array<std::pair<std::string_view, Subject>, 7> kSubjects{{
      {"salt", Subject::salt},
      {"tenant", Subject::tenant},
      {"model", Subject::model},
      {"class", Subject::asked},
      {"stream", Subject::asked},
      {"rank", Subject::rank},
      {"group", Subject::group},
  }};
  const std::string_view subject = trimmed(term.substr(0, colon_at));
  const std::string_view operand = trimmed(term.substr(colon_at + 1));
  for (const auto& [name, value] : kSubjects) {
    if (name != subject) continue;
    Condition condition;
    condition.subject_ = value;
    if (value == Subject::rank || value == Subject::group) {
      auto ranges = parse_numbers(operand, true);
      if (!ranges) {
        return fail(Errc::invalid_option, fmt::format("in '{}': {}", term, ranges.error().what));
      }
      condition.ranges_ = std::move(*ranges);
    } else if (value == Subject::asked && operand.empty()) {
      return fail(Errc::invalid_option,
                  fmt::format("'{}' names nothing; write for example {}:hot_churn", term, name));
    } else {
      condition.glob_ = operand;
    }
    return condition;
  }
  return fail(Errc::invalid_option,
              fmt::format("unknown condition '{}'; {}", term, kValidConditions));
}

bool Condition::holds(std::uint64_t value) const {
  switch (comparison_) {
    case Comparison::less: return value < number_;
    case Comparison::less_equal: return value <= number_;
    case Comparison::equal: return value == number_;
    case Comparison::greater_equal: return value >= number_;
    case Comparison::greater: return value > number_;
  }
  return false;
}

bool Condition::in_ranges(std::uint64_t value) const {
  for (const NumberRange& range : ranges_) {
    if (value >= range.first && value <= range.last) return true;
  }
  return false;
}

bool Condition::matches(const ObjectFacts& object) const {
  const PromptFacts& prompt = object.prompt;
  const bool seen = prompt.prompt.value != 0;
  switch (subject_) {
    case Subject::everything: return true;
    case Subject::prefix_shared: return prompt.seen_in >= 2;
    case Subject::unseen: return !seen;
    case Subject::turn: return seen && holds(prompt.turn);
    case Subject::position: return seen && holds(prompt.position);
    case Subject::size: return holds(object.size_bytes);
    case Subject::reuse: return holds(object.reuse_count);
    case Subject::salt: return glob_matches(glob_, object.key.cache_salt);
    case Subject::tenant: return glob_matches(glob_, tenant_of(object.key.cache_salt));
    case Subject::model: return glob_matches(glob_, object.key.model_name);
    case Subject::asked:
      return object.explicit_stream && glob_matches(glob_, *object.explicit_stream);
    case Subject::rank: return in_ranges(placement_rank(object));
    case Subject::group: return in_ranges(object.key.object_group_id);
  }
  return false;
}

std::optional<std::string_view> Condition::asked_class() const {
  if (subject_ != Subject::asked) return std::nullopt;
  return glob_;
}

}  // namespace fdpstore::placement
