// The store's view of the directory as a whole: counted at open and, where others may write to it,
// again now and then, in a thread of its own.
#include <algorithm>
#include <chrono>
#include <utility>

#include "objects/store_impl.hpp"

namespace fdpstore::objects {
namespace {

using Clock = std::chrono::steady_clock;

// With a best-effort capacity: the least time between two scans, and their share of the time.
constexpr std::chrono::seconds kRescanAfter{60};
constexpr int kRescanShare = 20;

}  // namespace

// Entries are added by age, so that the table starts in the order of last use.
Result<void> ObjectStore::scan_once() {
  usage_.begin_scan();
  std::vector<FoundObject> found;
  const bool ordered = usage_.tracks();
  auto scanned = scan_objects(*directory_, stop_scan_, [&](FoundObject object) {
    if (ordered) {
      found.push_back(std::move(object));
    } else {
      usage_.scanned(object.name, object.cache_salt, object.sizes);
    }
  });
  if (!scanned) return scanned;
  if (stop_scan_) return {};
  std::ranges::sort(found, {}, &FoundObject::used_ns);
  for (const FoundObject& object : found) {
    usage_.scanned(object.name, object.cache_salt, object.sizes);
  }
  usage_.end_scan();
  const std::lock_guard guard(scan_mutex_);
  scanned_once_ = true;
  scanned_at_ = Clock::now();
  return {};
}

void ObjectStore::tidy_up() {
  counters_.temporaries_removed +=
      remove_temporaries(*directory_, find_stale_temporaries(*directory_, options_, stop_scan_));
}

void ObjectStore::scan_loop() {
  if (!options_.exclusive && !options_.read_only) tidy_up();
  const bool repeats = usage_.tracks() && !options_.exclusive;
  Clock::duration pause = kRescanAfter;
  std::unique_lock lock(scan_mutex_);
  while (!stop_scan_) {
    if (!scan_wanted_) {
      const auto wanted = [this] { return scan_wanted_ || stop_scan_; };
      if (repeats) {
        scan_wanted_ = !scan_wake_.wait_for(lock, pause, wanted) || scan_wanted_;
      } else {
        scan_wake_.wait(lock, wanted);
      }
      continue;
    }
    scan_wanted_ = false;
    lock.unlock();
    const auto begin = Clock::now();
    auto scanned = scan_once();
    pause = std::max<Clock::duration>(kRescanAfter, kRescanShare * (Clock::now() - begin));
    lock.lock();
    scan_failure_ = scanned ? "" : scanned.error().message();
    scan_wake_.notify_all();
  }
}

}  // namespace fdpstore::objects
