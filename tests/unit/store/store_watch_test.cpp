// Watching a store: rates over intervals, and stores that open and close meanwhile. Metrics.
#include "store/store_watch.hpp"

#include <set>
#include <sstream>

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>

#include "runtime_directory.hpp"
#include "store/metrics.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;

json::object status_of(const StoreInfo& info) {
  return json::parse(to_json(StoreStatus{
                         .info = info, .salts = {}, .streams = {}, .segments = {}, .warnings = {}}))
      .as_object();
}

StoreInfo before() {
  StoreInfo info;
  info.stored_objects = 10;
  info.stored_bytes = 1000;
  info.loaded_objects = 1;
  info.loaded_bytes = 100;
  info.lookup_keys = 50;
  info.lookup_hits = 50;
  info.host_written_bytes = 1500;
  return info;
}

TEST(Interval, RatesAreOfTheTimeBetween) {
  StoreInfo after = before();
  after.stored_objects += 20;
  after.stored_bytes += 4000;
  after.loaded_objects += 8;
  after.loaded_bytes += 800;
  after.lookup_keys += 40;
  after.lookup_hits += 10;
  after.reclaimed_objects += 6;
  after.reinserted_bytes += 12;
  after.deleted_objects += 2;
  after.host_written_bytes += 5000;
  after.failed_puts += 1;
  after.damaged_objects += 2;
  const auto interval = interval_between(status_of(before()), status_of(after), 2);
  ASSERT_TRUE(interval);
  EXPECT_DOUBLE_EQ(interval->stores_per_s, 10);
  EXPECT_DOUBLE_EQ(interval->stored_bytes_per_s, 2000);
  EXPECT_DOUBLE_EQ(interval->loads_per_s, 4);
  EXPECT_DOUBLE_EQ(interval->loaded_bytes_per_s, 400);
  EXPECT_DOUBLE_EQ(interval->lookups_per_s, 20);
  EXPECT_DOUBLE_EQ(interval->hit_ratio.value(), 0.25);
  EXPECT_DOUBLE_EQ(interval->reclaimed_per_s, 3);
  EXPECT_DOUBLE_EQ(interval->reinserted_bytes_per_s, 6);
  EXPECT_DOUBLE_EQ(interval->deleted_per_s, 1);
  EXPECT_DOUBLE_EQ(interval->host_wa.value(), 1.25);
  EXPECT_FALSE(interval->device_wa);
  EXPECT_EQ(interval->failed, 3U);
}

TEST(Interval, RatiosOfNothingAreUnknown) {
  const auto interval = interval_between(status_of(before()), status_of(before()), 1);
  ASSERT_TRUE(interval);
  EXPECT_FALSE(interval->hit_ratio);
  EXPECT_FALSE(interval->host_wa);
  const json::object shown = to_object(*interval);
  EXPECT_TRUE(shown.at("hit_ratio").is_null());
  EXPECT_TRUE(shown.at("host_wa").is_null());
  EXPECT_TRUE(shown.at("device_wa").is_null());
}

TEST(Interval, DeviceWaIsOfTheInterval) {
  StoreInfo first = before(), second = before();
  first.device_host_bytes = 1000;
  first.device_media_bytes = 9000;
  second.device_host_bytes = 3000;
  second.device_media_bytes = 11'500;
  EXPECT_DOUBLE_EQ(interval_between(status_of(first), status_of(second), 1)->device_wa.value(),
                   1.25);
  // The device did not tell at the beginning.
  EXPECT_FALSE(interval_between(status_of(before()), status_of(second), 1)->device_wa);
}

TEST(Interval, AStoreOpenedAnewHasNone) {
  StoreInfo after;
  after.stored_objects = 3;
  EXPECT_FALSE(interval_between(status_of(before()), status_of(after), 1));
}

class Watching : public ::testing::Test {
 protected:
  [[nodiscard]] Options options() const {
    Options result{.base_path = (scratch_.path() / "store").native(), .layout = Layout::segment};
    result.max_object_bytes = 64U << 10;
    result.capacity_bytes = 64U << 20;
    return result;
  }
  static void put(Store& store, std::uint64_t n) {
    std::vector<std::byte> bytes(1000);
    const ObjectKey key = test::make_key(n);
    const PutItem item{key.ref(), bytes, {}, {}};
    const auto result = put_and_wait(store, {&item, 1});
    ASSERT_TRUE(result && result->ok());
  }

  RuntimeDirectory runtime_;
  test::TempDir scratch_;
};

TEST_F(Watching, FollowsAStoreThatOpensAndCloses) {
  {
    auto store = open_store(options()).value();
    put(*store, 1);
    ASSERT_TRUE(store->close());
  }
  auto watch = StoreWatch::open(options().base_path, "");
  ASSERT_TRUE(watch) << watch.error().message();
  auto closed = watch->look();
  ASSERT_TRUE(closed);
  EXPECT_FALSE(closed->open);
  ASSERT_TRUE(closed->status) << "what is on disk is told once";
  EXPECT_EQ(closed->status->at("live_objects").to_number<int>(), 1);
  EXPECT_FALSE(watch->look()->status);

  for (int turn = 0; turn < 2; ++turn) {
    auto store = open_store(options()).value();
    const auto opened = watch->look();
    ASSERT_TRUE(opened);
    EXPECT_TRUE(opened->open);
    EXPECT_FALSE(opened->interval) << "nothing is known of the time before";
    for (std::uint64_t n = 2; n < 7; ++n) put(*store, 10 * static_cast<std::uint64_t>(turn) + n);
    const auto busy = watch->look();
    ASSERT_TRUE(busy && busy->interval);
    EXPECT_NEAR(busy->interval->stores_per_s * busy->interval->seconds, 5, 1e-6);
    EXPECT_EQ(busy->status->at("live_objects").to_number<int>(), 1 + 5 * (turn + 1));
    ASSERT_TRUE(store->close());
    const auto gone = watch->look();
    ASSERT_TRUE(gone);
    EXPECT_FALSE(gone->open);
    EXPECT_FALSE(gone->status);
  }
}

TEST_F(Watching, OthersCanAskMeanwhile) {
  auto store = open_store(options()).value();
  auto watch = StoreWatch::open(options().base_path, "");
  ASSERT_TRUE(watch && watch->look());
  for (int i = 0; i < 3; ++i) {
    auto view = StoreView::open(options().base_path, "");
    ASSERT_TRUE(view);
    EXPECT_TRUE(view->status());
    view = fail(Errc::closed, "");  // one is served at a time
    EXPECT_TRUE(watch->look());
  }
}

TEST_F(Watching, WhatIsNoStoreIsRefused) {
  EXPECT_FALSE(StoreWatch::open((scratch_.path() / "missing").native(), ""));
}

TEST(Metrics, EveryNumberOfAStatusIsOneOrIsNoMetric) {
  std::set<std::string> covered{"zero_copy_align_bytes", "memory_bytes_per_object", "device_waf",
                                "open_seconds"};
  for (const MetricInfo& metric : metric_table()) {
    EXPECT_TRUE(covered.insert(std::string(metric.field)).second) << metric.field;
    EXPECT_FALSE(metric.help.empty());
  }
  for (const auto& [name, value] : status_of({})) {
    if (!value.is_number()) continue;
    EXPECT_TRUE(covered.contains(std::string(name))) << std::string(name);
  }
}

TEST(Metrics, TextIsWhatPrometheusReads) {
  StoreInfo info = before();
  info.path = "/mnt/\"k\\v\n";
  info.layout = "segment";
  StoreStatus status{.info = info, .salts = {}, .streams = {}, .segments = {}, .warnings = {}};
  status.streams.push_back({.name = "hot",
                            .lifetime = "short",
                            .handle = 0,
                            .written_bytes = 77,
                            .objects = 1,
                            .bytes = 55,
                            .note = ""});
  const std::string text = to_prometheus(json::parse(to_json(status)).as_object());
  const std::string path = R"(path="/mnt/\"k\\v\n")";
  EXPECT_NE(text.find("# TYPE fdpstore_stored_bytes_total counter\nfdpstore_stored_bytes_total{" +
                      path + "} 1000\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("fdpstore_healthy{" + path + "} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("fdpstore_stream_live_bytes{" + path + ",stream=\"hot\"} 55\n"),
            std::string::npos);
  EXPECT_EQ(text.find("fdpstore_device_media_bytes_total{"), std::string::npos)
      << "what is not known is left out";
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(line.starts_with("# ") || line.starts_with("fdpstore_")) << line;
  }
}

}  // namespace
}  // namespace fdpstore::store
