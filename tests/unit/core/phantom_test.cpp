// Objects that are a length only, on media that keep no payload.
#include <cstddef>

#include "core_test.hpp"

namespace fdpstore::test {
namespace {

class Phantom : public CoreTest {
 protected:
  Phantom() { config.phantoms = true; }

  static KeyStatus put_phantom(Store& store, std::uint64_t n, std::size_t bytes) {
    const ObjectKey key = make_key(n);
    const PutItem item{key.ref(), {static_cast<const std::byte*>(nullptr), bytes}, {}, {}};
    return put_and_wait(store, {&item, 1})->keys[0];
  }
  static TaskResult get_phantom(Store& store, std::uint64_t n, std::size_t bytes) {
    const ObjectKey key = make_key(n);
    const GetItem item{key.ref(), {static_cast<std::byte*>(nullptr), bytes}};
    return get_and_wait(store, {&item, 1}).value();
  }
  static bool hit(Store& store, std::uint64_t n, std::size_t bytes) {
    return get_phantom(store, n, bytes).keys[0] == KeyStatus::hit;
  }
};

TEST_F(Phantom, IsStoredFoundAndLoadedByItsSize) {
  auto store = open();
  for (const std::size_t bytes : {1UL, 4095UL, 4096UL, 100'001UL, 256UL << 10}) {
    EXPECT_EQ(put_phantom(*store, bytes, bytes), KeyStatus::stored) << bytes;
    EXPECT_TRUE(present(*store, make_key(bytes)));
    const TaskResult got = get_phantom(*store, bytes, bytes);
    EXPECT_EQ(got.keys[0], KeyStatus::hit) << bytes;
    EXPECT_EQ(got.transferred_bytes, bytes);
    EXPECT_FALSE(hit(*store, bytes, bytes + 1)) << "another size is a miss";
  }
  EXPECT_FALSE(hit(*store, 77, 100)) << "never stored";
  EXPECT_EQ(put_phantom(*store, 78, options.max_object_bytes + 1), KeyStatus::failed);
  EXPECT_EQ(put_phantom(*store, 79, 0), KeyStatus::failed);
}

TEST_F(Phantom, IsRefusedWhereTheMediumKeepsPayload) {
  config.phantoms = false;
  auto store = open();
  const ObjectKey key = make_key(1);
  const PutItem item{key.ref(), {static_cast<const std::byte*>(nullptr), 1000}, {}, {}};
  const auto put = put_and_wait(*store, {&item, 1});
  EXPECT_EQ(put->keys[0], KeyStatus::failed);
  ASSERT_TRUE(put->error);
  EXPECT_EQ(put->error->code, Errc::invalid_argument);
  ASSERT_EQ(CoreTest::put(*store, key, make_payload(1, 1000)), KeyStatus::stored);
  EXPECT_FALSE(hit(*store, 1, 1000));
  EXPECT_EQ(get(*store, key, 1000), make_payload(1, 1000)) << "and nothing has come to harm";
}

TEST_F(Phantom, SurvivesACleanCloseAndACrash) {
  auto store = open();
  for (std::uint64_t n = 0; n < 40; ++n) {
    ASSERT_EQ(put_phantom(*store, n, 50'000 + n), KeyStatus::stored);
  }
  auto after_crash = open(medium->snapshot());
  for (std::uint64_t n = 0; n < 40; ++n) EXPECT_TRUE(hit(*after_crash, n, 50'000 + n)) << n;
  ASSERT_TRUE(store->close());
  auto again = open();
  EXPECT_TRUE(again->status().info.clean_start);
  for (std::uint64_t n = 0; n < 40; ++n) EXPECT_TRUE(hit(*again, n, 50'000 + n)) << n;
}

TEST_F(Phantom, IsWrittenAgainByReclaim) {
  reinsert_budget = 0.2;
  auto store = open();
  put_phantom(*store, 0, 30'000);
  for (std::uint64_t n = 1; n < 2000; ++n) {
    ASSERT_EQ(put_phantom(*store, n, 100'000), KeyStatus::stored);
    ASSERT_TRUE(n % 20 != 0 || present(*store, make_key(0))) << n;
  }
  EXPECT_GT(store->status().info.reinserted_objects, 0U);
  EXPECT_EQ(store->status().info.damaged_objects, 0U);
  EXPECT_TRUE(hit(*store, 0, 30'000));
  auto after_crash = open(medium->snapshot());
  EXPECT_TRUE(hit(*after_crash, 0, 30'000));
}

// A caller who brings bytes all the same (LMCache does) is served like everywhere.
TEST_F(Phantom, BytesMayBeMixedWithPhantoms) {
  auto store = open();
  const auto bytes = make_payload(1, 70'000);
  ASSERT_EQ(put(*store, make_key(1), bytes), KeyStatus::stored);
  ASSERT_EQ(put_phantom(*store, 2, 70'000), KeyStatus::stored);
  EXPECT_EQ(get(*store, make_key(1), 70'000), bytes);
  EXPECT_TRUE(hit(*store, 1, 70'000)) << "asked for as a phantom";
  EXPECT_TRUE(get(*store, make_key(2), 70'000).has_value()) << "a phantom's bytes are any bytes";
  EXPECT_EQ(store->status().info.damaged_objects, 0U);
}

TEST_F(Phantom, BytesSurviveReclaimAmongPhantoms) {
  reinsert_budget = 0.2;
  for (const bool checksum : {true, false}) {
    medium = std::make_shared<MemMedium>();
    options.checksum = checksum;
    auto store = open();
    const auto bytes = make_payload(1, 30'000);
    ASSERT_EQ(put(*store, make_key(0), bytes), KeyStatus::stored);
    for (std::uint64_t n = 1; n < 1500; ++n) {
      ASSERT_EQ(put_phantom(*store, n, 100'000), KeyStatus::stored);
      ASSERT_TRUE(n % 20 != 0 || present(*store, make_key(0))) << n;
    }
    EXPECT_GT(store->status().info.reinserted_objects, 0U);
    EXPECT_EQ(get(*store, make_key(0), 30'000), bytes) << checksum;
  }
}

TEST_F(Phantom, TaskTellsHowLongItTook) {
  std::atomic<int> held{0};
  config.hold = [&](const IoRequest& request) {
    return request.op == IoOp::write && request.spans.size() > 1 && ++held < 30;  // 1 ms each
  };
  auto store = open();
  const ObjectKey key = make_key(1);
  const PutItem item{key.ref(), {static_cast<const std::byte*>(nullptr), 1000}, {}, {}};
  const auto slow = put_and_wait(*store, {&item, 1});
  ASSERT_EQ(slow->keys[0], KeyStatus::stored);
  EXPECT_GT(slow->seconds, 0.02);
  EXPECT_LT(slow->seconds, 20);
  const TaskResult quick = get_phantom(*store, 1, 1000);
  EXPECT_GE(quick.seconds, 0);
  EXPECT_LT(quick.seconds, slow->seconds);
}

}  // namespace
}  // namespace fdpstore::test
