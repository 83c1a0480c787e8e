// Options: every name with good and bad values, contradictions, suggestions, and the round trip.
#include "fdpstore/options.hpp"

#include <cmath>
#include <map>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "store/option_rows.hpp"
#include "unit/store/option_errors.hpp"

namespace fdpstore {
namespace {

// Options around the one looked at, so that its value can be reached.
std::string with(std::string_view name, std::string_view json_value) {
  const std::map<std::string_view, std::string> around{
      {"segment_bytes", R"("layout": "segment", "capacity_bytes": "8GiB", )"},
      {"prompt_idle_s", R"("layout": "prompt", "capacity_bytes": "8GiB", )"},
  };
  const auto found = around.find(name);
  const store::OptionRow* row = store::find_option(name);
  const bool device = row != nullptr && row->info.layouts == "device";
  const std::string base =
      name == "base_path" || name == "device_path"
          ? ""
          : (device ? R"("device_path": "/dev/ng0n1", )" : R"("base_path": "/data", )");
  return fmt::format(R"({{{}{}"{}": {}}})", base, found == around.end() ? "" : found->second, name,
                     json_value);
}

struct Sample {
  std::string name;
  std::vector<std::string> good, bad;  // JSON values
};
const std::vector<Sample>& samples() {
  static const std::vector<std::string> bad_bytes{"-1",
                                                  "1.5",
                                                  "true",
                                                  "[]",
                                                  "{}",
                                                  R"("")",
                                                  R"("x")",
                                                  R"("5 apples")",
                                                  R"("1.5")",
                                                  R"("-5")",
                                                  R"("99999999999999999999")",
                                                  "1e30",
                                                  R"("1e3MiB")",
                                                  R"("20000000TiB")"};
  static const std::vector<std::string> bad_real{
      "true", "[]", R"("")", R"("x")", R"("5s")", R"("inf")", R"("nan")", "-1", R"("1e400")"};
  static const std::vector<std::string> bad_bool{"0", "1", R"("yes")", "[]", R"("")"};
  static const std::vector<std::string> good_bool{"true", "false", R"("true")", R"("False")"};
  static const std::vector<std::string> good_ids{"[]",     "[0, 1]", R"("0-2,5")",       "3",
                                                 R"("3")", R"("")",  R"(" 1 - 2 , 4 ")", "[65535]"};
  static const std::vector<std::string> bad_ids{
      "-1",       "65536",     "1.5",        "true",     "{}",           "[[1]]",
      R"(["1"])", "[0, -1]",   "[70000]",    R"("x")",   R"("2-1")",     R"("1-")",
      R"("-1")",  R"("1,,2")", R"("1-2-3")", R"("0x1")", R"("1-99999")", R"("99999999999")"};
  static const std::vector<Sample> all{
      {"base_path",
       {R"("/data")", R"("relative/dir")"},
       {"5", R"("")", "[]", "true", R"("a\u0000b")"}},
      {"device_path",
       {R"("/dev/ng0n1")", R"("relative/file")"},
       {"5", R"("")", "[]", "true", R"("a\u0000b")"}},
      {"base_offset_bytes", {"0", "4096", R"("10GiB")"}, bad_bytes},
      {"max_transfer_bytes", {"0", "131072", R"("512KiB")"}, bad_bytes},
      {"max_data_transfer_size", {"0", R"("1MiB")"}, bad_bytes},
      {"fdp_placement_ids", good_ids, bad_ids},
      {"fdp_data_ruh_ids", good_ids, bad_ids},
      {"fdp_ruh_ids", good_ids, bad_ids},
      {"data_ruhs", good_ids, bad_ids},
      {"metadata_ruhs", good_ids, bad_ids},
      {"meta_checkpoint_placement_id", good_ids, bad_ids},
      {"fdp_metadata_ruh_ids", good_ids, bad_ids},
      {"layout", {R"("object")"}, {R"("objects")", R"("Object")", "1", R"("")"}},
      {"capacity_bytes", {"0", "4096", "1e9", R"("10GiB")", R"("1.5 TB")", R"("100")"}, bad_bytes},
      {"capacity_gb", {"0", "0.5", "500", R"("2.5")", "1e3"}, bad_real},
      {"max_capacity_gb", {"0", "12.5"}, bad_real},
      {"segment_bytes", {"0", R"("256MiB")", "134217728"}, bad_bytes},
      {"max_object_bytes", {"1", R"("64MiB")"}, bad_bytes},
      {"slot_bytes", {"1048576"}, bad_bytes},
      {"policy", {R"("separated")"}, {"5", R"("no-such-policy")", R"("")"}},
      {"placement_policy", {R"("tenant")"}, {"5", R"("no-such-policy")", R"("")"}},
      {"write_mode",
       {R"("auto")", R"("hint")", R"("plain")"},
       {R"("fast")", "true", R"("automatic")"}},
      {"placement", {R"("prefer")", R"("require")"}, {R"("maybe")", "true"}},
      {"durability", {R"("process")", R"("device")"}, {R"("disk")", "1"}},
      {"use_odirect", {"true", "false", R"("auto")", R"("TRUE")"}, bad_bool},
      {"checksum", good_bool, bad_bool},
      {"queue_depth",
       {"1", "4096", R"("128")"},
       {"0", "4097", "-1", "2.5", "true", R"("x")", "1e12"}},
      {"iouring_queue_depth", {"1", "256"}, {"0", "4097", "-1", R"("x")"}},
      {"engine_threads", {"1", "256"}, {"0", "257", "-1", R"("")", "5000000000"}},
      {"num_workers", {"8"}, {"0", "-4", "2.5"}},
      {"format", good_bool, bad_bool},
      {"lock_timeout_s", {"0.5", "300", R"("60")"}, bad_real},
      {"prompt_idle_s", {"1", "3600.5"}, bad_real},
      {"exclusive", good_bool, bad_bool},
      {"tmp_max_age_s", {"0", "86400"}, bad_real},
      {"relative_tmp_dir",
       {R"("tmp")", R"("a/b")", R"("")", R"("..a")"},
       {"5", "true", R"("/tmp")", R"("../x")", R"("a/../b")", R"("..")"}},
      {"read_ahead_size", {"0", "4096", R"("1MiB")"}, bad_bytes},
      {"file_mode",
       {R"("0600")", R"("640")", R"("0777")"},
       {"600", R"("0400")", R"("1777")", R"("9")", R"("")", R"("rw")"}},
      {"read_only", good_bool, bad_bool},
      {"log_level", {R"("auto")", R"("debug")"}, {R"("loud")", "true", R"("Info")"}},
  };
  return all;
}

TEST(ParseOptions, EveryOptionOfTheTableHasSamplesHere) {
  std::set<std::string> sampled, known;
  for (const Sample& sample : samples()) sampled.insert(sample.name);
  for (const OptionInfo& info : option_table()) known.insert(std::string(info.name));
  EXPECT_EQ(sampled, known);
}

TEST(ParseOptions, GoodValueIsTaken) {
  for (const Sample& sample : samples()) {
    for (const std::string& value : sample.good) {
      const auto parsed = parse_options(with(sample.name, value));
      EXPECT_TRUE(parsed) << sample.name << " = " << value << ": " << parsed.error().message();
    }
  }
}

TEST(ParseOptions, BadValueIsRefusedByName) {
  for (const Sample& sample : samples()) {
    for (const std::string& value : sample.bad) {
      const std::string message = error_of(with(sample.name, value));
      const std::string_view alias_of = store::find_option(sample.name)->info.alias_of;
      EXPECT_TRUE(message.find(sample.name) != std::string::npos ||
                  (!alias_of.empty() && message.find(alias_of) != std::string::npos))
          << sample.name << " = " << value << ": " << message;
    }
  }
}

TEST(ParseOptions, NullLeavesAnOptionOut) {
  for (const OptionInfo& info : option_table()) {
    if (info.name == "base_path" || info.name == "device_path") continue;
    const auto parsed = parse_options(with(info.name, "null"));
    ASSERT_TRUE(parsed) << info.name << ": " << parsed.error().message();
  }
}

TEST(ParseOptions, DefaultsOfTheTableAreThoseOfTheStruct) {
  for (const store::OptionRow& row : store::option_rows()) {
    if (row.info.default_value.empty()) continue;
    Options options;
    ASSERT_TRUE(store::set_option(row, boost::json::value(row.info.default_value), options))
        << row.info.name;
    EXPECT_EQ(to_json(options), to_json(Options{})) << row.info.name;
  }
}

TEST(ParseOptions, ValuesArriveInTheirMembers) {
  const auto parsed = parse_options(R"({
    "base_path": "/data", "layout": "segment", "capacity_gb": 2.5, "segment_bytes": "128MiB",
    "slot_bytes": "32MiB", "policy": "none", "write_mode": "plain", "placement": "prefer",
    "durability": "device", "use_odirect": false, "checksum": "false", "queue_depth": 7,
    "format": true, "lock_timeout_s": 12.5, "file_mode": "0640"})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->base_path, "/data");
  EXPECT_EQ(parsed->layout, Layout::segment);
  EXPECT_EQ(parsed->capacity_bytes, 5ULL << 29);
  EXPECT_EQ(parsed->segment_bytes, 128U << 20);
  EXPECT_EQ(parsed->max_object_bytes, 32U << 20);
  EXPECT_EQ(parsed->policy, "none");
  EXPECT_EQ(parsed->write_mode, WriteMode::plain);
  EXPECT_EQ(parsed->durability, Durability::device);
  EXPECT_EQ(parsed->use_odirect, std::optional(false));
  EXPECT_FALSE(parsed->checksum);
  EXPECT_EQ(parsed->queue_depth, 7U);
  EXPECT_TRUE(parsed->format);
  EXPECT_EQ(parsed->lock_timeout_s, 12.5);
  EXPECT_EQ(parsed->file_mode, 0640U);
}

TEST(ParseOptions, FsOptionsAloneGiveLayoutObject) {
  const auto parsed = parse_options(
      R"({"base_path": "/data", "relative_tmp_dir": "tmp", "read_ahead_size": 4096,
          "use_odirect": true})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->layout, Layout::object);
  EXPECT_EQ(parsed->relative_tmp_dir, "tmp");
  EXPECT_EQ(parsed->read_ahead_size, 4096U);
  EXPECT_EQ(parsed->use_odirect, std::optional(true));
}

TEST(ParseOptions, CapacityAloneKeepsLayoutObject) {
  const auto parsed = parse_options(R"({"base_path": "/data", "capacity_bytes": "1GiB"})");
  ASSERT_TRUE(parsed) << parsed.error().message();
  EXPECT_EQ(parsed->layout, Layout::object);
}

TEST(ParseOptions, GigabytesAreLmcaches) {
  for (const char* name : {"capacity_gb", "max_capacity_gb"}) {
    const auto parsed = parse_options(with(name, "0.1"));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->capacity_bytes, static_cast<std::uint64_t>(0.1 * 1024 * 1024 * 1024));
  }
}

TEST(ParseOptions, WhatIsNoJsonObjectIsRefused) {
  for (const char* text : {"", "{", "[]", "5", R"("base_path")", R"({"base_path": })"}) {
    EXPECT_NE(error_of(text).find("JSON"), std::string::npos) << text;
  }
}

TEST(ParseOptions, TextOfAnyKindIsSafe) {
  for (const char* text :
       {"\xff\xfe", "{\"\\u0000\": 1}", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["}) {
    EXPECT_FALSE(parse_options(text));
  }
}

TEST(ParseOptions, ToJsonComesBackTheSame) {
  const char* const documents[] = {
      R"({"base_path": "/data"})",
      R"({"base_path": "/da\"ta/\u00e4", "relative_tmp_dir": "t", "read_ahead_size": 8192,
          "engine_threads": 9, "tmp_max_age_s": 0.25, "exclusive": true, "use_odirect": true,
          "capacity_bytes": 123456789})",
      R"({"base_path": "/data", "layout": "prompt", "capacity_bytes": "9007199254740993",
          "prompt_idle_s": 0.125, "segment_bytes": "1GiB", "policy": "none", "checksum": false,
          "write_mode": "hint", "placement": "require", "durability": "device",
          "file_mode": "0666", "queue_depth": 1, "lock_timeout_s": 1e6,
          "max_object_bytes": 4097})",
      R"({"device_path": "/dev/ng0n1", "base_path": "/data", "capacity_gb": 9,
          "base_offset_bytes": "9007199254740992", "max_transfer_bytes": 131072,
          "fdp_placement_ids": "1-3", "fdp_metadata_ruh_ids": [0], "write_mode": "uring_cmd"})",
      R"({"device_path": "/dev/ng0n1", "fdp_data_ruh_ids": 4,
          "meta_checkpoint_placement_id": [7, 5]})",
  };
  for (const char* document : documents) {
    const auto first = parse_options(document);
    ASSERT_TRUE(first) << first.error().message();
    const auto second = parse_options(to_json(*first));
    ASSERT_TRUE(second) << to_json(*first) << ": " << second.error().message();
    EXPECT_EQ(to_json(*first), to_json(*second));
    EXPECT_EQ(first->capacity_bytes, second->capacity_bytes);
    EXPECT_EQ(first->use_odirect, second->use_odirect);
    EXPECT_EQ(first->tmp_max_age_s, second->tmp_max_age_s);
    EXPECT_EQ(first->file_mode, second->file_mode);
    EXPECT_EQ(first->base_offset_bytes, second->base_offset_bytes);
    EXPECT_EQ(first->fdp_placement_ids, second->fdp_placement_ids);
    EXPECT_EQ(first->meta_checkpoint_placement_id, second->meta_checkpoint_placement_id);
  }
}

// ------------------------------------------------------------------------------- contradictions

struct Contradiction {
  const char* options;
  std::vector<const char*> named;  // what the message must name
};

TEST(CheckOptions, ContradictionNamesBothSidesAndTheRemedy) {
  const Contradiction all[] = {
      {R"({})", {"base_path"}},
      {R"({"base_path": "/d", "layout": "segment"})",
       {"layout = segment", "capacity_bytes", "layout = object"}},
      {R"({"base_path": "/d", "layout": "prompt"})", {"layout = prompt", "capacity_bytes"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_gb": 9, "relative_tmp_dir": "t"})",
       {"relative_tmp_dir = t", "layout = segment", "leave it out"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_gb": 9, "read_ahead_size": 1})",
       {"read_ahead_size", "layout = segment"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_gb": 9, "prompt_idle_s": 5})",
       {"prompt_idle_s = 5", "layout = segment", "layout prompt"}},
      {R"({"base_path": "/d", "layout": "prompt", "capacity_gb": 9, "engine_threads": 5})",
       {"engine_threads = 5", "layout = prompt"}},
      {R"({"base_path": "/d", "segment_bytes": "1MiB"})", {"segment_bytes", "layout = object"}},
      {R"({"base_path": "/d", "relative_tmp_dir": "/t"})", {"relative_tmp_dir = /t", "base_path"}},
      {R"({"base_path": "/d", "relative_tmp_dir": "a/../../t"})",
       {"relative_tmp_dir", "base_path"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_gb": 9, "segment_bytes": 100000000})",
       {"segment_bytes = 100000000", "4096", "100003840"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_gb": 9, "segment_bytes": "64MiB"})",
       {"segment_bytes = 67108864", "max_object_bytes = 67108864", "raise", "lower"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_bytes": "300MiB",
           "segment_bytes": "128MiB"})",
       {"capacity_bytes = 314572800", "4 segments", "raise capacity_bytes to 537919488",
        "segment_bytes"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_bytes": "100MiB"})",
       {"capacity_bytes = 104857600", "raise", "max_object_bytes = 67108864"}},
      {R"({"base_path": "/d", "layout": "segment", "capacity_bytes": "4000TiB",
           "segment_bytes": "1MiB", "max_object_bytes": 4096})",
       {"segment_bytes", "capacity_bytes", "raise"}},
      {R"({"base_path": "/d", "write_mode": "uring_cmd"})",
       {"write_mode = uring_cmd", "base_path"}},
      {R"({"base_path": "/d", "write_mode": "write_stream"})",
       {"write_mode = write_stream", "base_path", "hint"}},
      {R"({"base_path": "/d", "read_only": true, "format": true})", {"read_only", "format"}},
      {R"({"base_path": "/d", "read_only": true, "exclusive": true})", {"read_only", "exclusive"}},
      {R"({"base_path": "/d", "device_path": "/dev/n", "layout": "segment"})",
       {"layout = segment", "capacity_bytes"}},
      {R"({"device_path": "/dev/n", "layout": "object"})",
       {"layout = object", "device_path = /dev/n", "layout = segment"}},
      {R"({"device_path": "/dev/n", "layout": "prompt", "capacity_gb": 9})",
       {"layout = prompt", "device_path = /dev/n", "layout = segment"}},
      {R"({"device_path": "/dev/n", "segment_bytes": 100000000})",
       {"segment_bytes = 100000000", "4096", "100003840"}},
      {R"({"device_path": "/dev/n", "segment_bytes": "64MiB"})",
       {"segment_bytes = 67108864", "max_object_bytes = 67108864", "raise", "lower"}},
      {R"({"device_path": "/dev/n", "relative_tmp_dir": "t"})",
       {"relative_tmp_dir = t", "layout = segment"}},
      {R"({"device_path": "/dev/n", "fdp_placement_ids": [1], "fdp_data_ruh_ids": [1]})",
       {"fdp_placement_ids", "fdp_data_ruh_ids", "one of them"}},
      {R"({"device_path": "/dev/n", "meta_checkpoint_placement_id": 0, "fdp_metadata_ruh_ids": 0})",
       {"meta_checkpoint_placement_id", "fdp_metadata_ruh_ids", "one of them"}},
      {R"({"device_path": "/dev/n", "fdp_ruh_ids": [1], "fdp_data_ruh_ids": [1]})",
       {"fdp_ruh_ids", "fdp_data_ruh_ids", "one of them"}},
      {R"({"base_path": "/d", "capacity_bytes": 1, "capacity_gb": 1})",
       {"capacity_bytes", "capacity_gb", "one of them"}},
      {R"({"base_path": "/d", "slot_bytes": 1, "max_object_bytes": 1})",
       {"slot_bytes", "max_object_bytes"}},
      {R"({"base_path": "/d", "num_workers": 1, "engine_threads": 1})",
       {"num_workers", "engine_threads"}},
  };
  for (const Contradiction& one : all) {
    const std::string message = error_of(one.options);
    for (const char* named : one.named) {
      EXPECT_NE(message.find(named), std::string::npos) << named << " is not in: " << message;
    }
  }
}

TEST(CheckOptions, CapacityThatTheMessageNamesIsEnough) {
  Options options{.base_path = "/d", .layout = Layout::segment, .capacity_bytes = 1};
  const auto refused = check_options(options);
  ASSERT_FALSE(refused);
  const std::string message = refused.error().message();
  const std::string_view marker = "raise capacity_bytes to ";
  const auto at = message.find(marker);
  ASSERT_NE(at, std::string::npos) << message;
  options.capacity_bytes = std::stoull(message.substr(at + marker.size()));
  const auto accepted = check_options(options);
  EXPECT_TRUE(accepted) << accepted.error().message();
}

TEST(CheckOptions, ExclusiveSegmentStoreIsWhatItIsAnyway) {
  EXPECT_TRUE(parse_options(
      R"({"base_path": "/d", "layout": "segment", "capacity_gb": 9, "exclusive": true})"));
}

TEST(CheckOptions, StructFilledByACallerIsCheckedToo) {
  Options options{.base_path = "/d"};
  EXPECT_TRUE(check_options(options));
  options.queue_depth = 0;
  EXPECT_FALSE(check_options(options));
  options = {.base_path = "/d", .lock_timeout_s = std::nan("")};
  EXPECT_FALSE(check_options(options));
}

// --------------------------------------------------------------------------------- unknown names

TEST(UnknownOption, NearestNameIsSuggested) {
  const std::pair<const char*, const char*> typed[] = {
      {"base_pth", "base_path"},
      {"basepath", "base_path"},
      {"capacity", "capacity_bytes"},
      {"capacity_byte", "capacity_bytes"},
      {"capacity-bytes", "capacity_bytes"},
      {"max_object_size", "max_object_bytes"},
      {"use_odirekt", "use_odirect"},
      {"segmentbytes", "segment_bytes"},
      {"lock_timeout", "lock_timeout_s"},
      {"polcy", "policy"},
  };
  for (const auto& [name, meant] : typed) {
    const std::string message = error_of(with(name, "1"));
    EXPECT_NE(message.find(fmt::format("unknown option {}; did you mean {}?", name, meant)),
              std::string::npos)
        << message;
  }
}

TEST(UnknownOption, FarFromAllListsThemAll) {
  const std::string message = error_of(with("zzzzzzzz", "1"));
  EXPECT_NE(message.find("unknown option zzzzzzzz"), std::string::npos) << message;
  for (const OptionInfo& info : option_table()) {
    EXPECT_NE(message.find(info.name), std::string::npos) << info.name;
  }
}

TEST(UnknownOption, LmcachesOwnNameSaysWhereItBelongs) {
  for (const char* name : {"type", "eviction", "serde", "persist_enabled"}) {
    EXPECT_NE(error_of(with(name, "1")).find("beside adapter_params"), std::string::npos);
  }
}

TEST(UnknownOption, WrongChoiceIsCorrected) {
  EXPECT_NE(error_of(with("layout", R"("segments")")).find("did you mean segment?"),
            std::string::npos);
}

// ---------------------------------------------------------------------------------------- sizes

TEST(ParseSize, UnitsAreBinaryOrDecimal) {
  const std::pair<const char*, std::uint64_t> sizes[] = {
      {"0", 0},
      {"4096", 4096},
      {"18446744073709551615", 18446744073709551615ULL},
      {"7b", 7},
      {"1KiB", 1024},
      {"1k", 1024},
      {"1kB", 1000},
      {"64MiB", 64ULL << 20},
      {"64 mib", 64ULL << 20},
      {"64M", 64ULL << 20},
      {"10G", 10ULL << 30},
      {"10GB", 10'000'000'000},
      {"1.5GiB", 3ULL << 29},
      {"  2TiB ", 2ULL << 40},
      {"2TB", 2'000'000'000'000},
      {"1PiB", 1ULL << 50},
      {".5K", 512},
      {"0.3K", 307},
  };
  for (const auto& [text, bytes] : sizes) {
    const auto parsed = store::parse_size(text);
    ASSERT_TRUE(parsed) << text;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(ParseSize, WhatIsNoSizeIsRefused) {
  for (const char* text : {"", " ", "MiB", "5XB", "5MiBs", "5 5", "1.2.3K", ".", ".K", "-5", "+5",
                           "1e3", "0x10", "1,5K", "18446744073709551616", "99999999T"}) {
    EXPECT_FALSE(store::parse_size(text)) << text;
  }
}

}  // namespace
}  // namespace fdpstore
