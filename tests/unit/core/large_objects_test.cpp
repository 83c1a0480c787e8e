// Objects of several requests: their checksums are computed while the device is at the rest.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "core_test.hpp"

namespace fdpstore::test {
namespace {

using LargeObjects = CoreTest;

// The device is at the payload while its checksum, which the header holds, is computed.
TEST_F(LargeObjects, HeaderIsWrittenLast) {
  options.segment_bytes = 8U << 20;
  options.max_object_bytes = 4U << 20;
  options.capacity_bytes = 65U << 20;
  std::vector<IoRequest> writes;
  config.fault = [&](const IoRequest& request) -> std::error_code {
    const std::size_t bytes = request.spans.empty() ? 0 : request.spans[0].iov_len;
    if (request.op == IoOp::write && request.offset_bytes != 0 && bytes != 0) {
      writes.push_back(request);
    }
    return {};
  };
  const auto payload = make_payload(1, 4U << 20);
  {
    auto store = open();
    writes.clear();
    ASSERT_EQ(put(*store, make_key(1), payload), KeyStatus::stored);
    ASSERT_EQ(writes.size(), 5U);  // of at most 1 MiB each
    for (std::size_t i = 1; i < 4; ++i) {
      EXPECT_EQ(writes[i].offset_bytes, writes[0].offset_bytes + i * (1U << 20));
    }
    EXPECT_EQ(writes[4].offset_bytes, writes[0].offset_bytes - 4096);
    EXPECT_EQ(get(*store, make_key(1), payload.size()), payload);
  }
  EXPECT_EQ(get(*open(), make_key(1), payload.size()), payload);
}

// What has come is checked while the rest is on its way, in whichever order it comes.
TEST_F(LargeObjects, AreCheckedPieceByPiece) {
  options.segment_bytes = 8U << 20;
  options.max_object_bytes = 5U << 20;
  options.capacity_bytes = 65U << 20;
  config.memory_align = 512;  // the last bytes come into memory of their own
  std::uint64_t held = 0;     // the part that comes last
  std::atomic<int> others{0};
  std::atomic<std::size_t> damaged{SIZE_MAX};
  std::vector<std::uint64_t> parts;
  config.hold = [&](const IoRequest& request) {
    if (request.op != IoOp::read || request.offset_bytes != held) return false;
    return others < 4;
  };
  config.late_fault = [&](const IoRequest& request) -> std::error_code {
    if (request.op != IoOp::read || request.spans[0].iov_len < 100) return {};
    parts.push_back(request.offset_bytes);
    ++others;
    if (parts.size() - 1 == damaged) {
      static_cast<std::byte*>(request.spans[0].iov_base)[7] ^= std::byte{1};
    }
    return {};
  };
  const auto payload = make_payload(1, (4U << 20) + 100);
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), payload), KeyStatus::stored);
  const auto load = [&] {
    parts.clear();
    others = 0;
    Buffer out(payload.size());
    const ObjectKey key = make_key(1);
    const GetItem item{key.ref(), out.span()};
    const KeyStatus status = get_and_wait(*store, {&item, 1})->keys[0];
    EXPECT_TRUE(status != KeyStatus::hit || std::ranges::equal(out.span(), payload));
    return status;
  };
  ASSERT_EQ(load(), KeyStatus::hit);
  ASSERT_EQ(parts.size(), 5U);
  for (const std::uint64_t part : std::vector(parts)) {
    held = part;
    EXPECT_EQ(load(), KeyStatus::hit) << part;
    EXPECT_EQ(parts.back(), part);
  }
  held = 0;
  for (std::size_t part = 0; part < 5; ++part) {
    damaged = part;
    EXPECT_EQ(load(), KeyStatus::miss) << part;
    damaged = SIZE_MAX;
    ASSERT_EQ(put(*store, make_key(1), payload), KeyStatus::stored);
  }
}

// Of what lies in memory nothing is read, of the rest only the rest.
TEST_F(LargeObjects, WhatIsInMemoryIsCopiedAndTheRestIsRead) {
  options.segment_bytes = 8U << 20;
  options.max_object_bytes = 5U << 20;
  options.capacity_bytes = 65U << 20;
  std::atomic<std::uint64_t> there{0};  // so much of the payload, which begins the segment
  config.cached = [&](std::uint64_t offset_bytes, std::size_t bytes) {
    const std::uint64_t at = offset_bytes - 2 * 4096;
    return there > at ? std::min<std::size_t>(bytes, there - at) : 0;
  };
  std::uint64_t read_bytes = 0;
  bool fails = false;
  config.fault = [&](const IoRequest& request) -> std::error_code {
    if (request.op != IoOp::read) return {};
    if (fails) return std::make_error_code(std::errc::not_enough_memory);
    for (const iovec& span : request.spans) read_bytes += span.iov_len;
    return {};
  };
  const auto payload = make_payload(1, (4U << 20) + 100);
  const std::uint64_t all = payload.size();
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), payload), KeyStatus::stored);
  for (const std::uint64_t part :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{128U << 10}, std::uint64_t{1U << 20},
        std::uint64_t{(2U << 20) + 77}, all - 1, all}) {
    there = part;
    read_bytes = 0;
    EXPECT_EQ(get(*store, make_key(1), all), payload) << part;
    EXPECT_EQ(read_bytes, all - part) << part;
  }
  const auto status = [&] {
    Buffer out(all);
    const ObjectKey key = make_key(1);
    const GetItem item{key.ref(), out.span()};
    return get_and_wait(*store, {&item, 1})->keys[0];
  };
  there = 2U << 20;
  fails = true;
  EXPECT_EQ(status(), KeyStatus::failed) << "the object is there: memory may be had again";
  fails = false;
  EXPECT_EQ(status(), KeyStatus::hit);
  {
    const std::lock_guard guard(medium->mutex);
    for (auto& [id, bytes] : medium->segments) bytes[2 * 4096 + 1000] ^= std::byte{1};
  }
  EXPECT_EQ(status(), KeyStatus::miss) << "what is copied is verified as well";
}

// The header, which says whose the bytes are, is all there is to check.
TEST_F(LargeObjects, WithoutAChecksumWhatIsInMemoryIsCopiedToo) {
  options.segment_bytes = 8U << 20;
  options.max_object_bytes = 5U << 20;
  options.capacity_bytes = 65U << 20;
  options.checksum = false;
  std::atomic<std::uint64_t> there{0};  // so much of the record, which begins the segment
  config.cached = [&](std::uint64_t offset_bytes, std::size_t bytes) {
    const std::uint64_t at = offset_bytes - 4096;
    return there > at ? std::min<std::size_t>(bytes, there - at) : 0;
  };
  std::uint64_t read_bytes = 0;
  config.fault = [&](const IoRequest& request) -> std::error_code {
    if (request.op != IoOp::read) return {};
    for (const iovec& span : request.spans) read_bytes += span.iov_len;
    return {};
  };
  const auto payload = make_payload(1, (2U << 20) + 100);
  const std::uint64_t all = 4096 + payload.size();
  auto store = open();
  ASSERT_EQ(put(*store, make_key(1), payload), KeyStatus::stored);
  for (const std::uint64_t part :
       {std::uint64_t{0}, std::uint64_t{4095}, std::uint64_t{4096}, std::uint64_t{1U << 20}, all}) {
    there = part;
    read_bytes = 0;
    EXPECT_EQ(get(*store, make_key(1), payload.size()), payload) << part;
    EXPECT_EQ(read_bytes, part < 4096 ? all : all - part) << part;
  }
  {
    const std::lock_guard guard(medium->mutex);
    for (auto& [id, bytes] : medium->segments) bytes[4096 + 20] ^= std::byte{1};
  }
  EXPECT_FALSE(get(*store, make_key(1), payload.size())) << "a header in memory is checked as well";
}

// As above, for many at a time: copied by helpers, read by the engine, each as much as there is.
TEST_F(LargeObjects, ManyArePartlyInMemory) {
  options.segment_bytes = 32U << 20;
  options.max_object_bytes = 2U << 20;
  options.capacity_bytes = 257U << 20;
  config.cached = [](std::uint64_t offset_bytes, std::size_t bytes) {
    return offset_bytes / 4096 % 5 == 0 ? bytes / 2 : bytes;
  };
  constexpr std::uint64_t kObjects = 24;
  auto store = open();
  std::vector<std::vector<std::byte>> payloads;
  std::vector<ObjectKey> keys;
  std::vector<std::unique_ptr<Buffer>> buffers;
  std::vector<GetItem> items;
  for (std::uint64_t n = 0; n < kObjects; ++n) {
    payloads.push_back(make_payload(n, (1U << 20) + n * 40'000));
    keys.push_back(make_key(n));
    ASSERT_EQ(put(*store, keys.back(), payloads.back()), KeyStatus::stored);
    buffers.push_back(std::make_unique<Buffer>(payloads.back().size()));
  }
  for (std::uint64_t n = 0; n < kObjects; ++n) {
    items.push_back({.key = keys[n].ref(), .buffer = buffers[n]->span()});
  }
  for (int round = 0; round < 3; ++round) {
    for (const auto& buffer : buffers) {
      std::memset(buffer->span().data(), 0, buffer->span().size());
    }
    const auto result = get_and_wait(*store, items);
    for (std::uint64_t n = 0; n < kObjects; ++n) {
      EXPECT_EQ(result->keys[n], KeyStatus::hit) << n;
      EXPECT_EQ(std::memcmp(buffers[n]->span().data(), payloads[n].data(), payloads[n].size()), 0)
          << n;
    }
  }
}

}  // namespace
}  // namespace fdpstore::test
