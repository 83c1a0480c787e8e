// Memory from Python: LMCache MemoryObj instances, or anything with the buffer protocol.
//
// Thread:  construct and destroy with the GIL held; at() and bytes may be used without it.
// Owns:    references to the objects and views of their buffers: the memory stays valid as long as
//          the batch. (That the bytes are not reused meanwhile is the caller's promise, as LMCache
//          makes it with its L1 locks.)
// Errors:  throws TypeError, BufferError, or what an attribute of the object raises.
// Source:  lmcache/v1/memory_management.py, TensorMemoryObj and BytesBufferMemoryObj.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include <pybind11/pybind11.h>

namespace fdpstore::python {

namespace py = pybind11;

enum class Access { read, write };

class BufferBatch {
 public:
  BufferBatch(py::handle objects, Access access);  // any sequence of objects
  ~BufferBatch();
  BufferBatch(const BufferBatch&) = delete;
  BufferBatch& operator=(const BufferBatch&) = delete;

  [[nodiscard]] std::size_t size() const { return memory_.size(); }
  [[nodiscard]] std::span<std::byte> at(std::size_t i) const { return memory_[i]; }
  [[nodiscard]] PyObject* object(std::size_t i) const {
    return PyTuple_GET_ITEM(objects_.ptr(), static_cast<Py_ssize_t>(i));
  }

 private:
  void add(PyObject* object, Access access);
  [[nodiscard]] bool add_tensor(PyObject* object);
  void add_view(PyObject* exporter, PyObject* object, Access access);
  void release_views();

  py::tuple objects_;
  std::vector<Py_buffer> views_;
  std::vector<std::span<std::byte>> memory_;
};

// What the caller says about placement, on `object.metadata` (absent on LMCache's own objects).
struct PlacementHint {
  std::optional<std::uint32_t> rank;  // metadata.fdp_placement_rank
  std::string_view stream;            // metadata.fdp_placement_stream
  py::object stream_text;             // what `stream` points into
};
[[nodiscard]] PlacementHint placement_hint(PyObject* object);

}  // namespace fdpstore::python
