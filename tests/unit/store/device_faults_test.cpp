// What a device answers when something is wrong, as no emulation does on demand: NVMe statuses,
// errnos, a part of a transfer. Each fails its own store, says what it was, and leaks nothing.
#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include <fmt/format.h>

#include "io/nvme_status.hpp"
#include "unit/core/core_test.hpp"

namespace fdpstore::test {
namespace {

constexpr std::size_t kObjectBytes = 150'000;

struct Fault {
  std::error_code code;
  const char* named;  // in the task's error
};
const std::vector<Fault>& faults() {
  static const std::vector<Fault> all{
      {io::make_error_code(io::NvmeStatus::write_fault), "NVMe"},
      {io::make_error_code(io::NvmeStatus::lba_out_of_range), "NVMe"},
      {io::make_error_code(io::NvmeStatus::capacity_exceeded), "NVMe"},
      {io::make_error_code(io::NvmeStatus::invalid_field), "NVMe"},
      {io::make_error_code(io::NvmeStatus::fdp_disabled), "FDP"},
      {std::make_error_code(std::errc::io_error), "Input/output error"},
      {std::make_error_code(std::errc::no_such_device), "No such device"},
      {std::make_error_code(std::errc::message_size), "Message too long"},  // a short transfer
  };
  return all;
}

class DeviceFaults : public CoreTest {
 protected:
  DeviceFaults() {
    options.capacity_bytes = 17U << 20;
    config.must_fill = true;
    config.max_transfer = 64U << 10;  // three commands for an object
    config.fault = [this](const IoRequest& request) { return answer(request, IoOp::write); };
  }
  // The n-th request of a kind from now on gets this answer.
  void fail_write(int nth, std::error_code code) {
    const std::lock_guard guard(mutex_);
    code_ = code;
    countdown_ = nth;
  }
  std::error_code answer(const IoRequest& request, IoOp op) {
    const std::lock_guard guard(mutex_);
    if (request.op != op || countdown_ == 0) return {};
    --countdown_;
    return countdown_ == 0 ? code_ : std::error_code{};
  }
  static TaskResult put_task(Store& store, const ObjectKey& key, std::span<const std::byte> bytes) {
    const PutItem item{key.ref(), bytes, std::nullopt, {}};
    return *put_and_wait(store, {&item, 1});
  }
  // Every segment of the medium can be used: three times the capacity goes through.
  void expect_no_leak(Store& store) {
    for (std::uint64_t n = 10'000; n < 10'340; ++n) {
      ASSERT_EQ(put(store, make_key(n), make_payload(n, kObjectBytes)), KeyStatus::stored) << n;
    }
    const StoreStatus status = store.status();
    EXPECT_GT(status.info.live_bytes, options.capacity_bytes / 3);
    EXPECT_TRUE(status.info.healthy) << status.info.unhealthy_reason;
    EXPECT_LE(medium->allocated(), options.capacity_bytes);
  }

 private:
  std::mutex mutex_;
  std::error_code code_;
  int countdown_ = 0;
};

TEST_F(DeviceFaults, FailedWriteFailsItsStoreAloneWhateverThePart) {
  for (const Fault& fault : faults()) {
    for (int part = 1; part <= 3; ++part) {
      SCOPED_TRACE(fmt::format("{}, part {}", fault.code.message(), part));
      medium = std::make_shared<MemMedium>();
      auto store = open();
      ASSERT_EQ(put(*store, make_key(1), make_payload(1, kObjectBytes)), KeyStatus::stored);
      fail_write(part, fault.code);
      const auto payload = make_payload(2, kObjectBytes);
      const TaskResult failed = put_task(*store, make_key(2), payload);
      ASSERT_EQ(failed.keys[0], KeyStatus::failed);
      ASSERT_TRUE(failed.error.has_value());
      EXPECT_EQ(failed.error->code, fault.code);
      EXPECT_NE(failed.error->message().find(fault.named), std::string::npos)
          << failed.error->message();
      EXPECT_NE(failed.error->message().find(fault.code.message()), std::string::npos)
          << failed.error->message();
      EXPECT_EQ(store->status().info.failed_puts, 1U);
      EXPECT_EQ(store->status().info.live_objects, 1U);
      EXPECT_EQ(get(*store, make_key(1), kObjectBytes), make_payload(1, kObjectBytes));
      EXPECT_FALSE(present(*store, make_key(2)));
      ASSERT_EQ(put(*store, make_key(2), payload), KeyStatus::stored);
      EXPECT_EQ(get(*store, make_key(2), kObjectBytes), payload);
      auto after_crash = open(medium->snapshot());
      EXPECT_EQ(get(*after_crash, make_key(1), kObjectBytes), make_payload(1, kObjectBytes));
      EXPECT_EQ(get(*after_crash, make_key(2), kObjectBytes), payload);
    }
  }
}

TEST_F(DeviceFaults, ManyFailuresLeakNothing) {
  auto store = open();
  std::uint64_t failures = 0;
  for (std::uint64_t n = 0; n < 200; ++n) {
    if (n % 2 == 1) fail_write(1 + static_cast<int>(n % 3), faults()[n % faults().size()].code);
    failures +=
        put(*store, make_key(n), make_payload(n, kObjectBytes)) == KeyStatus::failed ? 1 : 0;
  }
  fail_write(0, {});
  EXPECT_GT(failures, 50U);
  EXPECT_EQ(store->status().info.failed_puts, failures);
  expect_no_leak(*store);
}

TEST_F(DeviceFaults, OtherStoresOfTheTaskArrive) {
  auto store = open();
  std::vector<ObjectKey> keys;
  std::vector<std::vector<std::byte>> payloads;
  std::vector<PutItem> items;
  items.reserve(12);
  for (std::uint64_t n = 0; n < 12; ++n) {
    keys.push_back(make_key(n));
    payloads.push_back(make_payload(n, 200'000));
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    items.push_back({keys[i].ref(), payloads[i], std::nullopt, {}});
  }
  fail_write(20, io::make_error_code(io::NvmeStatus::write_fault));
  const TaskResult result = *put_and_wait(*store, items);
  ASSERT_TRUE(result.error.has_value());
  EXPECT_EQ(result.error->code, io::NvmeStatus::write_fault);
  const auto failed = std::ranges::count(result.keys, KeyStatus::failed);
  EXPECT_GE(failed, 1);
  EXPECT_LT(failed, 12) << "only the batch with the failed command is lost";
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const bool stored = result.keys[i] == KeyStatus::stored;
    EXPECT_EQ(present(*store, keys[i]), stored) << i;
    if (stored) {
      EXPECT_EQ(get(*store, keys[i], 200'000), payloads[i]) << i;
    }
  }
}

TEST_F(DeviceFaults, FailedReadFailsItsLoadAndSaysWhy) {
  config.fault = [this](const IoRequest& request) { return answer(request, IoOp::read); };
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), make_payload(1, kObjectBytes)), KeyStatus::stored);
  std::vector<std::byte> out(kObjectBytes);
  const ObjectKey key = make_key(1);
  const GetItem item{key.ref(), out};
  for (int part = 1; part <= 3; ++part) {
    fail_write(part, io::make_error_code(io::NvmeStatus::unrecovered_read_error));
    const TaskResult result = *get_and_wait(*store, {&item, 1});
    ASSERT_NE(result.keys[0], KeyStatus::hit) << part;
    if (result.keys[0] == KeyStatus::failed) {
      ASSERT_TRUE(result.error.has_value());
      EXPECT_EQ(result.error->code, io::NvmeStatus::unrecovered_read_error);
      EXPECT_NE(result.error->message().find("NVMe"), std::string::npos);
    }
    EXPECT_GE(store->status().info.failed_gets + store->status().info.damaged_objects, 1U);
  }
}

TEST_F(DeviceFaults, RefusedDeallocationIsNoHarm) {
  config.fault = [](const IoRequest& request) {
    return request.op == IoOp::free ? io::make_error_code(io::NvmeStatus::invalid_opcode)
                                    : std::error_code{};
  };
  auto store = open();
  expect_no_leak(*store);
}

// A device that went away.
TEST_F(DeviceFaults, GoneDeviceFailsTheStoreWithItsReasonAndTheClose) {
  std::atomic<bool> gone{false};
  config.fault = [&](const IoRequest&) {
    return gone ? std::make_error_code(std::errc::no_such_device) : std::error_code{};
  };
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), make_payload(1, kObjectBytes)), KeyStatus::stored);
  gone = true;
  const auto payload = make_payload(2, kObjectBytes);
  const TaskResult result = put_task(*store, make_key(2), payload);
  ASSERT_EQ(result.keys[0], KeyStatus::failed);
  ASSERT_TRUE(result.error.has_value());
  EXPECT_EQ(result.error->code, std::errc::no_such_device) << result.error->message();
  EXPECT_EQ(get(*store, make_key(1), kObjectBytes), std::nullopt);
  const auto closed = store->close();
  ASSERT_FALSE(closed);
  EXPECT_NE(closed.error().message().find("memory"), std::string::npos);
}

}  // namespace
}  // namespace fdpstore::test
