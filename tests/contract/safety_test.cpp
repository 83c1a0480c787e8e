// What nobody may get by a trick: other tenants' bytes, files beside the store, files that others
// can read.
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "fixture.hpp"

namespace fdpstore::test {
namespace {

namespace fs = std::filesystem;

class Safety : public StoreTest {
 protected:
  static std::uint32_t mode_of(const fs::path& path) {
    struct stat info{};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return info.st_mode & 0777U;
  }
  // Everything in the directory that holds the store, and below it.
  [[nodiscard]] std::set<std::string> everything() const {
    std::set<std::string> names;
    for (const auto& entry : fs::recursive_directory_iterator(path().parent_path())) {
      names.insert(entry.path().string());
    }
    return names;
  }
};
FDPSTORE_FOR_ALL_VARIANTS(Safety);

TEST_P(Safety, FilesHaveTheModeThatWasAskedFor) {
  if (variant().raw()) GTEST_SKIP() << "a device has its own mode";
  const mode_t before = ::umask(0);
  for (const std::uint32_t mode : {0600U, 0640U}) {
    Options options = small_options(variant(), path() / std::to_string(mode));
    options.file_mode = mode;
    open(options);
    put_all(1, 12, 300'000);
    EXPECT_EQ(erase(make_key(1)), 300'000U);
    std::size_t files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(options.base_path)) {
      if (entry.is_directory()) continue;
      EXPECT_EQ(mode_of(entry.path()), mode) << entry.path();
      ++files;
    }
    EXPECT_GT(files, 1U);
    if (variant().has_segments()) {
      const std::uint32_t directory = mode == 0600 ? 0700 : 0750;
      EXPECT_EQ(mode_of(options.base_path), directory);
      EXPECT_EQ(mode_of(fs::path(options.base_path) / "segments"), directory);
    }
    close();
  }
  ::umask(before);
}

TEST_P(Safety, NoLinkLeadsOutOfTheStore) {
  if (!variant().has_segments() || variant().raw()) {
    GTEST_SKIP() << "layout object: ObjectStore.LinksAreNotFollowed; a device has no links";
  }
  open();
  put_all(1, 4, 300'000);
  close();
  const fs::path outside = path().parent_path() / "outside";
  const fs::path segments = path() / "segments";
  for (const auto& entry : fs::directory_iterator(segments)) {
    const fs::path victim = entry.path();
    fs::rename(victim, outside);
    fs::create_symlink(outside, victim);
    const auto refused = open_store(options());
    ASSERT_FALSE(refused.has_value()) << victim;
    EXPECT_NE(refused.error().message().find(victim.string()), std::string::npos)
        << refused.error().message();
    fs::remove(victim);
    fs::rename(outside, victim);
  }
  for (const char* name : {"segments", "superblock"}) {
    fs::path victim;
    for (const auto& entry : fs::directory_iterator(path())) {
      if (entry.path().filename().string().find(name) != std::string::npos) victim = entry.path();
    }
    ASSERT_FALSE(victim.empty()) << name;
    fs::rename(victim, outside);
    fs::create_symlink(outside, victim);
    EXPECT_FALSE(open_store(options()).has_value()) << victim;
    fs::remove(victim);
    fs::rename(outside, victim);
  }
  open();
  expect_all_hit(1, 4, 300'000);
}

TEST_P(Safety, ALinkToTheStoreIsTheUsersChoice) {
  if (variant().raw()) GTEST_SKIP() << "about directories";
  fs::create_directories(path());
  const fs::path link = path().parent_path() / "link";
  fs::create_directory_symlink(path(), link);
  open(small_options(variant(), link));
  put_all(1, 2, 5000);
  expect_all_hit(1, 2, 5000);
}

TEST_P(Safety, SegmentFileWithAnAbsurdNumberIsRefused) {
  if (!variant().has_segments() || variant().raw()) GTEST_SKIP() << "no segment files";
  open();
  close();
  for (const char* name : {"4294967295.seg", "99999999.seg"}) {
    const fs::path odd = path() / "segments" / name;
    {
      const File made(odd, O_CREAT | O_RDWR);
    }
    const auto refused = open_store(options());
    ASSERT_FALSE(refused.has_value());
    EXPECT_NE(refused.error().message().find(name), std::string::npos);
    fs::remove(odd);
  }
}

TEST_P(Safety, KeysCannotNameOtherFiles) {
  open();
  const std::string longest_model(kMaxModelNameBytes, 'm');
  const std::string longest_salt(kMaxSaltBytes, 's');
  const std::vector<std::string> models = {
      "..", "../..", "../../outside", "/etc/passwd", "a/../../b", std::string("a\0b", 3),
      ".",  "",      longest_model,   "a\nb",        "..-SEP-..", "-SEP-etc-SEP-passwd"};
  const std::vector<std::string> salts = {"", "..", ".", "a:..", " ", longest_salt, "a\nb"};
  const auto before = everything();
  std::uint64_t n = 1;
  for (const std::string& model : models) {
    for (const std::string& salt : salts) {
      const ObjectKey key = make_key(n, model, salt);
      const KeyStatus status = put(key, 700, n);
      ASSERT_TRUE(status == KeyStatus::stored || status == KeyStatus::failed);
      EXPECT_EQ(get(key, 700, n), status == KeyStatus::stored ? KeyStatus::hit : KeyStatus::miss);
      ++n;
    }
  }
  for (const std::string& bad : {std::string("a/b"), std::string("a\\b"), std::string("a@b"),
                                 std::string("a\0b", 3), std::string(kMaxSaltBytes + 1, 's')}) {
    // Layout `object` gives such keys a file name of its own; others refuse them.
    const ObjectKey key = make_key(n, "m", bad);
    const KeyStatus status = put(key, 700, n);
    ASSERT_TRUE(status == KeyStatus::stored || status == KeyStatus::failed);
    EXPECT_EQ(get(key, 700, n), status == KeyStatus::stored ? KeyStatus::hit : KeyStatus::miss);
    ++n;
  }
  for (const std::string& name : everything()) {
    if (before.contains(name)) continue;
    EXPECT_TRUE(name.starts_with(path().string() + "/")) << name << " is outside of the store";
  }
  EXPECT_FALSE(fs::exists(path().parent_path() / "outside.data"));
}

TEST_P(Safety, TenantsDoNotSeeOneAnother) {
  open();
  const std::vector<std::string> salts = {"", "acme", "acme:1", "acme:2", "globex"};
  for (std::size_t i = 0; i < salts.size(); ++i) {
    ASSERT_EQ(put(make_key(7, "m", salts[i]), 9001, 100 + i), KeyStatus::stored);
  }
  EXPECT_EQ(lookup(make_key(7, "m", "acme:3")), KeyStatus::miss);
  for (int round = 0; round < 2; ++round) {
    for (std::size_t i = 0; i < salts.size(); ++i) {
      EXPECT_EQ(get(make_key(7, "m", salts[i]), 9001, 100 + i), KeyStatus::hit) << salts[i];
    }
    EXPECT_EQ(get(make_key(7, "m", "acme:3"), 9001, 100), KeyStatus::miss);
    reopen();
  }
  EXPECT_EQ(erase(make_key(7, "m", "acme")), 9001U);
  EXPECT_EQ(get(make_key(7, "m", "acme:1"), 9001, 102), KeyStatus::hit);
  EXPECT_EQ(get(make_key(7, "m", ""), 9001, 100), KeyStatus::hit);
}

}  // namespace
}  // namespace fdpstore::test
