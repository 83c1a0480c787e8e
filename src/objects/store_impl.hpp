// ObjectStore: the Store of object_store.hpp. Tasks are batches of a WorkerPool; this is what their
// items do and how their results get back.
//
// Thread:  public methods: any. The private ones that take a worker number run on that worker.
// Owns:    everything below it; see store.hpp for buffers.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "fdpstore/store.hpp"
#include "objects/leases.hpp"
#include "objects/object_directory.hpp"
#include "objects/scan.hpp"
#include "objects/stream_chooser.hpp"
#include "objects/usage.hpp"
#include "objects/worker_pool.hpp"

namespace fdpstore::objects {

class ObjectStore final : public Store {
 public:
  ObjectStore(const Options& options, std::unique_ptr<ObjectDirectory> directory,
              std::unique_ptr<Policy> policy, std::unique_ptr<Lineage> lineage);
  ~ObjectStore() override;

  // Scans (exclusive: before it returns) and makes the eventfds. Once, before any other method.
  [[nodiscard]] Result<void> start();

  Result<TaskId> submit_put(std::span<const PutItem> items) override;
  Result<TaskId> submit_get(std::span<const GetItem> items) override;
  Result<TaskId> submit_lookup(std::span<const KeyRef> keys, bool lock) override;
  int event_fd(TaskKind kind) const override;
  std::vector<TaskResult> take_completed(TaskKind kind) override;
  std::vector<DroppedKey> take_dropped() override;
  void unlock(std::span<const KeyRef> keys) override;
  Result<std::vector<std::optional<std::uint64_t>>> erase(std::span<const KeyRef> keys) override;
  Result<KeyPage> list(std::string_view cursor, std::size_t page_size,
                       std::string_view model_name) override;
  StoreStatus status() override;
  Result<void> register_memory(std::span<std::byte> memory) override;
  Result<void> close() override;

 private:
  // A task in work. Items write to their own element of result.keys; the rest is under `mutex`.
  struct Task {
    TaskKind kind = TaskKind::put;
    TaskResult result;
    std::vector<ObjectName> names;
    std::vector<std::optional<Error>> bad_keys;  // empty, or one per name: keys that cannot be
    std::shared_ptr<Batch> batch;
    std::mutex mutex;
    // put
    std::vector<PutItem> puts;  // key, explicit_stream: into the two below
    std::vector<ObjectKey> keys;
    std::vector<std::string> streams;
    std::vector<std::size_t> first;  // index of the first item with the same key
    // get
    std::vector<std::span<std::byte>> buffers;
    // lookup
    bool lock = false;
  };
  using TaskPtr = std::shared_ptr<Task>;
  struct Erasing;
  struct Counters {
    std::atomic<std::uint64_t> stored_objects{0}, stored_bytes{0}, loaded_objects{0},
        loaded_bytes{0}, lookup_keys{0}, lookup_hits{0}, deleted_objects{0}, reclaimed_objects{0},
        damaged_objects{0}, unverified_objects{0}, failed_puts{0}, failed_gets{0},
        host_written_bytes{0}, temporaries_removed{0};
  };

  // object_store.cpp
  [[nodiscard]] Result<TaskId> submit(const TaskPtr& task, Lane lane, std::size_t chunk);
  void finish(const TaskPtr& task, unsigned worker);
  void cancel(Task& task, std::size_t begin, std::size_t end);
  [[nodiscard]] bool is_closed() const { return closed_; }
  void fill_info(StoreInfo& info, const Usage::Totals& totals);
  void add_warnings(std::vector<std::string>& warnings);

  // object_tasks.cpp
  static void build_names(Task& task, std::span<const KeyRef> keys);
  void fail_item(Task& task, std::size_t item, Error error);
  [[nodiscard]] std::size_t run_items(const TaskPtr& task, std::size_t begin, std::size_t end,
                                      unsigned worker);
  [[nodiscard]] bool run_put(const TaskPtr& task, std::size_t item, unsigned worker);
  [[nodiscard]] Result<KeyStatus> put_one(Task& task, std::size_t item, unsigned worker);
  [[nodiscard]] Result<std::uint64_t> write_one(Task& task, std::size_t item, unsigned worker);
  [[nodiscard]] Result<KeyStatus> get_one(Task& task, std::size_t item, unsigned worker);
  [[nodiscard]] KeyStatus look_one(Task& task, std::size_t item);
  void lookup_done(Task& task);
  [[nodiscard]] bool run_erase(const std::shared_ptr<Batch>& batch, Erasing& erasing,
                               std::size_t item);
  void erase_one(Erasing& erasing, std::size_t item);
  [[nodiscard]] Result<void> reserve(std::uint64_t bytes);
  [[nodiscard]] Result<bool> evict_one();
  void drop_damaged(const ObjectName& name, const FileState& state);
  void report_dropped(ObjectKey key, std::uint64_t bytes);
  void keep_policy_state(const std::string& state, unsigned worker);
  [[nodiscard]] Result<void> make_durable(Task& task);

  // object_scan.cpp
  void scan_loop();
  [[nodiscard]] Result<void> scan_once();
  void tidy_up();

  const Options options_;
  std::unique_ptr<Lineage> lineage_;
  std::unique_ptr<ObjectDirectory> directory_;
  StreamChooser streams_;
  Leases leases_;
  KeyGate gate_;
  Usage usage_;
  Counters counters_;
  double open_seconds_ = 0;

  std::array<io::UniqueFd, kTaskKinds> event_fds_;
  std::mutex results_mutex_;
  std::array<std::vector<TaskResult>, kTaskKinds> completed_;
  std::vector<DroppedKey> dropped_;
  std::atomic<TaskId> next_task_{1};
  std::atomic<bool> closed_{false};
  std::mutex close_mutex_;

  std::mutex health_mutex_;
  unsigned failed_in_a_row_ = 0;  // puts that failed for the file system's sake
  std::string last_failure_;

  std::mutex state_mutex_;  // of the policy's state file

  std::atomic<bool> stop_scan_{false};
  std::mutex scan_mutex_;
  std::condition_variable scan_wake_;
  bool scan_wanted_ = true;
  bool scanned_once_ = false;
  std::chrono::steady_clock::time_point scanned_at_;
  std::string scan_failure_;
  std::thread scanner_;

  std::unique_ptr<WorkerPool> pool_;  // last: its threads use everything above
};

}  // namespace fdpstore::objects
