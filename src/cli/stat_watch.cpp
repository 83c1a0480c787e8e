#include "stat_watch.hpp"

#include <chrono>
#include <iostream>
#include <memory>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <boost/json/serialize.hpp>

#include "command.hpp"
#include "common/text.hpp"
#include "progress.hpp"
#include "store/store_watch.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

namespace json = boost::json;
using store::Interval;
using Look = store::StoreWatch::Look;

constexpr std::uint64_t kRowsToAHeading = 20;

std::string clock_text() {
  return fmt::format("{:%H:%M:%S}", fmt::localtime(std::time(nullptr)));
}

std::string rate(double per_s) {
  return per_s == 0 || per_s >= 10 ? fmt::format("{:.0f}", per_s) : fmt::format("{:.1f}", per_s);
}

std::string gigabytes(double bytes_per_s) {
  return fmt::format("{:.3f}", bytes_per_s / 1e9);
}

std::string factor(const std::optional<double>& value) {
  return value ? fmt::format("{:.3f}", *value) : "-";
}

std::string share_on_disk(const json::object& status) {
  const auto capacity = number(status, "capacity_bytes");
  const auto allocated = number(status, "allocated_bytes");
  if (capacity == 0) return size_text(allocated);
  return fmt::format("{:.0f} %",
                     100 * static_cast<double>(allocated) / static_cast<double>(capacity));
}

// A line of text for every interval, headed again now and then; and when the store is opened or
// closed.
class Lines {
 public:
  explicit Lines(std::string path) : path_(std::move(path)) {}

  void print(const Look& look) {
    if (!look.open) {
      if (was_open_ || first_) say_closed(look);
    } else {
      if (!was_open_) std::cout << clock_text() << "  " << printable(path_) << " is open\n";
      say_health(*look.status);
      if (look.interval) print_row(*look.interval, *look.status);
    }
    was_open_ = look.open;
    first_ = false;
  }

 private:
  void say_closed(const Look& look) {
    std::cout << clock_text() << "  " << printable(path_)
              << (first_ ? " is not open" : " was closed")
              << "; waiting for a process to open it (Ctrl-C ends this)\n";
    if (look.status) {
      std::cout << fmt::format("          on disk are {} objects of {}\n",
                               number(*look.status, "live_objects"),
                               size_text(number(*look.status, "live_bytes")));
    }
    table_.reset();
  }

  void say_health(const json::object& status) {
    const bool healthy = status.at("healthy").as_bool();
    if (healthy != healthy_) {
      std::cout << clock_text() << "  "
                << (healthy
                        ? "healthy again"
                        : printable(std::string_view(status.at("unhealthy_reason").as_string())))
                << '\n';
    }
    healthy_ = healthy;
  }

  void print_row(const Interval& interval, const json::object& status) {
    using enum Table::Align;
    if (!table_ || ++rows_ % kRowsToAHeading == 0) {
      table_ = std::make_unique<Table>(std::vector<Table::Column>{{"TIME    "},
                                                                  {"STORES/s", right},
                                                                  {" GB/s", right},
                                                                  {"LOADS/s", right},
                                                                  {" GB/s", right},
                                                                  {"LOOKUPS/s", right},
                                                                  {"  HITS", right},
                                                                  {"RECLAIMED/s", right},
                                                                  {"HOST WA", right},
                                                                  {"DEVICE WA", right},
                                                                  {"  OBJECTS", right},
                                                                  {"ON DISK", right},
                                                                  {"FAILED", right}});
    }
    table_->add({clock_text(), rate(interval.stores_per_s), gigabytes(interval.stored_bytes_per_s),
                 rate(interval.loads_per_s), gigabytes(interval.loaded_bytes_per_s),
                 rate(interval.lookups_per_s),
                 interval.hit_ratio ? fmt::format("{:.1f} %", 100 * *interval.hit_ratio) : "-",
                 rate(interval.reclaimed_per_s), factor(interval.host_wa),
                 factor(interval.device_wa), std::to_string(number(status, "live_objects")),
                 share_on_disk(status), std::to_string(interval.failed)});
    table_->print(std::cout);
  }

  std::string path_;
  std::unique_ptr<Table> table_;
  std::uint64_t rows_ = 0;
  bool first_ = true, was_open_ = false, healthy_ = true;
};

void print_json(const Look& look) {
  json::object line{
      {"time",
       std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count()},
      {"open", look.open}};
  if (look.status) {
    for (const char* field : {"healthy", "live_objects", "live_bytes", "locked_objects",
                              "allocated_bytes", "capacity_bytes"}) {
      line[field] = look.status->at(field);
    }
  }
  if (look.interval) {
    for (auto& [name, value] : store::to_object(*look.interval)) line[name] = value;
  }
  std::cout << json::serialize(line) << '\n';
}

}  // namespace

int watch_store(const WatchArguments& arguments) {
  auto watch = value_of(store::StoreWatch::open(arguments.path, arguments.policy));
  const StopOnSignal stop;
  Lines lines(arguments.path);
  Look look = value_of(watch.look());  // where the first interval begins
  if (!arguments.json) {
    lines.print(look);
    std::cout << std::flush;
  }
  for (std::uint64_t n = 0; arguments.count == 0 || n < arguments.count; ++n) {
    if (!StopOnSignal::sleep(std::chrono::duration<double>(arguments.seconds))) break;
    look = value_of(watch.look());
    if (arguments.json) {
      print_json(look);
    } else {
      lines.print(look);
    }
    std::cout << std::flush;
    if (!std::cout) break;  // main() tells
  }
  return kExitOk;
}

}  // namespace fdpstore::cli
