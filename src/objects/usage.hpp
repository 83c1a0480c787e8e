// Usage: how much the directory holds, and, with a capacity, which object goes next.
//
// Without a capacity only totals per (model, rank, group, salt) are kept: a scan's, moved on by
// what this process stores and removes. With one, every object has an entry in a
// least-recently-used list: space is reserved before a write, and a victim is offered when there is
// none.
//
// Of one prompt the tail goes before the head, because a chunk is of no use without those before
// it.
//
// Thread:  any; one short lock inside, no I/O under it.
// Owns:    the table. ~96 bytes an object for hashes up to 32 bytes, hash included; measured by
//          memory_bytes_per_object().
// Units:   bytes; allocated ones are what a file takes on disk.
#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "fdpstore/policy.hpp"
#include "fdpstore/store.hpp"
#include "objects/names.hpp"

namespace fdpstore::objects {

struct FileSizes {
  std::uint64_t size_bytes = 0;
  std::uint64_t allocated_bytes = 0;
};

class Usage {
 public:
  struct Options {
    std::uint64_t capacity_bytes = 0;  // 0: totals only
    const Lineage* lineage = nullptr;  // must outlive this
  };
  explicit Usage(Options options) : options_(options) {}

  [[nodiscard]] bool tracks() const { return options_.capacity_bytes > 0; }

  // An object was stored, or found by a scan. With a table, one already known is updated.
  void add(const ObjectName& name, std::string_view salt, FileSizes sizes);
  void remove(const ObjectName& name, std::string_view salt, FileSizes sizes);
  // In order of position: the first one will be the last to go.
  void touch(const std::vector<std::uint64_t>& digests);

  // Space for a write of at most `bytes`; false: make room first. `overhead_bytes` is what the
  // directories take.
  [[nodiscard]] bool reserve(std::uint64_t bytes, std::uint64_t overhead_bytes);
  void release(std::uint64_t bytes);
  // Reserve failed: what to remove. The victim leaves the table at once; its space counts until
  // evicted(). `may_go` is asked under the lock and must be quick.
  struct Victim {
    ObjectName name;
    FileSizes sizes;
  };
  [[nodiscard]] std::optional<Victim> take_victim(
      const std::function<bool(std::uint64_t digest)>& may_go);
  void evicted(const Victim& victim);
  // Waits until something changed that may have made room. False: nothing is under way that could.
  [[nodiscard]] bool wait_for_room(std::chrono::steady_clock::time_point until);

  // An object that is being read keeps its blocks when its name is gone: its space counts until
  // unpin(). nullopt when there is no entry (or no table).
  [[nodiscard]] std::optional<std::uint32_t> pin(std::uint64_t digest);
  void unpin(std::uint32_t slot);

  // A scan of the directory: everything present is add()ed between the two. Afterwards what neither
  // the scan nor a store has named is gone from the table.
  void begin_scan();
  void scanned(const ObjectName& name, std::string_view salt, FileSizes sizes);
  void end_scan();

  struct Totals {
    std::uint64_t objects = 0, bytes = 0, allocated_bytes = 0;
    std::vector<SaltUsage> salts;
    double memory_bytes_per_object = 0;
  };
  [[nodiscard]] Totals totals();

 private:
  static constexpr std::uint32_t kNone = 0xFFFFFFFF;
  static constexpr std::size_t kInlineHash = 32;
  static constexpr std::uint64_t kBlock = 512;
  struct Entry {
    std::uint64_t digest = 0;
    std::uint64_t size_bytes = 0;
    std::uint32_t allocated_blocks = 0;
    std::uint32_t scope = 0;
    std::uint32_t newer = kNone, older = kNone;
    std::uint16_t pins = 0;
    std::uint8_t hash_bytes = 0;
    std::uint8_t scan = 0;  // of the last scan that saw it
    bool unlinked = false;  // gone from the table, but pinned
    std::array<std::byte, kInlineHash> hash{};
  };
  struct Scope {
    std::string prefix, suffix, salt;
    std::int64_t objects = 0, bytes = 0, allocated = 0;
    std::int64_t scanned_objects = 0, scanned_bytes = 0, scanned_allocated = 0;
  };

  [[nodiscard]] std::uint32_t intern(const NameParts& parts, std::string_view salt);
  [[nodiscard]] std::string file_of(std::uint32_t slot) const;
  void insert(const ObjectName& name, std::uint32_t scope, std::string_view hex, FileSizes sizes);
  void count(Scope& scope, int sign, FileSizes sizes);
  void link_newest(std::uint32_t slot);
  void unlink(std::uint32_t slot);
  void forget(std::uint32_t slot);
  [[nodiscard]] std::uint32_t choose_victim(const std::function<bool(std::uint64_t)>& may_go) const;
  [[nodiscard]] FileSizes sizes_of(const Entry& entry) const {
    return {entry.size_bytes, entry.allocated_blocks * kBlock};
  }

  const Options options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Scope> scopes_;
  std::map<std::tuple<std::string, std::string, std::string>, std::uint32_t, std::less<>>
      scope_ids_;
  std::deque<Entry> entries_;
  std::vector<std::uint32_t> free_;
  std::map<std::uint32_t, std::string> long_hashes_;  // hex, of the few beyond kInlineHash
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> by_digest_;
  std::uint32_t newest_ = kNone, oldest_ = kNone;
  std::uint64_t used_bytes_ = 0;      // allocated by objects, with those being evicted
  std::uint64_t reserved_bytes_ = 0;  // for writes under way
  std::uint64_t evicting_ = 0;
  std::uint8_t scan_ = 0;
};

}  // namespace fdpstore::objects
