// KnownFiles: what is remembered of a file counts for exactly that file.
#include "objects/known_files.hpp"

#include <ctime>

#include <gtest/gtest.h>

namespace fdpstore::objects {
namespace {

struct stat made_of(std::uint64_t inode, std::uint64_t size, std::int64_t changed_s_ago) {
  struct stat info{};
  info.st_ino = inode;
  info.st_size = static_cast<off_t>(size);
  info.st_ctim.tv_sec = std::time(nullptr) - changed_s_ago;
  info.st_ctim.tv_nsec = 5;
  return info;
}

FileState good(const struct stat& info) {
  FileState state;
  state.verdict = FileVerdict::good;
  state.inode = info.st_ino;
  state.size_bytes = static_cast<std::uint64_t>(info.st_size);
  return state;
}

TEST(KnownFiles, OnlyTheSameFileUnchangedIsKnown) {
  KnownFiles known;
  const struct stat info = made_of(7, 100, 60);
  EXPECT_FALSE(known.find(1, info));
  known.remember(1, info, good(info));
  ASSERT_TRUE(known.find(1, info));
  EXPECT_EQ(known.find(1, info)->verdict, FileVerdict::good);
  EXPECT_FALSE(known.find(2, info));
  struct stat other = info;
  other.st_ino = 8;
  EXPECT_FALSE(known.find(1, other));
  other = info;
  other.st_size = 101;
  EXPECT_FALSE(known.find(1, other));
  other = info;
  ++other.st_ctim.tv_nsec;
  EXPECT_FALSE(known.find(1, other));
}

TEST(KnownFiles, ChangeOfJustNowIsNotTrusted) {
  KnownFiles known;
  const struct stat info = made_of(7, 100, 0);
  known.remember(1, info, good(info));
  EXPECT_FALSE(known.find(1, info));
}

}  // namespace
}  // namespace fdpstore::objects
