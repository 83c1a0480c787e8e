// For tests of backends: a client that runs requests one by one.
#pragma once

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "backends/file_backend.hpp"
#include "fdpstore/backend.hpp"
#include "io/aligned_buffer.hpp"
#include "support/bytes.hpp"
#include "support/files.hpp"
#include "support/small_file_system.hpp"
#include "support/units.hpp"

namespace fdpstore::test {

namespace fs = std::filesystem;

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
  test::fill(buffer->span(), seed);
  return std::move(*buffer);
}

inline bool same(const io::AlignedBuffer& a, const io::AlignedBuffer& b) {
  return same(a.span(), b.span());
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
