// Locks, concurrency, several stores on one directory, opening and closing.
#include <atomic>
#include <csignal>
#include <map>
#include <numeric>

#include <sys/wait.h>
#include <unistd.h>

#include "objects/leases.hpp"
#include "objects/temp_space.hpp"
#include "objects_test.hpp"

namespace fdpstore::objects {
namespace {

void unlock(Store& store, const ObjectKey& key) {
  const KeyRef ref = key.ref();
  store.unlock({&ref, 1});
}

TEST(Locks, EraseSkipsLockedKeysUntilTheLastUnlock) {
  TempDir directory;
  auto store = open(options_for(directory));
  const ObjectKey key = make_key(1);
  ASSERT_TRUE(put(*store, key, make_bytes(10, 1)).ok());
  EXPECT_EQ(look(*store, key, true), KeyStatus::hit);
  EXPECT_EQ(look(*store, key, true), KeyStatus::hit);
  EXPECT_EQ(store->status().info.locked_objects, 1);
  EXPECT_FALSE(erase(*store, key));
  unlock(*store, key);
  EXPECT_FALSE(erase(*store, key));
  unlock(*store, key);
  unlock(*store, key);
  EXPECT_EQ(erase(*store, key), 10);
  EXPECT_FALSE(erase(*store, key));
  EXPECT_EQ(look(*store, key, true), KeyStatus::miss);
  EXPECT_EQ(store->status().info.locked_objects, 0);
}

TEST(Locks, LeaseEndsAndIsCounted) {
  TempDir directory;
  Options options = options_for(directory);
  options.lock_timeout_s = 0.05;
  auto store = open(options);
  const ObjectKey key = make_key(1);
  ASSERT_TRUE(put(*store, key, make_bytes(10, 1)).ok());
  EXPECT_EQ(look(*store, key, true), KeyStatus::hit);
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  EXPECT_EQ(erase(*store, key), 10);
  EXPECT_EQ(store->status().info.expired_locks, 1);
}

TEST(Locks, NothingIsLockedWhileItIsRemoved) {
  Leases leases(300);
  ASSERT_TRUE(leases.claim(1));
  EXPECT_FALSE(leases.lock(1));
  EXPECT_FALSE(leases.claim(1));
  leases.unlock(1);
  leases.release_claim(1);
  EXPECT_TRUE(leases.lock(1));
  EXPECT_FALSE(leases.claim(1));
  EXPECT_EQ(leases.counts().locked, 1);
}

TEST(Gate, WaitersEnterOneAfterTheOther) {
  KeyGate gate;
  int woken = 0;
  ASSERT_TRUE(gate.enter(1));
  EXPECT_FALSE(gate.enter(1, [&] { ++woken; }));
  EXPECT_FALSE(gate.enter(1, [&] { ++woken; }));
  EXPECT_TRUE(gate.enter(2));
  gate.leave(1);
  EXPECT_EQ(woken, 2);
  EXPECT_TRUE(gate.enter(1));
}

TEST(Sharing, TwoStoresSeeEachOther) {
  TempDir directory;
  auto a = open(options_for(directory)), b = open(options_for(directory));
  const Bytes bytes = make_bytes(10'000, 1);
  ASSERT_EQ(put(*a, make_key(1), bytes).keys.at(0), KeyStatus::stored);
  EXPECT_EQ(put(*b, make_key(1), bytes).keys.at(0), KeyStatus::present);
  EXPECT_EQ(fetch(*b, make_key(1), bytes.size()), bytes);
  EXPECT_EQ(erase(*b, make_key(1)), bytes.size());
  EXPECT_EQ(look(*a, make_key(1)), KeyStatus::miss);
}

TEST(Sharing, ExclusiveKeepsOthersOut) {
  TempDir directory;
  Options options = options_for(directory);
  Options exclusive = options;
  exclusive.exclusive = true;
  auto store = open(options);
  EXPECT_EQ(try_open(exclusive).error().code, Errc::busy);
  store.reset();
  store = open(exclusive);
  EXPECT_EQ(try_open(options).error().code, Errc::busy);
  EXPECT_EQ(try_open(exclusive).error().code, Errc::busy);
  options.read_only = true;
  auto reader = open(options);
  const Bytes bytes = make_bytes(10, 1);
  ASSERT_TRUE(put(*store, make_key(1), bytes).ok());
  EXPECT_EQ(fetch(*reader, make_key(1), 10), bytes);
  EXPECT_EQ(reader->submit_put({}).error().code, Errc::unsupported);
}

TEST(Sharing, ConcurrentPutsOfOneKeyStoreItOnce) {
  TempDir directory;
  auto store = open(options_for(directory));
  const Bytes bytes = make_bytes(200'000, 1);
  std::atomic<int> stored{0}, present{0};
  for (std::uint64_t round = 0; round < 20; ++round) {
    const ObjectKey key = make_key(round);
    const PutItem item{key.ref(), bytes, {}, ""};
    std::vector<TaskId> tasks;
    for (int i = 0; i < 6; ++i) tasks.push_back(*store->submit_put({&item, 1}));
    for (std::size_t done = 0; done < tasks.size();) {
      for (const TaskResult& result : store->take_completed(TaskKind::put)) {
        ++(result.keys.at(0) == KeyStatus::stored ? stored : present);
        ++done;
      }
    }
  }
  EXPECT_EQ(stored, 20);
  EXPECT_EQ(present, 100);
}

TEST(Sharing, EverythingAtOnceNeverReturnsWrongBytes) {
  TempDir directory;
  const Options options = exclusive_for(directory, 1 << 20);
  auto store = open(options);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> hits{0}, wrong{0};
  const auto size_of = [](std::uint64_t number) { return 1000 + (number * 7919) % 40'000; };
  std::vector<ObjectKey> keys;
  for (std::uint64_t i = 0; i < 64; ++i) keys.push_back(make_key(i));
  std::thread putter([&] {
    for (std::uint64_t i = 0; !stop; ++i) {
      const std::uint64_t number = i * 13 % keys.size();
      const TaskResult result = put(*store, keys[number], make_bytes(size_of(number), number));
      // Now and then the lookups have locked all there is.
      EXPECT_TRUE(result.ok() || result.error->code == Errc::no_space) << result.error->message();
    }
  });
  std::thread getter([&] {
    for (std::uint64_t i = 0; !stop; ++i) {
      const std::uint64_t number = i * 29 % keys.size();
      const auto got = fetch(*store, keys[number], size_of(number));
      if (!got) continue;
      ++hits;
      if (*got != make_bytes(size_of(number), number)) ++wrong;
    }
  });
  std::thread looker([&] {
    std::vector<KeyRef> refs;
    for (const ObjectKey& key : keys) refs.push_back(key.ref());
    while (!stop) {
      const auto result =
          wait_for(*store, TaskKind::lookup, *store->submit_lookup(refs, true)).keys;
      std::vector<KeyRef> locked;
      for (std::size_t i = 0; i < refs.size(); ++i) {
        if (result[i] == KeyStatus::hit) locked.push_back(refs[i]);
      }
      store->unlock(locked);
    }
  });
  std::thread eraser([&] {
    for (std::uint64_t i = 0; !stop; ++i) {
      std::vector<KeyRef> some = {keys[i % 64].ref(), keys[(i + 31) % 64].ref()};
      EXPECT_TRUE(store->erase(some));
      (void)store->status();
      (void)store->take_dropped();
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));
  stop = true;
  for (std::thread* thread : {&putter, &getter, &looker, &eraser}) thread->join();
  EXPECT_GT(hits, 10);
  EXPECT_EQ(wrong, 0);
  const StoreInfo info = store->status().info;
  EXPECT_EQ(info.damaged_objects, 0);
  EXPECT_EQ(info.locked_objects, 0);
  EXPECT_LE(test::disk_bytes(directory.path()), options.capacity_bytes);
}

TEST(Sharing, StoredAndErasedAtOnceIsCountedAsItIsOnDisk) {
  TempDir directory;
  const Options options = exclusive_for(directory, 64 << 20);
  const auto store = open(options);
  const ObjectKey key = make_key(1);
  const KeyRef ref = key.ref();
  const Bytes bytes = make_bytes(1000, 1);
  for (int round = 0; round < 1000; ++round) {
    std::atomic<bool> stop{false};
    std::thread eraser([&] {
      while (!stop) EXPECT_TRUE(store->erase({&ref, 1}));
    });
    EXPECT_TRUE(put(*store, key, bytes).ok());
    stop = true;
    eraser.join();
    const bool there = look(*store, key) == KeyStatus::hit;
    ASSERT_EQ(store->status().info.live_objects, there ? 1 : 0) << "in round " << round;
  }
}

TEST(Sharing, WhatEraseCallsAbsentIsNotFound) {
  TempDir directory;
  const Options options = exclusive_for(directory, 1 << 20);
  const auto store = open(options);
  const Bytes bytes = make_bytes(10'000, 1);
  std::atomic<std::uint64_t> newest{0};
  const auto put_next = [&] { EXPECT_TRUE(put(*store, make_key(++newest), bytes).ok()); };
  while (store->take_dropped().empty()) put_next();
  const std::uint64_t room = store->status().info.live_objects;
  std::atomic<bool> stop{false};
  std::thread putter([&] {
    while (!stop) put_next();
  });
  // Each is the next one to be reclaimed.
  int found = 0;
  for (std::uint64_t oldest = 2; oldest < 5000; ++oldest) {
    while (newest < oldest + room) std::this_thread::yield();
    const ObjectKey key = make_key(oldest);
    (void)erase(*store, key);
    found += look(*store, key) == KeyStatus::hit ? 1 : 0;
  }
  EXPECT_EQ(found, 0);
  stop = true;
  putter.join();
}

TEST(Sharing, LookupDoesNotWaitBehindPuts) {
  TempDir directory;
  Options options = options_for(directory);
  options.engine_threads = 1;
  auto store = open(options);
  const Bytes bytes = make_bytes(8 << 20, 1);
  std::vector<ObjectKey> keys;
  std::vector<PutItem> items;
  for (std::uint64_t i = 0; i < 40; ++i) keys.push_back(make_key(i));
  for (const ObjectKey& key : keys) items.push_back({key.ref(), bytes, {}, ""});
  const TaskId task = *store->submit_put(items);
  EXPECT_EQ(look(*store, make_key(1000)), KeyStatus::miss);
  EXPECT_TRUE(store->take_completed(TaskKind::put).empty());
  EXPECT_TRUE(wait_for(*store, TaskKind::put, task).ok());
}

TEST(Open, MissingDirectoryIsMade) {
  TempDir directory;
  Options options;
  options.base_path = directory / "a/b/c";
  EXPECT_TRUE(put(*open(options), make_key(1), make_bytes(10, 1)).ok());
}

TEST(Open, BadPathsAreNamedWithARemedy) {
  TempDir directory;
  write_file(directory / "file", make_bytes(10, 1));
  Options options;
  EXPECT_EQ(try_open(options).error().code, Errc::invalid_option);
  for (const std::string& path : {directory / "file", directory / "file/below"}) {
    options.base_path = path;
    const auto opened = try_open(options);
    ASSERT_FALSE(opened);
    EXPECT_NE(opened.error().message().find(path), std::string::npos) << opened.error().message();
    EXPECT_NE(opened.error().message().find("directory"), std::string::npos);
  }
  options.base_path = directory / "missing";
  options.read_only = true;
  EXPECT_FALSE(try_open(options));
  EXPECT_FALSE(fs::exists(directory / "missing"));
}

TEST(Open, SegmentStoreIsRefused) {
  TempDir directory;
  write_file(directory / "superblock", make_bytes(10, 1));
  fs::create_directory(directory / "segments");
  const auto opened = try_open(options_for(directory));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::foreign);
  EXPECT_NE(opened.error().what.find("layout=segment"), std::string::npos);
}

TEST(Open, RelativeTempDirOutsideIsRefused) {
  TempDir directory;
  Options options = options_for(directory);
  for (const char* path : {"/tmp", "..", "a/../../b"}) {
    options.relative_tmp_dir = path;
    EXPECT_EQ(try_open(options).error().code, Errc::invalid_option) << path;
  }
  options.relative_tmp_dir = "tmp";
  auto store = open(options);
  EXPECT_TRUE(put(*store, make_key(1), make_bytes(10, 1)).ok());
  EXPECT_TRUE(fs::is_directory(directory / "tmp"));
  EXPECT_FALSE(fs::exists(directory / kTempDirectory));
}

TEST(Open, RequiredPlacementThatDoesNotReachADeviceFails) {
  TempDir directory;
  Options options = options_for(directory);
  const auto placement = open(options)->status().info.placement;
  if (placement.reaches_device) GTEST_SKIP() << placement.reason;
  EXPECT_FALSE(placement.reason.empty());
  options.placement = Strictness::require;
  EXPECT_EQ(try_open(options).error().code, Errc::unsupported);
  options.write_mode = WriteMode::plain;
  options.placement = Strictness::prefer;
  EXPECT_EQ(open(options)->status().info.placement.effective, WriteMode::plain);
}

// A process killed in the middle of its stores: what it reported is there, what it left goes.
TEST(Open, TemporaryFilesOfAKilledProcessAreRemoved) {
  TempDir directory;
  Options options = options_for(directory);
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    auto store = open(options);
    const Bytes bytes = make_bytes(1 << 20, 1);
    for (std::uint64_t i = 0;; ++i) {
      if (put(*store, make_key(i), bytes).ok()) (void)!::write(pipe[1], "x", 1);
    }
  }
  ::close(pipe[1]);
  char byte = 0;
  for (int i = 0; i < 10; ++i) ASSERT_EQ(::read(pipe[0], &byte, 1), 1);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  std::uint64_t reported = 10;
  while (::read(pipe[0], &byte, 1) == 1) ++reported;
  ::close(pipe[0]);

  const std::string left = directory / kTempDirectory + "/0123456789abcdef-0";
  fs::create_directory(left);
  write_file(left + "/0.tmp", make_bytes(10, 1));
  write_file(directory / "m@0x00000001@0@00.tmp", make_bytes(10, 1));
  write_file(directory / "mine.tmp", make_bytes(10, 1));
  options.tmp_max_age_s = 3600;
  auto store = open(options);
  for (std::uint64_t i = 0; i < reported; ++i) {
    EXPECT_EQ(fetch(*store, make_key(i), 1 << 20), make_bytes(1 << 20, 1)) << i;
  }
  EXPECT_TRUE(fs::exists(left + "/0.tmp"));  // may be another host's, at work
  store.reset();
  options.tmp_max_age_s = 0;
  store = open(options);
  EXPECT_TRUE(eventually([&] { return count_files(directory.path(), ".tmp") == 1; }, 5));
  EXPECT_TRUE(fs::exists(directory / "mine.tmp"));
  EXPECT_TRUE(put(*store, make_key(1000), make_bytes(10, 1)).ok());
  store.reset();
  EXPECT_FALSE(fs::exists(directory / kTempDirectory));
}

TEST(Open, WorkersMakeNewDirectoriesWhenTheirsAreRemoved) {
  TempDir directory;
  auto store = open(options_for(directory));
  fs::remove_all(directory / kTempDirectory);
  const TaskResult result = put(*store, make_key(1), make_bytes(10, 1));
  EXPECT_TRUE(result.ok()) << result.error->message();
}

TEST(Close, RefusesNewWorkAndFinishesTheOld) {
  TempDir directory;
  auto store = open(options_for(directory));
  const Bytes bytes = make_bytes(1 << 20, 1);
  std::vector<ObjectKey> keys;
  std::vector<PutItem> items;
  for (std::uint64_t i = 0; i < 30; ++i) keys.push_back(make_key(i));
  for (const ObjectKey& key : keys) items.push_back({key.ref(), bytes, {}, ""});
  ASSERT_TRUE(store->submit_put(items));
  ASSERT_TRUE(store->close());
  const auto results = store->take_completed(TaskKind::put);
  ASSERT_EQ(results.size(), 1);
  EXPECT_TRUE(results[0].ok());
  const KeyRef ref = keys[0].ref();
  EXPECT_EQ(store->submit_put(items).error().code, Errc::closed);
  EXPECT_EQ(store->submit_get({}).error().code, Errc::closed);
  EXPECT_EQ(store->submit_lookup({&ref, 1}, false).error().code, Errc::closed);
  EXPECT_EQ(store->erase({&ref, 1}).error().code, Errc::closed);
  EXPECT_TRUE(store->close());
}

TEST(Close, UnderLoadTouchesNoBufferAfterwards) {
  TempDir directory;
  auto store = open(options_for(directory));
  const Bytes bytes = make_bytes(100'000, 1);
  for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(put(*store, make_key(i), bytes).ok());
  std::vector<Bytes> buffers(200, Bytes(bytes.size()));
  std::thread loader([&] {
    std::vector<std::size_t> idle(buffers.size());
    std::iota(idle.begin(), idle.end(), 0);
    std::map<TaskId, std::size_t> busy;  // the buffer that a task reads into, its alone
    for (std::size_t i = 0;; ++i) {
      for (const TaskResult& result : store->take_completed(TaskKind::get)) {
        idle.push_back(busy.extract(result.id).mapped());
      }
      if (idle.empty()) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        continue;
      }
      const ObjectKey key = make_key(i % 20);
      const GetItem item{key.ref(), buffers[idle.back()]};
      const auto task = store->submit_get({&item, 1});
      if (!task) return;
      busy.emplace(*task, idle.back());
      idle.pop_back();
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(store->close());
  loader.join();
  for (Bytes& buffer : buffers) std::ranges::fill(buffer, std::byte{0x5A});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  for (const Bytes& buffer : buffers) {
    EXPECT_TRUE(std::ranges::all_of(buffer, [](std::byte b) { return b == std::byte{0x5A}; }));
  }
}

TEST(Events, DescriptorsAreDistinctAndDropsSignalThePutOne) {
  TempDir directory;
  auto store = open(options_for(directory));
  const std::array<int, 3> fds = {store->event_fd(TaskKind::put), store->event_fd(TaskKind::lookup),
                                  store->event_fd(TaskKind::get)};
  EXPECT_TRUE(fds[0] != fds[1] && fds[1] != fds[2] && fds[0] != fds[2]);
  ASSERT_TRUE(put(*store, make_key(1), make_bytes(100, 1)).ok());
  io::drain_event_fd(fds[0]);
  flip_byte(directory / file_name(make_key(1)), 5);
  EXPECT_FALSE(fetch(*store, make_key(1), 100));
  EXPECT_GT(io::drain_event_fd(fds[0]), 0);
}

}  // namespace
}  // namespace fdpstore::objects
