// Opening and closing, handing tasks to the pool and their results back, status.
#include "objects/object_store.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/core.h>

#include "objects/store_impl.hpp"

namespace fdpstore::objects {
namespace {

using Clock = std::chrono::steady_clock;

constexpr char kPolicyStateFile[] = ".fdpstore-policy";
// close(): how long accepted tasks may still begin.
constexpr std::chrono::seconds kClosePatience{10};
// status(): how long it waits for the first scan, and how old a scan may be before the next.
constexpr std::chrono::seconds kStatusPatience{1};
constexpr std::chrono::seconds kScanAge{60};
// Puts that fail in a row, for the file system's sake, until the store calls itself unhealthy.
constexpr unsigned kUnhealthyAfter = 8;
constexpr std::size_t kLookupChunk = 64;
// What other hosts did since a scan as recent as this is not worth a word.
constexpr std::chrono::seconds kFreshScan{60};

}  // namespace

Result<std::unique_ptr<Store>> open_object_store(const Options& options,
                                                 std::unique_ptr<Policy> policy,
                                                 std::unique_ptr<Lineage> lineage) {
  auto directory = ObjectDirectory::open(options, std::max(options.engine_threads, 1U));
  if (!directory) return fail(std::move(directory.error()));
  auto store = std::make_unique<ObjectStore>(options, std::move(*directory), std::move(policy),
                                             std::move(lineage));
  if (auto started = store->start(); !started) return fail(std::move(started.error()));
  return store;
}

ObjectStore::ObjectStore(const Options& options, std::unique_ptr<ObjectDirectory> directory,
                         std::unique_ptr<Policy> policy, std::unique_ptr<Lineage> lineage)
    : options_(options),
      lineage_(std::move(lineage)),
      directory_(std::move(directory)),
      streams_(std::move(policy), directory_->read_note(kPolicyStateFile)),
      leases_(options.lock_timeout_s),
      usage_({.capacity_bytes = options.read_only ? 0 : options.capacity_bytes,
              .lineage = lineage_.get()}),
      pool_(std::make_unique<WorkerPool>(std::max(options.engine_threads, 1U))) {}

ObjectStore::~ObjectStore() {
  (void)close();
}

Result<void> ObjectStore::start() {
  const auto begin = Clock::now();
  for (io::UniqueFd& fd : event_fds_) {
    auto made = io::make_event_fd();
    if (!made) return fail(std::move(made.error()));
    fd = std::move(*made);
  }
  if (options_.exclusive && !options_.read_only) {
    tidy_up();
    if (auto scanned = scan_once(); !scanned) return scanned;
    // The bound holds from the start, whatever was there.
    if (usage_.tracks()) {
      if (auto fits = reserve(0); !fits) return fits;
    }
    scan_wanted_ = false;
  }
  scanner_ = std::thread([this] { scan_loop(); });
  open_seconds_ = std::chrono::duration<double>(Clock::now() - begin).count();
  return {};
}

Result<TaskId> ObjectStore::submit(const TaskPtr& task, Lane lane, std::size_t chunk) {
  task->result.id = next_task_++;
  task->result.keys.resize(task->names.size(), KeyStatus::miss);
  auto batch = std::make_shared<Batch>();
  batch->count = task->names.size();
  batch->chunk = chunk;
  batch->run = [this, task](std::size_t begin, std::size_t end, unsigned worker) {
    return run_items(task, begin, end, worker);
  };
  batch->cancel = [this, task](std::size_t begin, std::size_t end) { cancel(*task, begin, end); };
  batch->done = [this, task](unsigned worker) { finish(task, worker); };
  task->batch = batch;
  const TaskId id = task->result.id;
  if (pool_->submit(lane, batch)) return id;
  task->batch.reset();
  return fail(Errc::closed, "the store is closed");
}

Result<TaskId> ObjectStore::submit_put(std::span<const PutItem> items) {
  if (is_closed()) return fail(Errc::closed, "the store is closed");
  if (options_.read_only) {
    return fail(Errc::unsupported, fmt::format("{} was opened read_only", options_.base_path));
  }
  auto task = std::make_shared<Task>();
  task->kind = TaskKind::put;
  task->puts.assign(items.begin(), items.end());
  task->keys.reserve(items.size());
  task->streams.reserve(items.size());
  std::vector<KeyRef> refs;
  for (PutItem& put : task->puts) {
    refs.push_back(task->keys.emplace_back(put.key).ref());
    put.key = refs.back();
    put.explicit_stream = task->streams.emplace_back(put.explicit_stream);
  }
  build_names(*task, refs);
  std::unordered_map<std::uint64_t, std::size_t> seen;
  for (std::size_t i = 0; i < items.size(); ++i) {
    task->first.push_back(seen.try_emplace(task->names[i].digest, i).first->second);
  }
  return submit(task, Lane::bulk, 1);
}

Result<TaskId> ObjectStore::submit_get(std::span<const GetItem> items) {
  if (is_closed()) return fail(Errc::closed, "the store is closed");
  auto task = std::make_shared<Task>();
  task->kind = TaskKind::get;
  std::vector<KeyRef> refs;
  for (const GetItem& item : items) {
    refs.push_back(item.key);
    task->buffers.push_back(item.buffer);
  }
  build_names(*task, refs);
  return submit(task, Lane::bulk, 1);
}

Result<TaskId> ObjectStore::submit_lookup(std::span<const KeyRef> keys, bool lock) {
  if (is_closed()) return fail(Errc::closed, "the store is closed");
  auto task = std::make_shared<Task>();
  task->kind = TaskKind::lookup;
  task->lock = lock;
  task->result.sizes.assign(keys.size(), 0);
  build_names(*task, keys);
  return submit(task, Lane::quick, kLookupChunk);
}

void ObjectStore::cancel(Task& task, std::size_t begin, std::size_t end) {
  const KeyStatus status = task.kind == TaskKind::lookup ? KeyStatus::miss : KeyStatus::failed;
  std::fill(task.result.keys.begin() + static_cast<std::ptrdiff_t>(begin),
            task.result.keys.begin() + static_cast<std::ptrdiff_t>(end), status);
  const std::lock_guard guard(task.mutex);
  if (!task.result.error) {
    task.result.error = Error{make_error_code(Errc::closed), "the store was closed before"};
  }
}

void ObjectStore::finish(const TaskPtr& task, unsigned /*worker*/) {
  if (task->kind == TaskKind::put) {
    if (auto durable = make_durable(*task); !durable) {
      for (std::size_t i = 0; i < task->result.keys.size(); ++i) {
        if (task->result.keys[i] == KeyStatus::stored) fail_item(*task, i, durable.error());
      }
    }
    // A repeated key has the result of its first.
    for (std::size_t i = 0; i < task->first.size(); ++i) {
      task->result.keys[i] = task->result.keys[task->first[i]];
    }
  } else if (task->kind == TaskKind::lookup) {
    lookup_done(*task);
  } else {
    std::vector<std::uint64_t> hits;
    for (std::size_t i = 0; i < task->names.size(); ++i) {
      if (task->result.keys[i] == KeyStatus::hit) hits.push_back(task->names[i].digest);
    }
    usage_.touch(hits);
  }
  const auto kind = static_cast<std::size_t>(task->kind);
  {
    const std::lock_guard guard(results_mutex_);
    completed_[kind].push_back(std::move(task->result));
  }
  io::signal_event_fd(event_fds_[kind].get());
  task->batch.reset();
}

int ObjectStore::event_fd(TaskKind kind) const {
  return event_fds_[static_cast<std::size_t>(kind)].get();
}

std::vector<TaskResult> ObjectStore::take_completed(TaskKind kind) {
  const std::lock_guard guard(results_mutex_);
  return std::exchange(completed_[static_cast<std::size_t>(kind)], {});
}

std::vector<DroppedKey> ObjectStore::take_dropped() {
  const std::lock_guard guard(results_mutex_);
  return std::exchange(dropped_, {});
}

void ObjectStore::unlock(std::span<const KeyRef> keys) {
  NameBuilder builder;
  for (const KeyRef& key : keys) {
    if (const auto name = builder.build(key)) leases_.unlock(name->digest);
  }
}

Result<KeyPage> ObjectStore::list(std::string_view cursor, std::size_t page_size,
                                  std::string_view model_name) {
  if (is_closed()) return fail(Errc::closed, "the store is closed");
  return list_objects(*directory_, cursor, page_size, model_name);
}

Result<void> ObjectStore::register_memory(std::span<std::byte> /*memory*/) {
  return {};  // system calls on threads have no fixed buffers; every buffer works as it is
}

Result<void> ObjectStore::close() {
  const std::lock_guard guard(close_mutex_);
  if (closed_.exchange(true)) return {};
  {
    const std::lock_guard scan(scan_mutex_);
    stop_scan_ = true;
  }
  scan_wake_.notify_all();
  pool_->close(kClosePatience);
  if (scanner_.joinable()) scanner_.join();
  return {};
}

void ObjectStore::keep_policy_state(const std::string& state, unsigned worker) {
  const std::lock_guard guard(state_mutex_);
  if (auto kept = directory_->write_note(kPolicyStateFile, state, worker); !kept) {
    const std::lock_guard health(health_mutex_);
    last_failure_ = "the policy's state could not be kept: " + kept.error().message();
  }
}

StoreStatus ObjectStore::status() {
  {
    std::unique_lock lock(scan_mutex_);
    scan_wake_.wait_for(lock, kStatusPatience,
                        [this] { return scanned_once_ || stop_scan_ || !scan_failure_.empty(); });
    const bool old = scanned_once_ && Clock::now() - scanned_at_ > kScanAge;
    if (old && !options_.exclusive && !stop_scan_) {
      scan_wanted_ = true;
      scan_wake_.notify_all();
    }
  }
  StoreStatus status;
  Usage::Totals totals = usage_.totals();
  fill_info(status.info, totals);
  status.salts = std::move(totals.salts);
  status.streams = streams_.usage();
  add_warnings(status.warnings);
  return status;
}

void ObjectStore::fill_info(StoreInfo& info, const Usage::Totals& totals) {
  info.path = directory_->path();
  info.layout = to_string(Layout::object);
  info.policy = streams_.policy_name();
  info.placement = directory_->placement();
  info.direct_io = directory_->direct();
  info.durability = to_string(options_.durability);
  info.zero_copy_align_bytes =
      directory_->direct() ? directory_->direct_io().memory_align_bytes : 1;
  info.capacity_bytes = usage_.tracks() ? options_.capacity_bytes : 0;
  // Every file is rounded up to blocks; the directories take some as well.
  if (usage_.tracks()) {
    info.max_live_bytes =
        options_.capacity_bytes - std::min(options_.capacity_bytes, directory_->overhead_bytes());
  }
  info.allocated_bytes = totals.allocated_bytes + directory_->overhead_bytes();
  info.live_objects = totals.objects;
  info.live_bytes = totals.bytes;
  info.memory_bytes_per_object = totals.memory_bytes_per_object;
  const Leases::Counts leases = leases_.counts();
  info.locked_objects = leases.locked;
  info.expired_locks = leases.expired;
  info.unverified_objects = counters_.unverified_objects;
  info.stored_objects = counters_.stored_objects;
  info.stored_bytes = counters_.stored_bytes;
  info.loaded_objects = counters_.loaded_objects;
  info.loaded_bytes = counters_.loaded_bytes;
  info.lookup_keys = counters_.lookup_keys;
  info.lookup_hits = counters_.lookup_hits;
  info.deleted_objects = counters_.deleted_objects;
  info.reclaimed_objects = counters_.reclaimed_objects;
  info.damaged_objects = counters_.damaged_objects;
  info.failed_puts = counters_.failed_puts;
  info.failed_gets = counters_.failed_gets;
  info.host_written_bytes = counters_.host_written_bytes;
  info.open_seconds = open_seconds_;
  info.clean_start = true;  // files need no recovery
  const std::lock_guard guard(health_mutex_);
  if (!directory_->exists()) {
    info.healthy = false;
    info.unhealthy_reason = fmt::format("{} was removed; open the store anew", info.path);
  } else if (failed_in_a_row_ >= kUnhealthyAfter) {
    info.healthy = false;
    info.unhealthy_reason =
        fmt::format("the last {} stores failed: {}", failed_in_a_row_, last_failure_);
  }
}

void ObjectStore::add_warnings(std::vector<std::string>& warnings) {
  const std::string& path = directory_->path();
  if (!directory_->has_attributes()) {
    warnings.push_back(
        fmt::format("the file system of {} has no user extended attributes: objects "
                    "are stored without a checksum and served unverified",
                    path));
  }
  if (!options_.checksum) {
    warnings.emplace_back("checksum=false: what is stored now will be served unverified");
  }
  if (!directory_->lock_warning().empty()) warnings.push_back(directory_->lock_warning());
  if (usage_.tracks() && !options_.exclusive) {
    warnings.push_back(
        fmt::format("capacity_bytes is best effort: {} may be shared, and what others "
                    "store is seen by a scan now and then; exclusive=true makes it a "
                    "bound",
                    path));
  }
  if (const auto expired = leases_.counts().expired; expired > 0) {
    warnings.push_back(fmt::format("{} locks ran out after lock_timeout_s={} without an unlock",
                                   expired, options_.lock_timeout_s));
  }
  if (const std::uint64_t removed = counters_.temporaries_removed; removed > 0) {
    warnings.push_back(fmt::format("{} temporary files of killed processes were removed", removed));
  }
  {
    const std::lock_guard guard(health_mutex_);
    if (!last_failure_.empty()) warnings.push_back("last failure: " + last_failure_);
  }
  const std::lock_guard guard(scan_mutex_);
  if (!scan_failure_.empty()) {
    warnings.push_back("live objects could not be counted: " + scan_failure_);
  } else if (!scanned_once_) {
    warnings.emplace_back("live objects are still being counted");
  } else if (!options_.exclusive) {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(Clock::now() - scanned_at_);
    if (age < kFreshScan) return;
    warnings.push_back(
        fmt::format("live objects are those of a scan {} s ago and what this process "
                    "stored and removed since",
                    age.count()));
  }
}

}  // namespace fdpstore::objects
