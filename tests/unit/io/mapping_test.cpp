// Files in memory, mapped.
#include "io/mapping.hpp"

#include <gtest/gtest.h>

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
  void SetUp() override { file_.write(before_, 0); }

  const TempDir dir_;
  const File file_{dir_.path() / "file", O_CREAT | O_RDWR};
  const std::vector<std::byte> before_ = make_bytes(kBytes, 1);
};

TEST_F(Mapping, CopiesFromAndToTheFile) {
  const auto mapping = io::Mapping::of(file_.fd(), 2 * kBytes, true);
  EXPECT_TRUE(mapping.is_writable());
  EXPECT_TRUE(mapping.covers(kBytes)) << "as far as the file has them";
  EXPECT_FALSE(mapping.covers(kBytes + 1));
  std::vector<std::byte> out(1000);
  mapping.read(kBytes - 1000, out);
  EXPECT_TRUE(std::ranges::equal(out, std::span(before_).last(1000)));
  const auto after = make_bytes(5000, 2);
  mapping.write(3, after);
  out.resize(5000);
  file_.read(out, 3);
  EXPECT_EQ(out, after);
}

TEST_F(Mapping, AReaderMapsLessAndCannotWrite) {
  const auto mapping = io::Mapping::of(file_.fd(), 4096, false);
  EXPECT_FALSE(mapping.is_writable());
  EXPECT_TRUE(mapping.covers(4096));
  EXPECT_FALSE(mapping.covers(4097));
}

TEST_F(Mapping, IsMovedNotCopied) {
  auto first = io::Mapping::of(file_.fd(), kBytes, true);
  io::Mapping second(std::move(first));
  EXPECT_TRUE(second.covers(kBytes));
  io::Mapping third;
  third = std::move(second);
  std::vector<std::byte> out(kBytes);
  third.read(0, out);
  EXPECT_EQ(out, before_);
  third = {};
  EXPECT_FALSE(third.covers(1));
  EXPECT_FALSE(third.is_writable());
}

TEST_F(Mapping, NothingThatHasHolesOrIsEmpty) {
  ASSERT_EQ(::ftruncate(file_.fd(), 1 << 20), 0);
  EXPECT_FALSE(io::Mapping::of(file_.fd(), kBytes, true).covers(1));
  ASSERT_EQ(::ftruncate(file_.fd(), 0), 0);
  EXPECT_FALSE(io::Mapping::of(file_.fd(), kBytes, true).covers(1));
  EXPECT_FALSE(io::Mapping::of(-1, kBytes, true).covers(1));
}

}  // namespace
}  // namespace fdpstore::test
