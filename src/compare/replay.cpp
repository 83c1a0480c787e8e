#include "compare/replay.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include <fmt/format.h>
#include <boost/unordered/unordered_flat_map.hpp>

#include "compare/subject.hpp"
#include "trace/footprint.hpp"

namespace fdpstore::compare {
namespace {

constexpr double kWindowCapacities = 0.25;
constexpr std::uint64_t kHeaderBytes = 4096;

// Different for each scope and pass.
std::uint64_t renamed(std::uint64_t key, std::uint32_t scope, std::uint32_t pass) {
  std::uint64_t x = key + 0x9E3779B97F4A7C15ULL * (std::uint64_t{scope} + 1) +
                    0xD1B54A32D192ED03ULL * (std::uint64_t{pass} + 1);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

Latency latency_of(std::vector<float>& seconds) {
  Latency latency;
  latency.samples = seconds.size();
  if (seconds.empty()) return latency;
  const auto at = [&](double share) {
    const auto index = std::min(
        seconds.size() - 1, static_cast<std::size_t>(share * static_cast<double>(seconds.size())));
    std::ranges::nth_element(seconds, seconds.begin() + static_cast<std::ptrdiff_t>(index));
    return static_cast<double>(seconds[index]);
  };
  latency.p50_s = at(0.5);
  latency.p99_s = at(0.99);
  latency.p999_s = at(0.999);
  return latency;
}

double ratio(double part, double whole) {
  return whole == 0 ? 0 : part / whole;
}

class Replay {
 public:
  Replay(const Cell& cell, const PreparedTrace& trace, const ReplayOptions& options)
      : cell_(cell), prepared_(trace), trace_(*trace.trace), options_(options) {
    result_.cell = cell;
  }

  Result run() {
    const auto begin = std::chrono::steady_clock::now();
    if (auto done = run_passes(); !done) result_.error = done.error().message();
    result_.wall_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return std::move(result_);
  }

 private:
  struct Tally {
    std::uint64_t requests = 0, keys = 0, present = 0;
    double tokens = 0, leading_tokens = 0;
    std::vector<float> store_s, load_s;
  };

  fdpstore::Result<void> run_passes() {
    auto subject = make_subject(cell_, prepared_.max_object_bytes);
    if (!subject) return fail(std::move(subject.error()));
    subject_ = std::move(*subject);
    pace();
    auto counts = subject_->counts();
    if (!counts) return fail(std::move(counts.error()));
    window_counts_ = *counts;
    first_host_bytes_ = counts->device_counts ? counts->device_host_bytes : 0;
    std::optional<double> dlwa_before;
    for (std::uint32_t pass = 0; pass < options_.max_passes && !stopped(); ++pass) {
      const Counts before = *counts;
      const double capacities_before = capacities(before);
      tally_ = {};
      if (auto ran = run_pass(pass); !ran) return ran;
      counts = subject_->counts();
      if (!counts) return fail(std::move(counts.error()));
      if (stopped()) break;
      fill_result(before, *counts, pass + 1);
      const bool written = capacities_before >= options_.min_capacities;
      const bool same =
          !result_.dlwa ||
          (dlwa_before && std::abs(*result_.dlwa / *dlwa_before - 1) <= options_.steady_share);
      dlwa_before = result_.dlwa;
      if (written && same) {
        result_.steady = true;
        break;
      }
    }
    if (stopped()) return fail(Errc::closed, "interrupted");
    if (!result_.steady) {
      result_.note =
          fmt::format("not in steady state after {} passes and {:.1f} capacities written",
                      result_.passes, capacities(*counts));
    }
    return subject_->close();
  }

  [[nodiscard]] bool stopped() const { return options_.stop != nullptr && *options_.stop; }
  [[nodiscard]] double capacities(const Counts& counts) const {
    const double bytes =
        counts.device_counts
            ? static_cast<double>(counts.device_host_bytes - first_host_bytes_)
            : static_cast<double>(std::max(counts.host_written_bytes, counts.stored_bytes));
    return ratio(bytes, static_cast<double>(cell_.capacity_bytes));
  }

  // How much faster than the trace requests come.
  void pace() {
    const double offered = ratio(static_cast<double>(prepared_.facts.unique_bytes),
                                 std::max(prepared_.duration_s, 1e-3));
    const double bandwidth = subject_->write_bandwidth();
    speed_ = bandwidth == 0 || offered == 0 ? 0 : options_.load * bandwidth / offered;
  }

  fdpstore::Result<void> run_pass(std::uint32_t pass) {
    const std::uint64_t base = pass * prepared_.next_uses.size();
    std::uint64_t position = 0;
    const auto every = std::max<std::size_t>(1, trace_.ops.size() / 50);
    for (std::size_t i = 0; i < trace_.ops.size() && !stopped(); ++i) {
      const trace::Op& op = trace_.ops[i];
      keys_.clear();
      next_.clear();
      for (const std::uint64_t key : trace_.keys_of(op)) {
        keys_.push_back(renamed(key, op.scope, pass));
        const std::uint64_t next = prepared_.next_uses[position + next_.size()];
        next_.push_back(next == kNever ? kNever : next + base);
      }
      Request request;
      request.op = &op;
      request.scope = &trace_.scopes[op.scope];
      request.keys = keys_;
      request.next_uses = next_;
      request.position = base + position;
      request.time_s = speed_ == 0 ? 0 : (pass * prepared_.duration_s + op.time_s) / speed_;
      auto outcome = subject_->run(request);
      if (!outcome) return fail(std::move(outcome.error()));
      position += keys_.size();
      note(op, *outcome);
      if (stored_since_window_ >= kWindowCapacities * static_cast<double>(cell_.capacity_bytes)) {
        if (auto closed = close_window(); !closed) return closed;
      }
      if (options_.progress && i % every == 0) {
        options_.progress({pass + 1,
                           ratio(static_cast<double>(i), static_cast<double>(trace_.ops.size())),
                           result_.windows.empty() ? 0 : result_.windows.back().capacities,
                           result_.windows.empty() ? 0 : result_.windows.back().dlwa});
      }
    }
    return {};
  }

  void note(const trace::Op& op, const Outcome& outcome) {
    using trace::OpKind;
    stored_since_window_ += static_cast<double>(outcome.stored * op.object_bytes);
    if (outcome.store_s >= 0) tally_.store_s.push_back(static_cast<float>(outcome.store_s));
    if (outcome.load_s >= 0) tally_.load_s.push_back(static_cast<float>(outcome.load_s));
    if (op.kind != OpKind::request && op.kind != OpKind::lookup) return;
    const double tokens = op.key_tokens == 0 ? 1 : op.key_tokens;
    ++tally_.requests;
    tally_.keys += op.keys;
    tally_.present += outcome.present;
    tally_.tokens += tokens * op.keys;
    tally_.leading_tokens += tokens * outcome.leading;
    window_tokens_ += tokens * op.keys;
    window_leading_ += tokens * outcome.leading;
  }

  fdpstore::Result<void> close_window() {
    auto counts = subject_->counts();
    if (!counts) return fail(std::move(counts.error()));
    Window window;
    window.capacities = capacities(*counts);
    window.dlwa =
        ratio(static_cast<double>(counts->media_bytes - window_counts_.media_bytes),
              static_cast<double>(counts->device_host_bytes - window_counts_.device_host_bytes));
    window.hit_ratio = ratio(window_leading_, window_tokens_);
    result_.windows.push_back(window);
    window_counts_ = std::move(*counts);
    window_tokens_ = window_leading_ = stored_since_window_ = 0;
    return {};
  }

  void fill_result(const Counts& before, const Counts& after, std::uint32_t passes) {
    Result& r = result_;
    r.passes = passes;
    r.requests = tally_.requests;
    r.keys = tally_.keys;
    r.stored_objects = after.stored_objects - before.stored_objects;
    r.stored_bytes = after.stored_bytes - before.stored_bytes;
    r.hit_ratio = ratio(tally_.leading_tokens, tally_.tokens);
    r.object_hit_ratio =
        ratio(static_cast<double>(tally_.present), static_cast<double>(tally_.keys));
    r.host_written_bytes = after.host_written_bytes - before.host_written_bytes;
    r.host_wa =
        ratio(static_cast<double>(r.host_written_bytes), static_cast<double>(r.stored_bytes));
    r.reinserted_bytes = after.reinserted_bytes - before.reinserted_bytes;
    r.header_bytes = cell_.subject == Subject::lru ? 0 : r.stored_objects * kHeaderBytes;
    r.device_seconds = after.clock_s - before.clock_s;
    r.store_latency = latency_of(tally_.store_s);
    r.load_latency = latency_of(tally_.load_s);
    if (!after.device_counts) {
      r.dlwa_reason = subject_->no_device_counts();
      return;
    }
    r.device_host_bytes = after.device_host_bytes - before.device_host_bytes;
    r.media_written_bytes = after.media_bytes - before.media_bytes;
    r.media_erased_bytes = after.erased_bytes - before.erased_bytes;
    r.gc_copied_bytes = after.copied_bytes - before.copied_bytes;
    r.ruh_bytes = after.ruh_bytes;
    for (std::size_t i = 0; i < before.ruh_bytes.size() && i < r.ruh_bytes.size(); ++i) {
      r.ruh_bytes[i] -= before.ruh_bytes[i];
    }
    if (r.device_host_bytes == 0) {
      r.dlwa_reason = "nothing was written";
      return;
    }
    r.dlwa =
        ratio(static_cast<double>(r.media_written_bytes), static_cast<double>(r.device_host_bytes));
    r.total_wa = *r.dlwa * r.host_wa;
  }

  const Cell& cell_;
  const PreparedTrace& prepared_;
  const trace::Trace& trace_;
  const ReplayOptions& options_;
  std::unique_ptr<SubjectUnderTest> subject_;
  double speed_ = 0;
  std::uint64_t first_host_bytes_ = 0;
  Tally tally_;
  std::vector<std::uint64_t> keys_, next_;
  Counts window_counts_;
  double window_tokens_ = 0, window_leading_ = 0, stored_since_window_ = 0;
  Result result_;
};

}  // namespace

PreparedTrace prepare(const trace::Trace& trace) {
  PreparedTrace prepared;
  prepared.trace = &trace;
  const trace::Footprint footprint = trace::analyse(trace);
  prepared.facts = {.name = trace.name,
                    .origin = trace.origin,
                    .requests = trace.ops.size(),
                    .references = footprint.total.uses,
                    .unique_objects = footprint.total.objects,
                    .unique_bytes = footprint.total.bytes,
                    .single_use_share = footprint.total.once_share(),
                    .infinite_hit_ratio = footprint.unlimited.leading};
  prepared.duration_s = trace.ops.empty() ? 0 : trace.ops.back().time_s;
  std::uint64_t count = 0;
  for (const trace::Op& op : trace.ops) {
    prepared.max_object_bytes = std::max(prepared.max_object_bytes, op.object_bytes);
    count += op.keys;
  }
  prepared.next_uses.resize(count);
  boost::unordered_flat_map<std::uint64_t, std::uint64_t> next;  // key → position of its next use
  std::uint64_t position = count;
  for (std::size_t i = trace.ops.size(); i-- > 0;) {
    const trace::Op& op = trace.ops[i];
    const auto keys = trace.keys_of(op);
    position -= keys.size();
    for (std::size_t k = keys.size(); k-- > 0;) {
      const auto [at, fresh] = next.try_emplace(renamed(keys[k], op.scope, 0), kNever);
      prepared.next_uses[position + k] = at->second;
      at->second = position + k;
    }
  }
  return prepared;
}

Result replay(const Cell& cell, const PreparedTrace& trace, const ReplayOptions& options) {
  return Replay(cell, trace, options).run();
}

}  // namespace fdpstore::compare
