// XXH3, of every vector unit that this CPU has.
#include "common/xxh3.hpp"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

namespace fdpstore {
namespace {

std::vector<std::byte> some_bytes(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + (i >> 8));
  return bytes;
}

// What libxxhash gives.
std::uint64_t plain(std::span<const std::byte> bytes, std::uint64_t seed) {
  return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

constexpr std::size_t kSizes[] = {0, 1, 3, 16, 17, 128, 240, 241, 1024, 4095, 4096, 65537, 1 << 20};

void expect_plain(const Xxh3Unit& unit) {
  const auto bytes = some_bytes(1 << 20);
  Xxh3State state;
  for (const std::size_t size : kSizes) {
    for (const std::uint64_t seed : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{7}}) {
      const auto part = std::span(bytes).last(size);  // at any alignment
      EXPECT_EQ(unit.hash(part.data(), size, seed), plain(part, seed)) << size;
      unit.reset(state, seed);
      unit.add(state, part.data(), size / 3);
      unit.add(state, part.data() + size / 3, size - size / 3);
      EXPECT_EQ(unit.value(state), plain(part, seed)) << size << " in two pieces";
    }
  }
}

TEST(Xxh3, BaselineIsThatOfTheLibrary) {
  expect_plain(kXxh3Baseline);
}

#if defined(__x86_64__)
TEST(Xxh3, Avx2IsThatOfTheLibrary) {
  if (!__builtin_cpu_supports("avx2")) GTEST_SKIP() << "this CPU has no AVX2";
  expect_plain(kXxh3Avx2);
}

TEST(Xxh3, Avx512IsThatOfTheLibrary) {
  if (!__builtin_cpu_supports("avx512f")) GTEST_SKIP() << "this CPU has no AVX-512";
  expect_plain(kXxh3Avx512);
}
#endif

TEST(Xxh3, IsThatOfTheLibraryWhateverTheCpu) {
  const auto bytes = some_bytes(1 << 20);
  for (const std::size_t size : kSizes) {
    const auto part = std::span(bytes).first(size);
    EXPECT_EQ(xxh3(part, 7), plain(part, 7)) << size;
    for (const std::size_t piece : {1000U, 4096U, 65536U}) {
      Xxh3 sum(7);
      for (std::size_t at = 0; at < size; at += piece) {
        sum.add(part.subspan(at, std::min(piece, size - at)));
      }
      EXPECT_EQ(sum.value(), plain(part, 7)) << size << " by " << piece;
    }
  }
}

}  // namespace
}  // namespace fdpstore
