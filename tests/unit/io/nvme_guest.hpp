// A namespace with Flexible Data Placement in the guest (FDP_GUEST=1), as shared/vm/run-guest.sh
// makes it; tests on it are skipped elsewhere.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "io/aligned_buffer.hpp"
#include "io/nvme_device.hpp"
#include "io/ring.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::io {

// Serial numbers of the controllers. Which of them becomes nvme0 differs from boot to boot.
inline constexpr char kFdpSerial[] = "fdp0";
inline constexpr char kPlainSerial[] = "plain1";  // without FDP (run-guest.sh -2)
inline constexpr std::size_t kPage = AlignedBuffer::kAlignBytes;
inline constexpr std::uint16_t kGroup = 1;

// The passthrough device of a controller's first namespace; empty when there is none.
inline std::string find_namespace(std::string_view serial) {
  for (int i = 0; i < 8; ++i) {
    std::string path = "/dev/ng" + std::to_string(i) + "n1";
    const auto file = open_file(path, O_RDWR);
    if (!file) continue;
    const auto device = NvmeDevice::open(file->get(), path);
    const auto controller = device ? device->identify_controller() : fail(device.error());
    if (controller && controller->serial == serial) return path;
  }
  return {};
}

inline iovec span_of(std::span<std::byte> bytes) {
  return {bytes.data(), bytes.size()};
}

class NvmeGuest : public testing::Test {
 protected:
  void SetUp() override {
    // NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
    if (std::getenv("FDP_GUEST") == nullptr) GTEST_SKIP() << "not in the guest (FDP_GUEST)";
    path_ = find_namespace(kFdpSerial);
    if (path_.empty()) GTEST_SKIP() << "no namespace of a controller " << kFdpSerial;
    file_ = must_open(path_);
    auto device = NvmeDevice::open(file_.get(), path_);
    ASSERT_TRUE(device) << device.error().message();
    device_.emplace(std::move(*device));
    auto ring = Ring::open({.depth = 8, .commands = true});
    ASSERT_TRUE(ring) << ring.error().message();
    ring_ = std::move(*ring);
    auto identity = device_->identify_namespace();
    ASSERT_TRUE(identity) << identity.error().message();
    block_ = identity->block_bytes;
    blocks_ = identity->size_blocks;
  }

  static UniqueFd must_open(const std::string& path, int flags = 0) {
    auto file = open_file(path, O_RDWR | flags);
    EXPECT_TRUE(file) << file.error().message();
    return file ? std::move(*file) : UniqueFd();
  }
  static AlignedBuffer pattern(std::size_t size, unsigned seed) {
    auto buffer = AlignedBuffer::make({.size_bytes = size});
    for (std::size_t i = 0; i < size; ++i) {
      buffer->data()[i] = static_cast<std::byte>((seed * 2654435761ULL + i * 40503) >> 8);
    }
    return std::move(*buffer);
  }
  [[nodiscard]] std::uint32_t nsid() const { return device_->nsid(); }
  std::error_code run(Ring& ring, const RingRequest& request) {
    ring.push(request);
    IoCompletion done;
    if (ring.reap({&done, 1}, std::chrono::seconds(20)) == 1) return done.error;
    return std::make_error_code(std::errc::timed_out);
  }
  std::error_code run(const NvmeCommand& command, std::span<const iovec> spans) {
    return run(*ring_,
               {.op = RingOp::command, .fd = file_.get(), .spans = spans, .command = command});
  }
  std::error_code write(std::uint64_t first, std::span<std::byte> bytes,
                        std::optional<PlacementId> pid) {
    const iovec span = span_of(bytes);
    return run(encode_write(nsid(), {first, bytes.size() / block_}, pid), {&span, 1});
  }
  std::error_code read(std::uint64_t first, std::span<std::byte> bytes) {
    const iovec span = span_of(bytes);
    return run(encode_read(nsid(), {first, bytes.size() / block_}), {&span, 1});
  }
  std::vector<HandleStatus> handles() {
    auto all = device_->handle_status();
    EXPECT_TRUE(all) << all.error().message();
    return all ? *all : std::vector<HandleStatus>();
  }
  // Blocks of room that each PID's reclaim unit lost since `before`.
  std::map<unsigned, std::uint64_t> used_since(const std::vector<HandleStatus>& before) {
    std::map<unsigned, std::uint64_t> used;
    const auto after = handles();
    EXPECT_EQ(after.size(), before.size());
    for (std::size_t i = 0; i < std::min(before.size(), after.size()); ++i) {
      EXPECT_EQ(after[i].pid, before[i].pid);
      if (after[i].available_blocks == before[i].available_blocks) continue;
      used[after[i].pid.value] = before[i].available_blocks - after[i].available_blocks;
    }
    return used;
  }
  FdpStatistics statistics() {
    const auto found = device_->fdp_statistics(kGroup);
    EXPECT_TRUE(found) << found.error().message();
    return found ? *found : FdpStatistics();
  }

  std::string path_;  // "/dev/ng0n1" or another
  UniqueFd file_;
  std::optional<NvmeDevice> device_;
  std::unique_ptr<Ring> ring_;
  std::size_t block_ = 0;
  std::uint64_t blocks_ = 0;
};

}  // namespace fdpstore::io
