// PyStore: fdpstore::Store as Python sees it.
//
// Thread:  methods are called with the GIL held and release it around the store's own work, except
//          where that only swaps a list. No method waits for I/O but close, erase, list, status.
// Owns:    the store; per task in flight, references to its keys and memory until the task has been
//          taken or close() has returned.
// Errors:  fdpstore.Error; whatever reading keys and buffers raises.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <pybind11/pybind11.h>

#include "buffers.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::python {

namespace py = pybind11;

class PyStore {
 public:
  explicit PyStore(const std::string& options_json);
  ~PyStore();
  PyStore(const PyStore&) = delete;
  PyStore& operator=(const PyStore&) = delete;

  // `stream` and `rank` hold for objects whose metadata does not say otherwise.
  TaskId submit_put(py::handle keys, py::handle objects, const std::string& stream,
                    std::optional<std::uint32_t> rank);
  TaskId submit_get(py::handle keys, py::handle objects);
  TaskId submit_lookup(py::handle keys, bool lock);

  // Lists of tuples, see fdpstore/_native.pyi.
  py::list take_puts();
  py::list take_gets();
  py::list take_lookups();
  py::list take_sizes();
  py::list take_dropped();

  [[nodiscard]] int event_fd(TaskKind kind) const;
  void unlock(py::handle keys);
  py::list erase(py::handle keys);
  py::tuple list(const std::string& cursor, std::size_t page_size, const std::string& model_name);
  py::tuple usage();
  std::string status();
  void register_memory(std::uintptr_t address, std::size_t bytes);
  void close();
  [[nodiscard]] bool closed() const;

 private:
  struct Task {
    py::tuple keys;
    std::unique_ptr<BufferBatch> memory;  // none for lookups
  };
  struct Finished {
    TaskResult result;
    std::unique_ptr<Task> task;
  };
  // `mutex` is held across a submit and the insertion, so that a result is never seen before its
  // task; it is only ever waited for with the GIL released.
  struct Table {
    std::mutex mutex;
    std::unordered_map<TaskId, std::unique_ptr<Task>> tasks;
    std::vector<TaskResult> last;  // what close() found
  };

  [[nodiscard]] std::shared_ptr<Store> store() const;  // raises when closed
  template <class Submit>
  TaskId submit(TaskKind kind, std::unique_ptr<Task> task, const Submit& call);
  std::vector<Finished> take(TaskKind kind);

  mutable std::mutex mutex_;  // guards store_; held for the copy of a pointer
  std::shared_ptr<Store> store_;
  std::array<Table, kTaskKinds> tables_;
  std::vector<DroppedKey> last_dropped_;
};

}  // namespace fdpstore::python
