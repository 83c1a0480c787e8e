#include "compare/plan.hpp"

#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "ftl/sim_parameters.hpp"

namespace fdpstore::compare {
namespace {

constexpr std::uint64_t kMiB = 1U << 20;
// Precise enough for records that begin anywhere, and small enough a table.
constexpr std::uint64_t kMapBytes = 16U << 10;
constexpr std::uint64_t kObjectHeader = 4U << 10, kSegmentEnds = 16U << 10;
constexpr std::uint64_t kMinUnits = 8;  // segments of a store that is worth comparing

constexpr double kMost = 0x1p62;  // of anything; "inf" is more

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || !(value > 0 && value <= kMost)) {
    return std::nullopt;
  }
  return value;
}

// "64G": powers of 1024.
std::optional<std::uint64_t> bytes(std::string_view text) {
  double unit = 1;
  constexpr std::string_view kSuffixes = "KMGT";
  if (text.ends_with("iB")) text.remove_suffix(2);
  if (!text.empty()) {
    if (const auto at = kSuffixes.find(text.back()); at != std::string_view::npos) {
      for (std::size_t i = 0; i <= at; ++i) unit *= 1024;
      text.remove_suffix(1);
    }
  }
  const auto value = number(text);
  if (!value || *value * unit > kMost) return std::nullopt;
  return static_cast<std::uint64_t>(*value * unit);
}

struct Capacity {
  std::uint64_t bytes = 0;
  double share = 0;
};

fdpstore::Result<Capacity> capacity_of(const std::string& text, const PreparedTrace& trace) {
  if (text.ends_with('%')) {
    const auto percent = number(std::string_view(text).substr(0, text.size() - 1));
    if (percent && *percent <= 100) {
      const double share = *percent / 100;
      return Capacity{
          static_cast<std::uint64_t>(share * static_cast<double>(trace.facts.unique_bytes)), share};
    }
  } else if (const auto given = bytes(text)) {
    return Capacity{*given, 0};
  }
  return fail(
      Errc::invalid_option,
      fmt::format("capacity '{}' is neither a share of the trace's bytes ('10%') nor a size "
                  "('64G')",
                  text));
}

fdpstore::Result<std::uint64_t> unit_of(const std::string& text, std::uint64_t capacity) {
  if (text.starts_with("1/")) {
    if (const auto parts = number(std::string_view(text).substr(2)); parts && *parts >= kMinUnits) {
      return static_cast<std::uint64_t>(static_cast<double>(capacity) / *parts);
    }
  } else if (const auto given = bytes(text)) {
    return *given;
  }
  return fail(
      Errc::invalid_option,
      fmt::format("RU '{}' is neither a share of the capacity ('1/128', at most 1/{}) nor a "
                  "size ('256M')",
                  text, kMinUnits));
}

// An RU takes whole objects only. Of objects of several sizes it is taken that they fill it.
double unfilled_share(std::uint64_t ru_bytes, const PreparedTrace& trace) {
  const std::uint64_t object = trace.max_object_bytes;
  if (trace.facts.unique_bytes != trace.facts.unique_objects * object) return 0;
  const std::uint64_t objects = (ru_bytes - kSegmentEnds) / (object + kObjectHeader);
  return 1 - static_cast<double>(objects * object) / static_cast<double>(ru_bytes);
}

// The device of one cell: whole RUs, and what a store keeps outside of its segments.
fdpstore::Result<void> make_device(Cell& cell, const Wanted& wanted, const std::string& unit,
                                   const PreparedTrace& trace) {
  const std::uint64_t max_object_bytes = trace.max_object_bytes;
  auto parameters = ftl::parse_sim_uri(wanted.device);
  if (!parameters) return fail(std::move(parameters.error()));
  auto ru = unit_of(unit, cell.capacity_bytes);
  if (!ru) return fail(std::move(ru.error()));
  const bool map_given = wanted.device.find("map=") != std::string::npos;
  const std::uint64_t map = map_given ? parameters->ftl.map_bytes : kMapBytes;
  *ru = (*ru + map / 2) / map * map;
  const std::uint64_t units = *ru == 0 ? 0 : (cell.capacity_bytes + *ru / 2) / *ru;
  if (*ru < max_object_bytes + kMiB / 16) {
    return fail(Errc::invalid_option,
                fmt::format("{}: an RU of {} bytes ({} of {} bytes) cannot hold an object of {} "
                            "bytes; raise the RU (--ru) or the capacity, or use {}",
                            cell.trace, *ru, unit, cell.capacity_bytes, max_object_bytes,
                            // A share of the unique bytes shrinks along with the objects.
                            cell.capacity_share != 0 ? "a longer trace (gen:RECIPE,scale=2)"
                                                     : "smaller objects (--object-bytes)"));
  }
  if (units < kMinUnits) {
    return fail(Errc::invalid_option,
                fmt::format("{}: a device has at least {} RUs, which {} bytes are too few for with "
                            "RUs of {} bytes ({}); raise the capacity, or take smaller RUs (--ru)",
                            cell.trace, kMinUnits, cell.capacity_bytes, *ru, unit));
  }
  cell.ru_bytes = *ru;
  cell.unfilled_share = unfilled_share(*ru, trace);
  cell.capacity_bytes = units * *ru + kMiB;
  parameters->ftl.capacity_bytes = (cell.capacity_bytes + map - 1) / map * map;
  parameters->ftl.unit_bytes = *ru;
  parameters->ftl.map_bytes = map;
  parameters->ftl.spare_percent = cell.spare_percent;
  parameters->ftl.handles = cell.ruhs;
  parameters->keep_payload = false;
  cell.capacity_bytes = parameters->ftl.capacity_bytes;
  cell.device = ftl::to_string(*parameters);
  return {};
}

void add_subjects(std::vector<Cell>& cells, const Cell& base, const Wanted& wanted) {
  const bool simulated = ftl::is_sim_uri(wanted.device);
  const auto add = [&](Subject subject, std::string mode, std::string policy) {
    Cell cell = base;
    cell.subject = subject;
    cell.mode = std::move(mode);
    cell.policy = std::move(policy);
    cells.push_back(std::move(cell));
  };
  for (const std::string& mode : wanted.modes) {
    // Without placement policies differ little, and `mixed` is one.
    const std::size_t policies = mode == "separated" ? wanted.policies.size() : 1;
    for (std::size_t i = 0; i < policies; ++i) {
      add(Subject::fdpstore, mode, mode == "mixed" ? "mixed" : wanted.policies[i]);
    }
  }
  if (wanted.oracle && simulated) add(Subject::fdpstore, "separated", "oracle");
  if (!wanted.baselines) return;
  add(Subject::lru, "no_fdp", "");
  if (!simulated) return;
  add(Subject::slots, "no_fdp", "");
  add(Subject::slots_tenant, "separated", "");
  add(Subject::slots_affine, "separated", "");
}

}  // namespace

fdpstore::Result<std::vector<Cell>> plan(const Wanted& wanted, const PreparedTrace& trace) {
  for (const std::string& mode : wanted.modes) {
    if (mode != "no_fdp" && mode != "mixed" && mode != "separated") {
      return fail(Errc::invalid_option,
                  fmt::format("mode '{}' is not known; use no_fdp, mixed, separated", mode));
    }
  }
  if (wanted.policies.empty()) return fail(Errc::invalid_option, "no policy is named");
  std::vector<Cell> cells;
  for (const std::string& text : wanted.capacities) {
    const auto capacity = capacity_of(text, trace);
    if (!capacity) return fail(capacity.error());
    for (const std::string& unit : wanted.units) {
      for (const double spare : wanted.spares) {
        for (const double utilisation : wanted.utilisations) {
          if (!(utilisation > 0 && utilisation <= 1)) {
            return fail(Errc::invalid_option,
                        fmt::format("utilisation {} is not above 0 and at most 1", utilisation));
          }
          Cell base;
          base.trace = trace.facts.name;
          base.capacity_bytes = capacity->bytes;
          base.capacity_share = capacity->share;
          base.utilisation = utilisation;
          base.spare_percent = spare;
          base.ruhs = wanted.ruhs;
          base.neighbour_share = wanted.neighbour_share;
          base.device = wanted.device;
          base.may_destroy = wanted.may_destroy;
          if (ftl::is_sim_uri(wanted.device)) {
            auto made = make_device(base, wanted, unit, trace);
            if (!made) return fail(std::move(made.error()));
          }
          add_subjects(cells, base, wanted);
        }
      }
    }
  }
  return cells;
}

}  // namespace fdpstore::compare
