// Synthetic comparisons: plausible figures without a run, the same at every call.
#pragma once

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "compare/result.hpp"
#include "support/units.hpp"

namespace fdpstore::compare::testing {

struct Shape {
  Subject subject = Subject::fdpstore;
  std::string policy, mode;
  double hit_ratio = 0;  // at 10 % of the unique bytes
  double dlwa = 1, host_wa = 1.004;
};

inline std::vector<Shape> ten_shapes() {
  using enum Subject;
  return {{fdpstore, "lifetime", "separated", 0.241, 1.000, 1.022},
          {fdpstore, "separated", "separated", 0.236, 1.001, 1.015},
          {fdpstore, "tenant", "separated", 0.231, 1.004, 1.018},
          {fdpstore, "mixed", "mixed", 0.235, 1.038, 1.015},
          {fdpstore, "lifetime", "no_fdp", 0.240, 1.062, 1.022},
          {fdpstore, "oracle", "separated", 0.259, 1.000, 1.020},
          {lru, "", "no_fdp", 0.238, 0, 0},
          {slots, "", "no_fdp", 0.2383, 2.41, 1.004},
          {slots_tenant, "", "separated", 0.2383, 1.83, 1.004},
          {slots_affine, "", "separated", 0.229, 1.37, 1.004}};
}

inline Result result_of(const Shape& shape, const Cell& setting) {
  const bool lru = shape.subject == Subject::lru;
  const double growth = std::pow(std::max(setting.capacity_share, 0.01) / 0.10, 0.3);
  const double finer = setting.ru_bytes * 200 < setting.capacity_bytes ? 0.4 : 1.0;
  Result r;
  r.cell = setting;
  r.cell.subject = shape.subject;
  r.cell.policy = shape.policy;
  r.cell.mode = shape.mode;
  r.steady = true;
  r.passes = 9;
  r.wall_s = 12.5;
  r.requests = 12'031;
  r.keys = 288'500;
  r.hit_ratio = std::min(0.36, shape.hit_ratio * growth);
  r.object_hit_ratio = r.hit_ratio * 1.1;
  r.stored_objects = static_cast<std::uint64_t>(288'500 * (1 - r.object_hit_ratio));
  r.stored_bytes = r.stored_objects << 20;
  const auto stored = static_cast<double>(r.stored_bytes);
  if (lru) {
    r.dlwa_reason = "LRU writes nothing";
    return r;
  }
  r.dlwa = 1 + (shape.dlwa - 1) * finer;
  r.host_wa = shape.host_wa;
  r.total_wa = *r.dlwa * r.host_wa;
  r.host_written_bytes = static_cast<std::uint64_t>(stored * r.host_wa);
  r.device_host_bytes = r.host_written_bytes;
  r.media_written_bytes = static_cast<std::uint64_t>(stored * *r.total_wa);
  r.media_erased_bytes = r.media_written_bytes;
  r.gc_copied_bytes = r.media_written_bytes - r.device_host_bytes;
  r.header_bytes = r.stored_objects * 4096;
  r.reinserted_bytes = r.host_written_bytes / 80;
  const bool placed = shape.mode == "separated";
  for (std::uint32_t i = 0; i < setting.ruhs; ++i) {
    const double share = !placed ? (i == 0 ? 1.0 : 0.0) : std::exp2(-1.0 * i) * (i == 0 ? 0.02 : 1);
    r.ruh_bytes.push_back(static_cast<std::uint64_t>(stored * share));
  }
  const double slow = *r.dlwa;
  r.store_latency = {0.0011 * slow, 0.0042 * slow * slow, 0.012 * slow * slow, 200'000};
  r.load_latency = {0.00038, 0.0021 * slow, 0.0093 * slow * slow, 60'000};
  r.device_seconds = 812;
  for (int i = 1; i <= 32; ++i) {
    const double t = i * 0.25;
    const double settled = 1 - std::exp(-t / 1.1);
    const double wave = 0.015 * std::sin(t * 5 + slow * 9) * (*r.dlwa - 1);
    r.windows.push_back({t, 1 + (*r.dlwa - 1) * settled + wave, r.hit_ratio});
  }
  return r;
}

inline Cell setting_of(std::string trace, double share, std::uint64_t units) {
  Cell cell;
  cell.trace = std::move(trace);
  cell.capacity_share = share;
  cell.capacity_bytes = static_cast<std::uint64_t>(share * 128) * test::kGiB + test::kMiB;
  cell.ru_bytes = cell.capacity_bytes / units / 4096 * 4096;
  cell.device = "sim:capacity=12G,op=7,ru=96M,ruhs=8";
  return cell;
}

inline Comparison comparison_of(std::vector<Result> results) {
  Comparison c;
  c.command = "fdpstore compare --trace mooncake_conversation.jsonl --capacity 10%,30%";
  c.version = "0.3.0";
  c.machine = "Linux 6.18, 2 cores";
  c.date = "2026-11-21 12:00:00 UTC";
  c.results = std::move(results);
  for (const Result& r : c.results) {
    const auto& name = r.cell.trace;
    if (std::ranges::find(c.traces, name, &TraceFacts::name) != c.traces.end()) continue;
    c.traces.push_back({name, "traces/" + name + ".jsonl", 12'031, 288'500, 182'790,
                        182'790ULL << 20, 0.758, 0.366});
  }
  return c;
}

inline Comparison one_cell() {
  return comparison_of(
      {result_of(ten_shapes()[0], setting_of("mooncake_conversation", 0.10, 128))});
}

// One setting: one cell failed, one is not steady.
inline Comparison eight_cells() {
  std::vector<Result> results;
  const Cell setting = setting_of("mooncake_conversation", 0.10, 128);
  for (const Shape& shape : ten_shapes()) {
    if (shape.subject == Subject::slots_affine || shape.mode == "no_fdp") {
      if (shape.subject == Subject::fdpstore || shape.subject == Subject::slots_affine) continue;
    }
    results.push_back(result_of(shape, setting));
  }
  results[3].steady = false;
  results[3].note = "not in steady state after 64 passes and 3.1 capacities written";
  Result& failed = results[2];
  failed = {};
  failed.cell = setting;
  failed.cell.policy = "tenant";
  failed.error = "sim:capacity=12G: 9 open segments need a capacity of 12 segments";
  return comparison_of(std::move(results));
}

// 2 traces × 3 capacities × 2 RUs × 10 stores.
inline Comparison many_cells() {
  std::vector<Result> results;
  for (const std::string trace : {"mooncake_conversation", "agentic"}) {
    for (const double share : {0.05, 0.10, 0.30}) {
      for (const std::uint64_t units : {128, 600}) {
        for (Shape shape : ten_shapes()) {
          if (trace == "agentic" && shape.policy == "tenant") shape.hit_ratio += 0.02;
          results.push_back(result_of(shape, setting_of(trace, share, units)));
        }
      }
    }
  }
  return comparison_of(std::move(results));
}

}  // namespace fdpstore::compare::testing
