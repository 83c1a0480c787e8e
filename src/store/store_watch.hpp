// StoreWatch: what happens in a store that another process has open, interval by interval.
//
// Asks over the store's socket, with a connection of its own each time, so that others can ask too.
// A store that nobody has open is waited for.
//
// Thread:  one at a time.
// Units:   bytes of payload and seconds of the watcher's clock.
// Errors:  those of StoreView::open, once; later ones of the socket but for a store that closes.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include <boost/json/object.hpp>

#include "store/store_view.hpp"

namespace fdpstore::store {

struct Interval {
  double seconds = 0;
  double stores_per_s = 0, stored_bytes_per_s = 0;
  double loads_per_s = 0, loaded_bytes_per_s = 0;
  double lookups_per_s = 0;
  std::optional<double> hit_ratio;  // nullopt: nothing was looked up
  double reclaimed_per_s = 0, reinserted_bytes_per_s = 0, deleted_per_s = 0;
  std::optional<double> host_wa;    // nullopt: nothing was stored
  std::optional<double> device_wa;  // nullopt: the device does not count, or wrote nothing
  std::uint64_t failed = 0;         // stores, loads, and objects that failed their checks
};

// Between two statuses, as to_json(StoreStatus); nullopt: the store was opened anew in between.
[[nodiscard]] std::optional<Interval> interval_between(const boost::json::object& before,
                                                       const boost::json::object& after,
                                                       double seconds);
[[nodiscard]] boost::json::object to_object(const Interval& interval);

class StoreWatch {
 public:
  struct Look {
    bool open = false;
    std::optional<Interval> interval;           // since the last look; none after it was opened
    std::optional<boost::json::object> status;  // while open; and, once, of a closed store
  };

  [[nodiscard]] static Result<StoreWatch> open(const std::string& path, const std::string& policy);
  [[nodiscard]] Result<Look> look();

 private:
  using Clock = std::chrono::steady_clock;
  StoreWatch(FoundStore found, boost::json::object closed)
      : found_(std::move(found)), closed_(std::move(closed)) {}

  FoundStore found_;
  std::optional<boost::json::object> closed_;  // read from disk, not told yet
  std::optional<boost::json::object> last_;    // nullopt: it was not open
  Clock::time_point last_at_;
};

}  // namespace fdpstore::store
