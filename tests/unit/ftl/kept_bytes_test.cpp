#include "ftl/kept_bytes.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "support/sanitizers.hpp"
#include "unit/ftl/support.hpp"

namespace fdpstore::test {
namespace {

using ftl::KeptBytes;

std::vector<std::byte> some(std::size_t length, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::byte> out(length);
  for (std::byte& b : out) b = static_cast<std::byte>(random.next() & 0xFF);
  return out;
}

TEST(KeptBytes, WhatWasNeverWrittenIsZeros) {
  const KeptBytes kept(10 * kMiB);
  std::vector<std::byte> out(3 * kMiB, std::byte{1});
  kept.read(kMiB - 5, out);
  EXPECT_TRUE(std::ranges::all_of(out, [](std::byte b) { return b == std::byte{}; }));
}

TEST(KeptBytes, AgreesWithAnArrayUnderAnyWrites) {
  constexpr std::size_t kSize = 3 * kMiB + 12345;
  KeptBytes kept(kSize);
  std::vector<std::byte> array(kSize);
  Random random(17);
  for (int i = 0; i < repeated(600); ++i) {
    const std::size_t length = random.below(i % 10 == 0 ? 2 * kMiB : 20000) + 1;
    const std::size_t at = random.below(static_cast<std::uint32_t>(kSize - length));
    const auto part = std::span(array).subspan(at, length);
    if (random.below(3) == 0) {
      kept.forget(at, length);
      std::ranges::fill(part, std::byte{});
    } else {
      const auto bytes = some(length, static_cast<std::uint64_t>(i));
      kept.write(at, bytes);
      std::ranges::copy(bytes, part.begin());
    }
  }
  std::vector<std::byte> out(kSize);
  kept.read(0, out);
  EXPECT_TRUE(out == array);
  kept.forget(0, kSize);
  EXPECT_EQ(kept.kept_bytes(), 0U);
}

TEST(KeptBytes, ZerosAtTheEndOfABlockTakeNothing) {
  KeptBytes kept(kGiB);
  std::vector<std::byte> header(4096);
  header[199] = std::byte{1};
  for (std::uint64_t at = 0; at < kGiB; at += kMiB) kept.write(at, header);
  EXPECT_EQ(kept.kept_bytes(), 1024U * 200);
  std::vector<std::byte> zeros(4096);
  kept.write(0, zeros);
  EXPECT_EQ(kept.kept_bytes(), 1023U * 200);
}

}  // namespace
}  // namespace fdpstore::test
