#include "core/index.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstring>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "format/layout.hpp"

namespace fdpstore::core {

// ------------------------------------------------------------------------------------------- Key

Key::Key(ScopeId scope, std::span<const std::byte> hash)
    : scope_(scope), hash_bytes_(static_cast<std::uint8_t>(hash.size())) {
  assert(!hash.empty() && hash.size() <= kMaxHashBytes);
  if (hash.size() <= kInlineBytes) {
    std::memcpy(bytes_.data(), hash.data(), hash.size());
  } else {
    auto* copy = new std::byte[hash.size()];
    std::memcpy(copy, hash.data(), hash.size());
    std::memcpy(bytes_.data(), &copy, sizeof(copy));
  }
}

Key::Key(const Key& other) {
  if (other.hash_bytes_ != 0) {
    Key copy(other.scope_, other.hash());
    *this = std::move(copy);
  }
}

Key::Key(Key&& other) noexcept
    : scope_(other.scope_), hash_bytes_(other.hash_bytes_), bytes_(other.bytes_) {
  other.hash_bytes_ = 0;
}

Key& Key::operator=(Key other) noexcept {
  std::swap(scope_, other.scope_);
  std::swap(hash_bytes_, other.hash_bytes_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Key::~Key() {
  if (hash_bytes_ > kInlineBytes) delete[] hash().data();
}

std::span<const std::byte> Key::hash() const {
  if (hash_bytes_ <= kInlineBytes) return {bytes_.data(), hash_bytes_};
  const std::byte* pointer = nullptr;
  std::memcpy(&pointer, bytes_.data(), sizeof(pointer));
  return {pointer, hash_bytes_};
}

bool Key::operator==(const Key& other) const {
  return scope_ == other.scope_ && std::ranges::equal(hash(), other.hash());
}

namespace {
std::uint64_t key_digest(ScopeId scope, std::span<const std::byte> hash) {
  return XXH3_64bits_withSeed(hash.data(), hash.size(), scope.value);
}
}  // namespace

std::uint64_t Key::digest() const {
  return key_digest(scope_, hash());
}

// ----------------------------------------------------------------------------------------- Index

namespace {
constexpr unsigned kMinShardBits = 4, kMaxShardBits = 14;
constexpr std::uint64_t kObjectsPerShard = 2048;
constexpr std::uint32_t kChunkSlots = 16;  // slots are allocated this many at a time
constexpr std::size_t kFetchAhead = 8;     // insertions on their way to the caches

void prefetch(const Index::Insertion& one) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&one);
  for (std::size_t at = 0; at < sizeof(one); at += 64) __builtin_prefetch(bytes + at);
}

unsigned shard_bits_for(std::uint64_t objects) {
  const auto bits = static_cast<unsigned>(std::bit_width(objects / kObjectsPerShard));
  return std::clamp(bits, kMinShardBits, kMaxShardBits);
}

struct Lock {
  std::uint32_t count = 0;
  std::uint32_t lease_end_ticks = 0;
};
}  // namespace

constexpr std::uint32_t kMaxPosition = 4095, kMaxSeenIn = 15, kMaxHits = 7;

// 64-bit numbers as halves, so that nothing is lost to alignment.
struct Index::Slot {
  std::array<std::byte, Key::kInlineBytes> hash{};  // or a pointer to it, when longer
  std::uint32_t scope = 0;
  std::uint32_t segment = 0;
  std::uint32_t offset_blocks = 0;
  std::uint32_t payload_bytes = 0;
  std::uint32_t last_use = 0;
  std::uint32_t prompt = 0;
  std::uint32_t checksum_low = 0, checksum_high = 0;
  std::uint32_t sequence_low = 0;
  std::uint16_t sequence_high = 0;
  // All saturating but reuse_class.
  std::uint16_t position : 12 = 0, seen_in : 4 = 0;
  std::uint16_t reuse_class : 13 = 0, hits : 3 = 0;
  std::uint8_t hash_bytes = 0;  // 0: the slot is free
  std::uint8_t stream = 0;

  [[nodiscard]] bool live() const { return hash_bytes != 0; }
  [[nodiscard]] std::span<const std::byte> hash_span() const {
    return hash_bytes <= Key::kInlineBytes ? std::span(hash).first(hash_bytes)
                                           : std::span(heap_hash(), hash_bytes);
  }
  [[nodiscard]] const std::byte* heap_hash() const {
    const std::byte* pointer = nullptr;
    std::memcpy(&pointer, hash.data(), sizeof(pointer));
    return pointer;
  }
  [[nodiscard]] std::uint64_t digest() const { return key_digest(ScopeId{scope}, hash_span()); }
  [[nodiscard]] Key key() const { return Key(ScopeId{scope}, hash_span()); }
  [[nodiscard]] ObjectState state() const {
    return {.location = {SegmentId{segment}, std::uint64_t{offset_blocks} * format::kBlockBytes,
                         payload_bytes},
            .sequence = std::uint64_t{sequence_high} << 32 | sequence_low,
            .checksum = std::uint64_t{checksum_high} << 32 | checksum_low,
            .last_use = last_use,
            .hits = static_cast<std::uint8_t>(hits),
            .stream = stream,
            .prompt = {.prompt = PromptId{prompt},
                       .position = position,
                       .seen_in = seen_in,
                       .turn = 0,
                       .reuse_class = reuse_class,
                       .use = last_use}};
  }
  void fill(const Key& key, const ObjectState& state) {
    const std::span<const std::byte> bytes = key.hash();
    if (bytes.size() <= Key::kInlineBytes) {
      std::ranges::copy(bytes, hash.begin());
    } else {
      auto* copy = new std::byte[bytes.size()];
      std::ranges::copy(bytes, copy);
      std::memcpy(hash.data(), &copy, sizeof(copy));
    }
    hash_bytes = static_cast<std::uint8_t>(bytes.size());
    scope = key.scope().value;
    segment = state.location.segment.value;
    offset_blocks = static_cast<std::uint32_t>(state.location.offset_bytes / format::kBlockBytes);
    payload_bytes = static_cast<std::uint32_t>(state.location.payload_bytes);
    last_use = state.last_use;
    reuse_class = state.prompt.reuse_class & 0x1FFFU;
    prompt = state.prompt.prompt.value;
    checksum_low = static_cast<std::uint32_t>(state.checksum);
    checksum_high = static_cast<std::uint32_t>(state.checksum >> 32);
    sequence_low = static_cast<std::uint32_t>(state.sequence);
    sequence_high = static_cast<std::uint16_t>(state.sequence >> 32);
    position = static_cast<std::uint16_t>(std::min(state.prompt.position, kMaxPosition) & 0xFFFU);
    stream = static_cast<std::uint8_t>(state.stream);
    hits = static_cast<std::uint16_t>(std::min<std::uint32_t>(state.hits, kMaxHits) & 7U);
    seen_in = static_cast<std::uint16_t>(std::min(state.prompt.seen_in, kMaxSeenIn) & 0xFU);
  }
  void clear() {
    if (hash_bytes > Key::kInlineBytes) delete[] heap_hash();
    hash_bytes = 0;
  }
  ~Slot() { clear(); }
};

struct Index::Shard {
  static_assert(sizeof(Slot) == 76, "the memory per object is a promise");

  struct Probe {  // a key to look for, not in the slab
    ScopeId scope;
    std::span<const std::byte> hash;
    std::uint64_t digest;
  };
  struct Hash {
    using is_transparent = void;
    const Shard* shard;
    std::size_t operator()(std::uint32_t slot) const { return shard->at(slot).digest(); }
    std::size_t operator()(const Probe& probe) const { return probe.digest; }
  };
  struct Equal {
    using is_transparent = void;
    const Shard* shard;
    bool operator()(std::uint32_t a, std::uint32_t b) const { return a == b; }
    bool operator()(const Probe& probe, std::uint32_t slot) const { return matches(probe, slot); }
    bool operator()(std::uint32_t slot, const Probe& probe) const { return matches(probe, slot); }
    bool matches(const Probe& probe, std::uint32_t slot) const {
      const Slot& other = shard->at(slot);
      return other.scope == probe.scope.value && std::ranges::equal(other.hash_span(), probe.hash);
    }
  };

  Shard() : slots(0, Hash{this}, Equal{this}) {}

  Slot& at(std::uint32_t slot) { return chunks[slot / kChunkSlots][slot % kChunkSlots]; }
  [[nodiscard]] const Slot& at(std::uint32_t slot) const {
    return chunks[slot / kChunkSlots][slot % kChunkSlots];
  }
  [[nodiscard]] bool exists(std::uint32_t slot) const {
    return slot / kChunkSlots < chunks.size() && at(slot).live();
  }
  std::uint32_t take_slot() {
    if (free_slots.empty()) {
      const auto first = static_cast<std::uint32_t>(chunks.size()) * kChunkSlots;
      chunks.push_back(std::make_unique<Slot[]>(kChunkSlots));
      for (std::uint32_t i = kChunkSlots; i-- > 0;) free_slots.push_back(first + i);
    }
    const std::uint32_t slot = free_slots.back();
    free_slots.pop_back();
    return slot;
  }
  // The slot of the key, and whether it was taken for it just now.
  std::pair<std::uint32_t, bool> insert(const Key& key, std::uint64_t digest,
                                        const ObjectState& state) {
    assert(state.location.payload_bytes <= UINT32_MAX);
    const auto present = slots.find(Probe{key.scope(), key.hash(), digest});
    if (present != slots.end()) return {*present, false};
    const std::uint32_t slot = take_slot();
    at(slot).fill(key, state);
    hash_bytes += key.hash().size();
    if (key.hash().size() > Key::kInlineBytes) heap_hash_bytes += key.hash().size() + 16;
    slots.insert(slot);
    return {slot, true};
  }
  // Whether `slot` is locked now; a lease that has ended is taken away.
  bool is_locked(std::uint32_t slot, std::uint32_t now_ticks) {
    const auto it = locks.find(slot);
    if (it == locks.end()) return false;
    if (it->second.lease_end_ticks > now_ticks) return true;
    locks.erase(it);
    ++expired;
    return false;
  }

  mutable std::mutex mutex;
  std::vector<std::unique_ptr<Slot[]>> chunks;
  std::vector<std::uint32_t> free_slots;
  boost::unordered_flat_set<std::uint32_t, Hash, Equal> slots;
  boost::unordered_flat_map<std::uint32_t, Lock> locks;  // few: only what is locked
  std::uint64_t expired = 0;
  std::uint64_t hash_bytes = 0;       // of live objects
  std::uint64_t heap_hash_bytes = 0;  // of those, what does not fit in the slot
};

Index::Index(std::uint64_t expected_objects)
    : shard_bits_(shard_bits_for(expected_objects)), shards_(std::make_unique<Shard[]>(places())) {}
Index::~Index() = default;

// Shards get shares from 3/4 to 3/2, so that their hash sets do not all double at the same time,
// which would make an object cost half as much again just after.
std::uint32_t Index::shard_number(std::uint64_t digest) const {
  constexpr std::uint64_t kOne = std::uint64_t{1} << 32;
  const std::uint64_t place = digest >> 32;                                    // x, even in 0 … 1
  const std::uint64_t stretched = place + (place * (kOne - place) >> 32) / 3;  // x + x (1 - x) / 3
  return static_cast<std::uint32_t>(stretched >> slot_bits());
}

Index::Shard& Index::shard_of(std::uint64_t digest) const {
  return shards_[shard_number(digest)];
}

EntryId Index::make_id(std::uint64_t digest, std::uint32_t slot) const {
  assert(slot >> slot_bits() == 0);
  return {shard_number(digest) << slot_bits() | slot};
}

Index::Shard& Index::shard_of(EntryId id) const {
  return shards_[id.value >> slot_bits()];
}

std::uint32_t Index::slot_of(EntryId id) const {
  return id.value & ((1U << slot_bits()) - 1);
}

std::optional<Index::Hit> Index::lookup(ScopeId scope, std::span<const std::byte> hash,
                                        std::uint32_t use, Lease lease) {
  const std::uint64_t digest = key_digest(scope, hash);
  Shard& shard = shard_of(digest);
  const std::lock_guard guard(shard.mutex);
  const auto it = shard.slots.find(Shard::Probe{scope, hash, digest});
  if (it == shard.slots.end()) return std::nullopt;
  Slot& slot = shard.at(*it);
  slot.last_use = use;
  if (slot.hits < kMaxHits) slot.hits = (slot.hits + 1U) & 7U;
  if (lease.end_ticks != 0) {
    shard.is_locked(*it, lease.now_ticks);  // an ended lease does not count towards the new lock
    Lock& lock = shard.locks[*it];
    ++lock.count;
    lock.lease_end_ticks = std::max(lock.lease_end_ticks, lease.end_ticks);
  }
  const ObjectState state = slot.state();
  return Hit{state.location.payload_bytes, state.hits, state.prompt};
}

void Index::unlock(ScopeId scope, std::span<const std::byte> hash, std::uint32_t now_ticks) {
  const std::uint64_t digest = key_digest(scope, hash);
  Shard& shard = shard_of(digest);
  const std::lock_guard guard(shard.mutex);
  const auto it = shard.slots.find(Shard::Probe{scope, hash, digest});
  if (it == shard.slots.end() || !shard.is_locked(*it, now_ticks)) return;
  const auto lock = shard.locks.find(*it);
  if (--lock->second.count == 0) shard.locks.erase(lock);
}

std::optional<Index::Found> Index::find(const Key& key) const {
  const std::uint64_t digest = key.digest();
  const Shard& shard = shard_of(digest);
  const std::lock_guard guard(shard.mutex);
  const auto it = shard.slots.find(Shard::Probe{key.scope(), key.hash(), digest});
  if (it == shard.slots.end()) return std::nullopt;
  return Found{make_id(digest, *it), shard.at(*it).state()};
}

void Index::touch(const Key& key, std::uint32_t use) {
  (void)lookup(key.scope(), key.hash(), use, {});
}

Index::Inserted Index::insert(const Key& key, const ObjectState& state) {
  const std::uint64_t digest = key.digest();
  Shard& shard = shard_of(digest);
  const std::lock_guard guard(shard.mutex);
  const auto [slot, is_new] = shard.insert(key, digest, state);
  return {make_id(digest, slot), is_new ? std::nullopt : std::optional(shard.at(slot).state())};
}

// One lock for those of a shard in a row: an unlock waits for the memory that was written to.
void Index::insert(std::span<Insertion> all, std::span<const std::uint32_t> order) {
  Shard* shard = nullptr;
  std::unique_lock<std::mutex> lock;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i + kFetchAhead < order.size()) prefetch(all[order[i + kFetchAhead]]);
    Insertion& one = all[order[i]];
    const std::uint64_t digest = one.key.digest();
    if (Shard& its = shard_of(digest); &its != shard) {
      shard = &its;
      lock = {};
      lock = std::unique_lock(its.mutex);
    }
    const auto [slot, is_new] = shard->insert(one.key, digest, one.state);
    one.id = make_id(digest, slot);
    one.present = !is_new;
  }
}

void Index::expect(std::uint64_t objects) {
  // The inverse of shard_number's stretching.
  const auto place = [this](std::uint32_t shard) {
    return 2 - std::sqrt(4 - 3 * static_cast<double>(shard) / places());
  };
  for (std::uint32_t i = 0; i < places(); ++i) {
    Shard& shard = shards_[i];
    const auto its = static_cast<std::size_t>((place(i + 1) - place(i)) * double(objects));
    const std::lock_guard guard(shard.mutex);
    if (its > shard.slots.max_load()) shard.slots.reserve(its);
  }
}

std::uint32_t Index::place_of(const Key& key) const {
  return shard_number(key.digest());
}

bool Index::move(EntryId id, const Location& from, const Location& to) {
  Shard& shard = shard_of(id);
  const std::lock_guard guard(shard.mutex);
  const std::uint32_t number = slot_of(id);
  if (!shard.exists(number)) return false;
  Slot& slot = shard.at(number);
  if (slot.state().location != from) return false;
  slot.segment = to.segment.value;
  slot.offset_blocks = static_cast<std::uint32_t>(to.offset_bytes / format::kBlockBytes);
  return true;
}

Index::Removed Index::remove(const Key& key, std::uint32_t now_ticks, bool even_if_locked) {
  const std::uint64_t digest = key.digest();
  Shard& shard = shard_of(digest);
  const std::lock_guard guard(shard.mutex);
  const auto it = shard.slots.find(Shard::Probe{key.scope(), key.hash(), digest});
  if (it == shard.slots.end()) return {};
  const std::uint32_t number = *it;
  Slot& slot = shard.at(number);
  if (shard.is_locked(number, now_ticks)) {
    if (!even_if_locked) return {Removal::locked, make_id(digest, number), slot.state()};
    shard.locks.erase(number);
  }
  Removed removed{Removal::removed, make_id(digest, number), slot.state()};
  shard.hash_bytes -= key.hash().size();
  if (key.hash().size() > Key::kInlineBytes) shard.heap_hash_bytes -= key.hash().size() + 16;
  shard.slots.erase(it);
  slot.clear();
  shard.free_slots.push_back(number);
  return removed;
}

std::optional<Index::Entry> Index::get(EntryId id, std::uint32_t now_ticks) const {
  Shard& shard = shard_of(id);
  const std::lock_guard guard(shard.mutex);
  const std::uint32_t number = slot_of(id);
  if (!shard.exists(number)) return std::nullopt;
  const Slot& slot = shard.at(number);
  return Entry{slot.key(), slot.state(), shard.is_locked(number, now_ticks)};
}

std::optional<std::uint64_t> Index::scan(std::uint64_t cursor, std::size_t limit,
                                         const Visitor& visit) const {
  std::uint64_t at = cursor >> 32;
  auto number = static_cast<std::uint32_t>(cursor);
  for (; at < places(); ++at, number = 0) {
    const Shard& shard = shards_[at];
    const std::lock_guard guard(shard.mutex);
    const auto end = static_cast<std::uint32_t>(shard.chunks.size()) * kChunkSlots;
    for (; number < end; ++number) {
      const Slot& slot = shard.at(number);
      if (!slot.live()) continue;
      if (limit == 0) return at << 32 | number;
      --limit;
      visit(slot.key(), slot.state());
    }
  }
  return std::nullopt;
}

std::uint64_t Index::size() const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < places(); ++i) {
    const std::lock_guard guard(shards_[i].mutex);
    sum += shards_[i].slots.size();
  }
  return sum;
}

std::uint64_t Index::locked(std::uint32_t now_ticks) const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < places(); ++i) {
    const std::lock_guard guard(shards_[i].mutex);
    for (const auto& [slot, lock] : shards_[i].locks) sum += lock.lease_end_ticks > now_ticks;
  }
  return sum;
}

std::uint64_t Index::expired_locks() const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i < places(); ++i) {
    const std::lock_guard guard(shards_[i].mutex);
    sum += shards_[i].expired;
  }
  return sum;
}

double Index::bytes_per_object() const {
  std::uint64_t held = 0, objects = 0, hash_bytes = 0;
  for (std::uint32_t i = 0; i < places(); ++i) {
    const Shard& shard = shards_[i];
    const std::lock_guard guard(shard.mutex);
    held += shard.chunks.size() * kChunkSlots * sizeof(Slot) +
            shard.chunks.capacity() * sizeof(shard.chunks[0]) +
            shard.free_slots.capacity() * sizeof(std::uint32_t) +
            // A flat set keeps 15 elements and 16 bytes of metadata per group.
            shard.slots.bucket_count() * (sizeof(std::uint32_t) + 1) + shard.locks.size() * 16;
    held += shard.heap_hash_bytes;
    objects += shard.slots.size();
    hash_bytes += shard.hash_bytes;
  }
  if (objects == 0) return 0;
  return static_cast<double>(held - std::min(held, hash_bytes)) / static_cast<double>(objects);
}

}  // namespace fdpstore::core
