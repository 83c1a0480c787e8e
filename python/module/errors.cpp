#include "errors.hpp"

#include <cstring>
#include <string>

#include <pybind11/pybind11.h>

namespace fdpstore::python {
namespace {

namespace py = pybind11;

std::string store_code_name(Errc code) {
  switch (code) {
    case Errc::not_found: return "not_found";
    case Errc::no_space: return "no_space";
    case Errc::corrupt: return "corrupt";
    case Errc::closed: return "closed";
    case Errc::invalid_argument: return "invalid_argument";
    case Errc::invalid_option: return "invalid_option";
    case Errc::too_large: return "too_large";
    case Errc::busy: return "busy";
    case Errc::foreign: return "foreign";
    case Errc::unsupported: return "unsupported";
    case Errc::version_mismatch: return "version_mismatch";
    case Errc::timed_out: return "timed_out";
  }
  return "unknown";
}

// "no_space" of ours, "EIO" of the system, "category:number" of anything else.
std::string code_name(const std::error_code& code) {
  if (code.category() == store_category()) return store_code_name(static_cast<Errc>(code.value()));
  if (code.category() == std::generic_category()) {
    if (const char* name = strerrorname_np(code.value()); name != nullptr) return name;
  }
  return std::string(code.category().name()) + ":" + std::to_string(code.value());
}

}  // namespace

void raise_error(const Error& error) {
  const bool option = error.code == Errc::invalid_option;
  const auto type = py::module_::import("fdpstore.errors").attr(option ? "OptionError" : "Error");
  const py::object instance = type(error.message(), code_name(error.code));
  PyErr_SetObject(type.ptr(), instance.ptr());
  throw py::error_already_set();
}

}  // namespace fdpstore::python
