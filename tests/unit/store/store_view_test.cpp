// Looking into stores: closed ones from disk, open ones over their socket.
#include "store/store_view.hpp"

#include <fcntl.h>

#include <fstream>
#include <set>

#include <gtest/gtest.h>
#include <boost/json/parse.hpp>

#include "backends/directory_content.hpp"
#include "fdpstore/backend.hpp"
#include "format/codec.hpp"
#include "runtime_directory.hpp"
#include "store/served_store.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;
using test::TempDir;

class View : public ::testing::TestWithParam<Layout> {
 protected:
  [[nodiscard]] Options options() const {
    Options result{.base_path = (scratch_.path() / "store").native(), .layout = GetParam()};
    result.max_object_bytes = 64U << 10;
    result.capacity_bytes = 64U << 20;
    return result;
  }
  // 20 objects of 1000 + n bytes, of two models and two tenants.
  static void fill(Store& store) {
    for (std::uint64_t n = 0; n < 20; ++n) {
      const ObjectKey key =
          test::make_key(n, n % 2 == 0 ? "model/even" : "model/odd", n < 5 ? "one:x" : "two");
      std::vector<std::byte> bytes(1000 + n);
      test::fill(bytes, n);
      const PutItem item{
          .key = key.ref(), .bytes = bytes, .explicit_rank = {}, .explicit_stream = {}};
      const auto put = put_and_wait(store, {&item, 1});
      ASSERT_TRUE(put && put->ok());
    }
  }
  // Everything a view lists, page by page.
  static std::multiset<std::uint64_t> sizes(StoreView& view, std::string_view model) {
    std::multiset<std::uint64_t> result;
    std::string cursor;
    do {
      const auto page = view.list(cursor, 7, model);
      if (!page) {
        ADD_FAILURE() << page.error().message();
        break;
      }
      EXPECT_LE(page->keys.size(), 7U);
      for (const ListedKey& one : page->keys) result.insert(one.bytes);
      cursor = page->next;
    } while (!cursor.empty());
    return result;
  }
  void expect_contents(bool by_owner) {
    auto view = StoreView::open(options().base_path, "");
    ASSERT_TRUE(view) << view.error().message();
    EXPECT_EQ(view->answered_by_owner(), by_owner);
    const auto report = view->status();
    ASSERT_TRUE(report) << report.error().message();
    const json::value status = json::parse(*report);
    EXPECT_EQ(status.at("layout").as_string(), to_string(GetParam()));
    EXPECT_EQ(status.at("live_objects").to_number<int>(), 20);
    EXPECT_EQ(status.at("answered_by_owner").as_bool(), by_owner);
    EXPECT_EQ(sizes(*view, "").size(), 20U);
    std::multiset<std::uint64_t> even;
    for (std::uint64_t n = 0; n < 20; n += 2) even.insert(1000 + n);
    EXPECT_EQ(sizes(*view, "model/even"), even);
    EXPECT_TRUE(sizes(*view, "model/none").empty());
  }

  RuntimeDirectory runtime_;
  TempDir scratch_;
};

TEST_P(View, OpenStoreIsAskedAndClosedOneIsRead) {
  auto store = open_store(options());
  ASSERT_TRUE(store) << store.error().message();
  fill(**store);
  expect_contents(true);
  ASSERT_TRUE((*store)->close());
  expect_contents(false);
}

TEST_P(View, ReadingChangesNothing) {
  auto store = open_store(options());
  ASSERT_TRUE(store) << store.error().message();
  fill(**store);
  ASSERT_TRUE((*store)->close());
  store->reset();
  const auto snapshot = [&] {
    std::string all;
    for (const auto& path : test::files_under(options().base_path)) {
      all += path.native() + test::read_text(path);
    }
    return all;
  };
  const std::string before = snapshot();
  expect_contents(false);
  EXPECT_TRUE(snapshot() == before);
}

TEST_P(View, OptionsAreFoundFromTheDisk) {
  {
    auto store = open_store(options());
    ASSERT_TRUE(store) << store.error().message();
  }
  const auto found = find_store(options().base_path);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_EQ(found->options.layout, GetParam());
  EXPECT_TRUE(found->options.read_only);
  if (GetParam() != Layout::object) {
    EXPECT_EQ(found->options.capacity_bytes, 64U << 20);
  }
  const auto checked = check_options(found->options);
  EXPECT_TRUE(checked) << checked.error().message();
}

TEST_P(View, OpenStoreIsSeenAsOpen) {
  auto store = open_store(options());
  ASSERT_TRUE(store) << store.error().message();
  const auto found = find_store(options().base_path);
  ASSERT_TRUE(found) << found.error().message();
  EXPECT_TRUE(is_open_elsewhere(*found).value_or(false));
  ASSERT_TRUE((*store)->close());
  EXPECT_FALSE(is_open_elsewhere(*found).value_or(true));
}

TEST_P(View, StoreOpensWithoutASocketAndSaysSo) {
  auto first = open_store(options());
  ASSERT_TRUE(first) << first.error().message();
  const auto found = find_store(options().base_path);
  ASSERT_TRUE(found);
  ASSERT_TRUE((*first)->close());
  first->reset();
  // Somebody else holds the name.
  const auto squatter =
      DiagnosticsServer::start(found->socket_name, [](std::string_view) { return "{}"; });
  ASSERT_TRUE(squatter) << squatter.error().message();
  auto store = open_store(options());
  ASSERT_TRUE(store) << store.error().message();
  const auto warnings = (*store)->status().warnings;
  EXPECT_TRUE(std::ranges::any_of(warnings, [](const std::string& warning) {
    return warning.find("cannot look into this store") != std::string::npos;
  }));
}

TEST_P(View, QuestionOfAnyKindIsAnsweredWithAnObject) {
  auto store = open_store(options());
  ASSERT_TRUE(store) << store.error().message();
  CallRecorder recorder;
  for (const char* line :
       {"", "x", "{}", "[]", "5", R"({"ask": 5})", R"({"ask": "reboot"})", R"({"ask": "ls"})",
        R"({"ask": "ls", "cursor": "zz", "limit": 5, "model": ""})",
        R"({"ask": "ls", "cursor": "", "limit": -1, "model": ""})",
        R"({"ask": "ls", "cursor": "", "limit": 1, "model": 7})", "\xff\xff"}) {
    const json::value answer = json::parse(answer_question(**store, recorder, line));
    EXPECT_TRUE(answer.as_object().contains("error")) << line;
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, View,
                         ::testing::Values(Layout::object, Layout::prompt, Layout::segment),
                         [](const auto& one) { return std::string(to_string(one.param)); });

TEST(FindStore, BackendAndFormatAgreeOnTheMagic) {
  const std::uint64_t magic = format::kSuperblockMagic;
  EXPECT_EQ(backends::kSuperblockMagic,
            std::string_view(reinterpret_cast<const char*>(&magic), sizeof(magic)));
}

TEST(FindStore, WhatIsNoDirectoryIsRefused) {
  const TempDir scratch;
  EXPECT_FALSE(find_store((scratch.path() / "missing").native()));
  const auto file = scratch.path() / "file";
  std::ofstream(file) << "x";
  const auto refused = find_store(file.native());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find(file.native()), std::string::npos);
}

TEST(FindStore, DamagedSuperblockIsNamed) {
  const RuntimeDirectory runtime;
  const TempDir scratch;
  Options options{.base_path = scratch.string(), .layout = Layout::segment};
  options.max_object_bytes = 64U << 10;
  options.capacity_bytes = 64U << 20;
  {
    auto store = open_store(options);
    ASSERT_TRUE(store) << store.error().message();
  }
  const auto file = scratch.path() / backends::kSuperblockName;
  test::flip_byte(file, 100);
  EXPECT_TRUE(find_store(options.base_path)) << "the other copy is good";
  test::flip_byte(file, kSuperblockBytes + 100);
  const auto refused = find_store(options.base_path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::corrupt);
  EXPECT_NE(refused.error().message().find(file.native()), std::string::npos);
}

TEST(FindStore, NewerSuperblockIsRefusedAsSuch) {
  const RuntimeDirectory runtime;
  const TempDir scratch;
  Options options{.base_path = scratch.string(), .layout = Layout::segment};
  options.max_object_bytes = 64U << 10;
  options.capacity_bytes = 64U << 20;
  {
    auto store = open_store(options);
    ASSERT_TRUE(store) << store.error().message();
  }
  const test::File file(scratch.path() / backends::kSuperblockName, O_RDWR);
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    std::array<std::byte, kSuperblockBytes> block{};
    file.read(block, copy * kSuperblockBytes);
    auto superblock = format::decode_superblock(block);
    ASSERT_TRUE(superblock) << superblock.error().message();
    superblock->version = format::kVersion + 1;
    format::encode(*superblock, block);
    file.write(block, copy * kSuperblockBytes);
  }
  const auto refused = find_store(options.base_path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::version_mismatch) << refused.error().message();
}

}  // namespace
}  // namespace fdpstore::store
