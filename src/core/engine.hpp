// Engine: the one thread that writes, reads, deletes and reclaims.
//
// Thread:  start, the submits, erase, call and stop from any thread; everything else inside.
// Owns:    backend, context and the parts that work on it. Borrows callers' buffers until their
// task
//          is settled.
// Errors:  per key in the task; start and stop report what concerns the whole store.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/context.hpp"
#include "core/meta_log.hpp"
#include "core/reader.hpp"
#include "core/reclaimer.hpp"
#include "core/recovery.hpp"
#include "core/segment_store.hpp"
#include "core/tasks.hpp"
#include "core/writer.hpp"

namespace fdpstore::core {

using MakePolicy = PolicyFactory;

struct PutWork {
  std::shared_ptr<Task> task;
  std::size_t index = 0;  // of the key in the task
  Key key;
  std::span<const std::byte> bytes;
  std::optional<std::uint32_t> explicit_rank;
  std::string explicit_stream;
};

struct GetWork {
  std::shared_ptr<Task> task;
  std::size_t index = 0;
  Key key;
  std::span<std::byte> buffer;
};

class Engine {
 public:
  Engine(const Options& options, std::unique_ptr<Backend> backend, MakePolicy make_policy,
         std::unique_ptr<Lineage> lineage, Completions& completions);
  ~Engine();

  // Starts the thread, which recovers the store; returns when it can be used.
  [[nodiscard]] Result<void> start();
  // False: closed, nothing was taken.
  bool submit(std::vector<PutWork> puts);
  bool submit(std::vector<GetWork> gets);
  using Sizes = std::vector<std::optional<std::uint64_t>>;
  // nullopt keys stand for ones that cannot be there.
  [[nodiscard]] Result<Sizes> erase(std::vector<std::optional<Key>> keys);
  // Runs `what` on the engine's thread and waits for it. False: closed.
  bool call(std::function<void()> what);
  // Finishes everything, makes it durable, ends the thread. Idempotent.
  [[nodiscard]] Result<void> stop();

  // Valid after start().
  [[nodiscard]] Context& context() { return *context_; }
  [[nodiscard]] Lineage& lineage() { return *lineage_; }
  // On the engine's thread (call()).
  [[nodiscard]] const Policy& policy() const { return *policy_; }
  [[nodiscard]] const std::vector<CheckFinding>& findings() const { return findings_; }
  [[nodiscard]] std::uint64_t max_live_bytes() const;
  [[nodiscard]] std::uint32_t data_handles() const { return data_handles_; }
  [[nodiscard]] std::size_t waiting_puts() const { return waiting_puts_.size(); }
  [[nodiscard]] std::uint64_t writing_bytes() const { return writer_->in_flight_bytes(); }
  struct StreamCounts {
    std::uint64_t written_bytes = 0;
  };
  [[nodiscard]] const std::vector<StreamCounts>& streams() const { return streams_; }
  // As the device counted when the store was opened.
  [[nodiscard]] const Result<DeviceStatistics>& first_statistics() const {
    return first_statistics_;
  }
  [[nodiscard]] Result<DeviceStatistics> statistics() const { return backend_->statistics(); }
  [[nodiscard]] bool clean_start() const { return clean_start_; }
  [[nodiscard]] double open_seconds() const { return open_seconds_; }

 private:
  struct EraseWork {
    std::vector<std::optional<Key>> keys;
    std::promise<Result<Sizes>> promise;
  };
  struct Requests {
    std::vector<PutWork> puts;
    std::vector<GetWork> gets;
    std::vector<EraseWork> erases;
    std::vector<std::function<void()>> calls;
    [[nodiscard]] bool empty() const {
      return puts.empty() && gets.empty() && erases.empty() && calls.empty();
    }
  };

  // Opening and closing (engine_open.cpp).
  Result<void> open_on_thread();
  Result<format::Superblock> read_superblock(bool& created);
  Result<void> write_superblock(bool clean);
  Result<void> make_parts();
  Result<void> take_up(Recovered recovered);
  Result<void> begin_metadata();
  Result<void> flush_recovered();
  void release_surplus();
  Result<void> close_on_thread();
  void drain(const std::function<bool()>& done);
  Result<void> flush_segments();

  // The loop (engine.cpp).
  void run(std::promise<Result<void>> ready);
  void take_requests(bool& stopping);
  void handle_erase(EraseWork& work);
  void pump_puts();
  bool pump_one_put(PutWork& work);
  void put_done(const PutWork& work, const ObjectState& planned, Result<Placed> placed);
  void settle_waiters(const PutWork& first, bool stored);
  void fail_blocked_puts();
  void pump_gets();
  void get_done(const GetWork& work, const ObjectState& state, Result<void> loaded);
  void lose_object(const Key& key, const ObjectState& state);
  void on_segment_lost(Segment& segment, std::error_code error);
  void housekeeping();
  [[nodiscard]] bool work_left() const;
  [[nodiscard]] std::chrono::microseconds poll_timeout();

  Options options_;
  std::unique_ptr<Backend> backend_;
  MakePolicy make_policy_;
  std::unique_ptr<Lineage> lineage_;
  Completions& completions_;

  std::unique_ptr<Context> context_;
  std::unique_ptr<Policy> policy_;
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> reader_;
  std::unique_ptr<MetaLog> meta_;
  std::unique_ptr<Reclaimer> reclaimer_;
  format::Superblock superblock_;
  std::vector<CheckFinding> findings_;
  std::uint32_t data_handles_ = 1;
  bool clean_start_ = false;
  Result<DeviceStatistics> first_statistics_;
  double open_seconds_ = 0;

  std::deque<PutWork> waiting_puts_;
  std::deque<GetWork> waiting_gets_;
  // Stores in flight, and later ones of the same key, which wait for them.
  boost::unordered_flat_map<Key, std::vector<PutWork>, KeyHash> storing_;
  bool puts_blocked_ = false;
  bool closing_ = false;
  double blocked_since_s_ = 0;
  std::optional<Error> space_error_;  // why the medium could not give space, when it was not us
  std::vector<StreamCounts> streams_;
  std::uint64_t saved_policy_version_ = 0;
  double next_housekeeping_s_ = 0;

  std::mutex mutex_;  // requests_, stopping_, sleeping_
  Requests requests_;
  bool stopping_ = false;
  bool closed_ = false;
  bool sleeping_ = false;
  std::thread thread_;
  Result<void> stop_result_;
  std::once_flag joined_;
};

}  // namespace fdpstore::core
