// A store on a real (emulated) FDP namespace: which reclaim unit handle every byte goes to, and
// that segments and reclaim units stay in step. Runs in the guest of tests/vm; skipped elsewhere.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>

#include "fdpstore/store.hpp"
#include "io/block_device.hpp"
#include "io/nvme_device.hpp"
#include "io/unique_fd.hpp"
#include "support/bytes.hpp"
#include "support/client.hpp"
#include "support/keys.hpp"
#include "support/units.hpp"

namespace fdpstore::test {
namespace {

constexpr std::uint64_t kObject = 1 * kMiB;
constexpr std::uint64_t kRecord = kObject + 4096;  // with its header
constexpr char kFdpSerial[] = "fdp0";

class RawStoreGuest : public ::testing::TestWithParam<WriteMode> {
 protected:
  void SetUp() override {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    if (std::getenv("FDP_GUEST") == nullptr) GTEST_SKIP() << "not in the guest (FDP_GUEST)";
    for (int i = 0; i < 8 && !device_; ++i) {
      character_ = "/dev/ng" + std::to_string(i) + "n1";
      auto file = io::open_file(character_, O_RDWR);
      if (!file) continue;
      auto device = io::NvmeDevice::open(file->get(), character_);
      const auto controller = device ? device->identify_controller() : fail(device.error());
      if (!controller || controller->serial != kFdpSerial) continue;
      file_ = std::move(*file);
      device_.emplace(std::move(*device));
    }
    if (!device_) GTEST_SKIP() << "no namespace with FDP";
    const auto description = io::describe_path(character_);
    ASSERT_TRUE(description && description->device);
    block_ = description->device->block_path;
    if (GetParam() == WriteMode::write_stream &&
        description->device->queue.max_write_streams.value_or(0) == 0) {
      GTEST_SKIP() << "this kernel has no write streams";
    }
    unit_ = device_->describe()->configuration->reclaim_unit_bytes;
    Options fresh = options("tenant");
    const auto formatted = format_device(fresh, true);
    ASSERT_TRUE(formatted) << formatted.error().message();
  }

  [[nodiscard]] Options options(const std::string& policy) const {
    Options out;
    out.layout = Layout::segment;
    out.device_path = GetParam() == WriteMode::uring_cmd ? character_ : block_;
    out.write_mode = GetParam();
    out.placement = Strictness::require;
    out.max_object_bytes = 2 * kMiB;
    out.policy = policy;
    return out;
  }
  void open(const Options& options) {
    close();
    auto opened = open_store(options);
    ASSERT_TRUE(opened) << opened.error().message();
    store_ = std::move(*opened);
    client_ = std::make_unique<Client>(*store_);
  }
  void close() {
    client_.reset();
    if (store_) {
      const auto closed = store_->close();
      EXPECT_TRUE(closed) << closed.error().message();
    }
    store_.reset();
  }
  void TearDown() override { close(); }

  static ObjectKey key_of(std::uint64_t number, const std::string& tenant) {
    ObjectKey key = make_key(number);
    key.cache_salt = tenant + ":x";
    return key;
  }
  KeyStatus put(std::uint64_t number, const std::string& tenant) {
    const ObjectKey key = key_of(number, tenant);
    const Buffer bytes = payload(kObject, number);
    const PutItem item{
        .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
    const auto result = client_->put({&item, 1});
    if (result && result->error) ADD_FAILURE() << result->error->message();
    return result ? result->keys.at(0) : KeyStatus::failed;
  }
  bool get(std::uint64_t number, const std::string& tenant) {
    const ObjectKey key = key_of(number, tenant);
    Buffer bytes(kObject);
    const GetItem item{.key = key.ref(), .buffer = bytes.span()};
    const auto result = client_->get({&item, 1});
    if (!result || result->keys.at(0) != KeyStatus::hit) return false;
    EXPECT_TRUE(matches(bytes.span(), number)) << number;
    return true;
  }
  // Bytes left in the reclaim unit of each placement id.
  std::map<unsigned, std::uint64_t> left() {
    std::map<unsigned, std::uint64_t> out;
    const auto block = device_->identify_namespace()->block_bytes;
    const auto handles = device_->handle_status();
    if (!handles) throw std::runtime_error(handles.error().message());
    for (const io::HandleStatus& handle : *handles) {
      out[handle.pid.value] = handle.available_blocks * block;
    }
    return out;
  }
  std::uint64_t host_written() { return device_->fdp_statistics(1)->host_written_bytes; }

  std::string character_, block_;
  io::UniqueFd file_;
  std::optional<io::NvmeDevice> device_;
  std::uint64_t unit_ = 0;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Client> client_;
};

INSTANTIATE_TEST_SUITE_P(Modes, RawStoreGuest,
                         ::testing::Values(WriteMode::uring_cmd, WriteMode::write_stream),
                         [](const auto& test) { return std::string(to_string(test.param)); });

TEST_P(RawStoreGuest, EachTenantFillsAHandleOfItsOwnByExactlyItsRecords) {
  open(options("tenant"));
  if (unit_ < 10 * kRecord || store_->status().info.capacity_bytes / unit_ < 48) {
    GTEST_SKIP() << "needs reclaim units of 16 MiB, and 48 of them";
  }
  const EffectivePlacement placement = store_->status().info.placement;
  EXPECT_EQ(placement.effective, GetParam());
  EXPECT_TRUE(placement.reaches_device);
  // Segment headers are written with the first object; deletes and state go to the metadata's.
  for (const char* tenant : {"a", "b", "c"}) ASSERT_EQ(put(1, tenant), KeyStatus::stored);
  const auto before = left();
  const std::uint64_t host_before = host_written();
  const std::map<std::string, int> objects{{"a", 3}, {"b", 5}, {"c", 7}};
  for (const auto& [tenant, count] : objects) {
    for (int i = 0; i < count; ++i) {
      ASSERT_EQ(put(100 + static_cast<std::uint64_t>(i), tenant), KeyStatus::stored);
    }
  }
  const auto after = left();
  EXPECT_EQ(host_written() - host_before, 15 * kRecord);
  std::multiset<std::uint64_t> used;
  for (const auto& [pid, bytes] : before) {
    if (bytes != after.at(pid)) used.insert(bytes - after.at(pid));
  }
  EXPECT_EQ(used, (std::multiset<std::uint64_t>{3 * kRecord, 5 * kRecord, 7 * kRecord}));
  for (const auto& [tenant, count] : objects) {
    for (int i = 0; i < count; ++i) EXPECT_TRUE(get(100 + static_cast<std::uint64_t>(i), tenant));
  }
}

TEST_P(RawStoreGuest, DeletesGoToTheMetadataHandleOnly) {
  open(options("separated"));
  for (std::uint64_t i = 0; i < 8; ++i) ASSERT_EQ(put(i, "a"), KeyStatus::stored);
  const auto before = left();
  const ObjectKey key = key_of(3, "a");
  const KeyRef ref = key.ref();
  ASSERT_TRUE(store_->erase({&ref, 1}));
  const auto after = left();
  for (const auto& [pid, bytes] : before) {
    if (pid == 0) {
      EXPECT_GT(bytes, after.at(pid)) << "nothing was written to the metadata handle";
    } else {
      EXPECT_EQ(bytes, after.at(pid)) << "PID " << pid;
    }
  }
}

// Whenever a segment has been filled, its reclaim unit is full as well: over many segments, sizes
// that leave odd tails, reclaim, and a restart in the middle.
TEST_P(RawStoreGuest, SegmentsAndReclaimUnitsStayInStep) {
  open(options("separated"));
  const std::uint64_t segments = store_->status().info.capacity_bytes / unit_;
  std::uint64_t number = 0;
  const auto store_some = [&](std::uint64_t bytes) {
    for (std::uint64_t done = 0; done < bytes; done += kRecord) {
      ASSERT_EQ(put(number++, "a"), KeyStatus::stored) << number;
    }
  };
  store_some(segments * unit_ + unit_ / 2);  // reclaim has been at work
  EXPECT_GT(store_->status().info.reclaimed_objects, 0U);
  const auto before = left();
  close();
  open(options("separated"));
  store_some(3 * unit_);
  const StoreStatus status = store_->status();
  for (const std::string& warning : status.warnings) {
    EXPECT_EQ(warning.find("closed before they were full"), std::string::npos) << warning;
    EXPECT_EQ(warning.find("drift apart"), std::string::npos) << warning;
  }
  // What is left of the unit is what is left of the open segment.
  std::uint64_t open_left = 0;
  for (const SegmentUsage& segment : status.segments) {
    if (segment.state == "open" && segment.stream != "metadata") {
      open_left = segment.allocated_bytes - segment.used_bytes;
    }
  }
  const auto after = left();
  ASSERT_NE(before.at(1), after.at(1));
  EXPECT_EQ(after.at(1), open_left);
  for (std::uint64_t i = number - 20; i < number; ++i) EXPECT_TRUE(get(i, "a")) << i;
}

// Somebody else wrote with our placement id: the next segment starts in a fresh unit all the same.
TEST_P(RawStoreGuest, NextSegmentBeginsInAFreshUnit) {
  open(options("separated"));
  ASSERT_EQ(put(0, "a"), KeyStatus::stored);
  const io::PlacementId pid{1};
  ASSERT_TRUE(device_->update_handles({&pid, 1}));  // as if it were out of step
  std::uint64_t number = 1;
  for (std::uint64_t done = kRecord; done < unit_ + 4 * kRecord; done += kRecord) {
    ASSERT_EQ(put(number++, "a"), KeyStatus::stored);
  }
  bool said = false;
  const StoreStatus status = store_->status();
  for (const std::string& warning : status.warnings) {
    said |= warning.find("closed before they were full") != std::string::npos;
  }
  EXPECT_TRUE(said);
  std::uint64_t open_left = 0;
  for (const SegmentUsage& segment : status.segments) {
    if (segment.state == "open" && segment.stream != "metadata") {
      open_left = segment.allocated_bytes - segment.used_bytes;
    }
  }
  EXPECT_EQ(left().at(1), open_left);
}

class RawStoreOnOldKernel : public RawStoreGuest {};

INSTANTIATE_TEST_SUITE_P(Modes, RawStoreOnOldKernel, ::testing::Values(WriteMode::uring_cmd));

TEST_P(RawStoreOnOldKernel, BlockDeviceWithoutStreamsSaysSo) {
  const auto description = io::describe_path(block_);
  if (description->device->queue.max_write_streams.value_or(0) != 0) {
    GTEST_SKIP() << "this kernel has write streams";
  }
  Options plain = options("separated");
  plain.device_path = block_;
  plain.write_mode = WriteMode::write_stream;
  const auto refused = open_store(plain);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("placement = require cannot be kept"), std::string::npos)
      << refused.error().message();
  EXPECT_NE(refused.error().message().find("6.16"), std::string::npos);
  plain.placement = Strictness::prefer;
  open(plain);
  const EffectivePlacement placement = store_->status().info.placement;
  EXPECT_EQ(placement.effective, WriteMode::plain);
  EXPECT_FALSE(placement.reaches_device);
  EXPECT_EQ(placement.mechanism, "none");
}

}  // namespace
}  // namespace fdpstore::test
