// Metrics: what a status says, for systems that collect numbers (Prometheus, OpenTelemetry).
//
// Thread:  any.
// Units:   bytes, objects, seconds; a counter starts again at 0 when the store is opened.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

namespace fdpstore::store {

struct MetricInfo {
  std::string_view name;   // "stored_bytes": fdpstore_stored_bytes_total, as Prometheus names them
  std::string_view field;  // of the JSON of a status; what is null there is left out
  bool counter = false;    // else a gauge
  std::string_view help;
};
[[nodiscard]] std::span<const MetricInfo> metric_table();

// Text exposition format 0.0.4. `status`: as to_json(StoreStatus).
[[nodiscard]] std::string to_prometheus(const boost::json::object& status);

}  // namespace fdpstore::store
