// Import: from any layout and medium to any other, again and again, with room and without.
#include "store/import_store.hpp"

#include <fstream>
#include <map>

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "runtime_directory.hpp"
#include "store/option_rows.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"
#include "support/sanitizers.hpp"
#include "support/test_device.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;
using test::kKiB;
using test::kMiB;

constexpr std::uint64_t kObjects = 40;

// Sizes that fill no block, one block, and several; one of them more than half a batch.
std::uint64_t size_of(std::uint64_t n) {
  return n == 17 ? 900 * kKiB : n % 5 == 0 ? 4096 : 1000 + 3001 * n;
}

ObjectKey key_of(std::uint64_t n) {
  return test::make_key(n, n % 2 == 0 ? "model/even" : "model-odd", n < 5 ? "one:x" : "",
                        static_cast<std::uint32_t>(n % 3));
}

class Import : public ::testing::Test {
 protected:
  // A place by name: a directory, or a file of 64 MiB that stands for a device.
  [[nodiscard]] std::string path(const std::string& name) const {
    return (scratch_.path() / name).native();
  }
  [[nodiscard]] std::string device(const std::string& name) const {
    const std::ofstream file(path(name));
    std::filesystem::resize_file(path(name), 64 * kMiB);
    return path(name);
  }
  static std::string segment(std::uint64_t capacity_bytes = 64 * kMiB) {
    return json::serialize(json::object{{"layout", "segment"},
                                        {"capacity_bytes", capacity_bytes},
                                        {"max_object_bytes", kMiB},
                                        {"segment_bytes", 2 * kMiB}});
  }
  static std::unique_ptr<Store> open(const std::string& where, const std::string& options = "{}") {
    json::object all = json::parse(options).as_object();
    const bool file = std::filesystem::is_regular_file(where) ||
                      std::filesystem::is_block_file(where) || where.starts_with("sim:");
    all[file ? "device_path" : "base_path"] = where;
    auto parsed = parse_options(json::serialize(all));
    if (!parsed) throw std::runtime_error(parsed.error().message());
    auto store = open_store(*parsed);
    if (!store) throw std::runtime_error(store.error().message());
    return std::move(*store);
  }
  static void put(Store& store, std::uint64_t n, std::uint64_t seed, std::uint64_t bytes) {
    const test::Buffer buffer = test::payload(bytes, seed);
    const ObjectKey key = key_of(n);
    const PutItem item{key.ref(), buffer.span(), {}, {}};
    const auto result = put_and_wait(store, {&item, 1});
    ASSERT_TRUE(result) << result.error().message();
    ASSERT_TRUE(result->ok()) << (result->error ? result->error->message() : "");
  }
  static void make(const std::string& where, const std::string& options = "{}",
                   std::uint64_t objects = kObjects) {
    const auto store = open(where, options);
    for (std::uint64_t n = 0; n < objects; ++n) put(*store, n, n, size_of(n));
    ASSERT_TRUE(store->close());
  }
  // How many of the objects are there, each with its bytes.
  static std::uint64_t count_good(const std::string& where, const std::string& options = "{}") {
    const auto store = open(where, options);
    std::uint64_t good = 0;
    for (std::uint64_t n = 0; n < kObjects; ++n) {
      test::Buffer buffer(size_of(n));
      const ObjectKey key = key_of(n);
      const GetItem item{key.ref(), buffer.span()};
      const auto result = get_and_wait(*store, {&item, 1});
      if (!result || result->keys[0] != KeyStatus::hit) continue;
      EXPECT_TRUE(test::matches(buffer.span(), n)) << n;
      ++good;
    }
    EXPECT_TRUE(store->close());
    return good;
  }
  static std::uint64_t total_bytes() {
    std::uint64_t sum = 0;
    for (std::uint64_t n = 0; n < kObjects; ++n) sum += size_of(n);
    return sum;
  }
  static ImportReport import(const ImportRequest& request, const ImportProgress& progress = {}) {
    auto report = import_store(request, progress);
    if (!report) throw std::runtime_error(report.error().message());
    return std::move(*report);
  }
  static Error refusal(const ImportRequest& request) {
    auto report = import_store(request);
    if (report) throw std::runtime_error("it was not refused: " + to_json(*report));
    return report.error();
  }
  static ImportRequest request(const std::string& from, const std::string& to,
                               const std::string& options = "{}") {
    return {.source = from, .destination = to, .destination_options_json = options};
  }
  static void expect_all_copied(const ImportReport& report) {
    EXPECT_TRUE(report.complete()) << to_json(report);
    EXPECT_EQ(report.objects, kObjects);
    EXPECT_EQ(report.bytes, total_bytes());
    EXPECT_EQ(report.seen_objects, kObjects);
    EXPECT_EQ(report.seen_bytes, total_bytes());
    EXPECT_EQ(report.copied_objects, kObjects);
    EXPECT_EQ(report.copied_bytes, total_bytes());
    EXPECT_EQ(report.present_objects, 0U);
  }

  RuntimeDirectory runtime_;
  test::TempDir scratch_;
};

TEST_F(Import, ADirectoryOfFilesGoesToEveryLayoutAndMediumAndBack) {
  make(path("files"));
  std::string from = path("files");
  for (const auto& [to, options] :
       {std::pair(path("segments"), segment()),
        std::pair(path("prompts"), std::string(R"({"layout": "prompt", "capacity_bytes": "64MiB",
                                  "max_object_bytes": "1MiB", "segment_bytes": "2MiB"})")),
        std::pair(device("device"), std::string(R"({"max_object_bytes": "1MiB",
                                                     "segment_bytes": "2MiB"})")),
        std::pair(path("back"), std::string(R"({"layout": "object"})"))}) {
    SCOPED_TRACE(to);
    expect_all_copied(import(request(from, to, options)));
    EXPECT_EQ(count_good(to, options), kObjects);
    from = to;
  }
  // What came back has the same names and bytes as what went.
  std::map<std::string, std::string> before, after;
  for (const auto& [name, files] : {std::pair("files", &before), std::pair("back", &after)}) {
    for (const auto& file : test::files_under(path(name))) {
      if (file.extension() != ".data") continue;
      (*files)[file.filename().native()] = test::read_text(file);
    }
  }
  EXPECT_EQ(before.size(), kObjects);
  EXPECT_TRUE(before == after);
}

TEST_F(Import, ALoopDeviceTakesAStoreAndGivesItBack) {
  test::TestDevice loop({.medium = test::Medium::loop}, {}, 64 * kMiB);
  if (!loop.why_not().empty()) GTEST_SKIP() << loop.why_not();
  make(path("files"));
  expect_all_copied(import(request(path("files"), loop.path(), R"({"max_object_bytes": "1MiB",
                                                                   "segment_bytes": "2MiB"})")));
  expect_all_copied(import(request(loop.path(), path("back"))));
  EXPECT_EQ(count_good(path("back")), kObjects);
}

TEST_F(Import, WhatIsThereIsSkipped) {
  make(path("from"));
  make(path("to"), segment(), 25);
  const ImportReport first = import(request(path("from"), path("to")));
  EXPECT_TRUE(first.complete());
  EXPECT_EQ(first.present_objects, 25U);
  EXPECT_EQ(first.copied_objects, kObjects - 25);
  EXPECT_EQ(first.seen_bytes, total_bytes());
  const ImportReport second = import(request(path("from"), path("to")));
  EXPECT_EQ(second.present_objects, kObjects);
  EXPECT_EQ(second.present_bytes, total_bytes());
  EXPECT_EQ(second.copied_objects, 0U);
  EXPECT_EQ(count_good(path("to"), segment()), kObjects);
}

TEST_F(Import, InterruptedItEndsWholeAndGoesOnWhenStartedAgain) {
  {
    const auto store = open(path("from"));
    for (std::uint64_t n = 0; n < 600; ++n) put(*store, n, n, 1000);
    ASSERT_TRUE(store->close());
  }
  std::uint64_t copied = 0;
  int runs = 0;
  while (true) {
    ASSERT_LT(++runs, 10);
    const ImportReport report =
        import(request(path("from"), path("to"), segment()),
               [&](const ImportReport& so_far) { return so_far.copied_objects == 0; });
    EXPECT_EQ(report.present_objects, copied);
    copied += report.copied_objects;
    EXPECT_EQ(report.complete(), !report.interrupted);
    if (!report.interrupted) break;
    EXPECT_GT(report.copied_objects, 0U);
    EXPECT_LT(report.seen_objects, 600U);
  }
  EXPECT_EQ(copied, 600U);
  EXPECT_GT(runs, 2);
}

TEST_F(Import, DamagedSourceObjectsAreNamedAndNotCopied) {
  make(path("from"), segment());
  const test::Buffer payload = test::payload(size_of(17), 17);
  for (const auto& file : test::files_under(path("from"))) {
    const std::string bytes = test::read_text(file);
    const auto at = bytes.find(
        std::string_view(reinterpret_cast<const char*>(payload.span().data()), payload.size()));
    if (at != std::string::npos) test::flip_byte(file, at + 5000);
  }
  const ImportReport report = import(request(path("from"), path("to")));
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(report.failed_objects, 1U);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].object.key, key_of(17));
  EXPECT_NE(report.problems[0].what.find("source"), std::string::npos);
  EXPECT_EQ(report.copied_objects, kObjects - 1);
  EXPECT_EQ(count_good(path("to")), kObjects - 1);
  const json::value listed = json::parse(to_json(report));
  EXPECT_EQ(listed.at("problems").as_array().size(), 1U);
  EXPECT_FALSE(listed.at("complete").as_bool());
}

TEST_F(Import, VerifyMendsADamagedCopyAndFindsAForeignOne) {
  make(path("from"));
  ASSERT_TRUE(import(request(path("from"), path("to"))).complete());
  // One file of the destination is damaged, another is a good one with other bytes.
  const auto files = test::files_under(path("to"));
  const test::Buffer payload = test::payload(size_of(17), 17);
  for (const auto& file : files) {
    if (std::filesystem::file_size(file) == size_of(17)) test::flip_byte(file, 5000);
  }
  {
    const auto store = open(path("to"));
    const ObjectKey key = key_of(3);
    const KeyRef ref = key.ref();
    ASSERT_TRUE(store->erase({&ref, 1}));
    put(*store, 3, 999, size_of(3));
    ASSERT_TRUE(store->close());
  }
  EXPECT_TRUE(import(request(path("from"), path("to"))).complete()) << "not asked to verify";
  ImportRequest again = request(path("from"), path("to"));
  again.verify = true;
  const ImportReport report = import(again);
  EXPECT_EQ(report.copied_objects, 1U) << to_json(report);
  EXPECT_EQ(report.verified_objects, kObjects - 1);
  EXPECT_EQ(report.failed_objects, 1U);
  ASSERT_EQ(report.problems.size(), 1U);
  EXPECT_EQ(report.problems[0].object.key, key_of(3));
  EXPECT_NE(report.problems[0].what.find("other bytes"), std::string::npos);
}

TEST_F(Import, RemoveTakesFromTheSourceOnlyWhatTheDestinationGaveBack) {
  make(path("from"));
  {
    const auto store = open(path("to"), segment());
    put(*store, 3, 999, size_of(3));  // another object under that key
    put(*store, 4, 4, 7);             // of another size
    ASSERT_TRUE(store->close());
  }
  ImportRequest removing = request(path("from"), path("to"));
  removing.remove = true;
  const ImportReport report = import(removing);
  EXPECT_EQ(report.failed_objects, 2U);
  EXPECT_EQ(report.removed_objects, kObjects - 2);
  EXPECT_EQ(report.verified_objects, kObjects - 2);
  EXPECT_EQ(count_good(path("from")), 2U);
}

TEST_F(Import, RemoveEmptiesAStoreOfSegments) {
  make(path("from"), segment());
  ImportRequest removing = request(path("from"), path("to"));
  removing.remove = true;
  const ImportReport report = import(removing);
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(report.removed_objects, kObjects);
  EXPECT_EQ(count_good(path("to")), kObjects);
  EXPECT_EQ(count_good(path("from"), segment()), 0U);
}

TEST_F(Import, TooSmallADestinationIsToldByHowMuch) {
  {
    const auto store = open(path("from"));
    for (std::uint64_t n = 0; n < 60; ++n) put(*store, n, n, kMiB);
    ASSERT_TRUE(store->close());
  }
  const Error error = refusal(request(path("from"), path("to"), segment(32 * kMiB)));
  EXPECT_EQ(error.code, Errc::no_space) << error.message();
  EXPECT_NE(error.what.find("raise capacity_bytes from 33554432 by "), std::string::npos)
      << error.what;
  EXPECT_EQ(count_good(path("to"), segment(32 * kMiB)), 0U) << "nothing was copied";
}

// What it says is enough is enough: nothing is dropped.
TEST_F(Import, AsMuchMoreAsItSaysIsEnough) {
  std::vector<std::uint64_t> sizes = {100 * kKiB, kMiB};
  if (!test::kSanitized) sizes.insert(sizes.end(), {20 * kKiB, 300 * kKiB, 700 * kKiB});
  for (const std::uint64_t bytes : sizes) {
    SCOPED_TRACE(bytes);
    const std::string name = std::to_string(bytes);
    {
      const auto store = open(path("from" + name));
      for (std::uint64_t n = 0; n < 100 * kMiB / bytes; ++n) {
        put(*store, n, n, bytes - bytes / 20000 * n);
      }
      ASSERT_TRUE(store->close());
    }
    const Error error = refusal(request(path("from" + name), path("to" + name), segment()));
    const auto more = std::stoull(error.what.substr(error.what.find(" by ") + 4));
    const ImportReport report =
        import(request(path("from" + name), path("larger" + name), segment(64 * kMiB + more)));
    EXPECT_TRUE(report.complete()) << more << to_json(report);
  }
}

TEST_F(Import, LargerObjectsThanTheDestinationTakesAreToldBeforehand) {
  make(path("from"));
  const Error error = refusal(request(path("from"), path("to"), R"({"max_object_bytes": 65536})"));
  EXPECT_EQ(error.code, Errc::too_large);
  EXPECT_NE(error.what.find("max_object_bytes"), std::string::npos) << error.what;
  EXPECT_EQ(count_good(path("to")), 0U);
}

TEST_F(Import, AStoreThatIsOpenElsewhereIsRefused) {
  make(path("from"), segment());
  {
    const auto holder = open(path("from"), segment());
    const Error error = refusal(request(path("from"), path("to")));
    EXPECT_EQ(error.code, Errc::busy);
    EXPECT_NE(error.what.find(path("from")), std::string::npos) << error.what;
  }
  const auto holder = open(path("to"), segment());
  EXPECT_NE(refusal(request(path("from"), path("to"))).what.find(path("to")), std::string::npos);
}

TEST_F(Import, BadPlacesAndOptionsAreRefused) {
  make(path("from"));
  EXPECT_EQ(refusal(request(path("from"), path("from"))).code, Errc::invalid_argument);
  EXPECT_EQ(refusal(request(path("missing"), path("to"))).code,
            std::errc::no_such_file_or_directory);
  EXPECT_EQ(refusal(request(path("from"), path("to"), R"({"capacity": 1})")).code,
            Errc::invalid_option);
  EXPECT_EQ(refusal(request(path("from"), path("to"), R"({"base_path": "/x"})")).code,
            Errc::invalid_option);
  EXPECT_EQ(refusal(request(path("from"), path("to"), R"({"read_only": true})")).code,
            Errc::invalid_option);
  EXPECT_FALSE(std::filesystem::exists(path("to")));
  EXPECT_EQ(refusal(request(path("from"), path("from"), segment())).code, Errc::invalid_argument);
}

}  // namespace
}  // namespace fdpstore::store
