// Temporary directories and what tests do to files: look at their size, damage them, swap them.
//
// Errors:  a helper that cannot do its work throws; GoogleTest reports it as a failure.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fdpstore::test {

[[noreturn]] inline void throw_errno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

// A directory of its own (under $TMPDIR, unless `parent` is given), removed with everything in it.
class TempDir {
 public:
  explicit TempDir(const std::filesystem::path& parent = std::filesystem::temp_directory_path()) {
    std::string pattern = (parent / "fdpstore-test-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw_errno("mkdtemp " + pattern);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] std::string string() const { return path_.string(); }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).string();
  }

 private:
  std::filesystem::path path_;
};

inline bool is_tmpfs(const std::filesystem::path& path) {
  struct statfs info{};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == TMPFS_MAGIC;
}

// Where there is a tmpfs. Empty: there is one, with room for a store.
inline const std::filesystem::path kMemoryDirectory = "/dev/shm";
inline std::string why_not_in_memory() {
  if (!is_tmpfs(kMemoryDirectory)) return kMemoryDirectory.string() + " is no tmpfs";
  struct statfs info{};
  if (::statfs(kMemoryDirectory.c_str(), &info) != 0) throw_errno("statfs");
  const std::uint64_t free_bytes = info.f_bavail * static_cast<std::uint64_t>(info.f_bsize);
  if (free_bytes >= 1ULL << 30) return "";
  return "less than 1 GiB is free in " + kMemoryDirectory.string();
}
// For fixtures, which are made before they can skip: elsewhere, where it cannot be used.
inline std::filesystem::path parent_in_memory() {
  return why_not_in_memory().empty() ? kMemoryDirectory : std::filesystem::temp_directory_path();
}

class File {
 public:
  File(const std::filesystem::path& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, 0600)) {
    if (fd_ < 0) throw_errno("open " + path.string());
  }
  ~File() { ::close(fd_); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] int fd() const { return fd_; }
  [[nodiscard]] std::uint64_t size() const {
    struct stat info{};
    if (::fstat(fd_, &info) != 0) throw_errno("fstat");
    return static_cast<std::uint64_t>(info.st_size);
  }
  void read(std::span<std::byte> out, std::uint64_t at) const {
    if (::pread(fd_, out.data(), out.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(out.size())) {
      throw_errno("pread");
    }
  }
  void write(std::span<const std::byte> bytes, std::uint64_t at) const {
    if (::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(at)) !=
        static_cast<ssize_t>(bytes.size())) {
      throw_errno("pwrite");
    }
  }

 private:
  int fd_;
};

inline std::vector<std::byte> read_file(const std::filesystem::path& path) {
  const File file(path, O_RDONLY);
  std::vector<std::byte> bytes(file.size());
  if (!bytes.empty()) file.read(bytes, 0);
  return bytes;
}

inline std::string read_text(const std::filesystem::path& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline void flip_byte(const std::filesystem::path& path, std::uint64_t at) {
  const File file(path, O_RDWR);
  std::byte value{};
  file.read({&value, 1}, at);
  value ^= std::byte{0xFF};
  file.write({&value, 1}, at);
}

// Regular files below `dir`, sorted by path.
inline std::vector<std::filesystem::path> files_under(const std::filesystem::path& dir) {
  std::vector<std::filesystem::path> out;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir)) {
    if (entry.is_regular_file()) out.push_back(entry.path());
  }
  std::sort(out.begin(), out.end());
  return out;
}

// What `du` counts: blocks of files and directories, `dir` itself included. Entries that vanish
// while we look are gone and count nothing.
inline std::uint64_t disk_bytes(const std::filesystem::path& dir) {
  struct stat info{};
  if (::lstat(dir.c_str(), &info) != 0) return 0;
  std::uint64_t sum = static_cast<std::uint64_t>(info.st_blocks) * 512;
  if (!S_ISDIR(info.st_mode)) return sum;
  DIR* stream = ::opendir(dir.c_str());
  if (stream == nullptr) return sum;
  while (const dirent* entry = ::readdir(stream)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") sum += disk_bytes(dir / name);
  }
  ::closedir(stream);
  return sum;
}

// With extended attributes and holes, which std::filesystem::copy loses.
inline void copy_tree(const std::filesystem::path& from, const std::filesystem::path& to) {
  const std::string command =
      "cp -a --sparse=always '" + from.string() + "/.' '" + to.string() + "'";
  if (std::system(command.c_str()) != 0) throw std::runtime_error(command + " failed");
}

inline void swap_files(const std::filesystem::path& a, const std::filesystem::path& b) {
  const std::filesystem::path aside = a.string() + ".aside";
  std::filesystem::rename(a, aside);
  std::filesystem::rename(b, a);
  std::filesystem::rename(aside, b);
}

}  // namespace fdpstore::test
