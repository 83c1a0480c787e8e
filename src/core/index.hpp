// Index: which objects are live, and where. Sharded; a lookup holds one shard's lock for a moment
// and never waits for I/O, a checksum, or a rehash of more than one shard.
//
// Thread:  find, touch, lock, unlock and scan from any thread; insert, move and remove from the
//          engine's thread only, so that what the engine knows of a segment is what the index says
//          (and insert from those that help it at start-up).
// Owns:    entries (76 bytes with a chunk_hash of up to 32 bytes), locks. See bytes_per_object().
// Units:   ticks of 10 ms on the caller's clock for leases; numbers of lookups for recency.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>
#include <boost/unordered/unordered_flat_set.hpp>

#include "core/scopes.hpp"
#include "fdpstore/policy.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore::core {

// A key as the engine carries it: its scope's number and the chunk_hash, inline when short.
class Key {
 public:
  static constexpr std::size_t kInlineBytes = 32;

  Key() = default;
  Key(ScopeId scope, std::span<const std::byte> hash);
  Key(const Key& other);
  Key(Key&& other) noexcept;
  Key& operator=(Key other) noexcept;
  ~Key();

  [[nodiscard]] ScopeId scope() const { return scope_; }
  [[nodiscard]] std::span<const std::byte> hash() const;
  bool operator==(const Key& other) const;
  [[nodiscard]] std::uint64_t digest() const;  // in this process only

 private:
  ScopeId scope_;
  std::uint8_t hash_bytes_ = 0;
  std::array<std::byte, kInlineBytes> bytes_{};  // the hash, or a pointer to it when longer
};
struct KeyHash {
  std::size_t operator()(const Key& key) const { return key.digest(); }
};

// Names an entry as long as it lives; a number may come to name another one later, so users check
// that the entry still says what they expect.
struct EntryId {
  std::uint32_t value = 0;
};

struct Location {
  SegmentId segment;
  std::uint64_t offset_bytes = 0;  // of the record header
  std::uint64_t payload_bytes = 0;
  bool operator==(const Location&) const = default;
};

// Everything the index knows of an object.
struct ObjectState {
  Location location;
  std::uint64_t sequence = 0;
  std::uint64_t checksum = 0;
  std::uint32_t last_use = 0;  // when (LookupKey::use)
  std::uint8_t hits = 0;       // lookups since stored, saturating
  std::uint16_t stream = 0;
  PromptFacts prompt;  // id, position, seen_in, reuse_class (turn is not kept, use is last_use)
};

class Index {
 public:
  // So many shards that a rehash of one takes about a millisecond, when there are as many objects
  // as expected; 16 to 16,384.
  explicit Index(std::uint64_t expected_objects = 0);
  ~Index();

  struct Hit {
    std::uint64_t payload_bytes = 0;
    std::uint32_t uses = 0;  // this one included
    PromptFacts prompt;
  };
  struct Lease {
    std::uint32_t now_ticks = 0;
    std::uint32_t end_ticks = 0;  // 0: no lock
  };
  // Notes that lookup number `use` named the object; with a lease also locks it until then at the
  // latest.
  std::optional<Hit> lookup(ScopeId scope, std::span<const std::byte> hash, std::uint32_t use,
                            Lease lease);
  void unlock(ScopeId scope, std::span<const std::byte> hash, std::uint32_t now_ticks);

  struct Found {
    EntryId id;
    ObjectState state;
  };
  [[nodiscard]] std::optional<Found> find(const Key& key) const;
  void touch(const Key& key, std::uint32_t use);

  struct Inserted {
    EntryId id;
    std::optional<ObjectState> present;  // then nothing was changed
  };
  Inserted insert(const Key& key, const ObjectState& state);
  struct Insertion {
    Key key;
    ObjectState state;
    EntryId id{};          // out: of the one in the index
    bool present = false;  // out: then nothing was changed
  };
  // Inserts those of `all` that `order` names. Keys with the same number, below places(), lie close
  // together: many are inserted sooner in its order.
  void insert(std::span<Insertion> all, std::span<const std::uint32_t> order);
  // Makes room for so many objects in all, so that shards need not grow step by step.
  void expect(std::uint64_t objects);
  [[nodiscard]] std::uint32_t places() const { return 1U << shard_bits_; }
  [[nodiscard]] std::uint32_t place_of(const Key& key) const;
  // True when the object was still at `from` and now is at `to`.
  bool move(EntryId id, const Location& from, const Location& to);

  enum class Removal : std::uint8_t { removed, absent, locked };
  struct Removed {
    Removal result = Removal::absent;
    EntryId id;
    ObjectState state;
  };
  Removed remove(const Key& key, std::uint32_t now_ticks, bool even_if_locked);

  // The entry when it is live; for walking the ids of a segment.
  struct Entry {
    Key key;
    ObjectState state;
    bool locked = false;
  };
  [[nodiscard]] std::optional<Entry> get(EntryId id, std::uint32_t now_ticks) const;

  // Visits up to `limit` objects from `cursor` on; returns the next cursor, nullopt at the end.
  using Visitor = std::function<void(const Key&, const ObjectState&)>;
  std::optional<std::uint64_t> scan(std::uint64_t cursor, std::size_t limit,
                                    const Visitor& visit) const;

  [[nodiscard]] std::uint64_t size() const;
  [[nodiscard]] std::uint64_t locked(std::uint32_t now_ticks) const;
  [[nodiscard]] std::uint64_t expired_locks() const;
  // Measured: memory held for entries divided by live objects, less the bytes of chunk_hash. The
  // shards themselves, some 200 bytes each, are not in it.
  [[nodiscard]] double bytes_per_object() const;

 private:
  struct Slot;
  struct Shard;
  [[nodiscard]] std::uint32_t shard_number(std::uint64_t digest) const;
  [[nodiscard]] Shard& shard_of(std::uint64_t digest) const;
  [[nodiscard]] EntryId make_id(std::uint64_t digest, std::uint32_t slot) const;
  // Of the entry that it would name.
  [[nodiscard]] Shard& shard_of(EntryId id) const;
  [[nodiscard]] std::uint32_t slot_of(EntryId id) const;
  [[nodiscard]] unsigned slot_bits() const { return 32 - shard_bits_; }

  const unsigned shard_bits_;
  std::unique_ptr<Shard[]> shards_;
};

}  // namespace fdpstore::core
