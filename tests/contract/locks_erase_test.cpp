// Locks with leases, and deletes that stay deleted.
#include "fixture.hpp"

namespace fdpstore::test {
namespace {

class Locks : public StoreTest {};
FDPSTORE_FOR_ALL_VARIANTS(Locks);

TEST_P(Locks, LockedKeyIsNotErasedUntilUnlocked) {
  open();
  const ObjectKey key = make_key(1);
  ASSERT_EQ(put(1, 5000), KeyStatus::stored);
  ASSERT_EQ(lookup(1, true), KeyStatus::hit);
  EXPECT_EQ(store().status().info.locked_objects, 1U);
  EXPECT_EQ(erase(key), std::nullopt);
  EXPECT_EQ(get(1, 5000), KeyStatus::hit);
  unlock(key);
  EXPECT_EQ(store().status().info.locked_objects, 0U);
  EXPECT_EQ(erase(key), 5000U);
  EXPECT_EQ(lookup(1), KeyStatus::miss);
}

TEST_P(Locks, TwoLocksNeedTwoUnlocks) {
  open();
  const ObjectKey key = make_key(1);
  ASSERT_EQ(put(1, 5000), KeyStatus::stored);
  ASSERT_EQ(lookup(1, true), KeyStatus::hit);
  ASSERT_EQ(lookup(1, true), KeyStatus::hit);
  unlock(key);
  EXPECT_EQ(erase(key), std::nullopt);
  unlock(key);
  EXPECT_EQ(erase(key), 5000U);
}

TEST_P(Locks, UnlockOfWhatIsNotLockedIsANoOp) {
  open();
  const ObjectKey key = make_key(1);
  unlock(key);  // absent
  ASSERT_EQ(put(1, 5000), KeyStatus::stored);
  unlock(key);
  unlock(key);
  ASSERT_EQ(lookup(1, true), KeyStatus::hit);  // had the unlocks counted, this would not lock
  EXPECT_EQ(erase(key), std::nullopt);
  unlock(key);
  EXPECT_EQ(erase(key), 5000U);
}

TEST_P(Locks, MissesAreNotLocked) {
  open();
  ASSERT_EQ(lookup(1, true), KeyStatus::miss);
  ASSERT_EQ(put(1, 5000), KeyStatus::stored);
  EXPECT_EQ(store().status().info.locked_objects, 0U);
  EXPECT_EQ(erase(make_key(1)), 5000U);
}

TEST_P(Locks, LeaseRunsOutAndIsCounted) {
  Options quick = options();
  quick.lock_timeout_s = 0.2;
  open(quick);
  ASSERT_EQ(put(1, 5000), KeyStatus::stored);
  ASSERT_EQ(put(2, 5000), KeyStatus::stored);
  ASSERT_EQ(lookup(1, true), KeyStatus::hit);
  EXPECT_EQ(erase(make_key(1)), std::nullopt);
  EXPECT_TRUE(eventually(
      [&] {
        let_time_pass(0.02);
        return erase(make_key(1)) == 5000U;
      },
      5));
  EXPECT_EQ(store().status().info.expired_locks, 1U);
  unlock(make_key(1));  // the late unlock of the aborted request
  EXPECT_EQ(get(2, 5000), KeyStatus::hit);
}

TEST_P(Locks, LocksEndWithTheStore) {
  open();
  ASSERT_EQ(put(1, 5000), KeyStatus::stored);
  ASSERT_EQ(lookup(1, true), KeyStatus::hit);
  reopen();
  EXPECT_EQ(store().status().info.locked_objects, 0U);
  EXPECT_EQ(erase(make_key(1)), 5000U);
}

class Erase : public StoreTest {};
FDPSTORE_FOR_ALL_VARIANTS(Erase);

TEST_P(Erase, ReturnsSizesAndNulloptForAbsent) {
  open();
  put_all(1, 3, 700);
  const auto keys = make_keys(0, 5);  // 0 and 4 are absent
  const auto erased = store().erase(refs(keys));
  ASSERT_TRUE(erased.has_value()) << erased.error().message();
  EXPECT_EQ(*erased,
            (std::vector<std::optional<std::uint64_t>>{std::nullopt, 700, 700, 700, std::nullopt}));
  for (std::uint64_t n = 0; n < 5; ++n) EXPECT_EQ(get(n, 700), KeyStatus::miss);
  EXPECT_EQ(store().status().info.deleted_objects, 3U);
}

TEST_P(Erase, RepeatedKeyIsErasedOnce) {
  open();
  ASSERT_EQ(put(1, 700), KeyStatus::stored);
  const std::vector<ObjectKey> keys{make_key(1), make_key(1)};
  const auto erased = store().erase(refs(keys));
  ASSERT_TRUE(erased.has_value());
  EXPECT_EQ(erased->at(0), 700U);
  EXPECT_EQ(store().status().info.deleted_objects, 1U);
}

TEST_P(Erase, StaysErasedAfterReopen) {
  open();
  put_all(1, 40, 9000);
  for (std::uint64_t n = 1; n <= 40; n += 2) ASSERT_EQ(erase(make_key(n)), 9000U);
  for (int round = 0; round < 3; ++round) {
    reopen();
    for (std::uint64_t n = 1; n <= 40; ++n) {
      ASSERT_EQ(get(n, 9000), n % 2 == 1 ? KeyStatus::miss : KeyStatus::hit)
          << "object " << n << ", reopen " << round;
    }
  }
}

TEST_P(Erase, StoredAgainHasTheNewBytesAfterReopen) {
  open();
  for (std::uint64_t round = 0; round < 4; ++round) {
    for (std::uint64_t n = 1; n <= 10; ++n) {
      ASSERT_EQ(put(make_key(n), 9000, 100 * round + n), KeyStatus::stored);
    }
    if (round == 3) break;
    for (std::uint64_t n = 1; n <= 10; ++n) ASSERT_EQ(erase(make_key(n)), 9000U);
  }
  reopen();
  for (std::uint64_t n = 1; n <= 10; ++n) {
    ASSERT_EQ(get(make_key(n), 9000, 300 + n), KeyStatus::hit) << n;
    ASSERT_EQ(erase(make_key(n)), 9000U);
  }
  reopen();
  for (std::uint64_t n = 1; n <= 10; ++n) ASSERT_EQ(lookup(n), KeyStatus::miss) << n;
}

TEST_P(Erase, ALoadInFlightIsAHitOrAMissNeverWrong) {
  open();
  for (std::uint64_t n = 1; n <= 30; ++n) {
    ASSERT_EQ(put(n, 500000), KeyStatus::stored);
    Buffer out(500000);
    const ObjectKey key = make_key(n);
    const GetItem item{.key = key.ref(), .buffer = out.span()};
    const auto task = store().submit_get({&item, 1});
    ASSERT_TRUE(task.has_value());
    ASSERT_EQ(erase(key), 500000U);
    const TaskResult result = client().wait(TaskKind::get, *task);
    if (result.keys[0] == KeyStatus::hit) {
      EXPECT_TRUE(matches(out.span(), n));
    }
    EXPECT_NE(result.keys[0], KeyStatus::failed) << text(result);
    ASSERT_EQ(lookup(n), KeyStatus::miss);
  }
}

TEST_P(Erase, SpaceIsUsedAgain) {
  open();
  // Four times what the capacity holds, with never more than an eighth of it live: no need to drop
  // anything.
  const std::size_t size = 500000;
  for (std::uint64_t round = 0; round < 32; ++round) {
    put_all(100 * round, 8, size);
    expect_all_hit(100 * round, 8, size);
    if (HasFatalFailure()) return;
    const auto keys = make_keys(100 * round, 8);
    const auto erased = store().erase(refs(keys));
    ASSERT_TRUE(erased.has_value());
    for (const auto& bytes : *erased) ASSERT_EQ(bytes, size);
  }
  EXPECT_EQ(store().status().info.live_objects, 0U);
}

}  // namespace
}  // namespace fdpstore::test
