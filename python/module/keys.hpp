// Keys from Python: anything with the attributes of LMCache's ObjectKey, read without copying, or
// the text that LMCache's native connectors get for one (kTextForm).
//
// Thread:  construct and destroy with the GIL held; refs() may be read without it.
// Owns:    references to the keys and to every attribute that a KeyRef points into.
// Errors:  throws py::error_already_set (AttributeError, TypeError, ValueError, OverflowError).
// Source:  lmcache/v1/distributed/api.py, class ObjectKey;
//          lmcache/v1/distributed/l2_adapters/native_connector_l2_adapter.py.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include <pybind11/pybind11.h>

#include "fdpstore/types.hpp"

namespace fdpstore::python {

namespace py = pybind11;

inline constexpr char kTextForm[] =
    "<model>@<kv_rank: 8 hex digits or more>@<object group: hex>@<chunk hash: hex>[@<salt>]";

class KeyBatch {
 public:
  explicit KeyBatch(py::handle keys);  // any sequence of keys
  ~KeyBatch();
  KeyBatch(const KeyBatch&) = delete;
  KeyBatch& operator=(const KeyBatch&) = delete;

  [[nodiscard]] std::span<const KeyRef> refs() const { return refs_; }
  // The keys as given; a caller's list may change later, this tuple does not.
  [[nodiscard]] const py::tuple& keys() const { return keys_; }

 private:
  void read(PyObject* key);
  void read_text(PyObject* key);
  [[nodiscard]] PyObject* attribute(PyObject* key, PyObject* name);

  py::tuple keys_;
  std::vector<PyObject*> held_;
  std::vector<KeyRef> refs_;
};

// The other way. Names come from disk: bytes that are not UTF-8 become surrogates, never an error.
[[nodiscard]] py::str to_python(std::string_view text);
// (chunk_hash, model_name, kv_rank, object_group_id, cache_salt, bytes).
[[nodiscard]] py::tuple to_python(const ObjectKey& key, std::uint64_t bytes);

// `object`'s attribute, or an empty object where there is none.
[[nodiscard]] py::object optional_attribute(PyObject* object, PyObject* name);

}  // namespace fdpstore::python
