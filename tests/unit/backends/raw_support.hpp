// For tests of the raw backend: files standing for devices.
#pragma once

#include <algorithm>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "backends/directory_content.hpp"
#include "backends/raw_backend.hpp"
#include "unit/backends/support.hpp"

namespace fdpstore::test {

// A file standing for a device.
class DeviceFile {
 public:
  // All of it allocated, if `in_memory`.
  explicit DeviceFile(std::uint64_t size_bytes, bool in_memory = false)
      : dir_(in_memory ? parent_in_memory() : fs::temp_directory_path()) {
    {
      std::ofstream make(path_);
    }
    fs::resize_file(path_, size_bytes);
    const auto length = static_cast<off_t>(size_bytes);
    if (in_memory && ::posix_fallocate(File(path_, O_RDWR).fd(), 0, length) != 0) {
      throw std::runtime_error("cannot allocate " + path_);
    }
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] const TempDir& dir() const { return dir_; }
  void write(std::uint64_t at, const std::string& bytes) const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
  }
  [[nodiscard]] std::string bytes(std::uint64_t at, std::size_t length) const {
    std::ifstream file(path_, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(at));
    std::string out(length, '\0');
    file.read(out.data(), static_cast<std::streamsize>(length));
    return out;
  }
  [[nodiscard]] bool blank(std::uint64_t at, std::size_t length) const {
    return bytes(at, length) == std::string(length, '\0');
  }

 private:
  TempDir dir_;
  std::string path_ = dir_ / "device";
};

inline std::unique_ptr<Backend> must_open(const backends::RawBackendOptions& options) {
  auto backend = backends::open_raw_backend(options);
  EXPECT_TRUE(backend) << backend.error().message();
  return backend ? std::move(*backend) : nullptr;
}

// A block that reads as a superblock.
inline std::vector<std::byte> superblock(char fill) {
  std::vector<std::byte> block(kSuperblockBytes, static_cast<std::byte>(fill));
  std::ranges::copy(std::as_bytes(std::span(backends::kSuperblockMagic)), block.begin());
  return block;
}

}  // namespace fdpstore::test
