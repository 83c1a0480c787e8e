#include "core/engine.hpp"

#include <algorithm>
#include <cassert>

#include <fmt/format.h>

#include "common/log.hpp"
#include "core/placing.hpp"

namespace fdpstore::core {
namespace {

// Enough to keep any device busy; more would only make a crash walk further.
constexpr std::uint64_t kMaxWriteBytes = 64U << 20;
constexpr std::uint64_t kMaxReadBytes = 128U << 20;
// How long a store waits for space that nothing can free, and for space at all.
constexpr double kStuckWaitS = 1;
constexpr double kNoSpaceWaitS = 30;
constexpr double kHousekeepingS = 0.25;

}  // namespace

Engine::Engine(const Options& options, std::unique_ptr<Backend> backend, MakePolicy make_policy,
               std::unique_ptr<Lineage> lineage, Completions& completions)
    : options_(options),
      backend_(std::move(backend)),
      make_policy_(std::move(make_policy)),
      lineage_(std::move(lineage)),
      completions_(completions) {}

Engine::~Engine() {
  if (auto stopped = stop(); !stopped) {
    log().error("closing {}: {}", backend_->describe(), stopped.error().message());
  }
}

// --------------------------------------------------------------------------------- other threads

bool Engine::submit(std::vector<PutWork> puts) {
  const std::lock_guard guard(mutex_);
  if (stopping_) return false;
  std::ranges::move(puts, std::back_inserter(requests_.puts));
  if (sleeping_) backend_->wake();
  return true;
}

bool Engine::submit(std::vector<GetWork> gets) {
  const std::lock_guard guard(mutex_);
  if (stopping_) return false;
  std::ranges::move(gets, std::back_inserter(requests_.gets));
  if (sleeping_) backend_->wake();
  return true;
}

Result<Engine::Sizes> Engine::erase(std::vector<std::optional<Key>> keys) {
  std::future<Result<Sizes>> result;
  {
    const std::lock_guard guard(mutex_);
    if (stopping_) return fail(Errc::closed, "");
    requests_.erases.push_back({std::move(keys), {}});
    result = requests_.erases.back().promise.get_future();
    if (sleeping_) backend_->wake();
  }
  return result.get();
}

bool Engine::call(std::function<void()> what) {
  std::promise<void> done;
  std::future<void> result = done.get_future();
  {
    const std::lock_guard guard(mutex_);
    if (closed_) return false;
    requests_.calls.emplace_back([&] {
      what();
      done.set_value();
    });
    if (sleeping_) backend_->wake();
  }
  result.get();
  return true;
}

Result<void> Engine::stop() {
  std::call_once(joined_, [this] {
    if (!thread_.joinable()) return;
    {
      const std::lock_guard guard(mutex_);
      stopping_ = true;
      backend_->wake();
    }
    thread_.join();
  });
  return stop_result_;
}

// --------------------------------------------------------------------------------------- the loop

void Engine::run(std::promise<Result<void>> ready) {
  auto opened = open_on_thread();
  const bool usable = opened.has_value();
  if (!usable) {
    const std::lock_guard guard(mutex_);
    stopping_ = closed_ = true;
  }
  ready.set_value(std::move(opened));
  if (!usable) {
    if (context_) context_->io.finish_all();
    return;
  }

  bool stopping = false;
  while (true) {
    take_requests(stopping);
    closing_ = stopping;
    pump_gets();
    pump_puts();
    if (stopping && waiting_puts_.empty()) reclaimer_->stop();
    if (!options_.read_only) {
      reclaimer_->step(puts_blocked_);
      meta_->step();
    }
    if (puts_blocked_) pump_puts();
    housekeeping();
    writer_->write_batches();
    if (stopping && !work_left()) break;
    context_->io.poll(poll_timeout());
    reader_->step();
  }
  stop_result_ = close_on_thread();
  Requests late;
  {
    const std::lock_guard guard(mutex_);
    closed_ = true;
    late = std::exchange(requests_, {});
  }
  for (auto& call : late.calls) call();
}

void Engine::take_requests(bool& stopping) {
  Requests taken;
  {
    const std::lock_guard guard(mutex_);
    sleeping_ = false;
    taken = std::exchange(requests_, {});
    stopping = stopping_;
  }
  std::ranges::move(taken.puts, std::back_inserter(waiting_puts_));
  std::ranges::move(taken.gets, std::back_inserter(waiting_gets_));
  for (EraseWork& work : taken.erases) handle_erase(work);
  for (auto& call : taken.calls) call();
}

std::chrono::microseconds Engine::poll_timeout() {
  const std::lock_guard guard(mutex_);
  if (!requests_.empty() || reader_->busy() || reclaimer_->busy()) {
    return std::chrono::microseconds(0);
  }
  sleeping_ = true;
  return std::chrono::milliseconds(puts_blocked_ ? 10 : 250);
}

bool Engine::work_left() const {
  return !waiting_puts_.empty() || !waiting_gets_.empty() || !storing_.empty() ||
         context_->io.in_flight() != 0 || !reader_->idle() || !writer_->idle() ||
         !reclaimer_->idle() || !meta_->idle();
}

// ------------------------------------------------------------------------------------------ puts

void Engine::pump_puts() {
  puts_blocked_ = false;
  while (!waiting_puts_.empty() && writer_->in_flight_bytes() < kMaxWriteBytes) {
    if (!pump_one_put(waiting_puts_.front())) break;
    waiting_puts_.pop_front();
    blocked_since_s_ = 0;
  }
  if (puts_blocked_) {
    if (blocked_since_s_ == 0) blocked_since_s_ = context_->now_s();
    fail_blocked_puts();
  }
  if (waiting_puts_.empty()) blocked_since_s_ = 0;
}

// False: it has to wait.
bool Engine::pump_one_put(PutWork& work) {
  Context& context = *context_;
  if (context.index.find(work.key)) {
    context.index.touch(work.key, context.use_key());
    work.task->settle(completions_, work.index, KeyStatus::present);
    return true;
  }
  if (const auto storing = storing_.find(work.key); storing != storing_.end()) {
    storing->second.push_back(std::move(work));
    return true;
  }
  const Scopes::Scope& scope = context.scopes.at(work.key.scope());
  const KeyRef key{work.key.hash(), scope.model_name, scope.kv_rank, scope.object_group_id,
                   scope.cache_salt};
  ObjectFacts facts;
  facts.key = key;
  facts.size_bytes = work.bytes.size();
  facts.prompt = lineage_->facts(Scopes::digest(scope.stable_hash, key.chunk_hash));
  facts.reuse_chance = lineage_->reuse_chance(facts.prompt.reuse_class, 0);
  facts.useful_life = lineage_->useful_life(facts.prompt.reuse_class);
  facts.explicit_rank = work.explicit_rank;
  if (!work.explicit_stream.empty()) facts.explicit_stream = work.explicit_stream;
  const StreamId stream = policy_->place(facts);
  SegmentUse use = use_of(*policy_, stream);
  if (options_.layout == Layout::prompt && facts.prompt.seen_in < 2) {
    use.prompt = facts.prompt.prompt;
  }

  // What survivors have opened from the reserve is not for others to fill: they would be dropped.
  if (reclaimer_->moves() && context.segments.available_segments() < Writer::kStoreReserve) {
    puts_blocked_ = true;
    return false;
  }
  auto segment = writer_->room(use, key, work.bytes.size(), Purpose::store);
  if (!segment) {
    puts_blocked_ = true;
    if (segment.error().code != Errc::no_space) space_error_ = std::move(segment.error());
    return false;
  }
  if (!writer_->may_append(**segment)) return false;

  ObjectState planned;
  planned.sequence = context.next_sequence++;
  planned.stream = stream.value;
  planned.prompt = facts.prompt;
  planned.last_use = facts.prompt.use != 0 ? facts.prompt.use : context.use_key();
  Append record;
  record.object = {.key = key,
                   .sequence = planned.sequence,
                   .stream = stream.value,
                   .prompt = facts.prompt.prompt,
                   .position = facts.prompt.position,
                   .seen_in = static_cast<std::uint16_t>(
                       std::min<std::uint32_t>(facts.prompt.seen_in, UINT16_MAX))};
  record.payload = work.bytes;
  storing_.emplace(work.key, std::vector<PutWork>{});
  record.done = [this, planned, kept = std::move(work)](Result<Placed> placed) mutable {
    put_done(kept, planned, std::move(placed));
  };
  writer_->append(**segment, std::move(record));
  return true;
}

void Engine::put_done(const PutWork& work, const ObjectState& planned, Result<Placed> placed) {
  Context& context = *context_;
  const std::uint64_t bytes = work.bytes.size();
  if (placed) {
    ObjectState state = planned;
    state.location = placed->location;
    state.checksum = placed->checksum;
    [[maybe_unused]] const auto present = context.add_object(work.key, state).present;
    assert(!present);
    ++context.counters.stored_objects;
    context.counters.stored_bytes += bytes;
    context.counters.record_bytes += format::record_bytes(bytes);
    streams_[planned.stream].written_bytes += bytes;
    work.task->result.transferred_bytes += bytes;
  }
  settle_waiters(work, placed.has_value());
  if (placed) {
    work.task->settle(completions_, work.index, KeyStatus::stored);
  } else {
    ++context.counters.failed_puts;
    work.task->settle(completions_, work.index, KeyStatus::failed, std::move(placed.error()));
  }
}

void Engine::settle_waiters(const PutWork& first, bool stored) {
  const auto storing = storing_.find(first.key);
  std::vector<PutWork> waiters = std::move(storing->second);
  storing_.erase(storing);
  for (PutWork& waiter : waiters) {
    if (stored) {
      // A key repeated within its task gets the first one's result; otherwise it was there already.
      const bool same = waiter.task == first.task;
      waiter.task->settle(completions_, waiter.index,
                          same ? KeyStatus::stored : KeyStatus::present);
    } else {
      waiting_puts_.push_back(std::move(waiter));  // its turn to try
    }
  }
}

void Engine::fail_blocked_puts() {
  const double waited = context_->now_s() - blocked_since_s_;
  // A device that takes nothing more will not make room either.
  const bool hopeless =
      reclaimer_->stuck() || context_->write_error || (closing_ && reclaimer_->blocked());
  if (!(hopeless && waited > kStuckWaitS) && waited <= kNoSpaceWaitS) return;
  // Those behind it may fit elsewhere, so each is tried, and fails on its own.
  PutWork work = std::move(waiting_puts_.front());
  waiting_puts_.pop_front();
  ++context_->counters.failed_puts;
  Error error{make_error_code(Errc::no_space),
              fmt::format("{}: capacity_bytes = {} is used up, and what is stored is locked or in "
                          "use; raise capacity_bytes, or unlock",
                          backend_->describe(), options_.capacity_bytes)};
  if (space_error_) error = *space_error_;
  if (context_->write_error) {
    error = Error{
        context_->write_error,
        fmt::format("{}: no segment can be had since writing to it fails", backend_->describe())};
  }
  work.task->settle(completions_, work.index, KeyStatus::failed, std::move(error));
}

// ------------------------------------------------------------------------------------------ gets

void Engine::pump_gets() {
  Context& context = *context_;
  while (!waiting_gets_.empty() && reader_->in_flight_bytes() < kMaxReadBytes) {
    GetWork work = std::move(waiting_gets_.front());
    waiting_gets_.pop_front();
    const auto found = context.index.find(work.key);
    if (!found || found->state.location.payload_bytes != work.buffer.size()) {
      work.task->settle(completions_, work.index, KeyStatus::miss);
      continue;
    }
    const Key key = work.key;
    const std::span<std::byte> buffer = work.buffer;
    reader_->load(key, found->state, buffer,
                  [this, state = found->state, kept = std::move(work)](
                      Result<void> loaded) mutable { get_done(kept, state, std::move(loaded)); });
  }
}

void Engine::get_done(const GetWork& work, const ObjectState& state, Result<void> loaded) {
  Context& context = *context_;
  if (loaded) {
    ++context.counters.loaded_objects;
    context.counters.loaded_bytes += work.buffer.size();
    work.task->result.transferred_bytes += work.buffer.size();
    work.task->settle(completions_, work.index, KeyStatus::hit);
    return;
  }
  const std::error_code code = loaded.error().code;
  const bool damaged = code == Errc::corrupt;
  if (damaged || code == std::errc::io_error) lose_object(work.key, state);
  if (damaged) {
    work.task->settle(completions_, work.index, KeyStatus::miss);
  } else {
    ++context.counters.failed_gets;
    work.task->settle(completions_, work.index, KeyStatus::failed, std::move(loaded.error()));
  }
}

// The object cannot be read back: it goes, so that it can be stored again.
void Engine::lose_object(const Key& key, const ObjectState& state) {
  Context& context = *context_;
  const auto found = context.index.find(key);
  if (!found || found->state.sequence != state.sequence ||
      found->state.location != state.location) {
    return;  // moved or replaced meanwhile
  }
  context.remove_object(key, true);
  ++context.counters.damaged_objects;
  context.drop_object(key, state.location.payload_bytes);
  if (options_.read_only) return;
  meta_->remember(key, state.location.segment);
  meta_->write_tombstones([](std::error_code) {});
}

void Engine::on_segment_lost(Segment& segment, std::error_code error) {
  context_->unhealthy(
      fmt::format("{}: segment {} did not reach the device: {}; its objects are "
                  "dropped",
                  backend_->describe(), segment.id.value, error.message()));
  const std::uint32_t now = context_->now_ticks();
  for (const EntryId id : segment.entries) {
    const auto entry = context_->entry_in(segment, id, now);
    if (entry) lose_object(entry->key, entry->state);
  }
}

// ---------------------------------------------------------------------------------------- erases

void Engine::handle_erase(EraseWork& work) {
  Context& context = *context_;
  Sizes sizes(work.keys.size());
  bool any = false;
  for (std::size_t i = 0; i < work.keys.size(); ++i) {
    if (!work.keys[i]) continue;
    const auto removed = context.remove_object(*work.keys[i], false);
    if (removed.result != Index::Removal::removed) continue;
    sizes[i] = removed.state.location.payload_bytes;
    meta_->remember(*work.keys[i], removed.state.location.segment);
    ++context.counters.deleted_objects;
    any = true;
  }
  if (!any) {
    work.promise.set_value(std::move(sizes));
    return;
  }
  meta_->write_tombstones([this, sizes = std::move(sizes),
                           promise = std::move(work.promise)](std::error_code error) mutable {
    if (error) {
      promise.set_value(fail(Error{error, fmt::format("{}: deletes could not be recorded ({}); "
                                                      "they may come back after a restart",
                                                      backend_->describe(), error.message())}));
    } else {
      promise.set_value(std::move(sizes));
    }
  });
}

// ---------------------------------------------------------------------------------- housekeeping

void Engine::housekeeping() {
  if (context_->dropped.has_grown()) completions_.signal(TaskKind::put);
  if (options_.read_only) return;
  if (policy_->state_version() != saved_policy_version_) {
    saved_policy_version_ = policy_->state_version();
    meta_->write_state(policy_->save_state(), [](std::error_code) {});
  }
  const double now = context_->now_s();
  if (now < next_housekeeping_s_) return;
  next_housekeeping_s_ = now + kHousekeepingS;
  writer_->seal_idle_prompts();
  lineage_->set_live_objects(context_->live_objects);
  // Whoever filled the medium may have made room again.
  context_->segments.restore_budget();
}

std::uint64_t Engine::max_live_bytes() const {
  const Segments& segments = context_->segments;
  const std::uint64_t not_usable = 3 + data_handles_;  // metadata, reserve, open ones
  const std::uint64_t total = segments.total_segments();
  const std::uint64_t record = format::record_bytes(options_.max_object_bytes);
  const std::uint64_t per_segment = segments.segment_bytes() * options_.max_object_bytes / record;
  return total > not_usable ? (total - not_usable) * per_segment : per_segment;
}

}  // namespace fdpstore::core
