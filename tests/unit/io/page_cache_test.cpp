// What the kernel says of the page cache.
#include "io/page_cache.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "support/files.hpp"

namespace fdpstore::test {
namespace {

TEST(PageCache, TellsWhatIsThereFromWhatIsNot) {
  const TempDir dir;
  const std::string path = (dir.path() / "file").string();
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  const std::vector<char> bytes(64 << 10, 'x');
  ASSERT_EQ(::write(fd, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  if (!io::in_page_cache(fd, 0, bytes.size())) {
    ::close(fd);
    GTEST_SKIP() << "Linux before 6.5 does not say";
  }
  EXPECT_TRUE(io::in_page_cache(fd, 4096, 1));
  EXPECT_TRUE(io::in_page_cache(fd, 4095, 2)) << "of two pages";
  EXPECT_FALSE(io::in_page_cache(fd, 4096, bytes.size())) << "the file ends before";
  EXPECT_FALSE(io::in_page_cache(fd, 0, 0));
  EXPECT_FALSE(io::in_page_cache(-1, 0, 4096));
  ASSERT_EQ(::fsync(fd), 0);
  ASSERT_EQ(::posix_fadvise(fd, 16 << 10, 16 << 10, POSIX_FADV_DONTNEED), 0);
  if (!io::in_page_cache(fd, 16 << 10, 16 << 10)) {  // advice that tmpfs does not take
    EXPECT_FALSE(io::in_page_cache(fd, 0, bytes.size()));
    EXPECT_TRUE(io::in_page_cache(fd, 0, 4096));
  }
  ::close(fd);
}

}  // namespace
}  // namespace fdpstore::test
