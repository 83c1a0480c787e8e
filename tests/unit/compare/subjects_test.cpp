// What traces are replayed against: LRU against a naive one, slots by the writes that they make.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "unit/compare/hand_made.hpp"

namespace fdpstore::compare {
namespace {

using testing::Asker;
using testing::need;
using enum trace::OpKind;

class Random {
 public:
  std::uint64_t below(std::uint64_t bound) {
    x_ ^= x_ << 13, x_ ^= x_ >> 7, x_ ^= x_ << 17;
    return (x_ >> 11) % bound;
  }

 private:
  std::uint64_t x_ = 88172645463325252ULL;
};

// ------------------------------------------------------------------------------------------- LRU

// By the book: a vector, oldest first.
class NaiveLru {
 public:
  explicit NaiveLru(std::uint64_t capacity) : capacity_(capacity) {}
  Outcome run(trace::OpKind kind, const std::vector<std::uint64_t>& keys, std::uint64_t bytes) {
    Outcome out;
    if (kind == erase) {
      for (const std::uint64_t key : keys) {
        std::erase_if(items_, [&](const Item& item) { return item.key == key; });
      }
      return out;
    }
    std::vector<bool> there;
    for (const std::uint64_t key : keys) there.push_back(at(key) != items_.end());
    for (const bool one : there) out.present += one ? 1 : 0;
    while (out.leading < there.size() && there[out.leading]) ++out.leading;
    for (std::size_t i = keys.size(); i-- > 0;) {
      if (!there[i]) continue;
      const auto item = at(keys[i]);
      std::rotate(item, item + 1, items_.end());
    }
    if (kind != request && kind != store) return out;
    for (std::size_t i = keys.size(); i-- > 0;) {
      if (there[i] || bytes > capacity_) continue;
      while (used() + bytes > capacity_) items_.erase(items_.begin());
      items_.push_back({keys[i], bytes});
      ++out.stored;
    }
    return out;
  }

 private:
  struct Item {
    std::uint64_t key = 0, bytes = 0;
  };
  std::vector<Item>::iterator at(std::uint64_t key) {
    return std::ranges::find(items_, key, &Item::key);
  }
  std::uint64_t used() const {
    std::uint64_t sum = 0;
    for (const Item& item : items_) sum += item.bytes;
    return sum;
  }
  std::uint64_t capacity_;
  std::vector<Item> items_;
};

TEST(LruSubject, EqualsANaiveOneOnRandomOperations) {
  const auto lru = make_lru(10'000);
  Asker ask(*lru);
  NaiveLru naive(10'000);
  Random random;
  std::uint64_t stored = 0, hits = 0;
  for (int i = 0; i < 6000; ++i) {
    const trace::OpKind kind =
        std::array{request, request, request, lookup, load, store, erase}[random.below(7)];
    std::vector<std::uint64_t> keys;
    const std::uint64_t first = random.below(80);
    for (std::uint64_t k = 0; k < 1 + random.below(6); ++k) keys.push_back(first + k * 3);
    const std::uint64_t bytes = i % 500 == 0 ? 20'000 : 100 + random.below(900);
    const Outcome seen = ask(kind, keys, bytes);
    const Outcome expected = naive.run(kind, keys, bytes);
    ASSERT_EQ(seen.leading, expected.leading) << i;
    ASSERT_EQ(seen.present, expected.present) << i;
    ASSERT_EQ(seen.stored, expected.stored) << i;
    stored += seen.stored;
    hits += seen.present;
  }
  EXPECT_EQ(need(lru->counts()).stored_objects, stored);
  EXPECT_GT(stored, 3000U);
  EXPECT_GT(hits, 1000U);
  EXPECT_FALSE(need(lru->counts()).device_counts);
  EXPECT_FALSE(lru->no_device_counts().empty());
}

TEST(LruSubject, KeyTwiceInOneOperationIsStoredOnce) {
  const auto lru = make_lru(1000);
  Asker ask(*lru);
  EXPECT_EQ(ask(request, {1, 1, 2}, 100).stored, 2U);
  EXPECT_EQ(ask(lookup, {1, 1, 2}, 100).leading, 3U);
}

TEST(LruSubject, ItsShareOfTheDeviceIsItsCapacity) {
  Cell cell;
  cell.subject = Subject::lru;
  cell.capacity_bytes = 1000;
  cell.utilisation = 0.5;
  const auto lru = need(make_subject(cell, 100));
  Asker ask(*lru);
  ask(request, {1, 2, 3, 4, 5, 6}, 100);
  EXPECT_EQ(ask(lookup, {1, 2, 3, 4, 5, 6}, 100).leading, 5U);
}

// ----------------------------------------------------------------------------------------- slots

constexpr std::uint64_t kSlot = 64U << 10;
constexpr std::uint64_t kObject = kSlot - 4096;  // and a header

Cell slots_of(Subject subject, std::string device = "sim:capacity=64M,ru=1M,op=7,map=64K,ruhs=4") {
  Cell cell;
  cell.subject = subject;
  cell.ruhs = 4;
  cell.device = std::move(device);
  cell.capacity_bytes = 64U << 20;
  return cell;
}
// Of what was written since.
double dlwa(const Counts& from, const Counts& to) {
  return static_cast<double>(to.media_bytes - from.media_bytes) /
         static_cast<double>(to.device_host_bytes - from.device_host_bytes);
}

TEST(SlotSubject, BeginsOnADriveThatWasFilledOnce) {
  const auto slots = need(make_subject(slots_of(Subject::slots), kObject));
  const Counts counts = need(slots->counts());
  EXPECT_EQ(counts.device_host_bytes, 64U << 20);
  EXPECT_EQ(counts.host_written_bytes, 0U) << "which does not count";
  EXPECT_EQ(counts.stored_objects, 0U);
  EXPECT_GT(slots->write_bandwidth(), 1e8);
}

TEST(SlotSubject, KeepsAsManyObjectsAsSlotsInOrderOfUse) {
  const auto slots = need(make_subject(slots_of(Subject::slots), kObject));
  Asker ask(*slots);
  for (std::uint64_t key = 0; key < 1024; ++key) ask(store, {key}, kObject);
  EXPECT_EQ(ask(lookup, {0}, kObject).leading, 1U);
  ask(store, {5000}, kObject);
  EXPECT_EQ(ask(lookup, {1}, kObject).present, 0U) << "0 was used since, so 1 went";
  EXPECT_EQ(ask(lookup, {0, 2, 5000, 1023}, kObject).leading, 4U);
  const Outcome loaded = ask(request, {0, 9999, 2}, kObject);
  EXPECT_EQ(loaded.leading, 1U);
  EXPECT_EQ(loaded.present, 2U);
  EXPECT_EQ(loaded.stored, 1U);
  EXPECT_GT(loaded.load_s, 0);
  EXPECT_GT(loaded.store_s, 0);
  ask(erase, {0}, kObject);
  EXPECT_EQ(ask(lookup, {0}, kObject).present, 0U);
}

TEST(SlotSubject, RandomOverwritesAreAmplified) {
  const auto slots = need(make_subject(slots_of(Subject::slots), kObject));
  Asker ask(*slots);
  Random random;
  std::vector<std::uint64_t> live;
  std::uint64_t next = 0;
  for (int i = 0; i < 1024; ++i) ask(store, {live.emplace_back(next++)}, kObject);
  const auto overwrite = [&](int times) {
    for (int i = 0; i < times; ++i) {
      std::uint64_t& key = live[random.below(live.size())];
      ask(erase, {key}, kObject);
      ask(store, {key = next++}, kObject);
    }
  };
  overwrite(8 * 1024);
  const Counts before = need(slots->counts());
  overwrite(8 * 1024);
  const Counts after = need(slots->counts());
  EXPECT_EQ(after.device_host_bytes - before.device_host_bytes, 8 * 1024 * kSlot);
  EXPECT_GT(dlwa(before, after), 1.5) << "uniform random at 7 % spare";
  EXPECT_GT(after.copied_bytes, before.copied_bytes);
  EXPECT_EQ(after.ruh_bytes[0], after.device_host_bytes);
}

TEST(SlotSubject, TenantsGetPlacementIdsInTheOrderInWhichTheyCome) {
  for (const Subject subject : {Subject::slots_tenant, Subject::slots_affine}) {
    const auto slots = need(make_subject(slots_of(subject), kObject));
    Asker ask(*slots);
    const auto ruh = [&](std::string salt) {
      const Counts before = need(slots->counts());
      static std::uint64_t next = 0;
      ask(store, {next++}, kObject, std::move(salt));
      const Counts after = need(slots->counts());
      std::vector<std::size_t> changed;
      for (std::size_t i = 0; i < after.ruh_bytes.size(); ++i) {
        if (after.ruh_bytes[i] != before.ruh_bytes[i]) changed.push_back(i);
      }
      return changed.size() == 1 ? changed[0] : 99;
    };
    EXPECT_EQ(ruh("a:x"), 1U);
    EXPECT_EQ(ruh("b:x"), 2U);
    EXPECT_EQ(ruh("a:y"), 1U) << "what stands before ':' counts";
    EXPECT_EQ(ruh(""), 3U);
    EXPECT_EQ(ruh("late"), 0U) << "none is left: no directive";
    EXPECT_EQ(ruh("later"), 0U);
    EXPECT_EQ(ruh("b"), 2U);
  }
}

// The calm tenant's slots lie free for a while, and the busy one may take them; the old data in
// each lies in the units of the tenant who wrote it.
double two_tenants(Subject subject) {
  constexpr std::size_t kAtOnce = 64;
  const auto slots = need(make_subject(slots_of(subject), kObject));
  Asker ask(*slots);
  std::vector<std::uint64_t> busy, calm;
  std::uint64_t next = 0;
  for (int i = 0; i < 512; ++i) {
    ask(store, {busy.emplace_back(next++)}, kObject, "busy");
    ask(store, {calm.emplace_back(next++)}, kObject, "calm");
  }
  Random random;
  // Other ones come to the front.
  const auto shuffle = [&](std::vector<std::uint64_t>& keys) {
    for (std::size_t i = 0; i < kAtOnce; ++i) {
      std::swap(keys[i], keys[i + random.below(keys.size() - i)]);
    }
  };
  const auto renew = [&](std::vector<std::uint64_t>& keys, const std::string& salt) {
    for (std::size_t i = 0; i < kAtOnce; ++i) ask(store, {keys[i] = next++}, kObject, salt);
  };
  Counts before;
  for (int round = 0; round < 600; ++round) {
    if (round == 300) before = need(slots->counts());
    shuffle(busy);
    for (std::size_t i = 0; i < kAtOnce; ++i) ask(erase, {busy[i]}, kObject, "busy");
    if (round % 4 == 0) {
      shuffle(calm);
      for (std::size_t i = 0; i < kAtOnce; ++i) ask(erase, {calm[i]}, kObject, "calm");
    }
    renew(busy, "busy");
    if (round % 4 == 3) renew(calm, "calm");
  }
  return dlwa(before, need(slots->counts()));
}

TEST(SlotSubject, AffinityTakesOtherSlots) {
  EXPECT_EQ(two_tenants(Subject::slots_affine), two_tenants(Subject::slots_affine));
  EXPECT_LT(two_tenants(Subject::slots_affine), two_tenants(Subject::slots_tenant));
}

TEST(SlotSubject, WhatCannotBeSimulatedIsRefused) {
  const auto real = make_subject(slots_of(Subject::slots, "/mnt/kv"), kObject);
  ASSERT_FALSE(real);
  EXPECT_EQ(real.error().code, Errc::unsupported);
  EXPECT_NE(real.error().what.find("sim:"), std::string::npos);
  const auto large = make_subject(slots_of(Subject::slots), 65U << 20);
  ASSERT_FALSE(large);
  EXPECT_NE(large.error().what.find("raise capacity"), std::string::npos);
  Cell small = slots_of(Subject::slots);
  small.utilisation = 0.0001;
  const auto none = make_subject(small, kObject);
  ASSERT_FALSE(none) << "its share has no slot";
  EXPECT_NE(none.error().what.find("raise capacity"), std::string::npos);
}

}  // namespace
}  // namespace fdpstore::compare
