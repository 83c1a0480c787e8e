// Payloads a test can make again: bytes are a function of a seed, so nothing has to be kept to
// verify.
//
// Thread:  any.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <vector>

namespace fdpstore::test {

// splitmix64: every seed gives another sequence, every word another value.
constexpr std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
  return x ^ (x >> 31);
}

// A payload's words from byte `at` on, one piece of them: sanitizers look at each copy.
using Words = std::array<std::uint64_t, 512>;
constexpr Words words_at(std::uint64_t seed, std::size_t at) {
  Words out{};
  const std::uint64_t base = mix(seed) + at;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = mix(base + i * sizeof(std::uint64_t));
  return out;
}

inline void fill(std::span<std::byte> out, std::uint64_t seed) {
  for (std::size_t at = 0; at < out.size(); at += sizeof(Words)) {
    const Words words = words_at(seed, at);
    std::memcpy(out.data() + at, words.data(), std::min(sizeof words, out.size() - at));
  }
}

inline bool matches(std::span<const std::byte> bytes, std::uint64_t seed) {
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(Words)) {
    const Words words = words_at(seed, at);
    const std::size_t size = std::min(sizeof words, bytes.size() - at);
    if (std::memcmp(bytes.data() + at, words.data(), size) != 0) return false;
  }
  return true;
}

inline std::vector<std::byte> make_bytes(std::size_t size, std::uint64_t seed) {
  std::vector<std::byte> out(size);
  fill(out, seed);
  return out;
}

// std::ranges::equal looks at each byte by itself, which takes long without optimisation.
inline bool same(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

// Memory at a chosen distance from a 4096-byte boundary: 0 travels without a copy, others need one.
class Buffer {
 public:
  explicit Buffer(std::size_t size, std::size_t misalign = 0)
      : memory_(static_cast<std::byte*>(::operator new(size + misalign, kAlign))),
        begin_(memory_.get() + misalign),
        size_(size) {
    std::memset(begin_, 0xEE, size);
  }

  [[nodiscard]] std::span<std::byte> span() { return {begin_, size_}; }
  [[nodiscard]] std::span<const std::byte> span() const { return {begin_, size_}; }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  static constexpr std::align_val_t kAlign{4096};
  struct Free {
    void operator()(std::byte* p) const { ::operator delete(p, kAlign); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::byte* begin_;
  std::size_t size_;
};

inline Buffer payload(std::size_t size, std::uint64_t seed, std::size_t misalign = 0) {
  Buffer buffer(size, misalign);
  fill(buffer.span(), seed);
  return buffer;
}

}  // namespace fdpstore::test
