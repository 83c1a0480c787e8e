// The campaign's comparisons of the store with the model.
#include <algorithm>
#include <thread>

#include "campaign_run.hpp"
#include "core/check.hpp"

namespace fdpstore::test {

using Clock = std::chrono::steady_clock;

void Run::fsck() {
  Options options = options_;
  options.read_only = true;
  const auto report = core::check_segments(options, backend(), policy(), false, {});
  if (!report) broken("fsck does not run: {}", report.error().message());
  // A loss of power or a failed write may leave a summary without the one before it; where nothing
  // was promised for the loss of power, that may leave a summary without its objects.
  const bool excused =
      !faults_->damaged().empty() || (power_cuts_ && options_.durability == Durability::process);
  const bool ends_torn = power_cuts_ || setup_.faults != Faults::cuts;
  for (const CheckFinding& finding : report->findings) {
    if (excused || (ends_torn && finding.what.starts_with("summary"))) continue;
    broken("fsck: {}: {}", finding.where, finding.what);
  }
}

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
    faults_->pass(1);
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

}  // namespace fdpstore::test
