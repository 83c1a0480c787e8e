// Context: what the parts of the engine share. Passive: it decides nothing.
//
// Thread:  the engine's, but for `index`, `lookups`, `scopes` and `counters`, which any thread may
//          use.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include "core/buffers.hpp"
#include "core/index.hpp"
#include "core/io_queue.hpp"
#include "core/lookups.hpp"
#include "core/scopes.hpp"
#include "core/segments.hpp"
#include "fdpstore/backend.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/policy.hpp"
#include "fdpstore/store.hpp"
#include "format/codec.hpp"

namespace fdpstore::core {

// Since open.
struct Counters {
  std::atomic<std::uint64_t> stored_objects{0}, stored_bytes{0};
  std::atomic<std::uint64_t> record_bytes{0};  // of stored objects: headers and whole blocks
  std::atomic<std::uint64_t> loaded_objects{0}, loaded_bytes{0};
  std::atomic<std::uint64_t> lookup_keys{0}, lookup_hits{0};
  std::atomic<std::uint64_t> deleted_objects{0};
  std::atomic<std::uint64_t> reclaimed_objects{0}, reinserted_objects{0}, reinserted_bytes{0};
  std::atomic<std::uint64_t> damaged_objects{0}, failed_puts{0}, failed_gets{0};
  std::atomic<std::uint64_t> host_written_bytes{0};
  std::atomic<std::uint64_t> live_bytes{0};
};

// Objects that left without erase(), until the caller takes them.
class DroppedList {
 public:
  void add(ObjectKey key, std::uint64_t bytes) {
    const std::lock_guard guard(mutex_);
    list_.push_back({std::move(key), bytes});
    grown_ = true;
  }
  // Since this was asked last.
  bool has_grown() {
    const std::lock_guard guard(mutex_);
    return std::exchange(grown_, false);
  }
  std::vector<DroppedKey> take() {
    const std::lock_guard guard(mutex_);
    return std::exchange(list_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<DroppedKey> list_;
  bool grown_ = false;
};

struct Context {
  Context(const Options& store_options, Backend& store_backend, std::uint64_t budget_bytes)
      : options(store_options),
        backend(store_backend),
        io(store_backend),
        segments(store_backend.geometry(), store_backend.capabilities().fixed_size_segments,
                 budget_bytes),
        index(budget_bytes / kSmallObjectBytes),
        lookups(budget_bytes / kSmallObjectBytes) {}

  [[nodiscard]] double now_s() const { return backend.clock().now_s() - start_s; }
  [[nodiscard]] std::uint32_t now_ticks() const {
    return 1 + static_cast<std::uint32_t>(now_s() * kTicksPerSecond);
  }
  static constexpr double kTicksPerSecond = 100;
  // Most objects are larger: the index is made for as many as there would be of these.
  static constexpr std::uint64_t kSmallObjectBytes = 256U << 10;

  // At start-up: of an object or a delete that was found.
  void note_sequence(std::uint64_t found) { next_sequence = std::max(next_sequence, found + 1); }

  // Keys looked up, or stored without having been. Returns the clock's low half; never 0. Any
  // thread.
  std::uint32_t use_key() {
    const auto now = static_cast<std::uint32_t>(++keys_used);
    return now == 0 ? 1 : now;
  }
  // Since that moment of the clock, in times the store has turned over.
  [[nodiscard]] double age_of(std::uint32_t use) const;

  // nullopt: it has left the segment: deleted, moved, or another object's by now.
  [[nodiscard]] std::optional<Index::Entry> entry_in(const Segment& segment, EntryId id,
                                                     std::uint32_t now) const;

  // The index and everything that is counted along with it.
  Index::Inserted add_object(const Key& key, const ObjectState& state);
  // What add_object does beside the index, for an object that has been inserted as `id`.
  void count_object(const Key& key, const ObjectState& state, EntryId id);
  void move_object(EntryId id, const Location& from, const Location& to);
  // The copy on the medium stays: unless its segment is being freed, the caller has to see to a
  // tombstone (MetaLog::remember).
  Index::Removed remove_object(const Key& key, bool even_if_locked);
  void drop_object(const Key& key, std::uint64_t payload_bytes) {
    dropped.add(ObjectKey(scopes.key(key.scope(), key.hash())), payload_bytes);
  }
  void unhealthy(std::string reason);

  const Options& options;
  Backend& backend;
  IoQueue io;
  Segments segments;
  Index index;
  Lookups lookups;
  Scopes scopes;
  BlockPool blocks;
  Counters counters;
  DroppedList dropped;
  struct StreamLive {
    std::uint64_t objects = 0, bytes = 0;
  };
  std::vector<StreamLive> streams_live;     // by stream number at store time
  std::atomic<std::uint64_t> keys_used{1};  // a clock; 1: whatever was before
  std::uint64_t live_objects = 0;
  format::Uuid uuid{};
  std::uint64_t next_sequence = 1;  // of objects and deletes
  std::string unhealthy_reason;     // empty: healthy
  std::vector<std::string> warnings;
  std::error_code write_error;  // of the last write of records; empty: it succeeded
  const double start_s = backend.clock().now_s();
};

}  // namespace fdpstore::core
