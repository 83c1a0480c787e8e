// Decoding of what a namespace says, from bytes at the places that the NVMe specifications give.
#include "io/nvme_data.hpp"

#include <limits>
#include <string>

#include <gmock/gmock.h>

namespace fdpstore::io {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class Page {
 public:
  explicit Page(std::size_t size = 4096) : bytes_(size) {}
  Page& put(std::size_t at, std::uint64_t value, std::size_t width) {
    for (std::size_t i = 0; i < width; ++i) bytes_[at + i] = static_cast<std::byte>(value >> 8 * i);
    return *this;
  }
  Page& put(std::size_t at, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) bytes_[at + i] = static_cast<std::byte>(text[i]);
    return *this;
  }
  [[nodiscard]] std::span<const std::byte> span() const { return bytes_; }
  [[nodiscard]] std::span<const std::byte> first(std::size_t n) const { return span().first(n); }

 private:
  std::vector<std::byte> bytes_;
};

// A namespace of 1 GiB with two formats, 512 and 4096 bytes; the first is in use.
Page plain_namespace() {
  Page page;
  page.put(0, 2097152, 8).put(8, 2000000, 8);  // NSZE, NCAP
  page.put(25, 1, 1);                          // NLBAF, from 0
  page.put(102, 1, 2);                         // ENDGID
  page.put(128, 9U << 16, 4).put(132, 12U << 16, 4);
  return page;
}

TEST(IdentifyNamespace, FormatInUseIsTold) {
  const auto first = parse_identify_namespace(plain_namespace().span());
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->size_blocks, 2097152U);
  EXPECT_EQ(first->capacity_blocks, 2000000U);
  EXPECT_EQ(first->block_bytes, 512U);
  EXPECT_EQ(first->size_bytes(), 1ULL << 30);
  EXPECT_EQ(first->metadata_bytes, 0U);
  EXPECT_EQ(first->endurance_group, 1U);
  EXPECT_EQ(first->deallocate_blocks, 0U) << "not stated";
  EXPECT_FALSE(first->deallocated_reads);
  EXPECT_EQ(unusable_format(*first), "");
  EXPECT_EQ(parse_identify_namespace(plain_namespace().put(26, 1, 1).span())->block_bytes, 4096U);
}

TEST(IdentifyNamespace, FormatsBeyondTheSixteenthHaveTheirUpperBits) {
  Page page = plain_namespace();
  page.put(25, 17, 1).put(26, 1 | 1U << 5, 1).put(128 + 17 * 4, 12U << 16, 4);
  EXPECT_EQ(parse_identify_namespace(page.span())->block_bytes, 4096U);
  page.put(25, 15, 1).put(132, 13U << 16, 4);  // without more than 16 they are reserved
  EXPECT_EQ(parse_identify_namespace(page.span())->block_bytes, 8192U);
}

TEST(IdentifyNamespace, MetadataAndProtectionAreRefusedByName) {
  Page page = plain_namespace();
  page.put(128, 9U << 16 | 8, 4);
  auto identity = parse_identify_namespace(page.span());
  EXPECT_EQ(identity->metadata_bytes, 8U);
  EXPECT_FALSE(identity->extended_blocks);
  EXPECT_THAT(unusable_format(*identity), HasSubstr("8 bytes of metadata in a separate buffer"));
  page.put(26, 0x10, 1);  // FLBAS: extended
  identity = parse_identify_namespace(page.span());
  EXPECT_TRUE(identity->extended_blocks);
  EXPECT_THAT(unusable_format(*identity), HasSubstr("8 bytes of metadata at its end"));
  page.put(29, 0x0A, 1);  // DPS: type 2, first bytes
  identity = parse_identify_namespace(page.span());
  EXPECT_EQ(identity->protection_type, 2U);
  EXPECT_THAT(unusable_format(*identity), HasSubstr("protection information (type 2)"));
}

TEST(IdentifyNamespace, HintsCountOnlyWhereTheyAreStated) {
  Page page = plain_namespace();
  page.put(64, 7, 2).put(68, 15, 2).put(70, 31, 2);  // NPWG, NPDG, NPDA, from 0
  EXPECT_EQ(parse_identify_namespace(page.span())->preferred_write_blocks, 0U);
  page.put(24, 0x10, 1);  // NSFEAT: they are
  const auto identity = parse_identify_namespace(page.span());
  EXPECT_EQ(identity->preferred_write_blocks, 8U);
  EXPECT_EQ(identity->deallocate_blocks, 16U);
  EXPECT_EQ(identity->deallocate_alignment_blocks, 32U);
  const auto reads = [&](std::uint64_t dlfeat) {
    return parse_identify_namespace(page.put(33, dlfeat, 1).span())->deallocated_reads;
  };
  EXPECT_EQ(reads(0x01), std::byte{0});
  EXPECT_EQ(reads(0x0A), std::byte{0xFF});
  EXPECT_EQ(reads(0x08), std::nullopt);
}

TEST(IdentifyNamespace, NonsenseIsCorrupt) {
  EXPECT_EQ(parse_identify_namespace(Page().span()).error().code, Errc::corrupt);
  EXPECT_EQ(parse_identify_namespace(plain_namespace().put(128, 3U << 16, 4).span()).error().code,
            Errc::corrupt);
  EXPECT_EQ(parse_identify_namespace(plain_namespace().put(128, 99U << 16, 4).span()).error().code,
            Errc::corrupt);
  EXPECT_EQ(parse_identify_namespace(plain_namespace().first(100)).error().code, Errc::corrupt);
}

TEST(IdentifyController, IsRead) {
  Page page;
  page.put(4, "S1234               ").put(24, "Some Drive").put(64, "FW1.0   ");
  page.put(77, 7, 1);                        // MDTS
  page.put(80, 0x00020100, 4);               // version 2.1
  page.put(96, 1U << 19, 4);                 // CTRATT: FDP
  page.put(520, 1U << 2, 2).put(525, 1, 1);  // ONCS: Dataset Management; volatile write cache
  const auto identity = parse_identify_controller(page.span());
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->serial, "S1234");
  EXPECT_EQ(identity->model, "Some Drive");
  EXPECT_EQ(identity->firmware, "FW1.0");
  EXPECT_EQ(identity->max_transfer_bytes, 512U << 10);
  EXPECT_TRUE(identity->deallocate && identity->volatile_write_cache && identity->fdp);
  EXPECT_EQ(identity->nvme_major, 2U);
  EXPECT_EQ(identity->nvme_minor, 1U);
  const auto none = parse_identify_controller(Page().span());
  EXPECT_EQ(none->max_transfer_bytes, 0U);
  EXPECT_FALSE(none->deallocate || none->volatile_write_cache || none->fdp);
  EXPECT_EQ(none->model, "");
  EXPECT_EQ(parse_identify_controller(Page(80).span()).error().code, Errc::corrupt);
}

TEST(IdentifyController, DeallocateLimits) {
  const auto limits =
      parse_deallocate_limits(Page().put(3, 16, 1).put(4, 0x10000, 4).put(8, 1ULL << 40, 8).span());
  ASSERT_TRUE(limits);
  EXPECT_EQ(limits->ranges, 16U);
  EXPECT_EQ(limits->range_blocks, 0x10000U);
  EXPECT_EQ(limits->blocks, 1ULL << 40);
}

TEST(HandleStatusData, ListsEachHandleThatFits) {
  Page page;
  page.put(14, 2, 2);
  page.put(16, 0, 2).put(18, 2, 2).put(20, 60, 4).put(24, 131072, 8);
  page.put(48, 0x2001, 2).put(50, 5, 2).put(56, 7, 8);
  const auto handles = parse_handle_status(page.span());
  ASSERT_TRUE(handles);
  EXPECT_THAT(*handles,
              ElementsAre(HandleStatus{{0}, 2, 60, 131072}, HandleStatus{{0x2001}, 5, 0, 7}));
  page.put(14, 200, 2);
  EXPECT_EQ(parse_handle_status(page.span())->size(), 127U) << "one page";
  EXPECT_TRUE(parse_handle_status(Page().span())->empty());
  EXPECT_EQ(parse_handle_status(Page(8).span()).error().code, Errc::corrupt);
}

TEST(FdpFeature, IsABitAndAnIndex) {
  EXPECT_TRUE(parse_fdp_feature(0x0301).enabled);
  EXPECT_EQ(parse_fdp_feature(0x0301).configuration, 3U);
  EXPECT_EQ(parse_fdp_feature(0x1100).configuration, 0x11U);
  EXPECT_FALSE(parse_fdp_feature(0x0300).enabled);
}

// Two configurations: two RUHs of 64 MiB; one persistently isolated of 6 GiB in 4 groups, with 8
// vendor-specific bytes between them.
Page two_configurations() {
  Page page(512);
  page.put(0, 1, 2).put(4, 168, 4);  // N from 0, size
  page.put(16, 80, 2).put(18, 0x80, 1).put(19, 8, 1).put(20, 1, 4).put(24, 2, 2);
  page.put(32, 64ULL << 20, 8).put(40, 600, 4).put(80, 1, 1).put(84, 1, 1);
  page.put(96, 72, 2).put(98, 0x82, 1).put(100, 4, 4).put(104, 1, 2);
  page.put(112, 6ULL << 30, 8).put(160, 2, 1);
  return page;
}

TEST(FdpConfigurations, AreListed) {
  const auto all = parse_fdp_configurations(two_configurations().span());
  ASSERT_TRUE(all) << all.error().message();
  ASSERT_EQ(all->size(), 2U);
  const FdpConfiguration& first = (*all)[0];
  EXPECT_TRUE(first.valid);
  EXPECT_EQ(first.reclaim_unit_bytes, 64ULL << 20);
  EXPECT_EQ(first.reclaim_groups, 1U);
  EXPECT_EQ(first.time_limit_s, 600U);
  EXPECT_THAT(first.handles, ElementsAre(Isolation::initial, Isolation::initial));
  EXPECT_EQ(first.placement_handle({0xABCD}), 0xABCDU);
  const FdpConfiguration& second = (*all)[1];
  EXPECT_EQ(second.index, 1U);
  EXPECT_EQ(second.reclaim_unit_bytes, 6ULL << 30);
  EXPECT_EQ(second.reclaim_groups, 4U);
  EXPECT_EQ(second.group_id_bits, 2U);
  EXPECT_THAT(second.handles, ElementsAre(Isolation::persistent));
  EXPECT_EQ(second.placement_handle({0xC005}), 5U) << "group 3, handle 5";
  EXPECT_EQ(to_string(second.handles[0]), "persistently isolated");
}

TEST(FdpConfigurations, DamagedLogsAreCorrupt) {
  const Page good = two_configurations();
  EXPECT_EQ(parse_fdp_configurations(good.first(8)).error().code, Errc::corrupt);
  EXPECT_EQ(parse_fdp_configurations(good.first(100)).error().code, Errc::corrupt);
  EXPECT_EQ(parse_fdp_configurations(good.first(160)).error().code, Errc::corrupt);
  EXPECT_EQ(parse_fdp_configurations(two_configurations().put(16, 0, 2).span()).error().code,
            Errc::corrupt)
      << "an entry of no size would be read for ever";
  EXPECT_EQ(parse_fdp_configurations(two_configurations().put(16, 71, 2).span()).error().code,
            Errc::corrupt);
  EXPECT_EQ(parse_fdp_configurations(two_configurations().put(0, 0xFFFF, 2).span()).error().code,
            Errc::corrupt);
}

TEST(FdpStatistics, AreBytesThatStayAtTheLargest) {
  Page page(64);
  page.put(0, 123456789, 8).put(16, 223456789, 8).put(32, 5, 8).put(40, 1, 8);
  const auto statistics = parse_fdp_statistics(page.span(), 3);
  ASSERT_TRUE(statistics);
  EXPECT_EQ(statistics->endurance_group, 3U);
  EXPECT_EQ(statistics->host_written_bytes, 123456789U);
  EXPECT_EQ(statistics->media_written_bytes, 223456789U);
  EXPECT_EQ(statistics->media_erased_bytes, std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_fdp_statistics(page.first(63), 3).error().code, Errc::corrupt);
}

TEST(FdpEvents, SayWhatTheyKnow) {
  Page page;
  page.put(0, 2, 4);
  page.put(64, 0x00, 1).put(65, 7, 1).put(66, 3, 2);       // not fully written; all valid; PID 3
  page.put(68, 1700000000123, 6).put(74, 2, 1);            // host's clock
  page.put(76, 1, 4).put(96, 2, 2).put(98, 5, 1);          // NSID, reclaim group, RUH
  page.put(128, 0x81, 1).put(130, 9, 2).put(132, 777, 6);  // nothing valid
  const auto events = parse_fdp_events(page.span());
  ASSERT_TRUE(events) << events.error().message();
  EXPECT_THAT(*events, ElementsAre(FdpEvent{.type = FdpEventType::unit_not_fully_written,
                                            .pid = PlacementId{3},
                                            .nsid = 1,
                                            .reclaim_group = 2,
                                            .handle = 5,
                                            .timestamp_ms = 1700000000123,
                                            .host_clock = true},
                                   FdpEvent{.type = FdpEventType::handle_implicitly_modified,
                                            .pid = {},
                                            .nsid = {},
                                            .reclaim_group = {},
                                            .handle = {},
                                            .timestamp_ms = 777}));
  EXPECT_EQ(to_string((*events)[0].type), "reclaim unit not fully written");
  const auto unknown =
      static_cast<FdpEventType>(0x42);  // NOLINT: a later specification may have it
  EXPECT_EQ(to_string(unknown), "FDP event 0x42");
  EXPECT_TRUE(parse_fdp_events(Page().span())->empty());
  EXPECT_EQ(parse_fdp_events(page.put(0, 64, 4).span()).error().code, Errc::corrupt)
      << "more than a page holds";
}

}  // namespace
}  // namespace fdpstore::io
