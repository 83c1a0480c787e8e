// Stores that somebody has made to hurt us: every structure changed at random, with checksums that
// hold. Such a store may be refused or serve what it says, but nothing may crash, be read or
// written beyond a segment, or take memory without bound.
#include <sys/resource.h>

#include <atomic>
#include <cstring>
#include <random>

#include <fmt/format.h>

#include "format/codec.hpp"
#include "support/sanitizers.hpp"
#include "unit/core/core_test.hpp"

namespace fdpstore::test {
namespace {

using format::kBlockBytes;

constexpr std::uint64_t kStores = kThreadSanitizer ? 60 : kAddressSanitizer ? 150 : 600;

class Crafted : public CoreTest, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  Crafted() {
    options.segment_bytes = 256U << 10;
    options.max_object_bytes = 32U << 10;
    options.capacity_bytes = (1U << 20) + 12 * (256U << 10);
    config.fault = [this](const IoRequest& request) -> std::error_code {
      std::uint64_t bytes = 0;
      for (const iovec& span : request.spans) bytes += span.iov_len;
      const std::uint64_t room = options.segment_bytes;
      if (request.offset_bytes > room || bytes > room - request.offset_bytes) ++outside_;
      return {};
    };
  }
  void make() {
    auto store = open();
    for (std::uint64_t n = 0; n < 60; ++n) {
      ASSERT_EQ(put(*store, make_key(n), make_payload(n, 9000 + 300 * n)), KeyStatus::stored);
      if (n % 7 == 6) {
        (void)erase(*store, make_key(n - 2));
      }
    }
    killed_ = medium->snapshot();
    ASSERT_TRUE(store->close());
    closed_ = medium->snapshot();
  }

  static std::uint64_t value(std::mt19937_64& random, std::uint64_t was) {
    static constexpr std::array<std::uint64_t, 12> kOdd = {
        0,        1,          4096,       4095,       1U << 18,       (1U << 18) - 4096,
        1U << 31, UINT32_MAX, 1ULL << 40, 1ULL << 48, UINT64_MAX - 1, UINT64_MAX};
    switch (random() % 4) {
      case 0: return kOdd[random() % kOdd.size()];
      case 1: return was + kBlockBytes;
      case 2: return was ^ (1ULL << random() % 64);
      default: return random();
    }
  }
  static void poke(std::byte* at, std::mt19937_64& random) {
    std::uint64_t word = 0;
    const std::size_t width = std::array<std::size_t, 4>{1, 2, 4, 8}[random() % 4];
    std::memcpy(&word, at, width);
    word = value(random, word);
    std::memcpy(at, &word, width);
  }
  static void seal(std::byte* block, std::size_t xxh3_at) {
    std::memset(block + xxh3_at, 0, 8);
    const std::uint64_t sum = format::seeded_checksum(0, {block, kBlockBytes});
    std::memcpy(block + xxh3_at, &sum, sizeof sum);
  }
  // The block's structure, and the payload behind it where it is one of ours.
  static void change(std::span<std::byte> segment, std::uint64_t at, std::mt19937_64& random) {
    std::byte* block = segment.data() + at;
    std::uint64_t magic = 0;
    std::memcpy(&magic, block, sizeof magic);
    if (magic != format::kRecordMagic) {
      poke(block + 8 + random() % 44, random);
      seal(block, 56);
      return;
    }
    format::RecordHeader header;
    std::memcpy(&header, block, sizeof header);
    const bool object = header.kind == static_cast<std::uint16_t>(format::RecordKind::object);
    const std::uint64_t room = segment.size() - at - kBlockBytes;
    if (!object && random() % 4 != 0 && header.payload_bytes > 8 && header.payload_bytes <= room) {
      std::byte* payload = block + kBlockBytes;
      for (std::uint64_t i = 0; i <= random() % 3; ++i) {
        poke(payload + random() % (header.payload_bytes - 8), random);
      }
      header.payload_xxh3 = format::payload_checksum(header.uuid, {}, header.sequence,
                                                     {payload, header.payload_bytes});
      std::memcpy(block, &header, sizeof header);
    } else {
      poke(block + 8 + random() % 96, random);
    }
    seal(block, 112);
  }
  static void change(MemMedium& medium, std::mt19937_64& random) {
    if (random() % 8 == 0) {
      auto& copy = medium.superblocks[random() % 2];
      if (copy) {
        poke(copy->data() + 8 + random() % 60, random);
        seal(copy->data(), 4088);
      }
    }
    std::vector<std::pair<std::uint32_t, std::uint64_t>> places;
    for (auto& [id, bytes] : medium.segments) {
      for (std::uint64_t at = 0; at + kBlockBytes <= bytes.size(); at += kBlockBytes) {
        std::uint64_t magic = 0;
        std::memcpy(&magic, bytes.data() + at, sizeof magic);
        if (magic == format::kRecordMagic || magic == format::kSegmentMagic ||
            magic == format::kFooterMagic) {
          places.emplace_back(id, at);
        }
      }
    }
    for (std::uint64_t i = 0; i <= random() % 4; ++i) {
      const auto [id, at] = places[random() % places.size()];
      change(medium.segments[id], at, random);
    }
    if (random() % 6 == 0) {  // files of another length
      auto& bytes = medium.segments.begin()->second;
      bytes.resize(kBlockBytes * (random() % 200));
    }
  }
  // Everything a user does with a store.
  void use(const std::shared_ptr<MemMedium>& image, std::uint64_t seed) {
    auto opened = try_open(image);
    if (!opened) return;
    Store& store = **opened;
    std::string cursor;
    for (int pages = 0; pages < 50; ++pages) {
      const auto page = store.list(cursor, 50, "");
      ASSERT_TRUE(page);
      for (const ListedKey& one : page->keys) {
        ASSERT_LE(one.bytes, options.segment_bytes);
        (void)get(store, one.key, one.bytes);
      }
      cursor = page->next;
      if (cursor.empty()) break;
    }
    (void)store.status();
    for (std::uint64_t n = 0; n < 120; ++n) {
      (void)put(store, make_key(seed * 1000 + n), make_payload(n, 20000));
      if (n % 10 == 0) {
        (void)get(store, make_key(n % 60), 9000 + 300 * (n % 60));
        const auto key = make_key(n % 60);
        const KeyRef ref = key.ref();
        (void)store.erase({&ref, 1});
      }
    }
    (void)store.close();
    (*opened).reset();
    Options read_only = options;
    read_only.read_only = true;
    (void)core::check_segments(read_only, std::make_unique<MemBackend>(image, config),
                               policy_factory(), false, {});
  }
  static std::uint64_t peak_kib() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss);
  }

  std::atomic<std::uint64_t> outside_{0};
  std::shared_ptr<MemMedium> killed_, closed_;
};

TEST_P(Crafted, StoreCannotHurt) {
  make();
  const std::uint64_t before = peak_kib();
  for (std::uint64_t i = 0; i < kStores / 4; ++i) {
    const std::uint64_t seed = GetParam() * 10'000 + i;
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937_64 random(seed);
    auto image = (random() % 2 == 0 ? killed_ : closed_)->snapshot();
    change(*image, random);
    use(image, seed);
    ASSERT_EQ(outside_, 0U) << "a request beyond its segment";
  }
  if (kAddressSanitizer) return;  // which keeps what was freed
  EXPECT_LT(peak_kib() - before, 300U << 10) << "KiB more than the stores need";
}

INSTANTIATE_TEST_SUITE_P(Seeds, Crafted, ::testing::Range<std::uint64_t>(0, 4));

}  // namespace
}  // namespace fdpstore::test
