#include "common/xxh3.hpp"

namespace fdpstore {
namespace {

const Xxh3Unit& widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return kXxh3Avx512;
  if (__builtin_cpu_supports("avx2")) return kXxh3Avx2;
#endif
  return kXxh3Baseline;
}

const Xxh3Unit& unit() {
  static const Xxh3Unit& chosen = widest();
  return chosen;
}

}  // namespace

std::uint64_t xxh3(std::span<const std::byte> bytes, std::uint64_t seed) {
  return unit().hash(bytes.data(), bytes.size(), seed);
}

Xxh3::Xxh3(std::uint64_t seed) {
  unit().reset(state_, seed);
}

void Xxh3::add(std::span<const std::byte> piece) {
  unit().add(state_, piece.data(), piece.size());
}

std::uint64_t Xxh3::value() const {
  return unit().value(state_);
}

}  // namespace fdpstore
