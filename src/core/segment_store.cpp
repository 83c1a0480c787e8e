#include "core/segment_store.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <mutex>

#include <fmt/format.h>
#include <boost/unordered/unordered_flat_map.hpp>

#include "core/check.hpp"
#include "core/engine.hpp"

namespace fdpstore::core {
namespace {

// Lookups, unlocks and lists run in the caller's thread on the index; the rest goes to the engine.
class SegmentStore final : public Store {
 public:
  static Result<std::unique_ptr<SegmentStore>> open(const Options& options,
                                                    std::unique_ptr<Backend> backend,
                                                    PolicyFactory make_policy,
                                                    std::unique_ptr<Lineage> lineage);
  ~SegmentStore() override { (void)close(); }

  Result<TaskId> submit_put(std::span<const PutItem> items) override;
  Result<TaskId> submit_get(std::span<const GetItem> items) override;
  Result<TaskId> submit_lookup(std::span<const KeyRef> keys, bool lock) override;
  int event_fd(TaskKind kind) const override { return completions_->event_fd(kind); }
  std::vector<TaskResult> take_completed(TaskKind kind) override {
    return completions_->take(kind);
  }
  std::vector<DroppedKey> take_dropped() override { return context().dropped.take(); }
  void unlock(std::span<const KeyRef> keys) override;
  Result<std::vector<std::optional<std::uint64_t>>> erase(std::span<const KeyRef> keys) override;
  Result<KeyPage> list(std::string_view cursor, std::size_t page_size,
                       std::string_view model_name) override;
  StoreStatus status() override;
  Result<void> register_memory(std::span<std::byte> memory) override;
  Result<void> close() override;

  Engine& engine() { return *engine_; }

 private:
  SegmentStore() = default;
  Context& context() { return engine_->context(); }
  void fill_info(StoreInfo& info);
  void fill_device(StoreInfo& info);
  void fill_segments(StoreStatus& status);
  void fill_salts(StoreStatus& status);

  Options options_;
  std::unique_ptr<Completions> completions_;
  std::unique_ptr<Engine> engine_;
  std::string path_;
  Geometry geometry_;
  bool phantom_payload_ = false;
  std::atomic<TaskId> next_task_{1};
  std::atomic<bool> closed_{false};
  std::mutex close_mutex_;
  Result<void> close_result_;
  StoreStatus last_status_;  // what status() says after close
};

Result<std::unique_ptr<SegmentStore>> SegmentStore::open(const Options& options,
                                                         std::unique_ptr<Backend> backend,
                                                         PolicyFactory make_policy,
                                                         std::unique_ptr<Lineage> lineage) {
  std::unique_ptr<SegmentStore> store(new SegmentStore());
  auto completions = Completions::open(backend->clock());
  if (!completions) return fail(std::move(completions.error()));
  store->options_ = options;
  store->completions_ = std::move(*completions);
  Backend& borrowed = *backend;
  store->engine_ = std::make_unique<Engine>(options, std::move(backend), std::move(make_policy),
                                            std::move(lineage), *store->completions_);
  if (auto started = store->engine_->start(); !started) {
    store->closed_ = true;
    return fail(std::move(started.error()));
  }
  store->path_ = borrowed.describe();
  store->geometry_ = borrowed.geometry();
  store->phantom_payload_ = borrowed.capabilities().phantom_payload;
  return store;
}

Result<TaskId> SegmentStore::submit_put(std::span<const PutItem> items) {
  if (closed_) return fail(Errc::closed, path_ + " is closed");
  auto task = std::make_shared<Task>();
  task->kind = TaskKind::put;
  task->since_s = completions_->now_s();
  task->result.id = next_task_++;
  task->result.keys.assign(items.size(), KeyStatus::failed);
  std::vector<PutWork> works;
  works.reserve(items.size());
  ScopeResolver scopes(context().scopes);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const PutItem& item = items[i];
    auto good = format::check_key(item.key);
    if (good && options_.read_only) good = fail(Errc::unsupported, path_ + " is open read-only");
    if (good && item.bytes.size() > options_.max_object_bytes) {
      good = fail(Errc::too_large,
                  fmt::format("{}: an object of {} bytes is larger than max_object_bytes = {}; "
                              "raise that option",
                              path_, item.bytes.size(), options_.max_object_bytes));
    }
    if (good && item.bytes.data() == nullptr && !item.bytes.empty() && !phantom_payload_) {
      good = fail(Errc::invalid_argument, path_ + ": an object needs an address");
    }
    if (good && item.bytes.empty()) {
      good = fail(Errc::invalid_argument, path_ + ": an object needs at least one byte");
    }
    if (!good) {
      if (!task->result.error) task->result.error = std::move(good.error());
      ++context().counters.failed_puts;
      continue;
    }
    works.push_back({task, i, Key(scopes.intern(item.key), item.key.chunk_hash), item.bytes,
                     item.explicit_rank, std::string(item.explicit_stream)});
  }
  const TaskId id = task->result.id;
  task->remaining = works.size();
  if (works.empty()) {
    completions_->push(TaskKind::put, std::move(task->result), task->since_s);
  } else if (!engine_->submit(std::move(works))) {
    return fail(Errc::closed, path_ + " is closed");
  }
  return id;
}

Result<TaskId> SegmentStore::submit_get(std::span<const GetItem> items) {
  if (closed_) return fail(Errc::closed, path_ + " is closed");
  auto task = std::make_shared<Task>();
  task->kind = TaskKind::get;
  task->since_s = completions_->now_s();
  task->result.id = next_task_++;
  task->result.keys.assign(items.size(), KeyStatus::miss);
  std::vector<GetWork> works;
  works.reserve(items.size());
  ScopeResolver scopes(context().scopes);
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!format::check_key(items[i].key)) continue;  // cannot be there
    const auto scope = scopes.find(items[i].key);
    if (!scope || items[i].buffer.empty()) continue;
    if (items[i].buffer.data() == nullptr && !phantom_payload_) continue;
    works.push_back({task, i, Key(*scope, items[i].key.chunk_hash), items[i].buffer});
  }
  const TaskId id = task->result.id;
  task->remaining = works.size();
  if (works.empty()) {
    completions_->push(TaskKind::get, std::move(task->result), task->since_s);
  } else if (!engine_->submit(std::move(works))) {
    return fail(Errc::closed, path_ + " is closed");
  }
  return id;
}

Result<TaskId> SegmentStore::submit_lookup(std::span<const KeyRef> keys, bool lock) {
  if (closed_) return fail(Errc::closed, path_ + " is closed");
  Context& context = this->context();
  const double now_s = context.now_s();
  const std::uint32_t now = context.now_ticks();
  const std::uint32_t lease =
      lock ? now + static_cast<std::uint32_t>(options_.lock_timeout_s * Context::kTicksPerSecond)
           : 0;
  TaskResult result;
  result.id = next_task_++;
  result.keys.assign(keys.size(), KeyStatus::miss);
  result.sizes.assign(keys.size(), 0);
  std::vector<LookupKey> lineage;
  lineage.reserve(keys.size());
  ScopeResolver scopes(context.scopes);
  std::uint64_t hits = 0;
  std::uint64_t chain = 0;
  std::uint32_t use = 0, chain_keys = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const KeyRef& key = keys[i];
    if (!format::check_key(key)) continue;
    const auto scope = scopes.find(key);
    LookupKey seen;
    seen.chain = scopes.stable_hash();
    const std::uint32_t now_used = context.use_key();
    if (use == 0 || seen.chain != chain) {
      context.lookups.note_keys(use, chain_keys);
      use = now_used;
      chain_keys = 0;
    }
    ++chain_keys;
    chain = seen.chain;
    seen.use = use;
    seen.digest = Scopes::digest(seen.chain, key.chunk_hash);
    if (scope) {
      if (const auto hit = context.index.lookup(*scope, key.chunk_hash, use, {now, lease})) {
        result.keys[i] = KeyStatus::hit;
        result.sizes[i] = hit->payload_bytes;
        seen.hit = true;
        seen.stored = hit->prompt;
        seen.uses = hit->uses;
        ++hits;
      }
    }
    lineage.push_back(seen);
  }
  context.lookups.note_keys(use, chain_keys);
  engine_->lineage().on_lookup(lineage, now_s);
  context.counters.lookup_keys += keys.size();
  context.counters.lookup_hits += hits;
  const TaskId id = result.id;
  completions_->push(TaskKind::lookup, std::move(result), completions_->now_s());
  return id;
}

void SegmentStore::unlock(std::span<const KeyRef> keys) {
  Context& context = this->context();
  ScopeResolver scopes(context.scopes);
  const std::uint32_t now = context.now_ticks();
  for (const KeyRef& key : keys) {
    if (!format::check_key(key)) continue;
    if (const auto scope = scopes.find(key)) context.index.unlock(*scope, key.chunk_hash, now);
  }
}

Result<std::vector<std::optional<std::uint64_t>>> SegmentStore::erase(
    std::span<const KeyRef> keys) {
  if (closed_) return fail(Errc::closed, path_ + " is closed");
  if (options_.read_only) return fail(Errc::unsupported, path_ + " is open read-only");
  ScopeResolver scopes(context().scopes);
  std::vector<std::optional<Key>> known(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!format::check_key(keys[i])) continue;
    if (const auto scope = scopes.find(keys[i])) known[i] = Key(*scope, keys[i].chunk_hash);
  }
  auto erased = engine_->erase(std::move(known));
  if (!erased && erased.error().code == Errc::closed) {
    return fail(Errc::closed, path_ + " is closed");
  }
  return erased;
}

Result<KeyPage> SegmentStore::list(std::string_view cursor, std::size_t page_size,
                                   std::string_view model_name) {
  if (closed_) return fail(Errc::closed, path_ + " is closed");
  std::uint64_t at = 0;
  if (!cursor.empty()) {
    const auto parsed = std::from_chars(cursor.data(), cursor.data() + cursor.size(), at, 16);
    if (parsed.ec != std::errc{} || parsed.ptr != cursor.data() + cursor.size()) {
      return fail(Errc::invalid_argument,
                  fmt::format("'{}' is not a cursor that list() gave", cursor));
    }
  }
  if (page_size == 0) return fail(Errc::invalid_argument, "page_size must be at least 1");
  Context& context = this->context();
  KeyPage page;
  while (page.keys.size() < page_size) {
    const auto next = context.index.scan(
        at, page_size - page.keys.size(), [&](const Key& key, const ObjectState& state) {
          const KeyRef ref = context.scopes.key(key.scope(), key.hash());
          if (!model_name.empty() && ref.model_name != model_name) return;
          page.keys.push_back({ObjectKey(ref), state.location.payload_bytes});
        });
    if (!next) return page;
    at = *next;
  }
  page.next = fmt::format("{:x}", at);
  return page;
}

Result<void> SegmentStore::register_memory(std::span<std::byte> memory) {
  if (closed_) return fail(Errc::closed, path_ + " is closed");
  Result<void> result;
  const bool ran = engine_->call([&] {
    Backend& backend = context().backend;
    if (!backend.capabilities().fixed_buffers) {
      result = fail(Errc::unsupported, path_ + " has no fixed buffers");
      return;
    }
    const iovec one{memory.data(), memory.size()};
    result = backend.register_buffers({&one, 1});
    context().io.set_fixed_memory(result ? memory : std::span<std::byte>{});
  });
  if (!ran) return fail(Errc::closed, path_ + " is closed");
  return result;
}

// ----------------------------------------------------------------------------------------- status

StoreStatus SegmentStore::status() {
  {
    StoreStatus status;
    const bool ran = engine_->call([&] {
      fill_info(status.info);
      fill_salts(status);
      fill_segments(status);
      status.warnings = context().warnings;
      std::ranges::copy(context().backend.warnings(), std::back_inserter(status.warnings));
      if (status.info.expired_locks != 0) {
        status.warnings.push_back(fmt::format("{} locks were never taken off, and ended after {} s",
                                              status.info.expired_locks, options_.lock_timeout_s));
      }
    });
    if (ran) return status;
  }
  const std::lock_guard guard(close_mutex_);
  return last_status_;
}

void SegmentStore::fill_info(StoreInfo& info) {
  Context& context = this->context();
  const Counters& counters = context.counters;
  info.path = path_;
  info.layout = to_string(options_.layout);
  info.store_uuid = format::to_string(context.uuid);
  info.policy = engine_->policy().name();
  info.placement = context.backend.effective_placement();
  info.healthy = context.unhealthy_reason.empty();
  info.unhealthy_reason = context.unhealthy_reason;
  info.direct_io = !context.backend.capabilities().cached_writes;
  info.durability = to_string(options_.durability);
  info.zero_copy_align_bytes = geometry_.memory_align_bytes;
  info.capacity_bytes = options_.capacity_bytes;
  info.max_live_bytes = engine_->max_live_bytes();
  info.allocated_bytes = context.segments.allocated_bytes();
  info.live_objects = context.index.size();
  info.live_bytes = counters.live_bytes;
  info.locked_objects = context.index.locked(context.now_ticks());
  info.expired_locks = context.index.expired_locks();
  std::uint64_t segment_lists = 0;
  context.segments.for_each([&](const Segment& segment) {
    segment_lists += segment.entries.capacity() * sizeof(EntryId);
  });
  if (info.live_objects != 0) {
    info.memory_bytes_per_object =
        context.index.bytes_per_object() +
        static_cast<double>(segment_lists) / static_cast<double>(info.live_objects);
  }
  info.stored_objects = counters.stored_objects;
  info.stored_bytes = counters.stored_bytes;
  info.loaded_objects = counters.loaded_objects;
  info.loaded_bytes = counters.loaded_bytes;
  info.lookup_keys = counters.lookup_keys;
  info.lookup_hits = counters.lookup_hits;
  info.deleted_objects = counters.deleted_objects;
  info.reclaimed_objects = counters.reclaimed_objects;
  info.reinserted_objects = counters.reinserted_objects;
  info.reinserted_bytes = counters.reinserted_bytes;
  info.damaged_objects = counters.damaged_objects;
  info.failed_puts = counters.failed_puts;
  info.failed_gets = counters.failed_gets;
  info.waiting_puts = engine_->waiting_puts();
  info.writing_bytes = engine_->writing_bytes();
  info.host_written_bytes = counters.host_written_bytes;
  fill_device(info);
  info.open_seconds = engine_->open_seconds();
  info.clean_start = engine_->clean_start();
}

void SegmentStore::fill_device(StoreInfo& info) {
  const auto& before = engine_->first_statistics();
  const auto now = engine_->statistics();
  if (!before || !now) {
    info.device_reason = (before ? now : before).error().message();
    return;
  }
  info.device_host_bytes = now->host_written_bytes - before->host_written_bytes;
  info.device_media_bytes = now->media_written_bytes - before->media_written_bytes;
}

void SegmentStore::fill_salts(StoreStatus& status) {
  Scopes& scopes = context().scopes;
  boost::unordered_flat_map<std::string, SaltUsage> salts;
  const auto count = static_cast<std::uint32_t>(scopes.size());
  for (std::uint32_t id = 0; id < count; ++id) {
    const Scopes::Scope& scope = scopes.at(ScopeId{id});
    if (scope.objects == 0) continue;
    SaltUsage& usage = salts[scope.cache_salt];
    usage.cache_salt = scope.cache_salt;
    usage.objects += scope.objects;
    usage.bytes += scope.bytes;
  }
  for (auto& [salt, usage] : salts) status.salts.push_back(std::move(usage));
  std::ranges::sort(status.salts, {}, &SaltUsage::cache_salt);
}

void SegmentStore::fill_segments(StoreStatus& status) {
  Context& context = this->context();
  const std::vector<StreamSpec>& specs = engine_->policy().streams();
  for (std::size_t i = 0; i < specs.size(); ++i) {
    StreamUsage usage;
    usage.name = specs[i].name;
    usage.lifetime = to_string(specs[i].lifetime);
    usage.handle = specs[i].handle;
    usage.written_bytes = engine_->streams()[i].written_bytes;
    usage.note = specs[i].merged_note;
    if (i < context.streams_live.size()) {
      usage.objects = context.streams_live[i].objects;
      usage.bytes = context.streams_live[i].bytes;
    }
    status.streams.push_back(std::move(usage));
  }
  context.segments.for_each([&](Segment& segment) {
    SegmentUsage usage;
    usage.id = segment.id.value;
    usage.sequence = segment.sequence;
    usage.state = to_string(segment.state);
    if (segment.use.metadata) {
      usage.stream = "metadata";
    } else if (segment.use.prompt.value != 0) {
      usage.stream = fmt::format("prompt {:08x}", segment.use.prompt.value);
    } else {
      for (const StreamSpec& spec : specs) {
        if (spec.handle != segment.use.handle) continue;
        if (!usage.stream.empty()) usage.stream += ", ";
        usage.stream += spec.name;
      }
    }
    const bool used = segment.state != SegmentState::free;
    usage.allocated_bytes = segment.allocated_bytes;
    usage.used_bytes = used ? segment.end_bytes : 0;
    usage.live_bytes = segment.live_payload_bytes;
    usage.objects = segment.live_objects;
    if (!used) usage.stream.clear();
    status.segments.push_back(std::move(usage));
  });
}

Result<void> SegmentStore::close() {
  const std::lock_guard guard(close_mutex_);
  if (closed_.exchange(true)) return close_result_;
  (void)engine_->call([&] { fill_info(last_status_.info); });
  close_result_ = engine_->stop();
  return close_result_;
}

// ------------------------------------------------------------------------------------------- check

// Reads every object through the store itself; one that fails its checks is dropped by that.
void verify_objects(SegmentStore& store, bool repair, const CheckProgress& progress,
                    CheckReport& report) {
  const std::uint64_t total = store.status().info.live_bytes;
  std::string cursor;
  std::uint64_t done = 0;
  do {
    const auto page = store.list(cursor, 256, "");
    if (!page) return;
    for (const ListedKey& one : page->keys) {
      Buffer buffer(one.bytes);
      const GetItem item{one.key.ref(), buffer.span().first(one.bytes)};
      const auto got = get_and_wait(store, {&item, 1});
      const bool hit = got && got->keys[0] == KeyStatus::hit;
      done += one.bytes;
      ++report.objects;
      report.bytes += one.bytes;
      if (!hit) {
        std::string hash;
        for (const std::byte b : one.key.chunk_hash) hash += fmt::format("{:02x}", b);
        report.findings.push_back(
            {fmt::format("object {} of model {}", hash, one.key.model_name),
             got && got->error ? got->error->message() : "its bytes fail the checksum", repair});
      }
      if (progress) progress(done, total);
    }
    cursor = page->next;
  } while (!cursor.empty());
}

}  // namespace

Result<std::unique_ptr<Store>> open_segment_store(const Options& options,
                                                  std::unique_ptr<Backend> backend,
                                                  PolicyFactory make_policy,
                                                  std::unique_ptr<Lineage> lineage) {
  auto store =
      SegmentStore::open(options, std::move(backend), std::move(make_policy), std::move(lineage));
  if (!store) return fail(std::move(store.error()));
  return std::move(*store);
}

Result<CheckReport> check_segments(const Options& options, std::unique_ptr<Backend> backend,
                                   PolicyFactory make_policy, bool repair,
                                   const CheckProgress& progress) {
  struct NoLineage final : Lineage {
    void on_lookup(std::span<const LookupKey>, double) override {}
    [[nodiscard]] PromptFacts facts(std::uint64_t) const override { return {}; }
  };
  auto store = SegmentStore::open(options, std::move(backend), std::move(make_policy),
                                  std::make_unique<NoLineage>());
  if (!store) return fail(std::move(store.error()));
  CheckReport report;
  (void)(*store)->engine().call([&] {
    report.findings = (*store)->engine().findings();
    (*store)->engine().context().segments.for_each([&](Segment&) { ++report.segments; });
  });
  // What recovery found it has already worked around; a repair makes that last.
  for (CheckFinding& finding : report.findings) finding.repaired = repair;
  verify_objects(**store, repair, progress, report);
  if (auto closed = (*store)->close(); !closed) return fail(std::move(closed.error()));
  return report;
}

}  // namespace fdpstore::core
