// What the items of a task do, on a worker.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <utility>

#include <fmt/core.h>

#include "objects/store_impl.hpp"

namespace fdpstore::objects {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kPageBytes = 4096;
// Beyond the payload: a block for attributes that do not fit into the inode, one for the extents.
constexpr std::uint64_t kFileOverheadBytes = 2 * kPageBytes;
// How long a put waits for space that others are about to give back.
constexpr std::chrono::seconds kRoomPatience{10};
constexpr std::size_t kEraseChunk = 4;

std::uint64_t space_for(std::uint64_t bytes) {
  return (bytes + kPageBytes - 1) / kPageBytes * kPageBytes + kFileOverheadBytes;
}

double now_s() {
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

}  // namespace

void ObjectStore::build_names(Task& task, std::span<const KeyRef> keys) {
  NameBuilder builder;
  task.names.resize(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    auto name = builder.build(keys[i]);
    if (name) {
      task.names[i] = std::move(*name);
      continue;
    }
    task.bad_keys.resize(keys.size());
    task.bad_keys[i] = std::move(name.error());
    task.names[i].digest = ~std::uint64_t{i};  // a bad key is like no other
  }
}

void ObjectStore::fail_item(Task& task, std::size_t item, Error error) {
  task.result.keys[item] = KeyStatus::failed;
  auto& counter = task.kind == TaskKind::put ? counters_.failed_puts : counters_.failed_gets;
  ++counter;
  if (task.kind == TaskKind::put && error.code.category() == std::generic_category()) {
    const std::lock_guard guard(health_mutex_);
    ++failed_in_a_row_;
    last_failure_ = error.message();
  }
  const std::lock_guard guard(task.mutex);
  if (!task.result.error) task.result.error = std::move(error);
}

std::size_t ObjectStore::run_items(const TaskPtr& task, std::size_t begin, std::size_t end,
                                   unsigned worker) {
  std::size_t finished = 0;
  for (std::size_t i = begin; i < end; ++i) {
    if (!task->bad_keys.empty() && task->bad_keys[i]) {
      // Such a key cannot be there; storing it is an error.
      if (task->kind == TaskKind::put) fail_item(*task, i, *task->bad_keys[i]);
      ++finished;
    } else if (task->kind == TaskKind::lookup) {
      task->result.keys[i] = look_one(*task, i);
      ++finished;
    } else if (task->kind == TaskKind::put) {
      finished += run_put(task, i, worker) ? 1 : 0;
    } else {
      auto status = get_one(*task, i, worker);
      if (status) task->result.keys[i] = *status;
      if (!status) fail_item(*task, i, std::move(status.error()));
      ++finished;
    }
  }
  return finished;
}

KeyStatus ObjectStore::look_one(Task& task, std::size_t item) {
  const ObjectName& name = task.names[item];
  // Locked first and looked at then: what is found is not removed in between.
  if (task.lock && !leases_.lock(name.digest)) return KeyStatus::miss;
  const auto state = directory_->look(name);
  if (state && state->present()) {
    task.result.sizes[item] = state->size_bytes;
    return KeyStatus::hit;
  }
  if (task.lock) leases_.unlock(name.digest);
  if (state && state->verdict == FileVerdict::damaged) drop_damaged(name, *state);
  return KeyStatus::miss;
}

void ObjectStore::lookup_done(Task& task) {
  std::vector<LookupKey> keys(task.names.size());
  std::vector<std::uint64_t> hits;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const bool hit = task.result.keys[i] == KeyStatus::hit;
    keys[i] = {
        .chain = task.names[i].chain, .digest = task.names[i].digest, .hit = hit, .stored = {}};
    if (hit) hits.push_back(task.names[i].digest);
  }
  counters_.lookup_keys += keys.size();
  counters_.lookup_hits += hits.size();
  usage_.touch(hits);
  if (lineage_) lineage_->on_lookup(keys, now_s());
}

Result<KeyStatus> ObjectStore::get_one(Task& task, std::size_t item, unsigned worker) {
  const ObjectName& name = task.names[item];
  const std::span<std::byte> buffer = task.buffers[item];
  const auto pin = usage_.pin(name.digest);
  auto state = directory_->read(name, buffer, worker);
  if (pin) usage_.unpin(*pin);
  if (!state) return fail(std::move(state.error()));
  if (state->verdict == FileVerdict::damaged) drop_damaged(name, *state);
  if (!state->present()) return KeyStatus::miss;
  if (state->verdict == FileVerdict::unverified) ++counters_.unverified_objects;
  ++counters_.loaded_objects;
  counters_.loaded_bytes += buffer.size();
  const std::lock_guard guard(task.mutex);
  task.result.transferred_bytes += buffer.size();
  return KeyStatus::hit;
}

bool ObjectStore::run_put(const TaskPtr& task, std::size_t item, unsigned worker) {
  if (task->first[item] != item) return true;
  const std::uint64_t digest = task->names[item].digest;
  const auto again = [this, task, item] { pool_->retry(Lane::bulk, task->batch, item); };
  if (!gate_.enter(digest, again)) return false;
  auto status = put_one(*task, item, worker);
  gate_.leave(digest);
  if (status) {
    task->result.keys[item] = *status;
  } else {
    fail_item(*task, item, std::move(status.error()));
  }
  return true;
}

Result<KeyStatus> ObjectStore::put_one(Task& task, std::size_t item, unsigned worker) {
  const PutItem& put = task.puts[item];
  const ObjectName& name = task.names[item];
  const std::uint64_t size = put.bytes.size();
  if (size == 0) return fail(Errc::invalid_argument, "an object needs a byte at least");
  if (size > options_.max_object_bytes) {
    return fail(Errc::too_large, fmt::format("an object of {} bytes is larger than "
                                             "max_object_bytes={}; raise that option",
                                             size, options_.max_object_bytes));
  }
  auto state = directory_->look(name);
  if (!state) return fail(std::move(state.error()));
  if (state->present() && state->size_bytes == size) {
    usage_.touch({name.digest});
    return KeyStatus::present;
  }
  if (state->verdict == FileVerdict::damaged) {
    ++counters_.damaged_objects;
    report_dropped(task.keys[item], state->size_bytes);
  }
  const std::uint64_t space = space_for(size);
  if (usage_.tracks()) {
    if (auto reserved = reserve(space); !reserved) return fail(std::move(reserved.error()));
  }
  auto allocated = write_one(task, item, worker);
  if (allocated) {
    if (!usage_.tracks() && state->verdict != FileVerdict::absent) {
      usage_.remove(name, put.key.cache_salt, {state->size_bytes, state->allocated_bytes});
    }
    usage_.add(name, put.key.cache_salt, {size, *allocated});
  }
  if (usage_.tracks()) usage_.release(space);
  if (!allocated) return fail(std::move(allocated.error()));
  return KeyStatus::stored;
}

Result<std::uint64_t> ObjectStore::write_one(Task& task, std::size_t item, unsigned worker) {
  const PutItem& put = task.puts[item];
  const ObjectName& name = task.names[item];
  ObjectFacts facts{.key = put.key,
                    .size_bytes = put.bytes.size(),
                    .prompt = lineage_ ? lineage_->facts(name.digest) : PromptFacts{},
                    .explicit_rank = put.explicit_rank,
                    .explicit_stream = {}};
  if (!put.explicit_stream.empty()) facts.explicit_stream = put.explicit_stream;
  const StreamChooser::Choice choice = streams_.choose(facts);
  if (!choice.new_state.empty()) keep_policy_state(choice.new_state, worker);
  auto allocated =
      directory_->write({.name = name, .bytes = put.bytes, .lifetime = choice.lifetime}, worker);
  if (!allocated) return allocated;
  streams_.written(choice.stream, put.bytes.size());
  ++counters_.stored_objects;
  counters_.stored_bytes += put.bytes.size();
  counters_.host_written_bytes += put.bytes.size();
  {
    const std::lock_guard guard(health_mutex_);
    failed_in_a_row_ = 0;
  }
  const std::lock_guard guard(task.mutex);
  task.result.transferred_bytes += put.bytes.size();
  return allocated;
}

Result<void> ObjectStore::make_durable(Task& task) {
  if (options_.durability != Durability::device ||
      std::ranges::find(task.result.keys, KeyStatus::stored) == task.result.keys.end()) {
    return {};
  }
  return directory_->sync();
}

Result<void> ObjectStore::reserve(std::uint64_t bytes) {
  if (const auto overhead = directory_->overhead_bytes();
      bytes + overhead > options_.capacity_bytes) {
    return fail(Errc::no_space,
                fmt::format("capacity_bytes={} cannot hold {} bytes beside the {} that the "
                            "directory itself takes; raise capacity_bytes",
                            options_.capacity_bytes, bytes, overhead));
  }
  const auto until = Clock::now() + kRoomPatience;
  while (!usage_.reserve(bytes, directory_->overhead_bytes())) {
    auto evicted = evict_one();
    if (!evicted) return fail(std::move(evicted.error()));
    if (!*evicted && !usage_.wait_for_room(until)) {
      return fail(Errc::no_space,
                  fmt::format("capacity_bytes={} is used up by locked objects and by the directory "
                              "itself, {} more are needed; unlock, or raise capacity_bytes",
                              options_.capacity_bytes, bytes));
    }
  }
  return {};
}

// False: there is nothing that may go.
Result<bool> ObjectStore::evict_one() {
  const auto victim = usage_.take_victim([this](std::uint64_t digest) {
    if (!gate_.enter(digest)) return false;  // being stored anew, or erased
    if (leases_.claim(digest)) return true;
    gate_.leave(digest);
    return false;
  });
  if (!victim) return false;
  auto key = directory_->key_of(victim->name.file);
  auto removed = directory_->remove(victim->name);
  leases_.release_claim(victim->name.digest);
  gate_.leave(victim->name.digest);
  usage_.evicted(*victim);
  if (!removed) {
    // Still there: counted again, as the newest, so that the next one to go is another.
    usage_.add(victim->name, key ? key->cache_salt : "", victim->sizes);
    return fail(std::move(removed.error()));
  }
  if (*removed) {
    ++counters_.reclaimed_objects;
    if (key) report_dropped(std::move(*key), victim->sizes.size_bytes);
  }
  return true;
}

void ObjectStore::drop_damaged(const ObjectName& name, const FileState& state) {
  ++counters_.damaged_objects;
  if (options_.read_only) return;
  // While it is being stored anew, the new file is about to take the name.
  if (!gate_.enter(name.digest)) return;
  auto key = name.own_key ? std::optional(*name.own_key) : parse_name(name.file);
  const bool removed = directory_->remove_inode(name, state.inode);
  if (removed && key) {
    usage_.remove(name, key->cache_salt, {state.size_bytes, state.allocated_bytes});
  }
  gate_.leave(name.digest);
  if (removed && key) report_dropped(std::move(*key), state.size_bytes);
}

void ObjectStore::report_dropped(ObjectKey key, std::uint64_t bytes) {
  {
    const std::lock_guard guard(results_mutex_);
    dropped_.push_back({std::move(key), bytes});
  }
  io::signal_event_fd(event_fd(TaskKind::put));
}

// An erase call: its thread waits for the pool.
struct ObjectStore::Erasing {
  std::vector<ObjectName> names;
  std::vector<std::string> salts;
  std::vector<std::optional<std::uint64_t>> sizes;
  std::mutex mutex;
  std::condition_variable done;
  bool is_done = false;
  bool removed = false;
  std::optional<Error> error;
};

bool ObjectStore::run_erase(const std::shared_ptr<Batch>& batch, Erasing& erasing,
                            std::size_t item) {
  if (erasing.names[item].file.empty()) return true;
  const std::uint64_t digest = erasing.names[item].digest;
  const auto again = [this, batch, item] { pool_->retry(Lane::quick, batch, item); };
  if (!gate_.enter(digest, again)) return false;
  erase_one(erasing, item);
  gate_.leave(digest);
  return true;
}

void ObjectStore::erase_one(Erasing& erasing, std::size_t item) {
  const ObjectName& name = erasing.names[item];
  if (!leases_.claim(name.digest)) return;
  auto removed = directory_->remove(name);
  if (removed && *removed) {
    erasing.sizes[item] = *removed;
    const std::uint64_t allocated = space_for(**removed) - kFileOverheadBytes;
    usage_.remove(name, erasing.salts[item], {**removed, allocated});
    ++counters_.deleted_objects;
  }
  leases_.release_claim(name.digest);
  if (!removed || *removed) {
    const std::lock_guard guard(erasing.mutex);
    erasing.removed = true;
    if (!removed && !erasing.error) erasing.error = std::move(removed.error());
  }
}

Result<std::vector<std::optional<std::uint64_t>>> ObjectStore::erase(std::span<const KeyRef> keys) {
  if (is_closed()) return fail(Errc::closed, "the store is closed");
  if (options_.read_only) {
    return fail(Errc::unsupported, fmt::format("{} was opened read_only", options_.base_path));
  }
  Erasing erasing;
  NameBuilder builder;
  for (const KeyRef& key : keys) {
    auto name = builder.build(key);
    erasing.names.push_back(name ? std::move(*name) : ObjectName{});
    erasing.salts.emplace_back(key.cache_salt);
  }
  erasing.sizes.resize(keys.size());
  auto batch = std::make_shared<Batch>();
  batch->count = keys.size();
  batch->chunk = kEraseChunk;
  batch->run = [&](std::size_t begin, std::size_t end, unsigned) {
    std::size_t finished = 0;
    for (std::size_t i = begin; i < end; ++i) finished += run_erase(batch, erasing, i) ? 1 : 0;
    return finished;
  };
  batch->cancel = [&](std::size_t, std::size_t) {
    const std::lock_guard guard(erasing.mutex);
    erasing.error = Error{make_error_code(Errc::closed), "the store is closed"};
  };
  batch->done = [&](unsigned) {
    const std::lock_guard guard(erasing.mutex);
    erasing.is_done = true;
    erasing.done.notify_one();
  };
  if (!pool_->submit(Lane::quick, batch)) return fail(Errc::closed, "the store is closed");
  std::unique_lock lock(erasing.mutex);
  erasing.done.wait(lock, [&] { return erasing.is_done; });
  if (erasing.error) return fail(std::move(*erasing.error));
  if (erasing.removed && options_.durability == Durability::device) {
    if (auto synced = directory_->sync(); !synced) return fail(std::move(synced.error()));
  }
  return std::move(erasing.sizes);
}

}  // namespace fdpstore::objects
