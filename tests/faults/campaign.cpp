#include "campaign.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <random>
#include <stdexcept>
#include <thread>

#include <fmt/format.h>

#include "backends/file_backend.hpp"
#include "core/check.hpp"
#include "core/segment_store.hpp"
#include "core/sizing.hpp"
#include "model.hpp"
#include "placement/policies.hpp"
#include "placement/prompt_tracker.hpp"
#include "support/fault_backend.hpp"
#include "support/files.hpp"
#include "support/mem_backend.hpp"

namespace fdpstore::test {
namespace {

using Clock = std::chrono::steady_clock;

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
template <class... Args>
[[noreturn]] void broken(fmt::format_string<Args...> text, Args&&... args) {
  throw Broken(fmt::format(text, std::forward<Args>(args)...));
}

constexpr auto kPatience = std::chrono::seconds(20);
constexpr std::uint64_t kBlock = format::kBlockBytes;

class Run {
 public:
  explicit Run(const RunSetup& setup);
  RunReport execute();

 private:
  struct Pending {
    TaskKind kind;
    TaskId id;
    std::vector<std::uint64_t> keys;
    std::vector<std::uint64_t> sizes;
    std::vector<Buffer> buffers;
  };

  std::unique_ptr<Backend> backend();
  core::PolicyFactory policy() const;
  bool open();
  void close_store();
  void after_death();
  void reopen(bool closed_in_order);
  void check_contents();
  void check_listed(const std::map<std::uint64_t, std::uint64_t>& listed);
  void check_accounts();
  void fsck();
  void finish();

  void step();
  void batch();
  Pending submit_put(const std::vector<std::uint64_t>& keys);
  Pending submit_get(const std::vector<std::uint64_t>& keys);
  void settle(Pending& pending);
  void settle_put(Pending& pending, const TaskResult& result);
  void settle_get(Pending& pending, const TaskResult& result);
  void lookup();
  void unlock_some();
  void erase();
  void take_dropped();
  TaskResult wait(TaskKind kind, TaskId id);
  void lose_if_excused(std::uint64_t n, const char* when);
  [[nodiscard]] bool dropped_now(std::uint64_t n) const;
  [[nodiscard]] bool may_be_damaged(const ModelKey& key) const;
  std::vector<std::uint64_t> pick_keys(std::size_t most);
  std::uint64_t random_size(std::uint64_t n);
  std::uint64_t random(std::uint64_t below) { return random_() % below; }
  void trace(const std::string& text) const {
    if (setup_.verbose) fmt::print("  [{}] {}\n", step_, text);
  }

  RunSetup setup_;
  std::mt19937_64 random_;
  RunReport report_;
  Options options_;
  MemBackend::Config mem_;
  std::string policy_;
  TempDir dir_;
  std::shared_ptr<Medium> memory_ = std::make_shared<Medium>();
  std::shared_ptr<FaultMedium> faults_;
  Model model_;
  std::unique_ptr<Store> store_;
  std::map<std::pair<TaskKind, TaskId>, TaskResult> arrived_;
  std::uint32_t step_ = 0;
  std::set<std::pair<std::uint64_t, std::uint64_t>> just_dropped_;  // key, size: in this batch
  bool cached_ = false;
  bool power_cuts_ = false;
  Cut cut_ = Cut::none;  // the one armed last
};

FaultPlan plan_of(const RunSetup& setup, std::mt19937_64& random) {
  FaultPlan plan;
  plan.max_delay = random() % 3 == 0 ? 0 : static_cast<std::uint32_t>(random() % 8);
  if (setup.faults == Faults::cuts) return plan;
  const auto some = [&](std::uint32_t most) {
    return random() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random() % most);
  };
  plan.failed_writes = some(300);
  plan.failed_reads = some(300);
  plan.failed_flushes = some(200);
  plan.failed_frees = some(1000);
  plan.failed_allocates = some(2000);
  if (setup.faults == Faults::errors) return plan;
  plan.lost_writes = some(100);
  plan.misdirected_writes = some(100);
  plan.rotten_reads = some(200);
  plan.rot = some(100);
  return plan;
}

Run::Run(const RunSetup& setup)
    : setup_(setup), random_(mix(setup.seed)), model_(kTenants * (20 + random_() % 30)) {
  options_.base_path = setup.on_files ? (dir_.path() / "store").string() : "memory";
  options_.layout = random(4) == 0 ? Layout::prompt : Layout::segment;
  options_.segment_bytes = (128U << random(3)) * 1024;
  options_.max_object_bytes = options_.segment_bytes / (4 + random(8)) / 512 * 512 + random(512);
  const std::uint64_t segments = 6 + random(20);
  options_.capacity_bytes = core::kOverheadBytes + segments * options_.segment_bytes + random(4096);
  options_.durability = random(2) == 0 ? Durability::device : Durability::process;
  options_.lock_timeout_s = 1e6;
  options_.prompt_idle_s = random(2) == 0 ? 60 : 0.5;
  options_.use_odirect = false;
  mem_.fixed_size = options_.layout != Layout::prompt;
  mem_.must_fill = mem_.fixed_size && random(3) == 0;
  mem_.begins_units = mem_.must_fill && random(2) == 0;
  mem_.max_transfer = 4096U << random(6);
  mem_.handles = static_cast<std::uint32_t>(1 + random(4));
  mem_.memory_align = random(2) == 0 ? 1 : 4096;
  cached_ = random(2) == 0;
  static constexpr std::array<const char*, 5> kPolicies = {"lifetime", "tenant", "mixed",
                                                           "per-prompt", "separated"};
  policy_ = kPolicies[random(kPolicies.size())];
  faults_ = std::make_shared<FaultMedium>(mix(setup.seed + 1), plan_of(setup, random_));
  faults_->verbose(setup.verbose);
}

std::unique_ptr<Backend> Run::backend() {
  FaultBackend::Config config;
  config.cached_writes = cached_;
  config.release_at_seal = setup_.on_files;
  config.flush_promised = options_.durability == Durability::device;
  if (!setup_.on_files) {
    return std::make_unique<FaultBackend>(faults_, std::make_unique<MemBackend>(memory_, mem_),
                                          config);
  }
  auto inner = backends::open_file_backend({.base_path = options_.base_path,
                                            .prompt_files = options_.layout == Layout::prompt,
                                            .capacity_bytes = options_.capacity_bytes,
                                            .use_odirect = false});
  if (!inner) broken("the file backend does not open: {}", inner.error().message());
  return std::make_unique<FaultBackend>(faults_, std::move(*inner), config);
}

core::PolicyFactory Run::policy() const {
  return [name = policy_](std::uint32_t handles, std::string reason) {
    return placement::load_policy(name, {.data_handles = handles, .reason = std::move(reason)});
  };
}

// ------------------------------------------------------------------------------- open and close

// False: a cut came meanwhile.
bool Run::open() {
  ++report_.opens;
  arrived_.clear();
  auto opened = core::open_segment_store(
      options_, backend(), policy(),
      std::make_unique<placement::PromptTracker>(placement::PromptTracker::Limits{}));
  if (opened) {
    store_ = std::move(*opened);
    return true;
  }
  if (faults_->dead()) return false;
  broken("the store does not open: {}", opened.error().message());
}

void Run::close_store() {
  const auto begin = Clock::now();
  const auto closed = store_->close();
  if (Clock::now() - begin > kPatience) broken("close took too long");
  take_dropped();
  store_.reset();
  const bool dead = faults_->dead();
  if (dead) ++report_.cuts;
  if (!closed && !dead && setup_.faults == Faults::cuts) {
    broken("close failed: {}", closed.error().message());
  }
  // What close() could not make durable, a power cut may take.
  const bool clean = closed && !dead;
  if (clean && random(3) == 0) {
    trace("power cut after a clean close");
    cut_ = Cut::power;
    ++report_.cuts;
    faults_->cut(Cut::power);
  }
  reopen(clean);
}

void Run::after_death() {
  ++report_.cuts;
  // What was settled before the end counts; the store has seen only errors since.
  (void)store_->close();
  take_dropped();
  store_.reset();
  reopen(false);
}

// Opens the store again, perhaps with a further cut while it opens, and compares.
void Run::reopen(bool closed_in_order) {
  // Promises that do not cover the loss of power.
  const auto loosen = [this] {
    for (std::uint64_t n = 0; n < model_.size(); ++n) {
      ModelKey& key = model_.at(n);
      key.maybe.insert(key.attempted.begin(), key.attempted.end());
      key.live.reset();
    }
  };
  const bool process = options_.durability == Durability::process;
  if (cut_ == Cut::power && process && !closed_in_order && faults_->dead()) loosen();
  faults_->calm(true);
  power_cuts_ = power_cuts_ || (cut_ == Cut::power && faults_->dead());
  faults_->revive();
  for (std::uint64_t n = 0; n < model_.size(); ++n) model_.at(n).locks = 0;
  if (random(3) == 0) fsck();
  for (int tries = 0; tries < 3 && random(4) == 0; ++tries) {
    cut_ = random(2) == 0 ? Cut::kill : Cut::power;
    faults_->arm(cut_, 1 + random(60));
    const bool opened = open();
    if (opened) {
      (void)faults_->quiet(kPatience);
      store_->close();
      take_dropped();
      store_.reset();
    }
    faults_->disarm();
    if (faults_->dead()) {
      trace("cut while opening");
      ++report_.cuts;
      power_cuts_ = power_cuts_ || cut_ == Cut::power;
      if (cut_ == Cut::power && process) loosen();
    }
    faults_->revive();
  }
  cut_ = Cut::none;
  if (!open()) broken("dead without a cut");
  if (!faults_->quiet(kPatience)) broken("the store does not come to rest after open");
  take_dropped();
  check_contents();
  check_accounts();
  faults_->calm(false);
}

void Run::fsck() {
  Options options = options_;
  options.read_only = true;
  const auto report = core::check_segments(options, backend(), policy(), false, {});
  if (!report) broken("fsck does not run: {}", report.error().message());
  // A cut or a failed write may leave a footer without its summary; where nothing was promised for
  // the loss of power, that may leave a summary without its objects.
  const bool excused =
      !faults_->damaged().empty() || (power_cuts_ && options_.durability == Durability::process);
  const bool ends_torn = report_.cuts > 0 || setup_.faults != Faults::cuts;
  for (const CheckFinding& finding : report->findings) {
    if (excused || (ends_torn && finding.what.starts_with("summary"))) continue;
    broken("fsck: {}: {}", finding.where, finding.what);
  }
}

// ----------------------------------------------------------------------------------------- checks

bool Run::dropped_now(std::uint64_t n) const {
  const auto it = just_dropped_.lower_bound({n, 0});
  return it != just_dropped_.end() && it->first == n;
}

bool Run::may_be_damaged(const ModelKey& key) const {
  const auto damaged = faults_->damaged();
  return std::ranges::any_of(faults_->segments_of(key.name),
                             [&](std::uint32_t id) { return damaged.contains(id); });
}

void Run::lose_if_excused(std::uint64_t n, const char* when) {
  ModelKey& key = model_.at(n);
  if (!key.live) return;
  take_dropped();
  if (!key.live) return;
  if (!may_be_damaged(key)) {
    broken("{}: key {} with {} bytes is gone, and nobody said so", when, n, *key.live);
  }
  ++report_.excused;
  key.maybe.insert(*key.live);
  key.live.reset();
}

void Run::check_contents() {
  std::map<std::uint64_t, std::uint64_t> listed;
  std::string cursor;
  do {
    const auto page = store_->list(cursor, 64, "");
    if (!page) broken("list: {}", page.error().message());
    for (const ListedKey& one : page->keys) {
      const auto n = model_.find(one.key);
      if (!n) broken("a key is listed that was never stored");
      if (!listed.emplace(*n, one.bytes).second) broken("key {} is listed twice", *n);
    }
    cursor = page->next;
  } while (!cursor.empty());
  check_listed(listed);
}

void Run::check_listed(const std::map<std::uint64_t, std::uint64_t>& listed) {
  for (std::uint64_t n = 0; n < model_.size(); ++n) {
    ModelKey& key = model_.at(n);
    const auto it = listed.find(n);
    if (it == listed.end()) {
      lose_if_excused(n, "after open");
      continue;
    }
    const std::uint64_t size = it->second;
    if (key.live != size) {
      const bool known =
          key.maybe.contains(size) || (!faults_->damaged().empty() && key.attempted.contains(size));
      if (!known) {
        broken("after open: key {} came back with {} bytes; {}", n, size,
               key.live ? fmt::format("stored with {}", *key.live) : "it was deleted");
      }
      if (key.live) key.maybe.insert(*key.live);
      key.live = size;
    }
    key.attempted.insert(size);
    Pending pending = submit_get({n});
    settle(pending);
  }
}

void Run::check_accounts() {
  const StoreStatus status = store_->status();
  if (status.info.allocated_bytes > options_.capacity_bytes) {
    broken("{} bytes are allocated, capacity_bytes = {}", status.info.allocated_bytes,
           options_.capacity_bytes);
  }
  std::uint64_t bytes = 0, objects = 0;
  for (const SegmentUsage& segment : status.segments) {
    bytes += segment.live_bytes;
    objects += segment.objects;
    if (segment.used_bytes > options_.segment_bytes) broken("segment {} is overfull", segment.id);
  }
  if (bytes != status.info.live_bytes || objects != status.info.live_objects) {
    broken("segments hold {} objects of {} bytes, the store {} of {}", objects, bytes,
           status.info.live_objects, status.info.live_bytes);
  }
}

// Everything goes: then every segment is free again but the open ones.
void Run::finish() {
  faults_->calm(true);
  faults_->disarm();
  for (std::uint64_t n = 0; n < model_.size(); ++n) {
    ModelKey& key = model_.at(n);
    const KeyRef ref = key.key.ref();
    for (; key.locks > 0; --key.locks) store_->unlock({&ref, 1});
    const auto erased = store_->erase({&ref, 1});
    if (!erased) broken("the last erase fails: {}", erased.error().message());
    if (erased->at(0).has_value() != key.live.has_value()) {
      take_dropped();
      if (erased->at(0).has_value() != key.live.has_value()) {
        lose_if_excused(n, "at the end");
        if (erased->at(0).has_value()) broken("at the end key {} is there again", n);
      }
    }
    key.live.reset();
    if (erased->at(0)) key.maybe.clear();
  }
  const auto give_up = Clock::now() + std::chrono::seconds(5);
  while (true) {
    const StoreStatus status = store_->status();
    std::string left;
    for (const SegmentUsage& segment : status.segments) {
      if (segment.state != "free" && segment.state != "open") {
        left += fmt::format(" {}:{}", segment.id, segment.state);
      }
    }
    if (left.empty() && status.info.live_objects == 0) break;
    if (Clock::now() > give_up) {
      broken("leaked after everything was erased: {} objects, segments{}", status.info.live_objects,
             left);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (auto closed = store_->close(); !closed) broken("last close: {}", closed.error().message());
  store_.reset();
  fsck();
  if (!open()) broken("dead without a cut");
  check_contents();
  (void)store_->close();
  store_.reset();
}

// ---------------------------------------------------------------------------------------- workload

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

RunReport Run::execute() {
  try {
    faults_->calm(true);
    if (!open()) broken("the first open fails");
    faults_->calm(false);
    for (step_ = 0; step_ < setup_.steps; ++step_) {
      step();
      if (faults_->dead()) {
        trace(cut_ == Cut::kill ? "killed" : "power cut");
        after_death();
      }
    }
    finish();
  } catch (const Broken& error) {
    report_.failure = error.what();
    faults_->calm(true);
    faults_->hold(false);
  }
  report_.injected = faults_->injected();
  report_.requests = faults_->requests();
  return report_;
}

}  // namespace

RunReport& RunReport::operator+=(const RunReport& other) {
  if (failure.empty()) failure = other.failure;
  stored += other.stored;
  erased += other.erased;
  hits += other.hits;
  dropped += other.dropped;
  cuts += other.cuts;
  opens += other.opens;
  injected += other.injected;
  requests += other.requests;
  excused += other.excused;
  return *this;
}

RunSetup setup_of(std::uint64_t seed) {
  RunSetup setup;
  setup.seed = seed;
  setup.faults = static_cast<Faults>(seed % 3);
  setup.on_files = seed % 10 == 9;
  return setup;
}

RunReport run_campaign(const RunSetup& setup) {
  Run run(setup);
  return run.execute();
}

}  // namespace fdpstore::test
