#include "store/store_watch.hpp"

#include <algorithm>

#include <boost/json/parse.hpp>

#include "store/served_store.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;

std::uint64_t number(const json::object& status, const char* field) {
  const json::value& value = status.at(field);
  return value.is_null() ? 0 : value.to_number<std::uint64_t>();
}

// Of what only grows while a store is open.
class Growth {
 public:
  Growth(const json::object& before, const json::object& after) : before_(before), after_(after) {}

  double operator()(const char* field) {
    const std::uint64_t from = number(before_, field), to = number(after_, field);
    if (to < from) restarted_ = true;
    return static_cast<double>(to) - static_cast<double>(from);
  }
  [[nodiscard]] bool restarted() const { return restarted_; }

 private:
  const json::object& before_;
  const json::object& after_;
  bool restarted_ = false;
};

std::optional<double> ratio(double part, double whole) {
  if (whole <= 0) return std::nullopt;
  return part / whole;
}

bool is_closing(const Error& error) {
  return error.code == Errc::closed || error.code == std::errc::connection_reset ||
         error.code == std::errc::broken_pipe;
}

json::value number_or_null(const std::optional<double>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

}  // namespace

std::optional<Interval> interval_between(const json::object& before, const json::object& after,
                                         double seconds) {
  if (seconds <= 0) return std::nullopt;
  Growth growth(before, after);
  Interval result;
  result.seconds = seconds;
  result.stores_per_s = growth("stored_objects") / seconds;
  const double stored = growth("stored_bytes");
  result.stored_bytes_per_s = stored / seconds;
  result.loads_per_s = growth("loaded_objects") / seconds;
  result.loaded_bytes_per_s = growth("loaded_bytes") / seconds;
  const double keys = growth("lookup_keys");
  result.lookups_per_s = keys / seconds;
  result.hit_ratio = ratio(growth("lookup_hits"), keys);
  result.reclaimed_per_s = growth("reclaimed_objects") / seconds;
  result.reinserted_bytes_per_s = growth("reinserted_bytes") / seconds;
  result.deleted_per_s = growth("deleted_objects") / seconds;
  result.host_wa = ratio(growth("host_written_bytes"), stored);
  const double media = growth("device_media_bytes"), host = growth("device_host_bytes");
  if (!after.at("device_media_bytes").is_null() && !before.at("device_media_bytes").is_null()) {
    result.device_wa = ratio(media, host);
  }
  result.failed = static_cast<std::uint64_t>(
      std::max(0.0, growth("failed_puts") + growth("failed_gets") + growth("damaged_objects")));
  if (growth.restarted()) return std::nullopt;
  return result;
}

json::object to_object(const Interval& interval) {
  return {
      {"seconds", interval.seconds},
      {"stores_per_s", interval.stores_per_s},
      {"stored_bytes_per_s", interval.stored_bytes_per_s},
      {"loads_per_s", interval.loads_per_s},
      {"loaded_bytes_per_s", interval.loaded_bytes_per_s},
      {"lookups_per_s", interval.lookups_per_s},
      {"hit_ratio", number_or_null(interval.hit_ratio)},
      {"reclaimed_per_s", interval.reclaimed_per_s},
      {"reinserted_bytes_per_s", interval.reinserted_bytes_per_s},
      {"deleted_per_s", interval.deleted_per_s},
      {"host_wa", number_or_null(interval.host_wa)},
      {"device_wa", number_or_null(interval.device_wa)},
      {"failed", interval.failed},
  };
}

Result<StoreWatch> StoreWatch::open(const std::string& path, const std::string& policy) {
  auto found = find_store(path);
  if (!found) return fail(std::move(found.error()));
  auto view = StoreView::open(path, policy);
  if (!view) return fail(std::move(view.error()));
  const auto report = view->status();
  if (!report) return fail(report.error());
  return StoreWatch(std::move(*found), json::parse(*report).as_object());
}

Result<StoreWatch::Look> StoreWatch::look() {
  auto client = DiagnosticsClient::connect(found_.socket_name, found_.owner);
  if (!client) return fail(std::move(client.error()));
  Result<json::value> answer = fail(Errc::closed, "");
  if (*client) answer = ask_status(**client);
  if (!answer && !is_closing(answer.error())) return fail(std::move(answer.error()));
  const auto now = Clock::now();
  Look look;
  look.open = answer.has_value();
  if (!look.open) {
    look.status = std::exchange(closed_, std::nullopt);
    last_.reset();
    return look;
  }
  closed_.reset();
  look.status = std::move(answer->get_object());
  if (last_) {
    look.interval = interval_between(*last_, *look.status,
                                     std::chrono::duration<double>(now - last_at_).count());
  }
  last_ = *look.status;
  last_at_ = now;
  return look;
}

}  // namespace fdpstore::store
