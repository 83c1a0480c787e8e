#include "keys.hpp"

#include <charconv>
#include <limits>
#include <optional>

namespace fdpstore::python {
namespace {

// Interned once: attribute look-up then compares pointers. Never freed, like the module itself.
struct KeyNames {
  PyObject* chunk_hash = PyUnicode_InternFromString("chunk_hash");
  PyObject* model_name = PyUnicode_InternFromString("model_name");
  PyObject* kv_rank = PyUnicode_InternFromString("kv_rank");
  PyObject* object_group_id = PyUnicode_InternFromString("object_group_id");
  PyObject* cache_salt = PyUnicode_InternFromString("cache_salt");
};

const KeyNames& key_names() {
  static const KeyNames all;
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

// Digits as LMCache prints them, and no others, so that equal keys are equal texts: lower case,
// zeros in front only up to `width`.
template <class T>
std::optional<T> hex_number(std::string_view digits, std::size_t width) {
  if (digits.size() < width || (digits.size() > width && digits.front() == '0')) return {};
  if (digits.find_first_not_of("0123456789abcdef") != digits.npos) return {};
  T value{};
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc{} || end != digits.data() + digits.size()) return {};
  return value;
}

int hex_digit(char c) {  // -1: none of LMCache's
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_bytes(std::string_view digits, char* out) {
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    const int high = hex_digit(digits[i]);
    const int low = hex_digit(digits[i + 1]);
    if (high < 0 || low < 0) return false;
    *out++ = static_cast<char>(high << 4 | low);
  }
  return true;
}

// The part before the next '@', which is taken off `rest`; all of it where there is none.
std::string_view take_field(std::string_view& rest) {
  const std::size_t at = rest.find('@');
  const std::string_view field = rest.substr(0, at);
  rest.remove_prefix(at == rest.npos ? rest.size() : at + 1);
  return field;
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

void KeyBatch::read_text(PyObject* key) {
  const std::string_view text = utf8(key);
  std::string_view rest = text;
  KeyRef ref;
  ref.model_name = take_field(rest);
  const auto rank = hex_number<std::uint64_t>(take_field(rest), 8);
  const auto group = hex_number<std::uint32_t>(take_field(rest), 1);
  const std::string_view hash = take_field(rest);
  ref.cache_salt = rest;
  const bool empty_salt = rest.empty() && text.ends_with('@');
  bool good = rank && group && !hash.empty() && hash.size() % 2 == 0 && !empty_salt &&
              rest.find('@') == rest.npos;
  if (good) {
    const auto size = static_cast<Py_ssize_t>(hash.size() / 2);
    PyObject* bytes = PyBytes_FromStringAndSize(nullptr, size);
    if (bytes == nullptr) throw py::error_already_set();
    held_.push_back(bytes);
    good = hex_bytes(hash, PyBytes_AS_STRING(bytes));
    ref.chunk_hash = {reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(bytes)),
                      static_cast<std::size_t>(size)};
  }
  if (!good) {
    throw py::value_error("'" + std::string(text) +
                          "' is not a key as LMCache's native connectors get it; expected " +
                          kTextForm);
  }
  ref.kv_rank = *rank;
  ref.object_group_id = *group;
  refs_.push_back(ref);
}

void KeyBatch::read(PyObject* key) {
  if (PyUnicode_Check(key)) return read_text(key);
  const KeyNames& name = key_names();
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
