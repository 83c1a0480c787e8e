// Our store on simulated devices that keep no payload, as the comparison runs it.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <numeric>

#include "fdpstore/store.hpp"
#include "ftl/sim_backend.hpp"
#include "ftl/sim_device.hpp"
#include "store/open_on.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"
#include "unit/compare/hand_made.hpp"

namespace fdpstore::compare {
namespace {

using testing::Asker;
using testing::need;
using enum trace::OpKind;

class SimStore : public ::testing::Test {
 protected:
  void make_device(std::string_view uri) {
    device = need(ftl::SimDevice::make(need(ftl::parse_sim_uri(uri))));
    options.layout = Layout::segment;
    options.device_path = uri;
    options.max_object_bytes = 1U << 20;
    options.policy = "separated";
    options.capacity_bytes = device->size_bytes();
  }
  std::unique_ptr<Store> open() {
    return need(store::open_on(options, need(ftl::open_sim_backend(device, {}))));
  }
  static KeyStatus put(Store& store, std::uint64_t n, std::size_t bytes) {
    const ObjectKey key = test::make_key(n);
    const PutItem item{key.ref(), {static_cast<const std::byte*>(nullptr), bytes}, {}, {}};
    return need(put_and_wait(store, {&item, 1})).keys[0];
  }
  // Every `step`th of so many, in one task, of `bytes` to twice as much.
  static void put_each(Store& store, std::uint64_t objects, std::uint64_t step, std::size_t bytes) {
    const auto keys = test::make_keys(0, objects / step, step);
    std::vector<PutItem> items;
    for (const ObjectKey& key : keys) {
      const std::size_t size =
          bytes + std::to_integer<std::size_t>(key.chunk_hash[9]) * bytes / 256;
      items.push_back({key.ref(), {static_cast<const std::byte*>(nullptr), size}, {}, {}});
    }
    const TaskResult result = need(put_and_wait(store, items));
    EXPECT_TRUE(result.ok()) << result.error->message();
  }
  static bool hit(Store& store, std::uint64_t n, std::size_t bytes) {
    const ObjectKey key = test::make_key(n);
    const GetItem item{key.ref(), {static_cast<std::byte*>(nullptr), bytes}};
    return need(get_and_wait(store, {&item, 1})).keys[0] == KeyStatus::hit;
  }

  std::shared_ptr<ftl::SimDevice> device;
  Options options;
};

TEST_F(SimStore, PhantomsSurviveReopening) {
  make_device("sim:capacity=33M,ru=1M,map=4K,data=none");
  options.max_object_bytes = 200'000;
  {
    auto store = open();
    for (std::uint64_t n = 0; n < 100; ++n) ASSERT_EQ(put(*store, n, 150'000), KeyStatus::stored);
    EXPECT_TRUE(hit(*store, 7, 150'000));
    EXPECT_FALSE(hit(*store, 7, 150'001));
    ASSERT_TRUE(store->close());
  }
  EXPECT_LT(device->kept_bytes(), 2U << 20) << "headers and metadata only";
  auto store = open();
  for (std::uint64_t n = 0; n < 100; ++n) EXPECT_TRUE(hit(*store, n, 150'000)) << n;
}

TEST_F(SimStore, PhantomsAreRefusedWhereBytesAreKept) {
  make_device("sim:capacity=33M,ru=1M,map=4K,data=memory");
  options.max_object_bytes = 200'000;
  auto store = open();
  EXPECT_EQ(put(*store, 1, 1000), KeyStatus::failed);
}

// Records of 54 blocks in segments of 1024: 5 % of each is left at the end.
TEST_F(SimStore, LongTailsCostNeitherWritesNorCopies) {
  make_device("sim:capacity=129M,ru=4M,op=7,map=4K,data=none");
  constexpr std::size_t kBytes = std::size_t{53} * 4096;
  auto store = open();
  std::uint64_t records = 0;
  for (std::uint64_t n = 0; records < 12 * device->size_bytes(); ++n, records += kBytes + 4096) {
    ASSERT_EQ(put(*store, n, kBytes), KeyStatus::stored) << n;
  }
  const ftl::FtlCounters counters = device->counters();
  EXPECT_EQ(counters.copied_units, 0U);
  EXPECT_EQ(counters.media_bytes, counters.host_bytes);
  EXPECT_LT(static_cast<double>(counters.host_bytes), 1.01 * static_cast<double>(records));
  // Every segment gave up the end of its unit, and the next one began a fresh one.
  EXPECT_GT(counters.updates, 300U);
  for (const std::string& warning : store->status().warnings) {
    EXPECT_EQ(warning.find("closed before they were full"), std::string::npos) << warning;
  }
}

// So many that threads take them in.
TEST_F(SimStore, FindsWhatWasStoredDeletedAndStoredAgain) {
  make_device("sim:capacity=4G,ru=16M,map=4K,data=none");
  constexpr std::uint64_t kObjects = 72'000;
  auto store = open();
  put_each(*store, kObjects, 1, 4096);
  const auto deleted = test::make_keys(0, kObjects / 3, 3);
  for (const auto& size : need(store->erase(test::refs(deleted)))) ASSERT_TRUE(size);
  put_each(*store, kObjects, 6, 4096);
  for (const bool kill : {true, false}) {
    device->cut(kill);
    (void)store->close();
    store.reset();
    device->cut(false);
    store = open();
    EXPECT_EQ(store->status().info.clean_start, !kill);
    EXPECT_EQ(store->status().info.live_objects, kObjects * 5 / 6);
    const auto keys = test::make_keys(0, kObjects);
    const auto found = need(lookup_and_wait(*store, test::refs(keys), false));
    for (std::uint64_t n = 0; n < kObjects; ++n) {
      ASSERT_EQ(found.keys[n] == KeyStatus::hit, n % 3 != 0 || n % 6 == 0) << n;
    }
  }
}

// ------------------------------------------------------------------------------------- the subject

Cell store_of(std::string mode, std::string policy = "lifetime") {
  Cell cell;
  cell.mode = std::move(mode);
  cell.policy = std::move(policy);
  cell.device = "sim:capacity=65M,ru=1M,op=7,map=16K,ruhs=8,data=none";
  cell.capacity_bytes = 65U << 20;
  cell.ru_bytes = 1U << 20;
  return cell;
}

TEST(StoreSubject, StoresWhatIsMissingAndFindsIt) {
  const auto store = need(make_subject(store_of("separated"), 100'000));
  Asker ask(*store);
  const Outcome first = ask(request, {1, 2, 3}, 100'000);
  EXPECT_EQ(first.stored, 3U);
  EXPECT_EQ(first.leading, 0U);
  EXPECT_GT(first.store_s, 0);
  EXPECT_LT(first.load_s, 0) << "there was nothing to load";
  const Outcome second = ask(request, {1, 2, 4, 3}, 100'000);
  EXPECT_EQ(second.leading, 2U);
  EXPECT_EQ(second.present, 3U);
  EXPECT_EQ(second.stored, 1U);
  EXPECT_GT(second.load_s, 0);
  EXPECT_EQ(ask(lookup, {1}, 100'000, "another").present, 0U) << "another tenant's";
  ask(erase, {1}, 100'000);
  EXPECT_EQ(ask(lookup, {1, 2}, 100'000).present, 1U);
  const Counts counts = need(store->counts());
  EXPECT_EQ(counts.stored_objects, 4U);
  EXPECT_EQ(counts.stored_bytes, 400'000U);
  EXPECT_TRUE(store->close());
}

TEST(StoreSubject, ModesDecideWhichHandlesAreWritten) {
  const auto handles = [](const Cell& cell) {
    const auto store = need(make_subject(cell, 100'000));
    Asker ask(*store);
    for (std::uint64_t key = 0; key < 2000; ++key) ask(request, {key}, 100'000);
    return need(store->counts()).ruh_bytes;
  };
  const auto data_is_in = [](const std::vector<std::uint64_t>& ruhs) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < ruhs.size(); ++i) {
      if (ruhs[i] > 100'000'000) out.push_back(i);
    }
    return out;
  };
  const auto placed = handles(store_of("separated", "separated"));
  EXPECT_EQ(data_is_in(placed), (std::vector<std::size_t>{1}));
  EXPECT_GT(placed[0], 0U) << "metadata";
  EXPECT_LT(placed[0], 10'000'000U);
  EXPECT_EQ(data_is_in(handles(store_of("no_fdp"))), (std::vector<std::size_t>{0}));
  const auto mixed = handles(store_of("mixed"));
  EXPECT_EQ(data_is_in(mixed).size(), 1U);
}

// What is worth keeping is kept where the budget allows it, however many stores wait for the room
// that it is moved into.
TEST(StoreSubject, SurvivorsKeepTheirRoomWhileManyStoresWait) {
  const test::TempDir directory;
  const std::string policy = directory / "much.policy";
  std::ofstream(policy) << "stream.data.handles = 0\nmetadata.handles = own\nrule = * -> data\n"
                        << "reinsert_budget = 1\n";
  const auto store = need(make_subject(store_of("separated", policy), 100'000));
  Asker ask(*store);
  constexpr std::uint64_t kHot = 4, kKeys = 60, kRounds = 60;
  const auto prompt = [](std::uint64_t first) {
    std::vector<std::uint64_t> keys(kKeys);
    std::iota(keys.begin(), keys.end(), first * kKeys);
    return keys;
  };
  std::uint64_t found = 0, once = kHot;
  for (std::uint64_t round = 0; round < kRounds; ++round) {
    for (std::uint64_t hot = 0; hot < kHot; ++hot) {
      found += ask(request, prompt(hot), 100'000).leading;
      ask(request, prompt(once++), 100'000);
    }
  }
  EXPECT_GT(static_cast<double>(found), 0.95 * kHot * kKeys * kRounds);
}

TEST(StoreSubject, NeighbourWritesAsMuchAsWeDo) {
  Cell cell = store_of("separated");
  cell.neighbour_share = 0.2;
  const auto store = need(make_subject(cell, 100'000));
  Asker ask(*store);
  for (std::uint64_t key = 0; key < 3000; ++key) ask(request, {key}, 100'000);
  const Counts counts = need(store->counts());
  const auto other = static_cast<double>(counts.device_host_bytes - counts.host_written_bytes);
  EXPECT_NEAR(other / static_cast<double>(counts.stored_bytes), 1, 0.05);
  EXPECT_GT(counts.media_bytes, counts.device_host_bytes);
}

TEST(StoreSubject, OracleNeedsASimulatedDevice) {
  Cell cell = store_of("separated", "oracle");
  EXPECT_TRUE(make_subject(cell, 100'000));
  cell.device = "/mnt/kv";
  const auto real = make_subject(cell, 100'000);
  ASSERT_FALSE(real);
  EXPECT_EQ(real.error().code, Errc::unsupported);
}

}  // namespace
}  // namespace fdpstore::compare
