#include "trace/recipe.hpp"

#include <array>
#include <limits>
#include <optional>
#include <variant>

#include <fmt/format.h>

#include "trace/models.hpp"
#include "trace/text.hpp"

namespace fdpstore::trace {
namespace {

using Member = std::variant<std::uint64_t Recipe::*, double Recipe::*>;
struct ParameterRow {
  ParameterInfo info;
  Member member;
  double least;
  double most;
};

constexpr double kMaxBytes = 0x1p40;
constexpr double kMaxRequests = 1e8;

constexpr std::array<ParameterRow, 7> kRows{{
    {{"seed", "N", "1", "Another seed gives another trace of the same kind."},
     &Recipe::seed,
     0,
     0x1p63},
    {{"object_bytes", "SIZE", "", "Size of an object (one chunk of 256 tokens), such as 4MiB."},
     &Recipe::object_bytes,
     1,
     kMaxBytes},
    {{"requests", "N", "", "Requests of all tenants together."},
     &Recipe::requests,
     1,
     kMaxRequests},
    {{"tenants", "N", "", "Tenants, each with a cache salt of its own; some ask more than others."},
     &Recipe::tenants,
     1,
     4096},
    {{"ranks", "N", "1", "Tensor-parallel ranks: each makes every request, at the same time."},
     &Recipe::ranks,
     1,
     255},
    {{"duration_s", "S", "3600", "About how long the trace takes."}, &Recipe::duration_s, 1, 1e9},
    {{"scale", "X", "1", "Times so many requests, and as much to ask for; in the same duration."},
     &Recipe::scale,
     1e-4,
     1e3},
}};

const ParameterRow* find_row(std::string_view name) {
  for (const ParameterRow& row : kRows) {
    if (row.info.name == name) return &row;
  }
  return nullptr;
}

std::string parameter_names() {
  std::string names;
  for (const ParameterRow& row : kRows) names += fmt::format(" {}", row.info.name);
  return names;
}

std::optional<double> parse_value(const ParameterRow& row, std::string_view text) {
  if (std::holds_alternative<double Recipe::*>(row.member)) return parse_real(text);
  const auto whole = row.info.unit == "SIZE" ? parse_bytes(text) : parse_count(text);
  return whole ? std::optional(static_cast<double>(*whole)) : std::nullopt;
}

}  // namespace

std::span<const ParameterInfo> recipe_parameters() {
  static const auto kInfos = [] {
    std::array<ParameterInfo, kRows.size()> infos;
    for (std::size_t i = 0; i < kRows.size(); ++i) infos[i] = kRows[i].info;
    return infos;
  }();
  return kInfos;
}

Result<void> set_parameter(Recipe& recipe, std::string_view name, std::string_view value) {
  const ParameterRow* row = find_row(name);
  if (row == nullptr) {
    return fail(Errc::invalid_argument, fmt::format("a recipe has no parameter '{}'; known are{}",
                                                    name, parameter_names()));
  }
  const auto number = parse_value(*row, value);
  if (!number || *number < row->least || *number > row->most) {
    return fail(
        Errc::invalid_argument,
        fmt::format("{} = '{}': {} from {} to {:.15g} is possible", name, value,
                    row->info.unit == "SIZE" ? "a size (4096, 4MiB, 1.5GB)"
                    : std::holds_alternative<double Recipe::*>(row->member) ? "a number"
                                                                            : "a whole number",
                    row->least, row->most));
  }
  if (const auto* real = std::get_if<double Recipe::*>(&row->member)) {
    recipe.*(*real) = *number;
  } else if (row->info.unit == "SIZE") {
    recipe.*std::get<std::uint64_t Recipe::*>(row->member) = *parse_bytes(value);
  } else {
    recipe.*std::get<std::uint64_t Recipe::*>(row->member) = *parse_count(value);
  }
  return {};
}

Result<Recipe> parse_recipe(std::string_view spec) {
  Recipe recipe;
  recipe.name = spec.substr(0, spec.find(','));
  std::string storage_class;
  while (spec.find(',') != std::string_view::npos) {
    spec.remove_prefix(spec.find(',') + 1);
    const std::string_view pair = spec.substr(0, spec.find(','));
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) {
      return fail(Errc::invalid_argument,
                  fmt::format("recipe parameter '{}': write name=value; known are{}", pair,
                              parameter_names()));
    }
    const std::string_view name = pair.substr(0, equals), value = pair.substr(equals + 1);
    if (name == "class" && recipe.name == "agentic") {
      storage_class = value;
    } else if (auto set = set_parameter(recipe, name, value); !set) {
      return fail(std::move(set.error()));
    }
  }
  if (recipe.name == "agentic") recipe.name = storage_class.empty() ? "mixed_agent" : storage_class;
  if (find_recipe(recipe.name) != nullptr) return recipe;
  std::string names;
  for (const RecipeInfo& info : recipes()) names += fmt::format(" {}", info.name);
  return fail(Errc::invalid_argument,
              fmt::format("there is no recipe '{}'; known are{}", recipe.name, names));
}

std::string command_of(const Recipe& recipe) {
  std::string command = fmt::format("fdpstore gen-trace {}", recipe.name);
  const Recipe defaults;
  for (const ParameterRow& row : kRows) {
    std::string flag(row.info.name);
    for (char& c : flag) c = c == '_' ? '-' : c;
    std::visit(
        [&](auto member) {
          if (recipe.*member != defaults.*member) {
            command += fmt::format(" --{} {}", flag, recipe.*member);
          }
        },
        row.member);
  }
  return command;
}

}  // namespace fdpstore::trace
