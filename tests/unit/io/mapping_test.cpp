// Files in memory, mapped.
#include "io/mapping.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "support/bytes.hpp"
#include "support/files.hpp"

namespace fdpstore::test {
namespace {

constexpr std::size_t kBytes = 64 << 10;

class Mapping : public testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = why_not_in_memory(); !why.empty()) GTEST_SKIP() << why;
    dir_.emplace(kMemoryDirectory);
    file_.emplace(dir_->path() / "file", O_CREAT | O_RDWR);
    file_->write(before_, 0);
  }
  [[nodiscard]] io::Mapping map(std::uint64_t bytes = kBytes, bool writable = true) const {
    return io::Mapping::of(file_->fd(), bytes, writable);
  }

  const std::vector<std::byte> before_ = make_bytes(kBytes, 1);
  std::optional<TempDir> dir_;
  std::optional<File> file_;
};

TEST_F(Mapping, CopiesFromAndToTheFile) {
  const auto mapping = map(2 * kBytes);
  EXPECT_TRUE(mapping.is_writable());
  EXPECT_TRUE(mapping.covers(kBytes)) << "as far as the file has them";
  EXPECT_FALSE(mapping.covers(kBytes + 1));
  std::vector<std::byte> out(1000);
  EXPECT_TRUE(mapping.read(kBytes - 1000, out));
  EXPECT_TRUE(same(out, std::span(before_).last(1000)));
  EXPECT_FALSE(mapping.read(kBytes - 999, out));
  const auto after = make_bytes(5000, 2);
  EXPECT_TRUE(mapping.write(3, after));
  EXPECT_FALSE(mapping.write(kBytes - 4999, after));
  out.resize(5000);
  file_->read(out, 3);
  EXPECT_TRUE(same(out, after));
}

TEST_F(Mapping, AReaderMapsLessAndCannotWrite) {
  const auto mapping = map(4096, false);
  EXPECT_FALSE(mapping.is_writable());
  EXPECT_FALSE(mapping.write(0, std::span(before_).first(1)));
  EXPECT_TRUE(mapping.covers(4096));
  EXPECT_FALSE(mapping.covers(4097));
}

// What is not there any more cannot be touched.
TEST_F(Mapping, AFileThatWasCutIsLeftAlone) {
  const auto mapping = map();
  ASSERT_EQ(::ftruncate(file_->fd(), 8192), 0);
  std::vector<std::byte> out(4096);
  EXPECT_TRUE(mapping.read(4096, out));
  EXPECT_FALSE(mapping.read(4097, out));
  EXPECT_FALSE(mapping.write(8192, out));
}

TEST_F(Mapping, NothingOnADisk) {
  const TempDir disk;
  const File file(disk.path() / "file", O_CREAT | O_RDWR);
  if (is_tmpfs(disk.path())) GTEST_SKIP() << disk.string() << " is a tmpfs; set TMPDIR";
  file.write(before_, 0);
  EXPECT_TRUE(io::Mapping::of(file.fd(), kBytes, true).empty());
}

TEST_F(Mapping, IsMovedNotCopied) {
  auto first = map();
  io::Mapping second(std::move(first));
  EXPECT_TRUE(second.covers(kBytes));
  io::Mapping third;
  third = std::move(second);
  std::vector<std::byte> out(kBytes);
  EXPECT_TRUE(third.read(0, out));
  EXPECT_TRUE(same(out, before_));
  third = {};
  EXPECT_TRUE(third.empty());
  EXPECT_FALSE(third.is_writable());
}

TEST_F(Mapping, NothingThatHasHolesOrIsEmpty) {
  ASSERT_EQ(::ftruncate(file_->fd(), 1 << 20), 0);
  EXPECT_TRUE(map().empty());
  ASSERT_EQ(::ftruncate(file_->fd(), 0), 0);
  EXPECT_TRUE(map().empty());
  EXPECT_TRUE(io::Mapping::of(-1, kBytes, true).empty());
}

}  // namespace
}  // namespace fdpstore::test
