#include "compare/summary_json.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "compare/advice.hpp"
#include "compare/text.hpp"

namespace fdpstore::compare {
namespace {

namespace json = boost::json;

json::value number(double value) {
  return std::isfinite(value) ? json::value(value) : json::value(nullptr);
}
json::value number(const std::optional<double>& value) {
  return value ? number(*value) : json::value(nullptr);
}
json::string text(std::string_view value) {
  return json::string(valid_utf8(value));
}
json::value text_or_null(std::string_view value) {
  return value.empty() ? json::value(nullptr) : json::value(text(value));
}

std::uint64_t hashed(std::uint64_t hash, std::string_view bytes) {
  for (const char c : bytes) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3ULL;
  return (hash ^ 0xFF) * 0x100000001B3ULL;  // ends the field
}

std::string file_name(std::string_view text, std::size_t most) {
  std::string name;
  for (char c : text.substr(0, most)) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (c == '.' && !name.empty());
    name += plain ? c : '-';
  }
  return name;
}

bool simulated(const Cell& cell) {
  return cell.device.starts_with("sim:");
}

// /dev/ng0n1 and /dev/nvme0n1 are one namespace.
json::value block_device_of(const Cell& cell) {
  constexpr std::string_view kCharacter = "/dev/ng";
  if (cell.device.starts_with(kCharacter)) {
    return text("/dev/nvme" + cell.device.substr(kCharacter.size()));
  }
  return cell.device.starts_with("/dev/") ? json::value(text(cell.device)) : json::value(nullptr);
}

struct Handles {
  json::value data = nullptr, metadata = nullptr;
};
// Which RUHs the simulated device was asked to use; those of a real one are the store's choice.
Handles handles_of(const Cell& cell) {
  if (!simulated(cell)) return {};
  if (cell.mode == "no_fdp" || cell.subject == Subject::lru) return {json::array(), json::array()};
  if (cell.mode == "mixed" || cell.ruhs < 2) return {json::array{0}, json::array{0}};
  json::array data;
  for (std::uint32_t i = 1; i < cell.ruhs; ++i) data.emplace_back(i);
  const bool store = cell.subject == Subject::fdpstore;
  return {std::move(data), store ? json::array{0} : json::array()};
}

const TraceFacts* facts_of(const Comparison& comparison, const Cell& cell) {
  const auto at = std::ranges::find(comparison.traces, cell.trace, &TraceFacts::name);
  return at == comparison.traces.end() ? nullptr : &*at;
}

json::object worker(const Comparison& comparison, const Result& r) {
  const TraceFacts* facts = facts_of(comparison, r.cell);
  Handles handles = handles_of(r.cell);
  return {{"name", text(r.cell.trace)},
          {"worker_index", 0},
          {"trace_path", facts == nullptr ? json::value(nullptr) : text(facts->origin)},
          {"base_offset_bytes", 0},
          {"capacity_bytes", static_cast<std::uint64_t>(std::llround(
                                 static_cast<double>(r.cell.capacity_bytes) * r.cell.utilisation))},
          {"slot_bytes", nullptr},
          {"fdp_data_ruh_ids", std::move(handles.data)},
          {"fdp_metadata_ruh_ids", std::move(handles.metadata)},
          {"records_failed", 0},
          {"exit_code", r.error.empty() ? 0 : 1}};
}

std::string waf_status(const Result& r) {
  if (!r.error.empty()) return "failed";
  if (r.dlwa) return "measured";
  return "unavailable: " + (r.dlwa_reason.empty() ? "no media counter" : r.dlwa_reason);
}

json::array warnings(const Comparison& comparison, const Result& r) {
  json::array all;
  if (!r.error.empty()) all.push_back(text(r.error));
  if (!r.note.empty()) all.push_back(text(r.note));
  if (!r.steady && r.note.empty() && r.error.empty()) all.emplace_back("not in steady state");
  if (!r.dlwa && !r.dlwa_reason.empty()) all.push_back(text(r.dlwa_reason));
  if (const std::string coarse = coarse_text(r.cell);
      !coarse.empty() && r.cell.subject == Subject::fdpstore) {
    all.push_back(text(coarse));
  }
  if (comparison.interrupted) all.emplace_back("interrupted: not all cells were run");
  return all;
}

json::value latency(const Latency& l) {
  if (l.samples == 0) return nullptr;
  return json::object{{"p50_s", number(l.p50_s)},
                      {"p99_s", number(l.p99_s)},
                      {"p999_s", number(l.p999_s)},
                      {"samples", l.samples}};
}

json::array windows(const Result& r) {
  json::array all;
  for (const Window& w : r.windows) {
    all.push_back(json::object{{"capacities", number(w.capacities)},
                               {"dlwa", w.dlwa > 0 ? number(w.dlwa) : json::value(nullptr)},
                               {"hit_ratio", number(w.hit_ratio)}});
  }
  return all;
}

json::object trace_object(const TraceFacts& t) {
  return {{"name", text(t.name)},
          {"origin", text(t.origin)},
          {"requests", t.requests},
          {"references", t.references},
          {"unique_objects", t.unique_objects},
          {"unique_bytes", t.unique_bytes},
          {"single_use_share", number(t.single_use_share)},
          {"infinite_hit_ratio", number(t.infinite_hit_ratio)}};
}

void add_cell(json::object& to, const Cell& c) {
  to["trace"] = text(c.trace);
  to["subject"] = to_string(c.subject);
  to["policy"] = text_or_null(c.policy);
  to["capacity_bytes"] = c.capacity_bytes;
  to["capacity_share"] = c.capacity_share == 0 ? json::value(nullptr) : number(c.capacity_share);
  to["utilisation"] = number(c.utilisation);
  to["spare_percent"] = number(c.spare_percent);
  to["ru_bytes"] = c.ru_bytes;
  to["ruhs"] = c.ruhs;
  to["neighbour_share"] = number(c.neighbour_share);
}

void add_figures(json::object& to, const Result& r, const Setting* setting) {
  const bool device_counts = r.device_host_bytes != 0 || r.dlwa.has_value();
  to["requests"] = r.requests;
  to["keys"] = r.keys;
  to["stored_objects"] = r.stored_objects;
  to["stored_bytes"] = r.stored_bytes;
  to["hit_ratio"] = number(r.hit_ratio);
  to["object_hit_ratio"] = number(r.object_hit_ratio);
  const auto points = setting == nullptr ? std::nullopt : against_lru(r, *setting);
  to["hit_ratio_against_lru"] = number(points);
  to["host_written_bytes"] = r.host_written_bytes;
  to["header_bytes"] = r.header_bytes;
  to["reinserted_bytes"] = r.reinserted_bytes;
  const auto counted = [&](std::uint64_t bytes) {
    return device_counts ? json::value(bytes) : json::value(nullptr);
  };
  to["media_erased_bytes"] = counted(r.media_erased_bytes);
  to["gc_copied_bytes"] = counted(r.gc_copied_bytes);
  const bool writes = r.stored_bytes != 0 && r.cell.subject != Subject::lru;
  to["host_wa"] = writes ? number(r.host_wa) : json::value(nullptr);
  to["total_wa"] = number(r.total_wa);
  to["ruh_bytes"] = json::array(r.ruh_bytes.begin(), r.ruh_bytes.end());
  to["store_latency"] = latency(r.store_latency);
  to["load_latency"] = latency(r.load_latency);
  to["device_seconds"] = number(r.device_seconds);
  to["windows"] = windows(r);
}

json::object summary(const Comparison& comparison, const Result& r, const Setting* setting) {
  const bool ended = r.error.empty();
  const bool device_counts = ended && (r.device_host_bytes != 0 || r.dlwa.has_value());
  const auto counted = [&](std::uint64_t bytes) {
    return device_counts ? json::value(bytes) : json::value(nullptr);
  };
  json::object o{
      {"schema_version", kSummarySchemaVersion},
      {"run_id", run_id(r.cell)},
      {"mode", text(r.cell.mode)},
      {"device_path", text(r.cell.device)},
      {"block_device_path", block_device_of(r.cell)},
      {"worker_count", 1},
      {"warmup_iterations", ended && r.passes > 0 ? r.passes - 1 : 0},
      {"measurement_iterations", ended && r.passes > 0 ? 1 : 0},
      {"host_write_bytes_delta", counted(r.device_host_bytes)},
      {"media_write_bytes_delta", r.dlwa ? counted(r.media_written_bytes) : json::value(nullptr)},
      {"waf", ended ? number(r.dlwa) : json::value(nullptr)},
      {"waf_status", text(waf_status(r))},
      {"workers", json::array{worker(comparison, r)}},
      {"warnings", warnings(comparison, r)},
      {"error", text_or_null(r.error)},
      {"steady", r.steady},
      {"wall_s", number(r.wall_s)},
      {"command", text(comparison.command)},
      {"version", text(comparison.version)},
      {"machine", text(comparison.machine)},
      {"date", text(comparison.date)}};
  add_cell(o, r.cell);
  const TraceFacts* facts = facts_of(comparison, r.cell);
  o["trace_facts"] = facts == nullptr ? json::value(nullptr) : trace_object(*facts);
  json::object figures;
  if (ended) add_figures(figures, r, setting);
  o["figures"] = ended ? json::value(std::move(figures)) : json::value(nullptr);
  return o;
}

json::object advice(const Setting& setting) {
  const Verdict verdict = judge({&setting, 1});
  const Standing* winner = verdict.winner();
  return {{"setting", text(setting_text(setting.cell()))},
          {"winner_run_id",
           winner == nullptr ? json::value(nullptr) : json::value(run_id(*winner->cell))},
          {"judged_by", verdict.by_total ? "media_written_bytes" : "host_written_bytes"},
          {"headline", text(verdict.headline)},
          {"details", text(verdict.details)}};
}

}  // namespace

std::string run_id(const Cell& c) {
  std::uint64_t hash = 0xCBF29CE484222325ULL;
  for (const std::string& field :
       {c.trace, std::string(to_string(c.subject)), c.policy, c.mode, c.device}) {
    hash = hashed(hash, field);
  }
  hash = hashed(
      hash, fmt::format("{} {} {} {} {} {} {}", c.capacity_bytes, c.capacity_share, c.utilisation,
                        c.spare_percent, c.ru_bytes, c.ruhs, c.neighbour_share));
  return fmt::format("{}_{}_{}_{:08x}", file_name(c.trace, 40), file_name(store_name(c), 24),
                     file_name(c.mode, 12), static_cast<std::uint32_t>(hash ^ (hash >> 32)));
}

std::string summary_json(const Comparison& comparison, const Result& result) {
  const std::vector<Setting> all = settings(comparison);
  const auto at = std::ranges::find_if(all, [&](const Setting& s) {
    return std::ranges::find(s.results, &result) != s.results.end();
  });
  return json::serialize(summary(comparison, result, at == all.end() ? nullptr : &*at)) + '\n';
}

std::string comparison_json(const Comparison& comparison) {
  json::array traces;
  for (const TraceFacts& facts : comparison.traces) traces.push_back(trace_object(facts));
  json::array runs;
  json::array advices;
  for (const Setting& setting : settings(comparison)) {
    for (const Result* r : setting.results) runs.push_back(summary(comparison, *r, &setting));
    advices.push_back(advice(setting));
  }
  const json::object all{{"schema_version", kSummarySchemaVersion},
                         {"command", text(comparison.command)},
                         {"version", text(comparison.version)},
                         {"machine", text(comparison.machine)},
                         {"date", text(comparison.date)},
                         {"interrupted", comparison.interrupted},
                         {"traces", std::move(traces)},
                         {"advice", std::move(advices)},
                         {"runs", std::move(runs)}};
  return json::serialize(all) + '\n';
}

}  // namespace fdpstore::compare
