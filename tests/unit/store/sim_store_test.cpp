// Stores on simulated devices: what the options refuse, and what the device then sees of the store.
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include <string>
#include <vector>

#include "fdpstore/store.hpp"
#include "ftl/sim_device.hpp"
#include "support/bytes.hpp"
#include "support/client.hpp"
#include "support/keys.hpp"

namespace fdpstore::test {
namespace {

Options on(const std::string& uri) {
  Options options;
  options.device_path = uri;
  options.layout = Layout::segment;
  options.max_object_bytes = 1U << 20;
  return options;
}

TEST(SimOptions, WhatDoesNotGoWithASimulatedDeviceIsNamed) {
  const auto expect = [](auto change, const std::string& named) {
    Options options = on("sim:capacity=64M,ru=2M");
    change(options);
    const auto checked = check_options(options);
    ASSERT_FALSE(checked) << named;
    EXPECT_EQ(checked.error().code, Errc::invalid_option);
    EXPECT_NE(checked.error().what.find(named), std::string::npos) << checked.error().what;
    EXPECT_EQ(open_store(options).error().what, checked.error().what);
  };
  expect([](Options& o) { o.device_path = "sim:capacity=1X"; }, "capacity = 1X");
  expect([](Options& o) { o.device_path = "sim:rams=1"; }, "'rams' is no parameter");
  expect([](Options& o) { o.base_path = "/tmp/x", o.capacity_bytes = 32U << 20; }, "base_path");
  expect([](Options& o) { o.use_odirect = true; }, "use_odirect");
  expect([](Options& o) { o.fdp_placement_ids = {1}; }, "placement ids");
  expect([](Options& o) { o.fdp_metadata_ruh_ids = {1}; }, "placement ids");
  expect([](Options& o) { o.write_mode = WriteMode::hint; }, "write_mode = hint");
  expect([](Options& o) { o.write_mode = WriteMode::write_stream; }, "write_mode = write_stream");
  expect([](Options& o) { o.layout = Layout::prompt; }, "layout = prompt");
  const auto formatted = format_device(on("sim:capacity=64M,ru=2M"), true);
  ASSERT_FALSE(formatted);
  EXPECT_NE(formatted.error().what.find("nothing to format"), std::string::npos);
}

TEST(SimOptions, JsonNamesASimulatedDevice) {
  const auto options =
      parse_options(R"({"device_path": "sim:capacity=256M,ru=16M", "max_object_bytes": 1048576})");
  ASSERT_TRUE(options) << options.error().message();
  const auto store = open_store(*options);
  ASSERT_TRUE(store) << store.error().message();
  const auto info = (*store)->status().info;
  EXPECT_EQ(info.placement.mechanism, "simulated FDP");
  EXPECT_TRUE(info.placement.reaches_device);
  EXPECT_EQ(info.capacity_bytes, 256U << 20);
}

class SimStore : public ::testing::Test {
 protected:
  // Objects of about 300 kB, all new, that many times the capacity.
  void churn(const std::string& uri, const std::string& policy, int times) {
    const auto device = ftl::SimDevice::find_or_make(ftl::parse_sim_uri(uri).value()).value();
    Options options = on(uri);
    options.policy = policy;
    options.segment_bytes = 2U << 20;
    const auto store = open_store(options);
    ASSERT_TRUE(store) << store.error().message();
    Client client(**store);
    const Buffer bytes = payload(300'001, 1);
    const auto count = static_cast<std::uint64_t>(times) * device->size_bytes() / bytes.size();
    for (std::uint64_t n = 0; n < count; ++n) {
      const ObjectKey key = make_key(n);
      const PutItem item{
          .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
      const auto stored = client.put({&item, 1});
      ASSERT_TRUE(stored && stored->keys[0] == KeyStatus::stored) << n;
      if (n % 7 == 0) (void)(*store)->erase({&item.key, 1});
    }
    counters_ = device->counters();
    status_ = (*store)->status();
  }
  ftl::FtlCounters counters_;
  StoreStatus status_;
};

TEST_F(SimStore, StatusSaysWhatTheDeviceCountedSinceOpen) {
  churn("sim:capacity=64M,ru=2M,map=4K,name=sim-store-2", "separated", 2);
  ASSERT_TRUE(status_.info.device_host_bytes && status_.info.device_media_bytes);
  EXPECT_NEAR(static_cast<double>(*status_.info.device_host_bytes),
              static_cast<double>(counters_.host_bytes), 64 << 10);
  EXPECT_GE(*status_.info.device_media_bytes + (64 << 10), *status_.info.device_host_bytes);
  const auto report = boost::json::parse(to_json(status_)).as_object();
  EXPECT_NEAR(report.at("device_waf").as_double(), 1.0, 0.01);
  EXPECT_EQ(report.at("device_reason").as_string(), "");
}

TEST_F(SimStore, SegmentsOfAFullDeviceAreNeverCopied) {
  churn("sim:capacity=64M,ru=2M,map=4K,name=sim-store-1", "separated", 8);
  EXPECT_GT(counters_.host_bytes, 8 * (64ULL << 20));
  // Metadata alone may leave a unit here and there.
  EXPECT_LT(counters_.amplification(), 1.005);
  EXPECT_EQ(counters_.handle_bytes[2], 0U) << "one policy stream, one handle";
  EXPECT_GT(counters_.handle_bytes[1], 100 * counters_.handle_bytes[0]);
}

TEST_F(SimStore, DevicesWithoutANameAreNewEachTime) {
  const Options options = on("sim:capacity=64M,ru=2M");
  const ObjectKey key = make_key(1);
  const Buffer bytes = payload(1000, 1);
  const PutItem item{
      .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
  for (int i = 0; i < 2; ++i) {
    const auto store = open_store(options);
    ASSERT_TRUE(store) << store.error().message();
    EXPECT_EQ((*store)->status().info.live_objects, 0U);
    Client client(**store);
    EXPECT_EQ(client.put({&item, 1})->keys[0], KeyStatus::stored);
  }
}

}  // namespace
}  // namespace fdpstore::test
