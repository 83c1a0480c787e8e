// Payloads summed up by the engine and its helpers.
#include "core/verifier.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <semaphore>
#include <vector>

#include "support/bytes.hpp"

namespace fdpstore::test {
namespace {

using core::Verifier;
using Payload = Verifier::Payload;

constexpr std::uint64_t kSeed = 7;
constexpr std::size_t kMiB = 1U << 20;

std::uint64_t checksum_of(const std::vector<std::byte>& bytes) {
  format::PayloadChecksum sum(kSeed);
  sum.add(bytes);
  return sum.value();
}

TEST(Verifier, WithoutHelpersTheEngineTakesPieceByPieceInTurn) {
  auto first = make_bytes(3 * kMiB + 5, 1), second = make_bytes(kMiB, 2);
  Verifier verifier([] { ADD_FAILURE() << "there is nobody to wake the engine"; }, 0);
  Payload large(kSeed, first), small(kSeed, second);
  EXPECT_FALSE(verifier.help());
  verifier.arrived(large, 2 * kMiB + 3);
  verifier.arrived(small, second.size());
  EXPECT_TRUE(verifier.waiting());
  EXPECT_TRUE(verifier.help() && verifier.help());
  EXPECT_EQ(verifier.take_done(), std::vector<Payload*>{&small}) << "the large one is in its way";
  EXPECT_TRUE(verifier.help() && verifier.help());
  EXPECT_FALSE(verifier.help()) << "no more of it has come";
  EXPECT_TRUE(verifier.take_done().empty());
  verifier.arrived(large, first.size());
  while (verifier.help()) {
  }
  EXPECT_EQ(verifier.take_done(), std::vector<Payload*>{&large});
  EXPECT_EQ(large.checksum(), checksum_of(first));
  EXPECT_EQ(small.checksum(), checksum_of(second));
}

TEST(Verifier, FewPiecesAtATimeAreLeftToTheEngine) {
  auto bytes = make_bytes(kMiB, 1);
  Verifier verifier([] {}, 4);
  for (int i = 0; i < 3; ++i) {
    Payload first(kSeed, bytes), second(kSeed, bytes);
    verifier.arrived(first, bytes.size());
    verifier.arrived(second, bytes.size());
    EXPECT_TRUE(verifier.help() && verifier.help());
    EXPECT_EQ(verifier.take_done(), (std::vector<Payload*>{&first, &second}));
    EXPECT_EQ(first.checksum(), checksum_of(bytes));
  }
  EXPECT_EQ(verifier.helpers(), 0U);
}

// The engine sleeps while helpers are at all that is left.
TEST(Verifier, HelpersTakeWhatWaitsAndWakeTheEngine) {
  auto bytes = make_bytes(5 * kMiB + 11, 1);
  const std::uint64_t right = checksum_of(bytes);
  std::counting_semaphore<> woken(0);
  Verifier verifier([&] { woken.release(); }, 2);
  for (int round = 0; round < 20; ++round) {
    std::vector<std::unique_ptr<Payload>> payloads;
    for (std::size_t i = 0; i < 20; ++i) {
      payloads.push_back(std::make_unique<Payload>(kSeed, bytes));
    }
    for (std::uint64_t come = 0; come < bytes.size();) {
      come = std::min<std::uint64_t>(come + kMiB, bytes.size());
      for (auto& payload : payloads) verifier.arrived(*payload, come);
    }
    std::vector<const Payload*> done;
    while (done.size() < payloads.size()) {
      if (!verifier.help()) woken.acquire();
      for (const Payload* payload : verifier.take_done()) done.push_back(payload);
    }
    std::ranges::sort(done);
    EXPECT_EQ(std::ranges::adjacent_find(done), done.end()) << "each once";
    for (const auto& payload : payloads) EXPECT_EQ(payload->checksum(), right);
    EXPECT_FALSE(verifier.waiting());
  }
  EXPECT_GE(verifier.helpers(), 1U);
  EXPECT_LE(verifier.helpers(), 2U);
}

// A read that failed half-way: its memory is the caller's again only when nobody is at it.
TEST(Verifier, WhatIsGivenUpIsDoneOnce) {
  auto bytes = make_bytes(4 * kMiB, 1);
  std::counting_semaphore<> woken(0);
  Verifier verifier([&] { woken.release(); }, 2);
  for (int round = 0; round < 50; ++round) {
    auto memory = std::make_unique<std::vector<std::byte>>(bytes);
    Payload failed(kSeed, *memory), never(kSeed, *memory), whole(kSeed, *memory);
    verifier.arrived(failed, 3 * kMiB);
    verifier.arrived(whole, bytes.size());
    verifier.give_up(failed);
    verifier.give_up(never);
    std::size_t done = 0;
    while (done < 3) {
      (void)verifier.help();
      done += verifier.take_done().size();
    }
    memory.reset();  // AddressSanitizer tells of whoever still reads it
    EXPECT_FALSE(verifier.help());
    EXPECT_TRUE(verifier.take_done().empty());
  }
}

// The first `there` bytes of one that is in memory.
class PartOf final : public CachedSegment {
 public:
  PartOf(std::vector<std::byte> bytes, std::size_t there)
      : bytes_(std::move(bytes)), there_(there) {}
  std::size_t copy(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept override {
    const std::size_t left = there_ > offset_bytes ? there_ - offset_bytes : 0;
    const std::size_t copied = std::min(out.size(), left);
    std::copy_n(bytes_.begin() + static_cast<std::ptrdiff_t>(offset_bytes), copied, out.begin());
    return copied;
  }

 private:
  std::vector<std::byte> bytes_;
  std::size_t there_;
};

TEST(Verifier, CopiesAsFarAsItCanThenTheRestMayArrive) {
  const auto right = make_bytes(3 * kMiB + 7, 1);
  constexpr std::size_t kBefore = 4096;
  std::vector<std::byte> segment(kBefore);
  segment.insert(segment.end(), right.begin(), right.end());
  for (const std::size_t there :
       {std::size_t{0}, std::size_t{1}, kMiB, 2 * kMiB + 5, right.size()}) {
    const PartOf cached(segment, kBefore + there);
    std::vector<std::byte> out(right.size());
    Verifier verifier([] {}, 0);
    Payload payload(kSeed, out);
    verifier.copy(payload, cached, kBefore);
    while (verifier.help()) {
    }
    EXPECT_EQ(verifier.take_done(), std::vector<Payload*>{&payload});
    EXPECT_EQ(payload.done_bytes(), there);
    if (there < right.size()) {
      std::ranges::copy(right, out.begin());  // is read
      verifier.arrived(payload, there + 1);
      verifier.arrived(payload, right.size());
      while (verifier.help()) {
      }
      EXPECT_EQ(verifier.take_done(), std::vector<Payload*>{&payload});
    }
    EXPECT_EQ(out, right);
    EXPECT_EQ(payload.checksum(), checksum_of(right)) << there;
    Payload unsummed(std::nullopt, out);
    std::ranges::fill(out, std::byte{});
    verifier.copy(unsummed, cached, kBefore);
    while (verifier.help()) {
    }
    EXPECT_EQ(verifier.take_done(), std::vector<Payload*>{&unsummed});
    EXPECT_EQ(unsummed.done_bytes(), there);
    EXPECT_TRUE(
        std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(there), right.begin()));
  }
}

}  // namespace
}  // namespace fdpstore::test
