#include "store.hpp"

#include <cassert>
#include <optional>
#include <utility>

#include "errors.hpp"
#include "keys.hpp"

namespace fdpstore::python {
namespace {

// Runs `call` without the GIL, then raises its error or returns its value.
template <class Call>
auto without_gil(const Call& call) {
  auto result = [&] {
    const py::gil_scoped_release release;
    return call();
  }();
  if (!result) raise_error(result.error());
  if constexpr (!std::is_void_v<typename decltype(result)::value_type>) {
    return std::move(*result);
  }
}

void check_lengths(const KeyBatch& keys, const BufferBatch& memory) {
  if (keys.refs().size() == memory.size()) return;
  throw py::value_error("got " + std::to_string(keys.refs().size()) + " keys but " +
                        std::to_string(memory.size()) + " objects");
}

py::object message_of(const std::optional<Error>& error) {
  if (!error) return py::none();
  return py::str(error->message());
}

py::handle item(const py::tuple& tuple, std::size_t i) {
  return PyTuple_GET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i));
}

// Hits as Bitmap wants them: the length of the leading run, and the indices of the others.
struct Hits {
  std::size_t prefix = 0;
  py::list rest;
};

Hits hits_of(const std::vector<KeyStatus>& keys) {
  Hits hits;
  while (hits.prefix < keys.size() && keys[hits.prefix] == KeyStatus::hit) ++hits.prefix;
  for (std::size_t i = hits.prefix; i < keys.size(); ++i) {
    if (keys[i] == KeyStatus::hit) hits.rest.append(i);
  }
  return hits;
}

}  // namespace

PyStore::PyStore(const std::string& options_json)
    : store_(without_gil([&]() -> Result<std::unique_ptr<Store>> {
        auto options = parse_options(options_json);
        if (!options) return fail(std::move(options.error()));
        return open_store(*options);
      })) {}

PyStore::~PyStore() {
  if (closed()) return;
  const py::gil_scoped_release release;
  store_.reset();  // drains; nothing writes to a caller's memory after this
}

std::shared_ptr<Store> PyStore::store() const {
  auto opened = [&] {
    const std::lock_guard lock(mutex_);  // not while raising, which may hand over the GIL
    return store_;
  }();
  if (!opened) raise_error(Error{make_error_code(Errc::closed), "the store has been closed"});
  return opened;
}

bool PyStore::closed() const {
  const std::lock_guard lock(mutex_);
  return store_ == nullptr;
}

template <class Submit>
TaskId PyStore::submit(TaskKind kind, std::unique_ptr<Task> task, const Submit& call) {
  const auto opened = store();
  Table& table = tables_[static_cast<std::size_t>(kind)];
  return without_gil([&]() -> Result<TaskId> {
    const std::lock_guard lock(table.mutex);
    auto id = call(*opened);
    if (id) table.tasks.emplace(*id, std::move(task));
    return id;
  });
}

TaskId PyStore::submit_put(py::handle keys, py::handle objects, const std::string& stream,
                           std::optional<std::uint32_t> rank) {
  const KeyBatch batch(keys);
  auto task = std::make_unique<Task>();
  task->keys = batch.keys();
  task->memory = std::make_unique<BufferBatch>(objects, Access::read);
  check_lengths(batch, *task->memory);

  std::vector<PutItem> items(batch.refs().size());
  std::vector<py::object> stream_names;
  for (std::size_t i = 0; i < items.size(); ++i) {
    PlacementHint hint = placement_hint(task->memory->object(i));
    items[i] = {.key = batch.refs()[i],
                .bytes = task->memory->at(i),
                .explicit_rank = hint.rank ? hint.rank : rank,
                .explicit_stream = hint.stream.empty() ? std::string_view(stream) : hint.stream};
    if (hint.stream_text) stream_names.push_back(std::move(hint.stream_text));
  }
  return submit(TaskKind::put, std::move(task),
                [&](Store& store) { return store.submit_put(items); });
}

TaskId PyStore::submit_get(py::handle keys, py::handle objects) {
  const KeyBatch batch(keys);
  auto task = std::make_unique<Task>();
  task->keys = batch.keys();
  task->memory = std::make_unique<BufferBatch>(objects, Access::write);
  check_lengths(batch, *task->memory);

  std::vector<GetItem> items(batch.refs().size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    items[i] = {.key = batch.refs()[i], .buffer = task->memory->at(i)};
  }
  return submit(TaskKind::get, std::move(task),
                [&](Store& store) { return store.submit_get(items); });
}

TaskId PyStore::submit_lookup(py::handle keys, bool lock) {
  const KeyBatch batch(keys);
  auto task = std::make_unique<Task>();
  task->keys = batch.keys();
  return submit(TaskKind::lookup, std::move(task),
                [&](Store& store) { return store.submit_lookup(batch.refs(), lock); });
}

std::vector<PyStore::Finished> PyStore::take(TaskKind kind) {
  Table& table = tables_[static_cast<std::size_t>(kind)];
  std::shared_ptr<Store> opened;
  {
    const std::lock_guard lock(mutex_);
    opened = store_;
  }
  std::vector<Finished> finished;
  // Giving up the GIL can cost a switch interval (5 ms): only when a submit has the table.
  std::unique_lock lock(table.mutex, std::try_to_lock);
  std::optional<py::gil_scoped_release> release;
  if (!lock.owns_lock()) {
    release.emplace();
    lock.lock();
  }
  for (TaskResult& result : opened ? opened->take_completed(kind) : std::exchange(table.last, {})) {
    auto entry = table.tasks.extract(result.id);
    assert(!entry.empty());
    finished.push_back({std::move(result), std::move(entry.mapped())});
  }
  return finished;
}

py::list PyStore::take_puts() {
  py::list list;
  for (const Finished& done : take(TaskKind::put)) {
    py::list stored;
    py::list sizes;
    py::list present;
    const auto& statuses = done.result.keys;
    for (std::size_t i = 0; i < statuses.size(); ++i) {
      if (statuses[i] == KeyStatus::stored) {
        stored.append(item(done.task->keys, i));
        sizes.append(done.task->memory->at(i).size());
      } else if (statuses[i] == KeyStatus::present) {
        present.append(item(done.task->keys, i));
      }
    }
    list.append(py::make_tuple(done.result.id, done.result.ok(), done.result.transferred_bytes,
                               stored, sizes, present, message_of(done.result.error)));
  }
  return list;
}

py::list PyStore::take_gets() {
  py::list list;
  for (const Finished& done : take(TaskKind::get)) {
    const Hits hits = hits_of(done.result.keys);
    py::list loaded;
    for (std::size_t i = 0; i < done.result.keys.size(); ++i) {
      if (done.result.keys[i] == KeyStatus::hit) loaded.append(item(done.task->keys, i));
    }
    list.append(py::make_tuple(done.result.id, done.result.keys.size(), hits.prefix, hits.rest,
                               loaded, message_of(done.result.error)));
  }
  return list;
}

py::list PyStore::take_lookups() {
  py::list list;
  for (const Finished& done : take(TaskKind::lookup)) {
    const Hits hits = hits_of(done.result.keys);
    list.append(py::make_tuple(done.result.id, done.result.keys.size(), hits.prefix, hits.rest));
  }
  return list;
}

py::list PyStore::take_sizes() {
  py::list list;
  for (const Finished& done : take(TaskKind::lookup)) {
    py::list sizes;
    for (std::size_t i = 0; i < done.result.keys.size(); ++i) {
      sizes.append(done.result.keys[i] == KeyStatus::hit ? done.result.sizes[i] : 0);
    }
    list.append(py::make_tuple(done.result.id, sizes));
  }
  return list;
}

py::list PyStore::take_dropped() {
  std::vector<DroppedKey> dropped;
  {
    const std::lock_guard lock(mutex_);
    dropped = store_ ? store_->take_dropped() : std::exchange(last_dropped_, {});
  }
  py::list list;
  for (const DroppedKey& drop : dropped) list.append(to_python(drop.key, drop.bytes));
  return list;
}

int PyStore::event_fd(TaskKind kind) const {
  return store()->event_fd(kind);
}

void PyStore::unlock(py::handle keys) {
  const auto opened = store();
  const KeyBatch batch(keys);
  const py::gil_scoped_release release;
  opened->unlock(batch.refs());
}

py::list PyStore::erase(py::handle keys) {
  const auto opened = store();
  const KeyBatch batch(keys);
  const auto sizes = without_gil([&] { return opened->erase(batch.refs()); });
  py::list list;
  for (const auto& size : sizes) list.append(size ? py::object(py::int_(*size)) : py::none());
  return list;
}

py::tuple PyStore::list(const std::string& cursor, std::size_t page_size,
                        const std::string& model_name) {
  const auto opened = store();
  const KeyPage page = without_gil([&] { return opened->list(cursor, page_size, model_name); });
  py::list keys;
  for (const ListedKey& listed : page.keys) keys.append(to_python(listed.key, listed.bytes));
  return py::make_tuple(keys, py::bytes(page.next));
}

py::tuple PyStore::usage() {
  const auto opened = store();
  const StoreStatus status = [&] {
    const py::gil_scoped_release release;
    return opened->status();
  }();
  py::dict salts;
  for (const SaltUsage& salt : status.salts) {
    if (salt.bytes > 0) salts[to_python(salt.cache_salt)] = salt.bytes;
  }
  return py::make_tuple(status.info.live_bytes, status.info.max_live_bytes, salts);
}

std::string PyStore::status() {
  const auto opened = store();
  const py::gil_scoped_release release;
  return to_json(opened->status());
}

void PyStore::register_memory(std::uintptr_t address, std::size_t bytes) {
  const auto opened = store();
  without_gil(
      [&] { return opened->register_memory({reinterpret_cast<std::byte*>(address), bytes}); });
}

void PyStore::close() {
  std::shared_ptr<Store> opened;
  {
    const std::lock_guard lock(mutex_);
    opened = store_;
  }
  if (!opened) return;
  // Results and drops of the last tasks stay available; the event descriptors go with the store.
  const auto close_and_collect = [&]() -> Result<void> {
    auto closed = opened->close();
    for (std::size_t kind = 0; kind < kTaskKinds; ++kind) {
      const std::lock_guard lock(tables_[kind].mutex);
      for (TaskResult& result : opened->take_completed(static_cast<TaskKind>(kind))) {
        tables_[kind].last.push_back(std::move(result));
      }
    }
    const std::lock_guard lock(mutex_);
    for (DroppedKey& drop : opened->take_dropped()) last_dropped_.push_back(std::move(drop));
    store_.reset();
    opened.reset();
    return closed;
  };
  without_gil(close_and_collect);
}

}  // namespace fdpstore::python
