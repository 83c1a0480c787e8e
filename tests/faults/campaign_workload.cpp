// What the campaign does with the store, and what it learns from the answers.
#include <poll.h>
#include <unistd.h>

#include <algorithm>

#include "campaign_run.hpp"

namespace fdpstore::test {

using Clock = std::chrono::steady_clock;

std::uint64_t Run::random_size(std::uint64_t n) {
  const std::uint64_t most = options_.max_object_bytes;
  while (true) {
    std::uint64_t size = 0;
    switch (random(6)) {
      case 0: size = 1 + random(100); break;
      case 1: size = kBlock * (1 + random(most / kBlock)); break;
      case 2: size = kBlock * (1 + random(most / kBlock)) + (random(2) == 0 ? 1 : -1); break;
      case 3: size = most; break;
      default: size = 1 + random(most);
    }
    // Another one than any before: a version is known by its size.
    for (int i = 0; i < 100 && model_.at(n).attempted.contains(size); ++i) size = 1 + random(most);
    if (size <= most && !model_.at(n).attempted.contains(size)) return size;
  }
}

std::vector<std::uint64_t> Run::pick_keys(std::size_t most) {
  std::set<std::uint64_t> picked;
  const std::size_t count = 1 + random(most);
  for (std::size_t i = 0; i < count; ++i) picked.insert(random(model_.size()));
  return {picked.begin(), picked.end()};
}

Run::Pending Run::submit_put(const std::vector<std::uint64_t>& keys) {
  Pending pending{.kind = TaskKind::put, .id = 0, .keys = keys, .sizes = {}, .buffers = {}};
  std::vector<PutItem> items;
  for (const std::uint64_t n : keys) {
    const std::uint64_t size = random_size(n);
    model_.at(n).attempted.insert(size);
    pending.sizes.push_back(size);
    pending.buffers.push_back(payload(size, Model::content_seed(n, size), random(2) * 24));
    items.push_back({.key = model_.at(n).key.ref(),
                     .bytes = pending.buffers.back().span(),
                     .explicit_rank = {},
                     .explicit_stream = {}});
  }
  const auto id = store_->submit_put(items);
  if (!id) broken("submit_put: {}", id.error().message());
  pending.id = *id;
  return pending;
}

Run::Pending Run::submit_get(const std::vector<std::uint64_t>& keys) {
  Pending pending{.kind = TaskKind::get, .id = 0, .keys = keys, .sizes = {}, .buffers = {}};
  std::vector<GetItem> items;
  for (const std::uint64_t n : keys) {
    const std::uint64_t size = model_.at(n).live.value_or(1 + random(options_.max_object_bytes));
    pending.sizes.push_back(size);
    pending.buffers.emplace_back(size, random(2) * 24);
    items.push_back({.key = model_.at(n).key.ref(), .buffer = pending.buffers.back().span()});
  }
  const auto id = store_->submit_get(items);
  if (!id) broken("submit_get: {}", id.error().message());
  pending.id = *id;
  return pending;
}

TaskResult Run::wait(TaskKind kind, TaskId id) {
  const auto give_up = Clock::now() + kPatience;
  while (true) {
    if (auto node = arrived_.extract({kind, id}); !node.empty()) return std::move(node.mapped());
    pollfd poll{store_->event_fd(kind), POLLIN, 0};
    (void)::poll(&poll, 1, 100);
    std::uint64_t count = 0;
    (void)!::read(poll.fd, &count, sizeof count);
    for (TaskResult& result : store_->take_completed(kind)) {
      arrived_.emplace(std::pair(kind, result.id), std::move(result));
    }
    if (Clock::now() > give_up) broken("task {} does not end", id);
  }
}

void Run::settle(Pending& pending) {
  const TaskResult result = wait(pending.kind, pending.id);
  if (pending.kind == TaskKind::put) {
    settle_put(pending, result);
  } else {
    settle_get(pending, result);
  }
}

void Run::settle_put(Pending& pending, const TaskResult& result) {
  for (std::size_t i = 0; i < pending.keys.size(); ++i) {
    ModelKey& key = model_.at(pending.keys[i]);
    const std::uint64_t size = pending.sizes[i];
    switch (result.keys[i]) {
      case KeyStatus::stored:
        if (key.live) lose_if_excused(pending.keys[i], "put");
        ++report_.stored;
        if (just_dropped_.contains({pending.keys[i], size})) break;  // and gone again
        key.live = size;
        break;
      case KeyStatus::present:
        if (!key.live && !dropped_now(pending.keys[i]))
          broken("key {} is said to be present, and is not", pending.keys[i]);
        break;
      case KeyStatus::failed:
        if (!result.error) broken("a put failed without an error");
        key.maybe.insert(size);
        break;
      default: broken("a put ends as a {}", static_cast<int>(result.keys[i]));
    }
    trace(fmt::format("put {} of {} bytes: {}{}", pending.keys[i], size,
                      static_cast<int>(result.keys[i]),
                      result.error ? " " + result.error->message() : ""));
  }
}

void Run::settle_get(Pending& pending, const TaskResult& result) {
  for (std::size_t i = 0; i < pending.keys.size(); ++i) {
    const std::uint64_t n = pending.keys[i];
    const ModelKey& key = model_.at(n);
    const std::uint64_t size = pending.sizes[i];
    trace(fmt::format("get {} of {} bytes: {}", n, size, static_cast<int>(result.keys[i])));
    if (result.keys[i] == KeyStatus::hit) {
      if (!matches(pending.buffers[i].span(), Model::content_seed(n, size))) {
        broken("wrong bytes for key {} of {} bytes", n, size);
      }
      ++report_.hits;
    } else if (result.keys[i] == KeyStatus::failed) {
      if (setup_.faults == Faults::cuts && !faults_->dead()) {
        broken("get of key {} failed: {}", n, result.error ? result.error->message() : "?");
      }
      take_dropped();
    } else if (key.live == size) {
      lose_if_excused(n, "get");
    }
  }
}

void Run::take_dropped() {
  for (const DroppedKey& dropped : store_->take_dropped()) {
    const auto n = model_.find(dropped.key);
    if (!n) broken("a key was dropped that was never stored");
    ModelKey& key = model_.at(*n);
    ++report_.dropped;
    trace(fmt::format("dropped {} of {} bytes", *n, dropped.bytes));
    if (key.live == dropped.bytes) {
      if (key.locks > 0 && setup_.faults == Faults::cuts && !faults_->dead())
        broken("locked key {} was dropped", *n);
      key.live.reset();
      key.locks = 0;
    }
    key.maybe.insert(dropped.bytes);
    just_dropped_.emplace(*n, dropped.bytes);
  }
}

// Several tasks at once; a key is in one of them.
void Run::batch() {
  std::vector<Pending> pending;
  std::set<std::uint64_t> used;
  just_dropped_.clear();
  faults_->hold(true);
  const std::size_t tasks = 1 + random(4);
  for (std::size_t i = 0; i < tasks; ++i) {
    std::vector<std::uint64_t> keys = pick_keys(6);
    std::erase_if(keys, [&](std::uint64_t n) { return !used.insert(n).second; });
    if (keys.empty()) continue;
    pending.push_back(random(3) != 0 ? submit_put(keys) : submit_get(keys));
  }
  faults_->hold(false);
  for (Pending& one : pending) settle(one);
  take_dropped();
}

void Run::lookup() {
  const std::vector<std::uint64_t> keys = pick_keys(8);
  const bool lock = random(3) == 0;
  std::vector<KeyRef> refs;
  for (const std::uint64_t n : keys) refs.push_back(model_.at(n).key.ref());
  const auto id = store_->submit_lookup(refs, lock);
  if (!id) broken("lookup: {}", id.error().message());
  const TaskResult result = wait(TaskKind::lookup, *id);
  (void)store_->status();  // what was being dropped has been told after this
  take_dropped();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ModelKey& key = model_.at(keys[i]);
    const bool hit = result.keys[i] == KeyStatus::hit;
    if (!hit) lose_if_excused(keys[i], "lookup");
    if (hit && lock && key.live) ++key.locks;
  }
}

void Run::unlock_some() {
  for (std::uint64_t n = 0; n < model_.size(); ++n) {
    ModelKey& key = model_.at(n);
    if (key.locks == 0 || random(2) == 0) continue;
    const KeyRef ref = key.key.ref();
    store_->unlock({&ref, 1});
    --key.locks;
  }
}

void Run::erase() {
  const std::vector<std::uint64_t> keys = pick_keys(5);
  std::vector<KeyRef> refs;
  for (const std::uint64_t n : keys) refs.push_back(model_.at(n).key.ref());
  const auto erased = store_->erase(refs);
  take_dropped();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    ModelKey& key = model_.at(keys[i]);
    if (!erased) {  // some of them are gone, and may come back
      if (key.live && key.locks == 0) {
        key.maybe.insert(*key.live);
        key.live.reset();
      }
      continue;
    }
    trace(fmt::format("erase {}: {}", keys[i], erased->at(i).value_or(0)));
    if (erased->at(i)) {
      if (key.locks > 0) broken("locked key {} was erased", keys[i]);
      if (key.live && key.live != erased->at(i)) broken("key {} had another size", keys[i]);
      key.live.reset();
      key.maybe.clear();
      ++report_.erased;
    } else if (key.live && key.locks == 0) {
      lose_if_excused(keys[i], "erase");
    }
  }
}

void Run::step() {
  if (!faults_->quiet(kPatience)) broken("the store does not come to rest");
  faults_->pass(static_cast<double>(random(200)) / 1000);
  const std::uint64_t dice = random(100);
  if (dice < 55) {
    batch();
  } else if (dice < 68) {
    lookup();
  } else if (dice < 78) {
    unlock_some();
  } else if (dice < 92) {
    erase();
  } else if (dice < 96) {
    if (cut_ == Cut::none) {
      cut_ = random(2) == 0 ? Cut::kill : Cut::power;
      faults_->arm(cut_, 1 + random(80));
      trace(cut_ == Cut::kill ? "a kill is armed" : "a power cut is armed");
    }
  } else if (dice < 98) {
    trace("close");
    close_store();
  } else {
    check_accounts();
  }
}

}  // namespace fdpstore::test
