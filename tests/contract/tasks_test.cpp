// Tasks, eventfds, close; list and status.
#include <poll.h>
#include <sys/stat.h>

#include <cstdlib>
#include <map>
#include <set>

#include "fixture.hpp"

namespace fdpstore::test {
namespace {

class Tasks : public StoreTest {
 protected:
  static bool readable(int fd, int timeout_ms) {
    pollfd wanted{fd, POLLIN, 0};
    return ::poll(&wanted, 1, timeout_ms) == 1 && (wanted.revents & POLLIN) != 0;
  }
};
FDPSTORE_FOR_ALL_VARIANTS(Tasks);

TEST_P(Tasks, EventFdsAreDistinctAndReadableOnCompletion) {
  auto opened = open_store(options());
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  Store& raw = **opened;
  std::set<int> fds;
  for (std::size_t kind = 0; kind < kTaskKinds; ++kind) {
    fds.insert(raw.event_fd(static_cast<TaskKind>(kind)));
  }
  EXPECT_EQ(fds.size(), kTaskKinds);
  for (const int fd : fds) {
    EXPECT_GE(fd, 0);
    EXPECT_FALSE(readable(fd, 0));
  }
  const ObjectKey key = make_key(1);
  const KeyRef ref = key.ref();
  const Buffer in = payload(1000, 1);
  Buffer out(1000);
  const PutItem put{.key = ref, .bytes = in.span(), .explicit_rank = {}, .explicit_stream = {}};
  const GetItem get{.key = ref, .buffer = out.span()};
  const std::function<Result<TaskId>()> submits[] = {
      [&] { return raw.submit_put({&put, 1}); },
      [&] { return raw.submit_lookup({&ref, 1}, false); },
      [&] { return raw.submit_get({&get, 1}); }};
  for (std::size_t kind = 0; kind < kTaskKinds; ++kind) {
    const auto task = submits[kind]();
    ASSERT_TRUE(task.has_value());
    const int fd = raw.event_fd(static_cast<TaskKind>(kind));
    ASSERT_TRUE(readable(fd, 10000)) << "kind " << kind;
    std::uint64_t count = 0;
    EXPECT_EQ(::read(fd, &count, sizeof count), static_cast<ssize_t>(sizeof count));
    EXPECT_EQ(::read(fd, &count, sizeof count), -1) << "eventfds must not block";
    const auto done = raw.take_completed(static_cast<TaskKind>(kind));
    ASSERT_EQ(done.size(), 1U) << "kind " << kind;
    EXPECT_EQ(done[0].id, *task);
    EXPECT_TRUE(raw.take_completed(static_cast<TaskKind>(kind)).empty()) << "taken once";
  }
  EXPECT_TRUE(matches(out.span(), 1));
}

TEST_P(Tasks, EmptyTasksComplete) {
  open();
  EXPECT_TRUE(expect_done(client().put({})).keys.empty());
  EXPECT_TRUE(expect_done(client().get({})).keys.empty());
  EXPECT_TRUE(expect_done(client().lookup({})).keys.empty());
  const auto erased = store().erase({});
  ASSERT_TRUE(erased.has_value());
  EXPECT_TRUE(erased->empty());
}

TEST_P(Tasks, ManyInFlightCompleteOnceEach) {
  open();
  const Buffer bytes = payload(8000, 5);
  std::vector<ObjectKey> keys = make_keys(1, 500);
  std::set<TaskId> ids;
  for (const ObjectKey& key : keys) {
    const PutItem item{
        .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
    const auto task = store().submit_put({&item, 1});
    ASSERT_TRUE(task.has_value());
    EXPECT_TRUE(ids.insert(*task).second) << "task ids must differ";
  }
  for (const TaskId id : ids) {
    const TaskResult result = client().wait(TaskKind::put, id);
    ASSERT_EQ(result.keys, std::vector{KeyStatus::stored}) << text(result);
  }
  EXPECT_EQ(client().duplicates(), 0U);
}

TEST_P(Tasks, SubmitAfterCloseIsRefused) {
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  ASSERT_TRUE(store().close().has_value());
  ASSERT_TRUE(store().close().has_value()) << "close is idempotent";
  const ObjectKey key = make_key(1);
  const KeyRef ref = key.ref();
  Buffer bytes = payload(100, 1);
  const PutItem put{.key = ref, .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
  const GetItem get{.key = ref, .buffer = bytes.span()};
  const auto code = [](const auto& result) {
    return result ? std::error_code() : result.error().code;
  };
  EXPECT_EQ(code(store().submit_put({&put, 1})), Errc::closed);
  EXPECT_EQ(code(store().submit_get({&get, 1})), Errc::closed);
  EXPECT_EQ(code(store().submit_lookup({&ref, 1}, true)), Errc::closed);
  EXPECT_EQ(code(store().erase({&ref, 1})), Errc::closed);
  store().unlock({&ref, 1});     // harmless
  (void)store().take_dropped();  // harmless
  (void)store().status();        // harmless
}

TEST_P(Tasks, CloseCompletesWhatIsInFlight) {
  open();
  const auto keys = make_keys(1, 16);
  const std::size_t size = 400000;
  std::vector<Buffer> buffers;
  std::vector<TaskId> tasks;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    buffers.push_back(payload(size, i + 1));
    const PutItem item{.key = keys[i].ref(),
                       .bytes = buffers[i].span(),
                       .explicit_rank = {},
                       .explicit_stream = {}};
    const auto task = store().submit_put({&item, 1});
    ASSERT_TRUE(task.has_value());
    tasks.push_back(*task);
  }
  ASSERT_TRUE(store().close().has_value());
  for (Buffer& buffer : buffers) fill(buffer.span(), 999);  // ours again
  std::vector<bool> stored;
  for (const TaskId id : tasks) {
    stored.push_back(client().wait(TaskKind::put, id).keys[0] == KeyStatus::stored);
  }
  reopen();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    EXPECT_TRUE(stored[i]) << "close finishes what is in flight";
    ASSERT_EQ(get(i + 1, size), KeyStatus::hit) << i;
  }
}

TEST_P(Tasks, DestructorClosesWithTasksInFlight) {
  auto opened = open_store(options());
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  const auto keys = make_keys(1, 8);
  const Buffer bytes = payload(kMiB, 1);
  for (const ObjectKey& key : keys) {
    const PutItem item{
        .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
    ASSERT_TRUE((*opened)->submit_put({&item, 1}).has_value());
  }
  opened->reset();
  open();
  for (const ObjectKey& key : keys) EXPECT_EQ(get(key, kMiB, 1), KeyStatus::hit);
}

class Status : public StoreTest {};
FDPSTORE_FOR_ALL_VARIANTS(Status);

TEST_P(Status, ListPagesThroughEverythingOnce) {
  open();
  std::map<std::string, std::set<std::vector<std::byte>>> expected;
  for (const char* model : {"org/a", "org/b"}) {
    for (std::uint64_t n = 1; n <= 53; ++n) {
      const ObjectKey key = make_key(n, model, n % 2 == 0 ? "t:x" : "");
      ASSERT_EQ(put(key, 100 + n, n), KeyStatus::stored);
      expected[model].insert(key.chunk_hash);
    }
  }
  const auto walk = [&](std::size_t page_size, std::string_view model) {
    std::map<std::string, std::set<std::vector<std::byte>>> seen;
    std::string cursor;
    for (int pages = 0; pages < 1000; ++pages) {
      const auto page = store().list(cursor, page_size, model);
      EXPECT_TRUE(page.has_value()) << page.error().message();
      if (!page) break;
      EXPECT_LE(page->keys.size(), page_size);
      for (const ListedKey& listed : page->keys) {
        EXPECT_TRUE(seen[listed.key.model_name].insert(listed.key.chunk_hash).second) << "twice";
        std::uint64_t n = 1;
        while (n <= 53 && make_key(n).chunk_hash != listed.key.chunk_hash) ++n;
        EXPECT_EQ(listed.bytes, 100 + n);
        EXPECT_EQ(listed.key, make_key(n, listed.key.model_name, n % 2 == 0 ? "t:x" : ""));
      }
      cursor = page->next;
      if (cursor.empty()) return seen;
    }
    ADD_FAILURE() << "list never ended";
    return seen;
  };
  EXPECT_EQ(walk(7, ""), expected);
  EXPECT_EQ(walk(1000, ""), expected);
  EXPECT_EQ(walk(1, "org/b"), (std::map{std::pair{std::string("org/b"), expected["org/b"]}}));
  EXPECT_TRUE(walk(10, "org/none").empty());
}

// Sums over the parts that a status reports.
struct Totals {
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
  bool operator==(const Totals&) const = default;
  friend std::ostream& operator<<(std::ostream& out, const Totals& t) {
    return out << t.objects << " objects, " << t.bytes << " bytes";
  }
};
template <class List, class Bytes>
Totals total(const List& list, Bytes bytes) {
  Totals sum;
  for (const auto& item : list) {
    sum.objects += item.objects;
    sum.bytes += item.*bytes;
  }
  return sum;
}

TEST_P(Status, NumbersAddUp) {
  if (!variant().single_owner()) {
    GTEST_SKIP() << "a directory shared with others has no exact totals (DESIGN §4)";
  }
  open();
  Totals live;
  for (std::uint64_t n = 1; n <= 60; ++n) {
    const std::size_t size = 1000 * n;
    ASSERT_EQ(put(make_key(n, "org/m", n % 3 == 0 ? "b:1" : "a:1"), size, n), KeyStatus::stored);
    live.objects += 1;
    live.bytes += size;
  }
  for (std::uint64_t n = 1; n <= 60; n += 7) {
    ASSERT_EQ(erase(make_key(n, "org/m", n % 3 == 0 ? "b:1" : "a:1")), 1000 * n);
    live.objects -= 1;
    live.bytes -= 1000 * n;
  }
  const auto check = [&] {
    const StoreStatus status = store().status();
    const StoreInfo& info = status.info;
    EXPECT_EQ((Totals{info.live_objects, info.live_bytes}), live);
    EXPECT_EQ(total(status.salts, &SaltUsage::bytes), live);
    EXPECT_EQ(status.salts.size(), 2U);
    if (variant().has_segments()) {
      // A file of layout object does not say which stream it was written for.
      EXPECT_EQ(total(status.streams, &StreamUsage::bytes), live);
      EXPECT_EQ(total(status.segments, &SegmentUsage::live_bytes), live);
      std::uint64_t allocated = 0;
      for (const SegmentUsage& segment : status.segments) allocated += segment.allocated_bytes;
      EXPECT_LE(allocated, info.allocated_bytes);
    }
    EXPECT_GE(info.allocated_bytes, live.bytes);
    EXPECT_LE(info.allocated_bytes, info.capacity_bytes);
    EXPECT_LE(info.live_bytes, info.max_live_bytes);
    EXPECT_EQ(info.capacity_bytes, 32 * kMiB);
    EXPECT_TRUE(info.healthy) << info.unhealthy_reason;
    EXPECT_EQ(info.layout, to_string(variant().layout));
    EXPECT_EQ(info.direct_io, variant().odirect);
    EXPECT_FALSE(to_json(status).empty());
  };
  check();
  StoreInfo info = store().status().info;
  EXPECT_EQ(info.stored_objects, 60U);
  EXPECT_EQ(info.stored_bytes, 1000U * 60U * 61U / 2U);
  EXPECT_EQ(info.deleted_objects, 9U);
  EXPECT_GE(info.host_written_bytes, info.stored_bytes);
  EXPECT_EQ(lookup(make_key(2, "org/m", "a:1")), KeyStatus::hit);
  EXPECT_EQ(lookup(make_key(2, "org/m", "c:1")), KeyStatus::miss);
  EXPECT_EQ(get(make_key(2, "org/m", "a:1"), 2000, 2), KeyStatus::hit);
  info = store().status().info;
  EXPECT_EQ(info.lookup_keys, 2U);
  EXPECT_EQ(info.lookup_hits, 1U);
  EXPECT_EQ(info.loaded_objects, 1U);
  EXPECT_EQ(info.loaded_bytes, 2000U);
  reopen();
  check();
}

TEST_P(Status, AllocatedBytesAreWhatTheDiskSays) {
  if (!variant().single_owner()) GTEST_SKIP() << "shared directory: best effort (DESIGN §4)";
  if (variant().raw()) GTEST_SKIP() << "a device is taken as a whole; see Capacity for its bound";
  open();
  put_all(1, 40, 100000);
  // Directories and superblock may or may not be counted in.
  const auto difference = [&] {
    const auto on_disk = static_cast<std::int64_t>(disk_bytes(path()));
    return std::abs(on_disk - static_cast<std::int64_t>(store().status().info.allocated_bytes));
  };
  EXPECT_TRUE(eventually([&] { return difference() <= 65536; }, 5)) << difference();
}

}  // namespace
}  // namespace fdpstore::test
