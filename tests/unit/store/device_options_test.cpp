// Options of devices, and the names that LMCache's raw_block has for them.
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "fdpstore/options.hpp"
#include "unit/store/option_errors.hpp"

namespace fdpstore {
namespace {

std::string on_device(std::string_view rest) {
  return fmt::format(R"({{"device_path": "/dev/ng0n1"{}{}}})", rest.empty() ? "" : ", ", rest);
}

TEST(DeviceOptions, DevicePathAloneGivesLayoutSegmentOverAllOfIt) {
  const auto parsed = parse_options(on_device(""));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->device_path, "/dev/ng0n1");
  EXPECT_EQ(parsed->layout, Layout::segment);
  EXPECT_EQ(parsed->capacity_bytes, 0U);
  EXPECT_EQ(parsed->write_mode, WriteMode::automatic);
}

TEST(DeviceOptions, ListsOfIdsAreListsRangesOrOneNumber) {
  const std::pair<const char*, std::vector<std::uint32_t>> lists[] = {
      {"[0, 1]", {0, 1}},
      {R"("0-2,5")", {0, 1, 2, 5}},
      {"3", {3}},
      {R"("3")", {3}},
      {R"(" 7 , 1-2")", {7, 1, 2}},
      {"[]", {}},
      {R"("")", {}},
      {R"("5-5")", {5}},
      {"[65535]", {65535}},
      {"[2, 2]", {2, 2}},  // twice: the device's handles are checked later
  };
  for (const auto& [text, ids] : lists) {
    const auto parsed = parse_options(on_device(fmt::format(R"("fdp_placement_ids": {})", text)));
    ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
    EXPECT_EQ(parsed->fdp_placement_ids, ids) << text;
  }
}

TEST(DeviceOptions, ValuesArriveInTheirMembers) {
  const auto parsed = parse_options(on_device(
      R"("base_offset_bytes": "1MiB", "max_data_transfer_size": 65536, "fdp_ruh_ids": "4,6",
         "fdp_metadata_ruh_ids": [2, 5], "iouring_queue_depth": 9)"));
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->base_offset_bytes, 1U << 20);
  EXPECT_EQ(parsed->max_transfer_bytes, 65536U);
  EXPECT_EQ(parsed->fdp_data_ruh_ids, (std::vector<std::uint32_t>{4, 6}));
  EXPECT_EQ(parsed->fdp_metadata_ruh_ids, (std::vector<std::uint32_t>{2, 5}));
  EXPECT_EQ(parsed->queue_depth, 9U);
}

TEST(DeviceOptions, WithoutADeviceTheyAreRefusedByName) {
  const std::pair<const char*, const char*> given[] = {
      {"base_offset_bytes", "4096"},   {"max_transfer_bytes", "4096"},
      {"fdp_placement_ids", "[1]"},    {"fdp_data_ruh_ids", "[1]"},
      {"fdp_metadata_ruh_ids", "[1]"}, {"meta_checkpoint_placement_id", "1"},
  };
  for (const auto& [name, value] : given) {
    const std::string message =
        error_of(fmt::format(R"({{"base_path": "/d", "{}": {}}})", name, value));
    EXPECT_NE(message.find(name), std::string::npos) << message;
    EXPECT_NE(message.find("give device_path"), std::string::npos) << message;
  }
}

struct RawBlockName {
  const char* json;     // as LMCache's raw_block or the earlier names have it
  const char* changed;  // the same in our own
};

TEST(RawBlockNames, HaveTheEffectOfOurOwn) {
  const RawBlockName all[] = {
      {R"("use_uring_cmd": true)", R"("write_mode": "uring_cmd")"},
      {R"("use_uring_cmd": "true")", R"("write_mode": "uring_cmd")"},  // from a command line
      {R"("use_uring_cmd": false)", ""},
      {R"("fdp_enabled": true)", R"("placement": "require")"},
      {R"("fdp_enabled": false)", R"("write_mode": "plain")"},
      {R"("use_fdp": true)", R"("placement": "require")"},
      {R"("use_fdp": false)", R"("write_mode": "plain")"},
      {R"("fdp_directive_type": 2)", ""},
      {R"("fdp_data_placement_policy": "cache_salt_prefix")", R"("policy": "tenant")"},
      {R"("fdp_data_placement_policy": "none")", R"("policy": "separated")"},
      {R"("io_engine": "io_uring")", ""},
      {R"("block_align": 4096)", ""},
      {R"("header_bytes": 4096)", ""},
      {R"("enable_zero_copy": true)", ""},
      {R"("load_checkpoint_on_init": true)", ""},
      {R"("meta_verify_on_load": true)", ""},
      {R"("use_uring_cmd": null, "block_align": null, "meta_magic": null)", ""},
      // Commands without directives are what raw_block does there.
      {R"("use_uring_cmd": true, "fdp_enabled": false)", R"("write_mode": "plain")"},
      {R"("fdp_enabled": false, "use_uring_cmd": true)", R"("write_mode": "plain")"},
      {R"("use_uring_cmd": true, "fdp_enabled": true, "fdp_placement_ids": [1, 2],
          "meta_checkpoint_placement_id": 3, "slot_bytes": "8MiB", "iouring_queue_depth": 32,
          "max_data_transfer_size": 131072, "io_engine": "io_uring",
          "fdp_data_placement_policy": "cache_salt_prefix")",
       R"("write_mode": "uring_cmd", "placement": "require", "fdp_placement_ids": "1-2",
          "meta_checkpoint_placement_id": [3], "max_object_bytes": "8MiB", "queue_depth": 32,
          "max_transfer_bytes": 131072, "policy": "tenant")"},
  };
  for (const RawBlockName& one : all) {
    const auto theirs = parse_options(on_device(one.json));
    ASSERT_TRUE(theirs) << one.json << ": " << theirs.error().message();
    const auto ours = parse_options(on_device(one.changed));
    ASSERT_TRUE(ours) << one.changed << ": " << ours.error().message();
    EXPECT_EQ(to_json(*theirs), to_json(*ours)) << one.json;
  }
}

TEST(RawBlockNames, OtherValuesAreRefusedNamingThePossibleOnes) {
  const std::pair<const char*, const char*> all[] = {
      {R"("use_uring_cmd": 1)", "true or false"},
      {R"("fdp_enabled": "maybe")", "true or false"},
      {R"("use_fdp": 0)", "true or false"},
      {R"("fdp_directive_type": 1)", "only 2"},
      {R"("fdp_directive_type": 0)", "only 2"},
      {R"("fdp_data_placement_policy": "random")", "cache_salt_prefix or none"},
      {R"("io_engine": "posix")", "only io_uring"},
      {R"("block_align": 512)", "only 4096"},
      {R"("header_bytes": 8192)", "only 4096"},
      {R"("enable_zero_copy": false)", "only true"},
      {R"("load_checkpoint_on_init": false)", "only true"},
      {R"("meta_verify_on_load": false)", "only true"},
  };
  for (const auto& [json, possible] : all) {
    const std::string message = error_of(on_device(json));
    const std::string name = std::string(json).substr(1, std::string(json).find('"', 1) - 1);
    EXPECT_NE(message.find(name), std::string::npos) << message;
    EXPECT_NE(message.find(possible), std::string::npos) << message;
  }
}

TEST(RawBlockNames, WithoutMeaningHereSayWhy) {
  const std::pair<const char*, const char*> all[] = {
      {"meta_total_bytes", "no checkpoint"},   {"meta_magic", "no checkpoint"},
      {"meta_version", "no checkpoint"},       {"meta_checkpoint_interval_sec", "no checkpoint"},
      {"meta_idle_quiet_ms", "no checkpoint"}, {"meta_enable_periodic", "no checkpoint"},
      {"fdp_slot_reuse_policy", "no slots"},   {"num_store_workers", "queue_depth"},
      {"num_lookup_workers", "queue_depth"},   {"num_load_workers", "queue_depth"},
  };
  for (const auto& [name, why] : all) {
    const std::string message = error_of(on_device(fmt::format(R"("{}": 1)", name)));
    EXPECT_NE(message.find(name), std::string::npos) << message;
    EXPECT_NE(message.find(why), std::string::npos) << message;
    EXPECT_NE(message.find("leave it out"), std::string::npos) << message;
  }
}

TEST(RawBlockNames, BothNamesOfOneThingAreRefused) {
  const std::pair<const char*, const char*> all[] = {
      {R"("fdp_enabled": true, "use_fdp": true)", "fdp_enabled and use_fdp"},
      {R"("use_uring_cmd": true, "write_mode": "plain")", "use_uring_cmd and write_mode"},
      {R"("write_mode": "auto", "fdp_enabled": false)", "write_mode and fdp_enabled"},
      {R"("policy": "none", "fdp_data_placement_policy": "none")",
       "policy and fdp_data_placement_policy"},
  };
  for (const auto& [json, named] : all) {
    EXPECT_NE(error_of(on_device(json)).find(named), std::string::npos)
        << error_of(on_device(json));
  }
}

TEST(RawBlockNames, UringCommandsNeedADevice) {
  const std::string message = error_of(R"({"base_path": "/d", "use_uring_cmd": true})");
  EXPECT_NE(message.find("device_path"), std::string::npos) << message;
}

TEST(DeviceOptions, IdsHaveFourForms) {
  const std::vector<std::uint32_t> four{2, 3, 4, 5};
  for (const char* text :
       {R"([2, 3, 4, 5])", R"("2-5")", R"({"start": 2, "count": 4})", R"({"range": [2, 5]})",
        R"("[2, 3, 4, 5]")", R"("{\"start\": 2, \"count\": 4}")", R"("{\"range\": [2, 5]}")"}) {
    for (const char* name : {"fdp_data_ruh_ids", "data_ruhs"}) {
      const auto parsed = parse_options(on_device(fmt::format(R"("{}": {})", name, text)));
      ASSERT_TRUE(parsed) << text << ": " << parsed.error().message();
      EXPECT_EQ(parsed->fdp_data_ruh_ids, four) << text;
    }
  }
  for (const char* bad :
       {R"({"start": 2})", R"({"start": -1, "count": 2})", R"({"start": 65535, "count": 2})",
        R"({"range": [5, 2]})", R"({"range": [1]})", R"({"range": [1, 2], "start": 1})",
        R"({"range": "1-2"})", R"("{")", R"("[1, 2")", R"({"start": 1, "count": 1, "step": 1})"}) {
    const auto parsed = parse_options(on_device(fmt::format(R"("fdp_data_ruh_ids": {})", bad)));
    ASSERT_FALSE(parsed) << bad;
    EXPECT_NE(parsed.error().what.find("both ends count"), std::string::npos) << bad;
  }
}

// What the table of foreign names says is so: each value that it lists is taken, others and those
// of names without any are refused by name, with what it says.
TEST(DeviceOptions, ForeignNamesAreWhatTheirTableSays) {
  for (const ForeignOptionInfo& info : foreign_option_table()) {
    SCOPED_TRACE(info.name);
    EXPECT_FALSE(info.help.empty());
    std::string_view rest = info.choices;
    while (!rest.empty()) {
      const std::string_view choice = rest.substr(0, rest.find('|'));
      rest.remove_prefix(std::min(rest.size(), choice.size() + 1));
      const std::string option = fmt::format(R"("{}": "{}")", info.name, choice);
      const auto parsed = parse_options(on_device(option));
      EXPECT_TRUE(parsed) << parsed.error().message();
      const auto notes = option_notes(on_device(option));
      ASSERT_EQ(notes.size(), 1U) << option;
      EXPECT_NE(notes[0].find(info.help), std::string::npos);
    }
    const auto refused = parse_options(on_device(fmt::format(R"("{}": "no such")", info.name)));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::invalid_option);
    for (const std::string_view text : {info.name, info.help, std::string_view("leave it out")}) {
      EXPECT_NE(refused.error().what.find(text), std::string::npos) << refused.error().what;
    }
  }
}

TEST(DeviceOptions, NamesThatMeanNotQuiteTheSameAreNoted) {
  const auto notes = option_notes(
      R"({"base_path": "/x", "slot_bytes": 4096, "fdp_ruh_ids": null, "policy": "none"})");
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("slot_bytes"), std::string::npos);
  EXPECT_NE(notes[0].find("no slots"), std::string::npos);
}

}  // namespace
}  // namespace fdpstore
