#include "keys.hpp"

#include <limits>

namespace fdpstore::python {
namespace {

// Interned once: attribute look-up then compares pointers. Never freed, like the module itself.
struct Names {
  PyObject* chunk_hash = PyUnicode_InternFromString("chunk_hash");
  PyObject* model_name = PyUnicode_InternFromString("model_name");
  PyObject* kv_rank = PyUnicode_InternFromString("kv_rank");
  PyObject* object_group_id = PyUnicode_InternFromString("object_group_id");
  PyObject* cache_salt = PyUnicode_InternFromString("cache_salt");
};

const Names& names() {
  static const Names all;
  return all;
}

std::string_view utf8(PyObject* text) {
  Py_ssize_t size = 0;
  const char* data = PyUnicode_AsUTF8AndSize(text, &size);
  if (data == nullptr) throw py::error_already_set();
  return {data, static_cast<std::size_t>(size)};
}

std::uint64_t unsigned_integer(PyObject* number) {
  const std::uint64_t value = PyLong_AsUnsignedLongLong(number);
  if (value == std::numeric_limits<std::uint64_t>::max() && PyErr_Occurred() != nullptr) {
    throw py::error_already_set();
  }
  return value;
}

}  // namespace

KeyBatch::KeyBatch(py::handle keys)
    : keys_(py::reinterpret_steal<py::tuple>(PySequence_Tuple(keys.ptr()))) {
  if (!keys_) throw py::error_already_set();
  const std::size_t count = keys_.size();
  held_.reserve(3 * count);
  refs_.reserve(count);
  try {
    for (std::size_t i = 0; i < count; ++i) {
      read(PyTuple_GET_ITEM(keys_.ptr(), static_cast<Py_ssize_t>(i)));
    }
  } catch (...) {
    for (PyObject* object : held_) Py_DECREF(object);
    throw;
  }
}

KeyBatch::~KeyBatch() {
  for (PyObject* object : held_) Py_DECREF(object);
}

PyObject* KeyBatch::attribute(PyObject* key, PyObject* name) {
  PyObject* value = PyObject_GetAttr(key, name);
  if (value == nullptr) throw py::error_already_set();
  held_.push_back(value);  // keeps the bytes alive even if the attribute is computed on access
  return value;
}

void KeyBatch::read(PyObject* key) {
  const Names& name = names();
  KeyRef ref;
  PyObject* hash = attribute(key, name.chunk_hash);
  if (!PyBytes_Check(hash)) {
    throw py::type_error("chunk_hash of a key must be bytes, not " +
                         std::string(Py_TYPE(hash)->tp_name));
  }
  ref.chunk_hash = {reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(hash)),
                    static_cast<std::size_t>(PyBytes_GET_SIZE(hash))};
  ref.model_name = utf8(attribute(key, name.model_name));
  ref.cache_salt = utf8(attribute(key, name.cache_salt));

  // Numbers are copied, so they need not be held.
  const auto rank = py::reinterpret_steal<py::object>(PyObject_GetAttr(key, name.kv_rank));
  if (!rank) throw py::error_already_set();
  ref.kv_rank = unsigned_integer(rank.ptr());
  const auto group = py::reinterpret_steal<py::object>(PyObject_GetAttr(key, name.object_group_id));
  if (!group) throw py::error_already_set();
  const std::uint64_t group_id = unsigned_integer(group.ptr());
  if (group_id > std::numeric_limits<std::uint32_t>::max()) {
    throw py::value_error("object_group_id of a key must be below 2^32, got " +
                          std::to_string(group_id));
  }
  ref.object_group_id = static_cast<std::uint32_t>(group_id);
  refs_.push_back(ref);
}

py::str to_python(std::string_view text) {
  PyObject* decoded =
      PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "surrogateescape");
  if (decoded == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(decoded);
}

py::tuple to_python(const ObjectKey& key, std::uint64_t bytes) {
  return py::make_tuple(
      py::bytes(reinterpret_cast<const char*>(key.chunk_hash.data()), key.chunk_hash.size()),
      to_python(key.model_name), key.kv_rank, key.object_group_id, to_python(key.cache_salt),
      bytes);
}

py::object optional_attribute(PyObject* object, PyObject* name) {
  PyObject* value = nullptr;
#if PY_VERSION_HEX >= 0x030D0000
  const int found = PyObject_GetOptionalAttr(object, name, &value);
#else
  const int found = _PyObject_LookupAttr(object, name, &value);  // no exception object when absent
#endif
  if (found < 0) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

}  // namespace fdpstore::python
