// Store: the public face, the same over every backend and layout.
//
// Thread:  every method may be called from any thread at any time; after close() has begun, submits
//          fail with Errc::closed.
// Owns:    engine thread(s), eventfds. Borrows the buffers of put and get tasks until the task is
// in
//          a list that take_completed() returned, or close() has returned; never after.
// Units:   bytes of payload. Buffers may have any alignment and length ≥ 1; buffers aligned to
//          StoreInfo::zero_copy_align_bytes travel without a copy. Phantoms (a length, no address)
//          only where the medium keeps no payload (Capabilities::phantom_payload).
// Errors:  per key, in TaskResult. A failed key affects no other.
// Source:  the contract is that of LMCache 0.5.6's L2AdapterInterface.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/options.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore {

using TaskId = std::uint64_t;

enum class TaskKind : std::uint8_t { put, lookup, get };
inline constexpr std::size_t kTaskKinds = 3;

enum class KeyStatus : std::uint8_t {
  miss,  // get, lookup: not there, or its bytes failed their checks, or another size was asked for
  hit,   // get: the buffer holds exactly the bytes stored; lookup: present (and locked if asked)
  stored,   // put: written by this task
  present,  // put: was there already; nothing written
  failed,   // put: not stored; get: an I/O error (not a miss). TaskResult::error has the first one
};

struct TaskResult {
  TaskId id = 0;
  std::vector<KeyStatus> keys;          // one per key, in the order of the submit
  std::vector<std::uint64_t> sizes;     // lookup: payload bytes of each hit, 0 for a miss
  std::uint64_t transferred_bytes = 0;  // put: payload written by this task; get: payload read
  double seconds = 0;                   // from submit to the last key, on the medium's clock
  std::optional<Error> error;           // of the first failed key
  [[nodiscard]] bool ok() const;        // no key failed
};

struct PutItem {
  KeyRef key;
  std::span<const std::byte> bytes;
  std::optional<std::uint32_t> explicit_rank;  // overrides the rank in kv_rank
  std::string_view explicit_stream;            // stream or class by name; empty: policy decides
};
struct GetItem {
  KeyRef key;
  std::span<std::byte> buffer;  // its size is the size asked for
};

// An object that left the store without erase(): reclaimed, or found damaged.
struct DroppedKey {
  ObjectKey key;
  std::uint64_t bytes = 0;
};

struct ListedKey {
  ObjectKey key;
  std::uint64_t bytes = 0;
};
struct KeyPage {
  std::vector<ListedKey> keys;
  std::string next;  // pass to the next call; empty: that was all
};

struct SaltUsage {
  std::string cache_salt;
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
};
struct StreamUsage {
  std::string name;
  std::string lifetime;
  std::uint32_t handle = 0;
  std::uint64_t written_bytes = 0;  // payload since open
  std::uint64_t objects = 0;        // live
  std::uint64_t bytes = 0;          // live
  std::string note;
};
struct SegmentUsage {
  std::uint32_t id = 0;
  std::uint64_t sequence = 0;
  std::string state;   // "free", "open", "sealed", "reclaiming"
  std::string stream;  // of the handle it was opened for
  std::uint64_t allocated_bytes = 0;
  std::uint64_t used_bytes = 0;  // appended so far
  std::uint64_t live_bytes = 0;  // payload
  std::uint64_t objects = 0;     // live
};

struct StoreInfo {
  std::string path;
  std::string layout;
  std::string store_uuid;  // empty for layout object
  std::string policy;
  EffectivePlacement placement;
  bool healthy = true;
  std::string unhealthy_reason;
  bool direct_io = false;
  std::string durability;
  std::uint64_t zero_copy_align_bytes = 1;

  std::uint64_t capacity_bytes = 0;  // the bound on disk; 0: none
  // Payload that can be live at most, without what segments being written hold; 0: unknown.
  std::uint64_t max_live_bytes = 0;
  std::uint64_t allocated_bytes = 0;  // on disk now
  std::uint64_t live_objects = 0;
  std::uint64_t live_bytes = 0;  // payload
  std::uint64_t locked_objects = 0;
  std::uint64_t expired_locks = 0;       // leases that ran out since open
  std::uint64_t unverified_objects = 0;  // layout object: served without a checksum since open
  double memory_bytes_per_object = 0;    // index memory beyond chunk_hash; 0 when there is no index

  std::uint64_t stored_objects = 0, stored_bytes = 0;  // since open, payload
  std::uint64_t loaded_objects = 0, loaded_bytes = 0;
  std::uint64_t lookup_keys = 0, lookup_hits = 0;
  std::uint64_t deleted_objects = 0;
  std::uint64_t reclaimed_objects = 0, reinserted_objects = 0, reinserted_bytes = 0;
  std::uint64_t damaged_objects = 0;  // failed their checks since open
  std::uint64_t failed_puts = 0, failed_gets = 0;
  // Back-pressure, now: objects that wait for room or for the device, and bytes being written (at
  // most 64 MiB and what one object needs). 0 in layout object.
  std::uint64_t waiting_puts = 0, writing_bytes = 0;
  std::uint64_t host_written_bytes = 0;  // everything we wrote: host WA = this / stored_bytes
  // By the device's own count, all of its endurance group, since open; absent: device_reason.
  std::optional<std::uint64_t> device_host_bytes, device_media_bytes;
  std::string device_reason;
  double open_seconds = 0;   // time recovery took
  bool clean_start = false;  // the last close was clean
};

struct StoreStatus {
  StoreInfo info;
  std::vector<SaltUsage> salts;
  std::vector<StreamUsage> streams;
  std::vector<SegmentUsage> segments;  // empty for layout object
  std::vector<std::string> warnings;   // merged streams, foreign files, expired locks, …
};
std::string to_json(const StoreStatus& status);

class Store {
 public:
  virtual ~Store() = default;  // closes; prefer close(), which reports
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Tasks: submit never blocks on I/O; the result is in take_completed(kind) once event_fd(kind) is
  // readable. Keys appear at most once per task (a repeated key gets the result of its first).
  [[nodiscard]] virtual Result<TaskId> submit_put(std::span<const PutItem> items) = 0;
  [[nodiscard]] virtual Result<TaskId> submit_get(std::span<const GetItem> items) = 0;
  // With `lock`, each hit is locked once more: not dropped before as many unlocks, or its lease
  // ends.
  [[nodiscard]] virtual Result<TaskId> submit_lookup(std::span<const KeyRef> keys, bool lock) = 0;

  // Three distinct eventfds (EFD_NONBLOCK, counter mode), owned by the store. The put one is also
  // signalled when take_dropped() has something.
  [[nodiscard]] virtual int event_fd(TaskKind kind) const = 0;
  virtual std::vector<TaskResult> take_completed(TaskKind kind) = 0;
  virtual std::vector<DroppedKey> take_dropped() = 0;

  // Takes one lock off each key; unlocking what is not locked is a no-op.
  virtual void unlock(std::span<const KeyRef> keys) = 0;
  // Removes objects that are not locked; blocks until the removal would survive a crash. Returns
  // the payload size of each key removed, nullopt for those that were absent or locked.
  [[nodiscard]] virtual Result<std::vector<std::optional<std::uint64_t>>> erase(
      std::span<const KeyRef> keys) = 0;

  // Keys in a stable, arbitrary order; keys stored or dropped meanwhile may or may not appear.
  // `cursor` is empty or KeyPage::next; `model_name` empty: all models.
  [[nodiscard]] virtual Result<KeyPage> list(std::string_view cursor, std::size_t page_size,
                                             std::string_view model_name) = 0;
  [[nodiscard]] virtual StoreStatus status() = 0;

  // Memory that stays valid until close(): transfers inside it use fixed buffers where the backend
  // has them. A failure is not fatal: transfers work unregistered.
  [[nodiscard]] virtual Result<void> register_memory(std::span<std::byte> memory) = 0;

  // Refuses new work, finishes what is in flight, makes everything durable. Idempotent.
  [[nodiscard]] virtual Result<void> close() = 0;

 protected:
  Store() = default;
};

// Opens or creates what `options` names (src/store).
[[nodiscard]] Result<std::unique_ptr<Store>> open_store(const Options& options);

// Blocking convenience over the tasks above, for tools and tests; they poll event_fd themselves and
// must not be mixed with another consumer of the same kind.
[[nodiscard]] Result<TaskResult> put_and_wait(Store& store, std::span<const PutItem> items);
[[nodiscard]] Result<TaskResult> get_and_wait(Store& store, std::span<const GetItem> items);
[[nodiscard]] Result<TaskResult> lookup_and_wait(Store& store, std::span<const KeyRef> keys,
                                                 bool lock = false);

// Makes the device (or its window) that `options` name blank and begins an empty store there.
// Errc::foreign when it holds anything, a store of ours too, unless `force`.
[[nodiscard]] Result<void> format_device(const Options& options, bool force);

// What a path is, and which placement mechanisms work there; changes nothing that stays.
struct MechanismProbe {
  std::string name;    // "F_SET_FILE_RW_HINT", "F_SET_RW_HINT", "write_stream", "uring_cmd", …
  bool works = false;  // the kernel accepts it here
  bool reaches_device = false;
  std::string reason;
};
// A placement handle of an NVMe namespace.
struct PlacementHandle {
  std::uint16_t pid = 0, ruh = 0;
  std::uint64_t available_bytes = 0;  // left in the reclaim unit that it fills now
};
// What a block device or NVMe namespace says about itself. What was not told is empty or 0, and a
// `…_reason` says why.
struct DeviceInfo {
  std::string model, serial, firmware;
  std::uint32_t nsid = 0;
  std::uint32_t endurance_group = 0;  // statistics are of all of it
  std::uint64_t size_bytes = 0;
  std::uint32_t block_bytes = 0;
  std::uint64_t max_transfer_bytes = 0;
  std::uint32_t max_segments = 0;
  std::optional<std::uint32_t> max_write_streams;
  bool fdp = false;
  std::string fdp_reason;
  std::uint64_t reclaim_unit_bytes = 0;
  std::string isolation;  // of its reclaim unit handles
  std::vector<PlacementHandle> handles;
  bool statistics = false;
  std::string statistics_reason;
  std::uint64_t host_written_bytes = 0, media_written_bytes = 0, media_erased_bytes = 0;
  std::vector<std::string> users;  // mounts, swap, devices stacked on it
  std::vector<std::string> warnings;
};
struct PathInfo {
  std::string path;
  std::string kind;         // "directory", "missing", "block device", "character device", …
  std::string file_system;  // "ext4", …; empty when not a file
  std::string device;       // what backs it, "" when unknown
  std::uint64_t total_bytes = 0, free_bytes = 0;
  bool writable = false;
  bool direct_io = false;
  std::uint32_t direct_io_offset_align = 0, direct_io_memory_align = 0;
  std::string kernel;
  std::string content;  // "empty", "fdpstore segment store …", "LMCache fs directory, N objects", …
  std::vector<MechanismProbe> mechanisms;
  std::optional<DeviceInfo> device_info;  // devices only
  std::string automatic;                  // devices: what write_mode = auto takes, and why
  std::string recommended;  // a sentence: which layout and options to use here, and why
};
[[nodiscard]] Result<PathInfo> probe_path(const std::string& path);
std::string to_json(const PathInfo& info);

// Reads every record / file and checks it. With `repair`, takes out what is damaged.
struct CheckFinding {
  std::string where;  // file and offset
  std::string what;
  bool repaired = false;
};
struct CheckReport {
  // Read, whether good or not; unverified: objects among them that have no checksum.
  std::uint64_t segments = 0, objects = 0, bytes = 0, unverified = 0;
  std::vector<CheckFinding> findings;
  [[nodiscard]] bool clean() const { return findings.empty(); }
};
using CheckProgress = std::function<void(std::uint64_t done_bytes, std::uint64_t total_bytes)>;
[[nodiscard]] Result<CheckReport> check_store(const Options& options, bool repair,
                                              const CheckProgress& progress = {});
std::string to_json(const CheckReport& report);

}  // namespace fdpstore
