// fdpstore._native: the C++ store for Python. Signatures and meaning: fdpstore/_native.pyi.
#include <cstdint>
#include <string>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "errors.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/store.hpp"
#include "store.hpp"
#include "store/metrics.hpp"

namespace fdpstore::python {
namespace {

std::string_view type_name(OptionType type) {
  switch (type) {
    case OptionType::boolean: return "boolean";
    case OptionType::integer: return "integer";
    case OptionType::real: return "real";
    case OptionType::text: return "text";
    case OptionType::choice: return "choice";
  }
  return "?";
}

py::list options_as_dicts() {
  py::list rows;
  for (const OptionInfo& row : option_table()) {
    py::dict fields;
    fields["name"] = row.name;
    fields["type"] = type_name(row.type);
    fields["unit"] = row.unit;
    fields["default"] = row.default_value;
    fields["choices"] = row.choices;
    fields["layouts"] = row.layouts;
    fields["help"] = row.help;
    fields["alias_of"] = row.alias_of;
    rows.append(fields);
  }
  return rows;
}

py::list foreign_options_as_dicts() {
  py::list rows;
  for (const ForeignOptionInfo& row : foreign_option_table()) {
    py::dict fields;
    fields["name"] = row.name;
    fields["of"] = row.of;
    fields["choices"] = row.choices;
    fields["help"] = row.help;
    rows.append(fields);
  }
  return rows;
}

py::list metrics_as_dicts() {
  py::list rows;
  for (const store::MetricInfo& row : store::metric_table()) {
    py::dict fields;
    fields["name"] = row.name;
    fields["field"] = row.field;
    fields["counter"] = row.counter;
    fields["help"] = row.help;
    rows.append(fields);
  }
  return rows;
}

std::string normalised_options(const std::string& json) {
  const auto options = parse_options(json);
  if (!options) raise_error(options.error());
  return to_json(*options);
}

std::string probe(const std::string& path) {
  const auto info = [&] {
    const py::gil_scoped_release release;
    return probe_path(path);
  }();
  if (!info) raise_error(info.error());
  return to_json(*info);
}

std::string check(const std::string& options_json, bool repair, const py::object& progress) {
  const auto options = parse_options(options_json);
  if (!options) raise_error(options.error());
  CheckProgress report;
  if (!progress.is_none()) {
    report = [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
      const py::gil_scoped_acquire acquire;
      progress(done_bytes, total_bytes);
    };
  }
  const auto result = [&] {
    const py::gil_scoped_release release;
    return check_store(*options, repair, report);
  }();
  if (!result) raise_error(result.error());
  return to_json(*result);
}

}  // namespace
}  // namespace fdpstore::python

PYBIND11_MODULE(_native, module) {
  namespace py = pybind11;
  using fdpstore::TaskKind;
  using fdpstore::python::PyStore;

  module.doc() = "The C++ store; use it through fdpstore and fdpstore.lmcache.";
  module.attr("__version__") = FDPSTORE_VERSION;
  module.def("option_table", &fdpstore::python::options_as_dicts);
  module.def("foreign_option_table", &fdpstore::python::foreign_options_as_dicts);
  module.def("option_notes", &fdpstore::option_notes, py::arg("options_json"));
  module.def("metric_table", &fdpstore::python::metrics_as_dicts);
  module.def("parse_options", &fdpstore::python::normalised_options, py::arg("options_json"));
  module.def("probe_path", &fdpstore::python::probe, py::arg("path"));
  module.def("check", &fdpstore::python::check, py::arg("options_json"), py::arg("repair"),
             py::arg("progress") = py::none());

  py::class_<PyStore>(module, "Store")
      .def(py::init<const std::string&>(), py::arg("options_json"))
      .def("submit_put", &PyStore::submit_put, py::arg("keys"), py::arg("objects"),
           py::arg("stream") = "", py::arg("rank") = py::none())
      .def("submit_get", &PyStore::submit_get, py::arg("keys"), py::arg("objects"))
      .def("submit_lookup", &PyStore::submit_lookup, py::arg("keys"), py::arg("lock"))
      .def("take_puts", &PyStore::take_puts)
      .def("take_gets", &PyStore::take_gets)
      .def("take_lookups", &PyStore::take_lookups)
      .def("take_sizes", &PyStore::take_sizes)
      .def("take_dropped", &PyStore::take_dropped)
      .def("put_event_fd", [](const PyStore& store) { return store.event_fd(TaskKind::put); })
      .def("get_event_fd", [](const PyStore& store) { return store.event_fd(TaskKind::get); })
      .def("lookup_event_fd", [](const PyStore& store) { return store.event_fd(TaskKind::lookup); })
      .def("unlock", &PyStore::unlock, py::arg("keys"))
      .def("erase", &PyStore::erase, py::arg("keys"))
      .def("list", &PyStore::list, py::arg("cursor"), py::arg("page_size"), py::arg("model_name"))
      .def("usage", &PyStore::usage)
      .def("status", &PyStore::status)
      .def("register_memory", &PyStore::register_memory, py::arg("address"), py::arg("size_bytes"))
      .def("close", &PyStore::close)
      .def_property_readonly("closed", &PyStore::closed);
}
