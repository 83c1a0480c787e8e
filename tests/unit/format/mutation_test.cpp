// Seeded random damage: no decoder reads outside its buffer (run under AddressSanitizer), and what
// it accepts stays within the limits. FDPSTORE_TEST_SEED repeats a run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "samples.hpp"

namespace fdpstore::format {
namespace {

std::uint64_t seed() {
  const char* text = std::getenv("FDPSTORE_TEST_SEED");
  return text != nullptr ? std::strtoull(text, nullptr, 10) : std::random_device{}();
}

class Mutator {
 public:
  explicit Mutator(std::uint64_t seed) : random_(seed) {}

  // A copy on the heap of exactly the right size, so that a sanitizer sees reads behind its end.
  std::vector<std::byte> mutated(std::span<const std::byte> in) {
    std::vector<std::byte> out(in.begin(), in.end());
    if (below(4) == 0) out.resize(below(out.size() + 1));
    for (std::size_t edits = 1 + below(8); edits > 0 && !out.empty(); --edits) edit(out);
    out.shrink_to_fit();
    return out;
  }
  std::size_t below(std::size_t limit) { return random_() % limit; }

 private:
  void edit(std::vector<std::byte>& bytes) {
    static constexpr std::uint64_t kEdges[] = {
        0,          1,     0x7F, 0xFF, 0x7FFF, 0xFFFF,       1 << 16,   0xFFFFFFFF,
        1ULL << 48, ~0ULL, 4095, 4096, 129,    ~0ULL - 4095, 1ULL << 63};
    // Most edits hit the structure at the front; a few anywhere.
    const std::size_t range =
        below(4) == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 136);
    const std::size_t at = below(range);
    const std::size_t size = std::min<std::size_t>(std::size_t{1} << below(4), bytes.size() - at);
    const std::uint64_t value =
        below(2) == 0 ? kEdges[below(std::size(kEdges))] : static_cast<std::uint64_t>(random_());
    std::memcpy(bytes.data() + at, &value, size);
  }

  std::mt19937_64 random_;
};

void expect_sane_key(const KeyRef& key, std::span<const std::byte> within) {
  EXPECT_GE(key.chunk_hash.size(), 1U);
  EXPECT_LE(key.chunk_hash.size(), kMaxHashBytes);
  EXPECT_LE(key.model_name.size(), kMaxModelNameBytes);
  EXPECT_LE(key.cache_salt.size(), kMaxSaltBytes);
  const auto* end = reinterpret_cast<const char*>(within.data() + within.size());
  EXPECT_LE(key.cache_salt.data() + key.cache_salt.size(), end);
}

TEST(Mutation, HeadersWithARightChecksumStayWithinLimits) {
  const std::uint64_t used = seed();
  SCOPED_TRACE("FDPSTORE_TEST_SEED=" + std::to_string(used));
  Mutator mutator(used);
  const auto object = samples::encoded_object();
  const auto summary = samples::encoded_summary_header();
  const auto header = samples::encoded(samples::segment_header());
  const auto footer = samples::encoded(samples::footer());
  const auto super = samples::encoded(samples::superblock());
  std::size_t accepted = 0;
  for (int i = 0; i < 100'000; ++i) {
    auto block = mutator.mutated(i % 2 == 0 ? object : summary);
    // An adversary, or bad luck, may get the checksum right: the lengths must still hold.
    if (block.size() == kBlockBytes) samples::reseal(block, offsetof(RecordHeader, xxh3));
    const auto place = i % 2 == 0 ? samples::place() : samples::summary_place();
    if (const auto record = decode_record_header(block, place)) {
      ++accepted;
      EXPECT_LE(record->object.payload_bytes, kMaxLengthBytes);
      if (record->kind == RecordKind::object) expect_sane_key(record->object.key, block);
    }
    if (i % 10 != 0) continue;
    block = mutator.mutated(header);
    if (block.size() == kBlockBytes) samples::reseal(block, offsetof(SegmentHeader, xxh3));
    (void)decode_segment_header(block, samples::uuid(), 5);
    block = mutator.mutated(footer);
    if (block.size() == kBlockBytes) samples::reseal(block, offsetof(SegmentFooter, xxh3));
    if (const auto out = decode_segment_footer(block, samples::uuid(), 5, 42)) {
      EXPECT_LE(out->last_summary, out->used_bytes);
    }
    block = mutator.mutated(super);
    if (block.size() == kBlockBytes) samples::reseal(block, offsetof(Superblock, xxh3));
    (void)decode_superblock(block);
  }
  EXPECT_GT(accepted, 0U) << "the mutations never leave anything acceptable: the test is blind";
}

TEST(Mutation, PayloadEntriesStayWithinTheirBuffer) {
  const std::uint64_t used = seed();
  SCOPED_TRACE("FDPSTORE_TEST_SEED=" + std::to_string(used));
  Mutator mutator(used);
  std::vector<std::byte> summary;
  std::vector<std::byte> tombstones;
  std::vector<std::byte> freed;
  std::vector<std::byte> footers;
  for (int i = 0; i < 6; ++i) {
    append_summary(summary, samples::summary_item());
    append_tombstone(tombstones, samples::tombstone());
    append_freed(freed, samples::freed());
    append_footer(footers, samples::footer());
  }
  std::size_t visited = 0;
  for (int i = 0; i < 50'000; ++i) {
    auto bytes = mutator.mutated(summary);
    (void)visit_summary(bytes, [&](const SummaryItem& item) {
      ++visited;
      expect_sane_key(item.object.key, bytes);
      EXPECT_LE(item.object.payload_bytes, kMaxLengthBytes);
      EXPECT_LE(item.offset_bytes, kMaxLengthBytes);
    });
    bytes = mutator.mutated(tombstones);
    (void)visit_tombstones(bytes, [&](const Tombstone& t) { expect_sane_key(t.key, bytes); });
    bytes = mutator.mutated(freed);
    (void)visit_freed(bytes, [&](const FreedEntry&) { ++visited; });
    bytes = mutator.mutated(footers);
    (void)visit_footers(bytes, samples::uuid(), [&](const SegmentFooter& footer) {
      EXPECT_LE(footer.last_summary, footer.used_bytes);
    });
  }
  EXPECT_GT(visited, 0U);
}

}  // namespace
}  // namespace fdpstore::format
