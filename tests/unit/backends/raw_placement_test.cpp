// How streams are told apart on a device: every wish against every set of facts.
#include "backends/raw_placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace fdpstore::test {
namespace {

using backends::choose_raw_placement;
using backends::DirectiveOptions;
using backends::RawPlacement;
using backends::RawPlacementFacts;
using backends::RawPlacementRequest;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using Ids = std::vector<std::uint16_t>;

std::vector<io::HandleStatus> handles(const Ids& ruhs) {
  std::vector<io::HandleStatus> out;
  out.reserve(ruhs.size());
  for (const std::uint16_t ruh : ruhs) {
    out.push_back({.pid = {static_cast<std::uint16_t>(out.size())}, .handle = ruh});
  }
  return out;
}

// An FDP namespace reached both ways; PID i is RUH ruhs[i].
RawPlacementFacts fdp_facts(const Ids& ruhs = {0, 1, 2, 3}) {
  RawPlacementFacts facts;
  facts.passthrough = true;
  facts.handles = handles(ruhs);
  facts.block = true;
  facts.write_streams = static_cast<std::uint32_t>(facts.handles.size());
  return facts;
}
RawPlacementFacts without_streams(RawPlacementFacts facts) {
  facts.write_streams = 0;
  facts.write_stream_reason = "this kernel has none (Linux 6.16 and later)";
  return facts;
}
RawPlacementFacts without_commands(RawPlacementFacts facts) {
  facts.passthrough = false;
  facts.passthrough_reason = "cannot open /dev/ng0n1";
  return facts;
}
RawPlacementFacts without_fdp() {
  RawPlacementFacts facts = without_streams(fdp_facts({}));
  facts.fdp_reason = "FDP is not enabled on this namespace";
  facts.write_stream_reason = "the kernel sees none on this device (max_write_streams is 0)";
  return facts;
}
RawPlacementFacts file_facts() {
  RawPlacementFacts facts;
  facts.passthrough_reason = "/x is a file, not an NVMe namespace";
  facts.write_stream_reason = "/x is a file";
  return facts;
}

RawPlacementRequest request(WriteMode mode = WriteMode::automatic,
                            Strictness strictness = Strictness::prefer,
                            DirectiveOptions directives = {}) {
  return {.path = "/dev/ng0n1",
          .write_mode = mode,
          .strictness = strictness,
          .directives = std::move(directives)};
}
RawPlacement chosen(const RawPlacementRequest& request, const RawPlacementFacts& facts) {
  auto placement = choose_raw_placement(request, facts);
  EXPECT_TRUE(placement) << placement.error().message();
  return placement ? std::move(*placement) : RawPlacement{};
}
Error refused(const RawPlacementRequest& request, const RawPlacementFacts& facts) {
  auto placement = choose_raw_placement(request, facts);
  EXPECT_FALSE(placement) << "it was accepted";
  return placement ? Error{} : placement.error();
}

TEST(RawPlacement, EveryWishMeetsEverySetOfFacts) {
  struct Row {
    const char* what;
    RawPlacementFacts facts;
    WriteMode automatic, uring_cmd, write_stream;  // what becomes of each wish
  };
  const auto none = WriteMode::plain;
  const Row rows[] = {
      {"both", fdp_facts(), WriteMode::uring_cmd, WriteMode::uring_cmd, WriteMode::write_stream},
      {"commands only", without_streams(fdp_facts()), WriteMode::uring_cmd, WriteMode::uring_cmd,
       none},
      {"streams only", without_commands(fdp_facts()), WriteMode::write_stream, none,
       WriteMode::write_stream},
      {"neither", without_commands(without_streams(fdp_facts())), none, none, none},
      {"no FDP", without_fdp(), none, none, none},
      {"no FDP, no commands", without_commands(without_fdp()), none, none, none},
      {"file", file_facts(), none, none, none},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    const std::pair<WriteMode, WriteMode> wishes[] = {{WriteMode::automatic, row.automatic},
                                                      {WriteMode::uring_cmd, row.uring_cmd},
                                                      {WriteMode::write_stream, row.write_stream},
                                                      {WriteMode::plain, none}};
    for (const auto& [asked, effective] : wishes) {
      SCOPED_TRACE(to_string(asked));
      const RawPlacement got = chosen(request(asked), row.facts);
      EXPECT_EQ(got.effective.asked, asked);
      EXPECT_EQ(got.effective.strictness, Strictness::prefer);
      EXPECT_EQ(got.effective.effective, effective);
      EXPECT_EQ(got.effective.reaches_device, effective != none);
      EXPECT_EQ(got.data.empty(), effective == none);
      EXPECT_EQ(got.metadata.has_value(), effective != none);
      EXPECT_FALSE(got.effective.mechanism.empty());
      EXPECT_FALSE(got.effective.reason.empty());
      // The same with require: kept where it is effective, or where nothing was asked for.
      const auto strict = request(asked, Strictness::require);
      if (effective != none || asked == WriteMode::plain) {
        EXPECT_EQ(chosen(strict, row.facts).effective.effective, effective);
        EXPECT_EQ(chosen(strict, row.facts).effective.strictness, Strictness::require);
      } else {
        const Error error = refused(strict, row.facts);
        EXPECT_EQ(error.code, Errc::unsupported);
        EXPECT_THAT(error.what, AllOf(HasSubstr("placement = require"), HasSubstr("/dev/ng0n1"),
                                      HasSubstr(got.effective.reason)));
      }
    }
    EXPECT_EQ(refused(request(WriteMode::hint), row.facts).code, Errc::invalid_option);
  }
}

TEST(RawPlacement, ReasonSaysWhyEachMechanismIsNotThere) {
  const auto reason = [](WriteMode mode, const RawPlacementFacts& facts) {
    return chosen(request(mode), facts).effective.reason;
  };
  const auto nothing = without_commands(without_streams(fdp_facts()));
  EXPECT_THAT(reason(WriteMode::automatic, nothing),
              AllOf(HasSubstr("cannot open /dev/ng0n1"), HasSubstr("Linux 6.16")));
  EXPECT_THAT(reason(WriteMode::uring_cmd, nothing),
              AllOf(HasSubstr("cannot open /dev/ng0n1"), testing::Not(HasSubstr("6.16"))));
  EXPECT_THAT(reason(WriteMode::write_stream, nothing),
              AllOf(HasSubstr("Linux 6.16"), testing::Not(HasSubstr("cannot open"))));
  EXPECT_THAT(reason(WriteMode::automatic, without_fdp()),
              AllOf(HasSubstr("FDP is not enabled"), HasSubstr("max_write_streams is 0")));
  EXPECT_THAT(reason(WriteMode::plain, fdp_facts()), HasSubstr("write_mode = plain"));
}

TEST(RawPlacement, FirstIdIsTheMetadatasAndTheOthersAreForData) {
  const RawPlacement got = chosen(request(), fdp_facts());
  EXPECT_EQ(got.metadata, std::optional<std::uint16_t>(0));
  EXPECT_THAT(got.data, ElementsAre(1, 2, 3));
  EXPECT_THAT(got.effective.reason, AllOf(HasSubstr("data 1, 2, 3"), HasSubstr("metadata 0")));
}

TEST(RawPlacement, OneIdAloneIsSharedAndSaysSo) {
  const RawPlacement got = chosen(request(), fdp_facts({0}));
  EXPECT_EQ(got.metadata, std::nullopt);
  EXPECT_THAT(got.data, ElementsAre(0));
  EXPECT_THAT(got.effective.reason, HasSubstr("metadata shares it"));
}

TEST(RawPlacement, NamedIdsAreUsedInTheirOrder) {
  const auto with = [](DirectiveOptions directives) {
    return chosen(request(WriteMode::uring_cmd, Strictness::require, std::move(directives)),
                  fdp_facts());
  };
  const RawPlacement data = with({.placement_ids = {3, 1}});
  EXPECT_THAT(data.data, ElementsAre(3, 1));
  EXPECT_EQ(data.metadata, std::optional<std::uint16_t>(0));
  const RawPlacement first = with({.placement_ids = {0, 1}});
  EXPECT_THAT(first.data, ElementsAre(0, 1));
  EXPECT_EQ(first.metadata, std::optional<std::uint16_t>(2)) << "the first that is left";
  const RawPlacement metadata = with({.metadata_placement_ids = {2}});
  EXPECT_THAT(metadata.data, ElementsAre(0, 1, 3));
  EXPECT_EQ(metadata.metadata, std::optional<std::uint16_t>(2));
  const RawPlacement both = with({.placement_ids = {1}, .metadata_placement_ids = {3}});
  EXPECT_THAT(both.data, ElementsAre(1));
  EXPECT_EQ(both.metadata, std::optional<std::uint16_t>(3));
  const RawPlacement several = with({.metadata_placement_ids = {2, 3}});
  EXPECT_EQ(several.metadata, std::optional<std::uint16_t>(2));
  EXPECT_THAT(several.data, ElementsAre(0, 1)) << "what was given to metadata is not data's";
  const RawPlacement all = with({.placement_ids = {0, 1, 2, 3}});
  EXPECT_THAT(all.data, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(all.metadata, std::nullopt);
}

// fdp.ruhs = 2;4-6: PID 0 … 3 are RUH 2, 4, 5, 6.
TEST(RawPlacement, RuhIdentifiersAreTurnedIntoPids) {
  const auto facts = fdp_facts({2, 4, 5, 6});
  const RawPlacement got = chosen(request(WriteMode::uring_cmd, Strictness::require,
                                          {.data_ruh_ids = {6, 4}, .metadata_ruh_ids = {2}}),
                                  facts);
  EXPECT_THAT(got.data, ElementsAre(3, 1));
  EXPECT_EQ(got.metadata, std::optional<std::uint16_t>(0));
  // 2 and 3 are PIDs as well; 4 is none.
  EXPECT_THAT(chosen(request(WriteMode::uring_cmd, {}, {.placement_ids = {2, 3}}), facts).data,
              ElementsAre(2, 3));
  const Error no_pid = refused(request(WriteMode::automatic, {}, {.placement_ids = {4}}), facts);
  EXPECT_EQ(no_pid.code, Errc::invalid_option);
  EXPECT_THAT(no_pid.what, AllOf(HasSubstr("fdp_placement_ids names 4"),
                                 HasSubstr("0 (RUH 2), 1 (RUH 4), 2 (RUH 5), 3 (RUH 6)")));
  const Error no_ruh = refused(request(WriteMode::automatic, {}, {.data_ruh_ids = {3}}), facts);
  EXPECT_THAT(no_ruh.what, HasSubstr("fdp_data_ruh_ids names 3"));
}

TEST(RawPlacement, BadIdsAreRefusedNamingThoseThatExist) {
  struct Row {
    DirectiveOptions directives;
    std::vector<const char*> named;
  };
  const Row rows[] = {
      {{.placement_ids = {1, 9}}, {"fdp_placement_ids names 9", "/dev/ng0n1", "0, 1, 2, 3"}},
      {{.data_ruh_ids = {70}}, {"fdp_data_ruh_ids names 70", "0, 1, 2, 3"}},
      {{.metadata_placement_ids = {4}}, {"meta_checkpoint_placement_id names 4", "0, 1, 2, 3"}},
      {{.metadata_ruh_ids = {65535}}, {"fdp_metadata_ruh_ids names 65535", "0, 1, 2, 3"}},
      {{.placement_ids = {1, 2, 1}}, {"fdp_placement_ids names 1 twice"}},
      {{.data_ruh_ids = {3, 3}}, {"fdp_data_ruh_ids names 3 twice"}},
      {{.metadata_placement_ids = {0, 0}}, {"meta_checkpoint_placement_id names 0 twice"}},
      {{.placement_ids = {1, 2}, .metadata_placement_ids = {2}},
       {"placement id 2", "data and to metadata", "0, 1, 2, 3"}},
      {{.placement_ids = {1, 2}, .metadata_ruh_ids = {0, 1}}, {"placement id 1"}},
      {{.metadata_placement_ids = {0, 1, 2, 3}}, {"no placement id is left for data", "0, 1, 2"}},
  };
  for (const Row& row : rows) {
    for (const WriteMode mode :
         {WriteMode::automatic, WriteMode::uring_cmd, WriteMode::write_stream}) {
      const Error error = refused(request(mode, Strictness::prefer, row.directives), fdp_facts());
      EXPECT_EQ(error.code, Errc::invalid_option);
      for (const char* part : row.named) EXPECT_THAT(error.what, HasSubstr(part));
    }
  }
}

TEST(RawPlacement, OneIdGivenToMetadataLeavesNoneForData) {
  const Error error =
      refused(request(WriteMode::automatic, {}, {.metadata_placement_ids = {0}}), fdp_facts({0}));
  EXPECT_EQ(error.code, Errc::invalid_option);
  EXPECT_THAT(error.what, HasSubstr("no placement id is left for data"));
}

// Stream n is what the kernel turns into the n-th placement handle, from 1.
TEST(RawPlacement, StreamsAreNumberedByTheHandlesPlace) {
  const auto facts = fdp_facts({2, 4, 5, 6});
  const RawPlacement got = chosen(request(WriteMode::write_stream), facts);
  EXPECT_EQ(got.metadata, std::optional<std::uint16_t>(1));
  EXPECT_THAT(got.data, ElementsAre(2, 3, 4));
  EXPECT_THAT(got.effective.reason, AllOf(HasSubstr("data 2, 3, 4"), HasSubstr("metadata 1")));
  const RawPlacement named =
      chosen(request(WriteMode::write_stream, {}, {.data_ruh_ids = {5}}), facts);
  EXPECT_THAT(named.data, ElementsAre(3));
}

TEST(RawPlacement, FewerStreamsThanHandlesBoundTheChoice) {
  auto facts = fdp_facts({0, 1, 2, 3, 4, 5});
  facts.write_streams = 3;
  EXPECT_THAT(chosen(request(WriteMode::write_stream), facts).data, ElementsAre(2, 3));
  const Error beyond = refused(request(WriteMode::write_stream, {}, {.placement_ids = {4}}), facts);
  EXPECT_THAT(beyond.what, AllOf(HasSubstr("names 4"), HasSubstr("0, 1, 2")));
}

// Without the character device nobody can ask for the handles; the kernel's number is what counts.
TEST(RawPlacement, StreamsWorkWhereHandlesCannotBeAskedFor) {
  auto facts = without_commands(fdp_facts({}));
  facts.write_streams = 4;
  const RawPlacement got = chosen(request(WriteMode::automatic, Strictness::require), facts);
  EXPECT_EQ(got.effective.effective, WriteMode::write_stream);
  EXPECT_EQ(got.metadata, std::optional<std::uint16_t>(1));
  EXPECT_THAT(got.data, ElementsAre(2, 3, 4));
  EXPECT_THAT(chosen(request(WriteMode::automatic, {}, {.placement_ids = {0}}), facts).data,
              ElementsAre(1));
  facts.write_streams = 1;
  const RawPlacement one = chosen(request(), facts);
  EXPECT_EQ(one.metadata, std::nullopt);
  EXPECT_THAT(one.data, ElementsAre(1));
}

}  // namespace
}  // namespace fdpstore::test
