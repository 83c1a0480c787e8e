#include "store/metrics.hpp"

#include <array>
#include <vector>

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

namespace fdpstore::store {
namespace {

namespace json = boost::json;

constexpr std::array kMetrics{
    MetricInfo{"healthy", "healthy", false, "1 while the store works as it should."},
    MetricInfo{"capacity_bytes", "capacity_bytes", false, "Bound on disk use; 0: none."},
    MetricInfo{"max_live_bytes", "max_live_bytes", false, "Payload that can be live at most."},
    MetricInfo{"allocated_bytes", "allocated_bytes", false, "On disk now."},
    MetricInfo{"live_objects", "live_objects", false, "Objects in the store."},
    MetricInfo{"live_bytes", "live_bytes", false, "Their payload."},
    MetricInfo{"locked_objects", "locked_objects", false, "Objects that a lookup has locked."},
    MetricInfo{"waiting_puts", "waiting_puts", false, "Stores that wait for room or their turn."},
    MetricInfo{"writing_bytes", "writing_bytes", false, "Bytes being written."},
    MetricInfo{"expired_locks", "expired_locks", true, "Locks that were never taken off."},
    MetricInfo{"unverified_objects", "unverified_objects", true, "Loads without a checksum."},
    MetricInfo{"stored_objects", "stored_objects", true, "Objects stored."},
    MetricInfo{"stored_bytes", "stored_bytes", true, "Payload stored."},
    MetricInfo{"loaded_objects", "loaded_objects", true, "Objects loaded."},
    MetricInfo{"loaded_bytes", "loaded_bytes", true, "Payload loaded."},
    MetricInfo{"lookup_keys", "lookup_keys", true, "Keys looked up."},
    MetricInfo{"lookup_hits", "lookup_hits", true, "Keys looked up that were there."},
    MetricInfo{"deleted_objects", "deleted_objects", true, "Objects deleted by request."},
    MetricInfo{"reclaimed_objects", "reclaimed_objects", true, "Objects dropped to make room."},
    MetricInfo{"reinserted_objects", "reinserted_objects", true, "Objects kept by moving them."},
    MetricInfo{"reinserted_bytes", "reinserted_bytes", true, "Their payload."},
    MetricInfo{"damaged_objects", "damaged_objects", true, "Objects that failed their checks."},
    MetricInfo{"failed_puts", "failed_puts", true, "Stores that failed."},
    MetricInfo{"failed_gets", "failed_gets", true, "Loads that failed with an I/O error."},
    MetricInfo{"host_written_bytes", "host_written_bytes", true,
               "All that was written; host WA is this by stored_bytes."},
    MetricInfo{"device_host_bytes", "device_host_bytes", true,
               "Written by hosts, by the device's own count of its endurance group."},
    MetricInfo{"device_media_bytes", "device_media_bytes", true,
               "Written to its media; device WA is this by device_host_bytes."},
};

// Inside double quotes.
std::string label_value(const json::value& value) {
  const std::string text =
      value.is_string() ? std::string(value.get_string()) : json::serialize(value);
  std::string result;
  for (const char c : text) {
    if (c == '\\' || c == '"') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result;
}

std::string labels(std::initializer_list<std::pair<const char*, const json::value*>> pairs) {
  std::string text;
  for (const auto& [name, value] : pairs) {
    text += fmt::format("{}{}=\"{}\"", text.empty() ? "" : ",", name, label_value(*value));
  }
  return text;
}

std::string number(const json::value& value) {
  return value.is_bool() ? (value.get_bool() ? "1" : "0") : json::serialize(value);
}

void head(std::string& out, std::string_view name, bool counter, std::string_view help) {
  out += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, counter ? "counter" : "gauge");
}

}  // namespace

std::span<const MetricInfo> metric_table() {
  return kMetrics;
}

std::string to_prometheus(const json::object& status) {
  std::string out;
  const std::string path = labels({{"path", &status.at("path")}});
  const json::object& placement = status.at("placement").as_object();
  head(out, "fdpstore_info", false, "What the store is; always 1.");
  out += fmt::format("fdpstore_info{{{}}} 1\n",
                     labels({{"path", &status.at("path")},
                             {"layout", &status.at("layout")},
                             {"store_uuid", &status.at("store_uuid")},
                             {"policy", &status.at("policy")},
                             {"placement", &placement.at("effective")},
                             {"reaches_device", &placement.at("reaches_device")}}));
  for (const MetricInfo& metric : kMetrics) {
    const json::value& value = status.at(metric.field);
    if (value.is_null()) continue;
    const std::string name =
        fmt::format("fdpstore_{}{}", metric.name, metric.counter ? "_total" : "");
    head(out, name, metric.counter, metric.help);
    out += fmt::format("{}{{{}}} {}\n", name, path, number(value));
  }
  for (const auto& [name, field, counter, help] :
       {std::tuple("fdpstore_stream_written_bytes_total", "written_bytes", true,
                   "Payload written, by stream."),
        std::tuple("fdpstore_stream_live_bytes", "bytes", false, "Live payload, by stream.")}) {
    head(out, name, counter, help);
    for (const json::value& stream : status.at("streams").as_array()) {
      out += fmt::format("{}{{{},{}}} {}\n", name, path, labels({{"stream", &stream.at("name")}}),
                         number(stream.at(field)));
    }
  }
  return out;
}

}  // namespace fdpstore::store
