// Start-up: what is read of summaries, and what counts as their damage.
#include <atomic>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "core_test.hpp"
#include "format/codec.hpp"

namespace fdpstore::test {
namespace {

class Start : public CoreTest {
 protected:
  static ObjectKey key(std::uint64_t n) { return make_key(n, std::string(150, 'm')); }

  void fill(std::uint64_t objects, std::size_t bytes, bool killed = false) {
    auto store = open();
    for (std::uint64_t n = 0; n < objects; ++n) {
      ASSERT_EQ(put(*store, key(n), make_payload(n, bytes)), KeyStatus::stored) << n;
    }
    const auto at_kill = medium->snapshot();
    ASSERT_TRUE(store->close());
    if (killed) medium = at_kill;
  }
  // Where they are, in segments that are full, and how long.
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> summaries() {
    std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> found;
    for (const auto& [id, bytes] : medium->segments) {
      format::SegmentFooter footer;
      std::memcpy(&footer, &bytes[bytes.size() - format::kBlockBytes], sizeof(footer));
      if (footer.magic != format::kFooterMagic) continue;
      format::RecordHeader summary;
      std::memcpy(&summary, &bytes[footer.last_summary], sizeof(summary));
      found[{id, footer.last_summary}] = format::record_bytes(summary.payload_bytes);
    }
    return found;
  }
  // Of each all entries but the first; with `footers` the footer of every second segment, too.
  std::size_t tear_summaries(bool footers) {
    const auto all = summaries();
    bool footer = false;
    for (const auto& [place, bytes] : all) {
      std::vector<std::byte>& segment = medium->segments.at(place.first);
      constexpr std::size_t kLeft = format::kBlockBytes + 64;
      std::memset(&segment[place.second + kLeft], 0, bytes - kLeft);
      if (footer && footers) std::memset(&segment[segment.size() - format::kBlockBytes], 0, 64);
      footer = !footer;
    }
    return all.size();
  }
  void expect_all(std::uint64_t objects, std::size_t bytes) {
    auto store = open();
    for (std::uint64_t n = 0; n < objects; ++n) {
      ASSERT_EQ(get(*store, key(n), bytes), make_payload(n, bytes)) << n;
    }
  }
  std::vector<std::string> findings() {
    const auto report =
        core::check_segments(options, std::make_unique<MemBackend>(medium, config),
                             policy_factory(), false, [](std::uint64_t, std::uint64_t) {});
    std::vector<std::string> found;
    if (!report) return {report.error().message()};
    for (const CheckFinding& one : report->findings) found.push_back(one.where + ": " + one.what);
    return found;
  }
};

TEST_F(Start, ReadsSummariesLongerThanItsFirstReadOfThem) {
  fill(800, 4000);  // 127 in a segment, of 250 bytes each in its summary
  EXPECT_EQ(findings(), std::vector<std::string>{});
  std::atomic<std::uint64_t> reads = 0;
  config.fault = [&reads](const IoRequest& request) {
    reads += request.op == IoOp::read ? 1 : 0;
    return std::error_code();
  };
  const auto store = open();
  EXPECT_EQ(store->status().info.live_objects, 800U);
  // Header, footer and summary of each segment, and the metadata log; walking would take hundreds.
  EXPECT_LT(reads, 60U);
  ASSERT_TRUE(store->close());
  expect_all(800, 4000);
}

// A drive full of them would take minutes one after the other.
TEST_F(Start, ReadsSummariesOfManySegmentsSideBySide) {
  fill(100, 60'000);
  const auto all = summaries();
  ASSERT_GE(all.size(), 6U);
  std::set<std::uint32_t> under_way;  // segments whose summary is being read
  int asked = 0;
  config.hold = [&](const IoRequest& request) {
    if (!all.contains({request.segment.value, request.offset_bytes})) return false;
    under_way.insert(request.segment.value);
    return under_way.size() < all.size() && ++asked < 10'000;
  };
  const auto store = open();
  EXPECT_EQ(store->status().info.live_objects, 100U);
  EXPECT_LT(asked, 10'000) << "only " << under_way.size();
}

// An open segment as large as a drive's reclaim unit would take seconds one after the other.
TEST_F(Start, ReadsRecordHeadersOfOneSizeSideBySide) {
  constexpr std::size_t kBytes = 200'000, kRecord = format::record_bytes(kBytes);
  options.segment_bytes = 16U << 20;
  options.capacity_bytes = 129U << 20;
  fill(60, kBytes, true);
  std::set<std::uint64_t> under_way;
  int asked = 0;
  config.hold = [&](const IoRequest& request) {
    const bool header = request.op == IoOp::read && request.spans[0].iov_len == 4096 &&
                        request.offset_bytes > 3 * kRecord &&
                        request.offset_bytes % kRecord == format::kBlockBytes;
    if (!header) return false;
    under_way.insert(request.offset_bytes);
    return under_way.size() < 16 && ++asked < 10'000;
  };
  expect_all(60, kBytes);
  EXPECT_LT(asked, 10'000) << "only " << under_way.size();
}

TEST_F(Start, WhatCannotBeReadBehindASummaryIsNoDamageToIt) {
  fill(100, 60'000);
  const auto all = summaries();
  std::atomic<std::size_t> failed = 0;
  config.fault = [&](const IoRequest& request) {
    const auto summary = all.find({request.segment.value, request.offset_bytes});
    if (summary == all.end() || request.spans[0].iov_len <= summary->second) {
      return std::error_code();
    }
    ++failed;
    return std::make_error_code(std::errc::io_error);
  };
  EXPECT_EQ(findings(), std::vector<std::string>{});
  EXPECT_GE(failed, all.size());
  expect_all(100, 60'000);
}

TEST_F(Start, ASummaryThatCannotBeReadIsToldOfAndItsObjectsAreFoundWithoutIt) {
  fill(100, 60'000);
  const auto all = summaries();
  config.fault = [&](const IoRequest& request) {
    return all.contains({request.segment.value, request.offset_bytes})
               ? std::make_error_code(std::errc::io_error)
               : std::error_code();
  };
  const auto found = findings();
  EXPECT_GE(found.size(), all.size());
  for (const std::string& one : found) {
    EXPECT_NE(one.find("summary cannot be read"), std::string::npos) << one;
  }
  expect_all(100, 60'000);
}

TEST_F(Start, AnObjectThatCannotBeReadIsToldOf) {
  constexpr std::size_t kBytes = 200'000;
  fill(5, kBytes, true);  // all in one segment, which is open
  config.fault = [](const IoRequest& request) {
    constexpr std::uint64_t kSecond = format::kBlockBytes + format::record_bytes(kBytes);
    const bool payload = request.offset_bytes == kSecond + format::kBlockBytes;
    return request.op == IoOp::read && payload ? std::make_error_code(std::errc::io_error)
                                               : std::error_code();
  };
  const auto found = findings();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_NE(found[0].find("object: cannot be read"), std::string::npos) << found[0];
}

// The footer is written at the same time.
TEST_F(Start, ASummaryThatTheEndOfTheProcessToreIsNoDamage) {
  fill(100, 60'000, true);
  ASSERT_GE(tear_summaries(true), 6U);
  EXPECT_EQ(findings(), std::vector<std::string>{});
  expect_all(100, 60'000);
}

// Each of these segments has one block left.
TEST_F(Start, ATornSummaryIsWrittenAgainInItsPlace) {
  constexpr std::size_t kBytes = 9 * format::kBlockBytes;
  fill(26, kBytes, true);
  ASSERT_EQ(tear_summaries(false), 1U);
  expect_all(26, kBytes);
  EXPECT_EQ(medium->freed, 0U) << "its objects were written elsewhere";
  EXPECT_EQ(findings(), std::vector<std::string>{});
  expect_all(26, kBytes);
}

// Else what follows the footer would be taken for damage, or not be found.
TEST_F(Start, ASegmentThatHasAFooterIsNotContinued) {
  fill(16, 60'000, true);
  ASSERT_EQ(tear_summaries(false), 1U);
  // The process ended before the next one's header was written.
  const std::uint32_t sealed = summaries().begin()->first.first;
  for (auto& [id, bytes] : medium->segments) {
    format::SegmentHeader header;
    std::memcpy(&header, bytes.data(), sizeof(header));
    const bool data = header.kind == static_cast<std::uint16_t>(format::SegmentKind::data);
    if (data && id != sealed) std::memset(bytes.data(), 0, format::kBlockBytes);
  }
  {
    auto store = open();
    ASSERT_EQ(put(*store, key(1000), make_payload(1000, 100)), KeyStatus::stored);
    ASSERT_TRUE(store->close());
  }
  EXPECT_EQ(findings(), std::vector<std::string>{});
  auto store = open();
  EXPECT_EQ(get(*store, key(1000), 100), make_payload(1000, 100));
  for (std::uint64_t n = 0; n < 15; ++n) {
    EXPECT_EQ(get(*store, key(n), 60'000), make_payload(n, 60'000)) << n;
  }
}

TEST_F(Start, AfterACleanCloseItIs) {
  fill(100, 60'000);
  const std::size_t torn = tear_summaries(false);
  const auto found = findings();
  EXPECT_EQ(found.size(), torn);
  for (const std::string& one : found) {
    EXPECT_NE(one.find("summary: its entries are damaged"), std::string::npos) << one;
  }
  expect_all(100, 60'000);
  EXPECT_EQ(findings(), std::vector<std::string>{});
  expect_all(100, 60'000);
}

}  // namespace
}  // namespace fdpstore::test
