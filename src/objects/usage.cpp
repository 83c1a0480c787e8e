#include "objects/usage.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace fdpstore::objects {
namespace {

// How far from the oldest object the tail of its prompt is looked for.
constexpr int kVictimWindow = 32;

}  // namespace

std::uint32_t Usage::intern(const NameParts& parts, std::string_view salt) {
  const auto found = scope_ids_.find(std::tie(parts.prefix, parts.suffix, salt));
  if (found != scope_ids_.end()) return found->second;
  const auto id = static_cast<std::uint32_t>(scopes_.size());
  scopes_.push_back({.prefix = std::string(parts.prefix),
                     .suffix = std::string(parts.suffix),
                     .salt = std::string(salt)});
  scope_ids_.emplace(std::tuple(scopes_[id].prefix, scopes_[id].suffix, scopes_[id].salt), id);
  return id;
}

void Usage::count(Scope& scope, int sign, FileSizes sizes) {
  scope.objects += sign;
  scope.bytes += sign * static_cast<std::int64_t>(sizes.size_bytes);
  scope.allocated += sign * static_cast<std::int64_t>(sizes.allocated_bytes);
}

void Usage::link_newest(std::uint32_t slot) {
  Entry& entry = entries_[slot];
  entry.newer = kNone;
  entry.older = newest_;
  if (newest_ != kNone) entries_[newest_].newer = slot;
  newest_ = slot;
  if (oldest_ == kNone) oldest_ = slot;
}

void Usage::unlink(std::uint32_t slot) {
  const Entry& entry = entries_[slot];
  (entry.newer != kNone ? entries_[entry.newer].older : newest_) = entry.older;
  (entry.older != kNone ? entries_[entry.older].newer : oldest_) = entry.newer;
}

// Takes an entry out of the table. What is pinned stays in its slot until it is unpinned.
void Usage::forget(std::uint32_t slot) {
  Entry& entry = entries_[slot];
  unlink(slot);
  by_digest_.erase(entry.digest);
  count(scopes_[entry.scope], -1, sizes_of(entry));
  entry.unlinked = true;
  if (entry.pins > 0) return;
  long_hashes_.erase(slot);
  free_.push_back(slot);
}

void Usage::insert(const ObjectName& name, std::uint32_t scope, std::string_view hex,
                   FileSizes sizes) {
  std::uint32_t slot = 0;
  if (free_.empty()) {
    slot = static_cast<std::uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
    entries_[slot] = {};
  }
  Entry& entry = entries_[slot];
  entry.digest = name.digest;
  entry.size_bytes = sizes.size_bytes;
  entry.allocated_blocks = static_cast<std::uint32_t>(sizes.allocated_bytes / kBlock);
  entry.scope = scope;
  entry.scan = scan_;
  std::vector<std::byte> hash;
  if (hex.size() <= 2 * kInlineHash && parse_hex(hex, hash)) {
    entry.hash_bytes = static_cast<std::uint8_t>(hash.size());
    std::ranges::copy(hash, entry.hash.begin());
  } else {
    long_hashes_[slot] = hex;
  }
  by_digest_[name.digest] = slot;
  link_newest(slot);
  used_bytes_ += sizes.allocated_bytes;
  count(scopes_[scope], 1, sizes);
}

std::string Usage::file_of(std::uint32_t slot) const {
  const Entry& entry = entries_[slot];
  const Scope& scope = scopes_[entry.scope];
  std::string file = scope.prefix;
  if (const auto hex = long_hashes_.find(slot); hex != long_hashes_.end()) {
    file += hex->second;
  } else {
    append_hex(file, std::span(entry.hash).first(entry.hash_bytes));
  }
  return file += scope.suffix;
}

void Usage::add(const ObjectName& name, std::string_view salt, FileSizes sizes) {
  const auto parts = split_name(name.file);
  assert(parts);
  const std::lock_guard guard(mutex_);
  const std::uint32_t scope = intern(*parts, salt);
  if (!tracks()) {
    count(scopes_[scope], 1, sizes);
    return;
  }
  if (const auto known = by_digest_.find(name.digest); known != by_digest_.end()) {
    const std::uint32_t slot = known->second;
    const Entry& entry = entries_[slot];
    if (entry.pins == 0) used_bytes_ -= entry.allocated_blocks * kBlock;
    forget(slot);
  }
  insert(name, scope, parts->hex, sizes);
  changed_.notify_all();
}

void Usage::remove(const ObjectName& name, std::string_view salt, FileSizes sizes) {
  const auto parts = split_name(name.file);
  assert(parts);
  const std::lock_guard guard(mutex_);
  if (!tracks()) {
    Scope& scope = scopes_[intern(*parts, salt)];
    count(scope, -1, sizes);
    return;
  }
  const auto known = by_digest_.find(name.digest);
  if (known == by_digest_.end()) return;
  const std::uint32_t slot = known->second;
  const Entry& entry = entries_[slot];
  if (entry.pins == 0) used_bytes_ -= entry.allocated_blocks * kBlock;
  forget(slot);
  changed_.notify_all();
}

void Usage::touch(const std::vector<std::uint64_t>& digests) {
  if (!tracks()) return;
  const std::lock_guard guard(mutex_);
  for (auto digest = digests.rbegin(); digest != digests.rend(); ++digest) {
    const auto known = by_digest_.find(*digest);
    if (known == by_digest_.end()) continue;
    unlink(known->second);
    link_newest(known->second);
    entries_[known->second].scan = scan_;
  }
}

bool Usage::reserve(std::uint64_t bytes, std::uint64_t overhead_bytes) {
  const std::lock_guard guard(mutex_);
  if (used_bytes_ + reserved_bytes_ + overhead_bytes + bytes > options_.capacity_bytes) {
    return false;
  }
  reserved_bytes_ += bytes;
  return true;
}

void Usage::release(std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  reserved_bytes_ -= bytes;
  changed_.notify_all();
}

// The oldest that may go; of its prompt, the one furthest from the head among its neighbours in
// age.
std::uint32_t Usage::choose_victim(const std::function<bool(std::uint64_t)>& may_go) const {
  std::uint32_t slot = oldest_;
  while (slot != kNone && (entries_[slot].pins > 0 || !may_go(entries_[slot].digest))) {
    slot = entries_[slot].newer;
  }
  return slot;
}

std::optional<Usage::Victim> Usage::take_victim(
    const std::function<bool(std::uint64_t digest)>& may_go) {
  const std::lock_guard guard(mutex_);
  if (options_.lineage != nullptr && oldest_ != kNone) {
    const PromptFacts head = options_.lineage->facts(entries_[oldest_].digest);
    std::uint32_t tail = oldest_;
    std::uint32_t position = head.position;
    std::uint32_t at = oldest_;
    for (int i = 0; head.prompt.value != 0 && i < kVictimWindow && at != kNone; ++i) {
      const PromptFacts facts = options_.lineage->facts(entries_[at].digest);
      if (facts.prompt == head.prompt && facts.position > position) {
        tail = at;
        position = facts.position;
      }
      at = entries_[at].newer;
    }
    // Where the tail may not go, the plain order decides.
    if (tail != oldest_) {
      unlink(tail);
      Entry& entry = entries_[tail];
      entry.newer = oldest_;
      entry.older = kNone;
      entries_[oldest_].older = tail;
      oldest_ = tail;
    }
  }
  const std::uint32_t slot = choose_victim(may_go);
  if (slot == kNone) return std::nullopt;
  Victim victim{.name = name_of_file(file_of(slot)), .sizes = sizes_of(entries_[slot])};
  forget(slot);
  ++evicting_;
  return victim;
}

void Usage::evicted(const Victim& victim) {
  const std::lock_guard guard(mutex_);
  used_bytes_ -= victim.sizes.allocated_bytes;
  --evicting_;
  changed_.notify_all();
}

bool Usage::wait_for_room(std::chrono::steady_clock::time_point until) {
  std::unique_lock lock(mutex_);
  if (evicting_ == 0 && reserved_bytes_ == 0) return false;
  return changed_.wait_until(lock, until) == std::cv_status::no_timeout;
}

std::optional<std::uint32_t> Usage::pin(std::uint64_t digest) {
  if (!tracks()) return std::nullopt;
  const std::lock_guard guard(mutex_);
  const auto known = by_digest_.find(digest);
  if (known == by_digest_.end()) return std::nullopt;
  ++entries_[known->second].pins;
  return known->second;
}

void Usage::unpin(std::uint32_t slot) {
  const std::lock_guard guard(mutex_);
  Entry& entry = entries_[slot];
  if (--entry.pins > 0) return;
  changed_.notify_all();
  if (!entry.unlinked) return;
  used_bytes_ -= entry.allocated_blocks * kBlock;
  long_hashes_.erase(slot);
  free_.push_back(slot);
}

void Usage::begin_scan() {
  const std::lock_guard guard(mutex_);
  ++scan_;
  for (Scope& scope : scopes_) {
    scope.scanned_objects = scope.scanned_bytes = scope.scanned_allocated = 0;
  }
}

void Usage::scanned(const ObjectName& name, std::string_view salt, FileSizes sizes) {
  const auto parts = split_name(name.file);
  assert(parts);
  const std::lock_guard guard(mutex_);
  const std::uint32_t id = intern(*parts, salt);
  if (!tracks()) {
    Scope& scope = scopes_[id];
    ++scope.scanned_objects;
    scope.scanned_bytes += static_cast<std::int64_t>(sizes.size_bytes);
    scope.scanned_allocated += static_cast<std::int64_t>(sizes.allocated_bytes);
    return;
  }
  const auto known = by_digest_.find(name.digest);
  if (known == by_digest_.end()) {
    insert(name, id, parts->hex, sizes);
  } else {
    entries_[known->second].scan = scan_;
  }
}

void Usage::end_scan() {
  const std::lock_guard guard(mutex_);
  if (!tracks()) {
    for (Scope& scope : scopes_) {
      scope.objects = scope.scanned_objects;
      scope.bytes = scope.scanned_bytes;
      scope.allocated = scope.scanned_allocated;
    }
    return;
  }
  for (std::uint32_t slot = oldest_; slot != kNone;) {
    const std::uint32_t next = entries_[slot].newer;
    if (entries_[slot].scan != scan_) {
      if (entries_[slot].pins == 0) used_bytes_ -= entries_[slot].allocated_blocks * kBlock;
      forget(slot);
    }
    slot = next;
  }
  changed_.notify_all();
}

Usage::Totals Usage::totals() {
  const std::lock_guard guard(mutex_);
  Totals totals;
  std::map<std::string_view, SaltUsage> salts;
  const auto positive = [](std::int64_t value) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
  };
  for (const Scope& scope : scopes_) {
    SaltUsage& salt = salts[scope.salt];
    salt.objects += positive(scope.objects);
    salt.bytes += positive(scope.bytes);
    totals.allocated_bytes += positive(scope.allocated);
  }
  for (auto& [name, salt] : salts) {
    if (salt.objects == 0) continue;
    salt.cache_salt = name;
    totals.objects += salt.objects;
    totals.bytes += salt.bytes;
    totals.salts.push_back(std::move(salt));
  }
  if (tracks()) {
    totals.allocated_bytes = used_bytes_;
    if (totals.objects > 0) {
      const auto slot_bytes = sizeof(std::pair<std::uint64_t, std::uint32_t>) + 1;
      const double all = static_cast<double>(entries_.size() * sizeof(Entry) +
                                             free_.capacity() * sizeof(std::uint32_t) +
                                             by_digest_.bucket_count() * slot_bytes);
      totals.memory_bytes_per_object =
          std::max(0.0, all / static_cast<double>(totals.objects) - double{kInlineHash});
    }
  }
  return totals;
}

}  // namespace fdpstore::objects
