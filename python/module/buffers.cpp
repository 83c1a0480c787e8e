#include "buffers.hpp"

#include <limits>
#include <string>

#include "keys.hpp"

namespace fdpstore::python {
namespace {

struct BufferNames {
  PyObject* raw_data = PyUnicode_InternFromString("raw_data");
  PyObject* data_ptr = PyUnicode_InternFromString("data_ptr");
  PyObject* is_cpu = PyUnicode_InternFromString("is_cpu");
  PyObject* get_size = PyUnicode_InternFromString("get_size");
  PyObject* byte_array = PyUnicode_InternFromString("byte_array");
  PyObject* metadata = PyUnicode_InternFromString("metadata");
  PyObject* rank = PyUnicode_InternFromString("fdp_placement_rank");
  PyObject* stream = PyUnicode_InternFromString("fdp_placement_stream");
};

const BufferNames& buffer_names() {
  static const BufferNames all;
  return all;
}

std::string type_name(PyObject* object) {
  return Py_TYPE(object)->tp_name;
}

std::size_t call_for_size(PyObject* object, PyObject* method) {
  const auto value = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(object, method));
  if (!value) throw py::error_already_set();
  const std::size_t number = PyLong_AsSize_t(value.ptr());
  if (number == std::numeric_limits<std::size_t>::max() && PyErr_Occurred() != nullptr) {
    throw py::error_already_set();
  }
  return number;
}

}  // namespace

BufferBatch::BufferBatch(py::handle objects, Access access)
    : objects_(py::reinterpret_steal<py::tuple>(PySequence_Tuple(objects.ptr()))) {
  if (!objects_) throw py::error_already_set();
  memory_.reserve(objects_.size());
  try {
    for (std::size_t i = 0; i < objects_.size(); ++i) add(object(i), access);
  } catch (...) {
    release_views();
    throw;
  }
}

BufferBatch::~BufferBatch() {
  release_views();
}

void BufferBatch::release_views() {
  for (Py_buffer& view : views_) PyBuffer_Release(&view);
  views_.clear();
}

void BufferBatch::add(PyObject* object, Access access) {
  if (PyObject_CheckBuffer(object) != 0) return add_view(object, object, access);
  if (add_tensor(object)) return;
  const py::object bytes = optional_attribute(object, buffer_names().byte_array);
  if (!bytes) {
    throw py::type_error(
        "an object to store or load must be an LMCache MemoryObj or support the "
        "buffer protocol, not " +
        type_name(object));
  }
  add_view(bytes.ptr(), object, access);
}

// A MemoryObj over a torch tensor: its pointer and logical size, without a ctypes view per call.
bool BufferBatch::add_tensor(PyObject* object) {
  const py::object tensor = optional_attribute(object, buffer_names().raw_data);
  if (!tensor || !optional_attribute(tensor.ptr(), buffer_names().data_ptr)) return false;
  const py::object on_host = optional_attribute(tensor.ptr(), buffer_names().is_cpu);
  if (on_host && PyObject_IsTrue(on_host.ptr()) == 0) {
    throw py::type_error("memory of " + type_name(object) +
                         " is on a device; fdpstore reads and writes host memory (LMCache's L1)");
  }
  const std::size_t address = call_for_size(tensor.ptr(), buffer_names().data_ptr);
  const std::size_t size = call_for_size(object, buffer_names().get_size);
  memory_.emplace_back(reinterpret_cast<std::byte*>(address), size);
  return true;
}

void BufferBatch::add_view(PyObject* exporter, PyObject* object, Access access) {
  Py_buffer view;
  const int flags = access == Access::write ? PyBUF_WRITABLE : PyBUF_SIMPLE;
  if (PyObject_GetBuffer(exporter, &view, flags) != 0) {
    if (access == Access::write && PyErr_ExceptionMatches(PyExc_BufferError) != 0) {
      PyErr_Clear();
      throw py::type_error("cannot load into " + type_name(object) +
                           ": its memory is read-only; give a writable buffer");
    }
    throw py::error_already_set();
  }
  views_.push_back(view);
  memory_.emplace_back(static_cast<std::byte*>(view.buf), static_cast<std::size_t>(view.len));
}

PlacementHint placement_hint(PyObject* object) {
  PlacementHint hint;
  const py::object metadata = optional_attribute(object, buffer_names().metadata);
  if (!metadata) return hint;
  if (const py::object rank = optional_attribute(metadata.ptr(), buffer_names().rank);
      rank && !rank.is_none()) {
    hint.rank = rank.cast<std::uint32_t>();
  }
  if (py::object stream = optional_attribute(metadata.ptr(), buffer_names().stream);
      stream && !stream.is_none()) {
    Py_ssize_t size = 0;
    const char* text = PyUnicode_AsUTF8AndSize(stream.ptr(), &size);
    if (text == nullptr) throw py::error_already_set();
    hint.stream = {text, static_cast<std::size_t>(size)};
    hint.stream_text = std::move(stream);
  }
  return hint;
}

}  // namespace fdpstore::python
