// For tests of backends: directories that vanish, small file systems on loop devices, and a client
// that runs requests one by one.
#pragma once

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

#include "backends/file_backend.hpp"
#include "fdpstore/backend.hpp"
#include "io/aligned_buffer.hpp"

namespace fdpstore::test {

namespace fs = std::filesystem;

class TempDir {
 public:
  explicit TempDir(const fs::path& parent = fs::temp_directory_path()) {
    std::string name = (parent / "fdpstore-test-XXXXXX").native();
    if (::mkdtemp(name.data()) == nullptr) throw std::system_error(errno, std::generic_category());
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const {
    return (path_ / name).native();
  }

 private:
  fs::path path_;
};

// A file system of its own on a loop device; needs root and the tool.
class LoopMount {
 public:
  LoopMount(const std::string& type, std::uint64_t size_bytes) {
    if (::geteuid() != 0) {
      why_not_ = "mounting needs root";
      return;
    }
    const std::string image = dir_ / "image";
    {
      std::ofstream make(image);
    }
    fs::resize_file(image, size_bytes);
    path_ = dir_ / "mnt";
    fs::create_directory(path_);
    if (std::system(("mkfs." + type + " -q " + image + " >/dev/null 2>&1").c_str()) != 0) {
      why_not_ = "mkfs." + type + " is not there or fails";
      return;
    }
    if (std::system(("mount -o loop " + image + " " + path_ + " >/dev/null 2>&1").c_str()) != 0) {
      why_not_ = "cannot mount " + type + " on a loop device here";
      return;
    }
    mounted_ = true;
  }
  LoopMount(const LoopMount&) = delete;
  LoopMount& operator=(const LoopMount&) = delete;
  ~LoopMount() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  [[nodiscard]] bool mounted() const { return mounted_; }
  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool remount(const std::string& options) const {
    return std::system(
               ("mount -o remount," + options + " " + path_ + " >/dev/null 2>&1").c_str()) == 0;
  }

 private:
  TempDir dir_;
  std::string path_;
  std::string why_not_;
  bool mounted_ = false;
};

constexpr std::uint64_t kMiB = 1ULL << 20;

inline std::unique_ptr<Backend> must_open(const backends::FileBackendOptions& options) {
  auto backend = backends::open_file_backend(options);
  if (!backend) {
    ADD_FAILURE() << backend.error().message();
    return nullptr;
  }
  return std::move(*backend);
}

inline io::AlignedBuffer random_bytes(std::size_t size, std::uint32_t seed) {
  auto buffer = io::AlignedBuffer::make({.size_bytes = size});
  EXPECT_TRUE(buffer);
  std::mt19937 random(seed);
  for (std::byte& byte : buffer->span()) byte = static_cast<std::byte>(random());
  return std::move(*buffer);
}

inline bool same(const io::AlignedBuffer& a, const io::AlignedBuffer& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

// Submits one request and waits for it.
inline std::error_code run(Backend& backend, IoRequest request) {
  request.user_data = 42;
  backend.submit({&request, 1});
  IoCompletion done;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < deadline) {
    if (backend.reap({&done, 1}, std::chrono::seconds(1)) == 1) {
      EXPECT_EQ(done.user_data, 42U);
      return done.error;
    }
  }
  return std::make_error_code(std::errc::timed_out);
}

inline std::error_code transfer(Backend& backend, IoOp op, SegmentId segment, std::uint64_t offset,
                                const io::AlignedBuffer& buffer) {
  const iovec span{buffer.data(), buffer.size()};
  return run(backend, {.op = op, .segment = segment, .offset_bytes = offset, .spans = {&span, 1}});
}

inline std::error_code write(Backend& backend, SegmentId segment, std::uint64_t offset,
                             const io::AlignedBuffer& buffer) {
  return transfer(backend, IoOp::write, segment, offset, buffer);
}

inline std::error_code read(Backend& backend, SegmentId segment, std::uint64_t offset,
                            const io::AlignedBuffer& buffer) {
  return transfer(backend, IoOp::read, segment, offset, buffer);
}

}  // namespace fdpstore::test
