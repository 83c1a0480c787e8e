// Segments as files: life of a segment, both layouts, direct and buffered.
#include "backends/file_backend.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>

#include "io/unique_fd.hpp"
#include "io/write_hint.hpp"
#include "unit/backends/support.hpp"

namespace fdpstore::test {
namespace {

backends::FileBackendOptions options_for(const TempDir& dir) {
  return {.base_path = dir.path().native(), .capacity_bytes = 16 * kMiB};
}

std::unique_ptr<Backend> ready(const backends::FileBackendOptions& options,
                               std::uint64_t segment_bytes = kMiB) {
  auto backend = must_open(options);
  if (backend != nullptr) {
    const auto set = backend->set_segment_bytes(segment_bytes);
    EXPECT_TRUE(set) << set.error().message();
  }
  return backend;
}

std::uint64_t disk_bytes(const std::string& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
}

Lifetime hint_of(const std::string& path) {
  const auto file = io::open_file(path, O_RDONLY);
  EXPECT_TRUE(file);
  return io::get_write_hint(file->get(), io::WriteHintMechanism::inode).value_or(Lifetime::not_set);
}

// Whether io runs direct or buffered, and on which file system, the promises are the same.
struct Place {
  const char* name;
  const char* parent;
  std::optional<bool> use_odirect;
};
class FileBackendOn : public testing::TestWithParam<Place> {
 protected:
  void SetUp() override {
    const fs::path parent =
        *GetParam().parent == 0 ? fs::temp_directory_path() : fs::path(GetParam().parent);
    if (!fs::exists(parent)) GTEST_SKIP() << parent << " does not exist";
    dir_ = std::make_unique<TempDir>(parent);
    options_ = options_for(*dir_);
    options_.use_odirect = GetParam().use_odirect;
  }
  std::unique_ptr<TempDir> dir_;
  backends::FileBackendOptions options_;
};

TEST_P(FileBackendOn, WrittenSegmentIsReadBackAfterReopening) {
  const auto data = random_bytes(256 << 10, 1);
  {
    auto backend = ready(options_);
    ASSERT_TRUE(backend->allocate({3}, {.lifetime = Lifetime::medium}));
    EXPECT_FALSE(write(*backend, {3}, 8192, data));
    EXPECT_FALSE(run(*backend, {.op = IoOp::flush, .segment = {3}}));
    backend->seal({3}, 8192 + data.size());
  }
  auto backend = ready(options_);
  const auto existing = backend->existing_segments();
  ASSERT_TRUE(existing);
  ASSERT_EQ(existing->size(), 1U);
  EXPECT_EQ((*existing)[0].id.value, 3U);
  EXPECT_EQ((*existing)[0].size_bytes, kMiB);
  EXPECT_GE((*existing)[0].allocated_bytes, kMiB);
  auto back = random_bytes(data.size(), 2);
  EXPECT_FALSE(read(*backend, {3}, 8192, back));
  EXPECT_TRUE(same(data, back));
}

TEST_P(FileBackendOn, GrowingPromptFileTakesOnlyWhatIsWritten) {
  options_.prompt_files = true;
  auto backend = ready(options_);
  EXPECT_FALSE(backend->capabilities().fixed_size_segments);
  ASSERT_TRUE(backend->allocate({5}, {.prompt = PromptId{0xABCD}}));
  const std::string file = *dir_ / "segments/prompt-0000abcd-00000005.seg";
  EXPECT_EQ(disk_bytes(file), 0U);
  const auto data = random_bytes(64 << 10, 3);
  // All at once and out of order: each waits until the file is long enough.
  std::array<iovec, 4> spans{};
  std::vector<IoRequest> requests;
  for (std::size_t i = 0; i < spans.size(); ++i) {
    spans[i] = {data.data() + i * (16 << 10), 16 << 10};
    requests.push_back({.op = IoOp::write,
                        .segment = {5},
                        .offset_bytes = (3 - i) * (16ULL << 10),
                        .spans = {&spans[i], 1},
                        .user_data = i});
  }
  backend->submit(std::span(requests).first(1));
  backend->submit(std::span(requests).subspan(1));
  std::array<IoCompletion, 8> done;
  for (std::size_t count = 0; count < requests.size();) {
    const std::size_t more = backend->reap(done, std::chrono::seconds(5));
    ASSERT_GT(more, 0U);
    for (const auto& completion : std::span(done).first(more)) EXPECT_FALSE(completion.error);
    count += more;
  }
  backend->seal({5}, 64 << 10);
  EXPECT_GE(disk_bytes(file), 64U << 10);
  EXPECT_LT(disk_bytes(file), 128U << 10);
  auto back = random_bytes(16 << 10, 4);
  EXPECT_FALSE(read(*backend, {5}, 0, back));
  EXPECT_EQ(std::memcmp(back.data(), data.data() + (48 << 10), back.size()), 0);
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .segment = {5}}));
  EXPECT_FALSE(fs::exists(file));
}

TEST_P(FileBackendOn, ReadPastTheEndIsCorrupt) {
  options_.prompt_files = true;
  auto backend = ready(options_);
  ASSERT_TRUE(backend->allocate({0}, {.prompt = PromptId{1}}));
  EXPECT_FALSE(write(*backend, {0}, 0, random_bytes(8192, 5)));
  backend->seal({0}, 8192);
  EXPECT_EQ(read(*backend, {0}, 4096, random_bytes(8192, 6)), make_error_code(Errc::corrupt));
}

INSTANTIATE_TEST_SUITE_P(Places, FileBackendOn,
                         testing::Values(Place{"DefaultDirect", "", std::nullopt},
                                         Place{"DefaultBuffered", "", false},
                                         Place{"TmpfsProbed", "/dev/shm", std::nullopt},
                                         Place{"TmpfsBuffered", "/dev/shm", false}),
                         [](const auto& place) { return std::string(place.param.name); });

TEST(FileBackend, FreedSegmentIsRewrittenInPlace) {
  const TempDir dir;
  auto backend = ready(options_for(dir));
  const std::string file = dir / "segments/00000000.seg";
  ASSERT_TRUE(backend->allocate({0}, {.lifetime = Lifetime::short_lived}));
  EXPECT_EQ(hint_of(file), Lifetime::short_lived);
  struct stat before{};
  ASSERT_EQ(::stat(file.c_str(), &before), 0);
  backend->seal({0}, 4096);
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .segment = {0}}));
  EXPECT_TRUE(fs::exists(file));
  ASSERT_TRUE(backend->allocate({0}, {.lifetime = Lifetime::extreme}));
  EXPECT_EQ(hint_of(file), Lifetime::extreme);
  struct stat after{};
  ASSERT_EQ(::stat(file.c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  backend->seal({0}, 4096);
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .release = true, .segment = {0}}));
  EXPECT_FALSE(fs::exists(file));
  EXPECT_EQ(run(*backend, {.op = IoOp::free, .segment = {0}}), make_error_code(Errc::not_found));
}

TEST(FileBackend, EveryLifetimeIsRecordedOnTheInode) {
  const TempDir dir;
  auto backend = ready(options_for(dir));
  EXPECT_EQ(backend->effective_placement().effective, WriteMode::hint);
  for (std::uint32_t i = 0; i < 6; ++i) {
    const auto lifetime = static_cast<Lifetime>(i);
    ASSERT_TRUE(backend->allocate({i}, {.lifetime = lifetime}));
    EXPECT_EQ(hint_of(dir / ("segments/0000000" + std::to_string(i) + ".seg")), lifetime);
  }
}

TEST(FileBackend, PlainModeLeavesTheInodeAlone) {
  const TempDir dir;
  auto options = options_for(dir);
  options.write_mode = WriteMode::plain;
  auto backend = ready(options);
  ASSERT_TRUE(backend->allocate({0}, {.lifetime = Lifetime::extreme}));
  EXPECT_EQ(hint_of(dir / "segments/00000000.seg"), Lifetime::not_set);
  EXPECT_EQ(backend->effective_placement().mechanism, "none");
}

TEST(FileBackend, PromptLayoutRecyclesOrdinarySegmentsOnly) {
  const TempDir dir;
  auto options = options_for(dir);
  options.prompt_files = true;
  auto backend = ready(options);
  ASSERT_TRUE(backend->allocate({0}, {}));
  const std::string ordinary = dir / "segments/00000000.seg";
  EXPECT_GE(disk_bytes(ordinary), kMiB);
  backend->seal({0}, 4096);
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .segment = {0}}));
  EXPECT_TRUE(fs::exists(ordinary));
  // The id comes back for a prompt: the old file must not take space any more.
  ASSERT_TRUE(backend->allocate({0}, {.prompt = PromptId{9}}));
  EXPECT_FALSE(fs::exists(ordinary));
  EXPECT_TRUE(fs::exists(dir / "segments/prompt-00000009-00000000.seg"));
}

TEST(FileBackend, ReopenedSegmentIsContinued) {
  const TempDir dir;
  auto options = options_for(dir);
  options.prompt_files = true;
  const auto first = random_bytes(8192, 7), second = random_bytes(8192, 8);
  {
    auto backend = ready(options);
    ASSERT_TRUE(backend->allocate({2}, {.prompt = PromptId{7}}));
    EXPECT_FALSE(write(*backend, {2}, 0, first));
  }
  auto backend = ready(options);
  ASSERT_TRUE(backend->reopen({2}, {.lifetime = Lifetime::medium, .prompt = PromptId{7}}));
  EXPECT_EQ(hint_of(dir / "segments/prompt-00000007-00000002.seg"), Lifetime::medium);
  EXPECT_FALSE(write(*backend, {2}, 8192, second));
  auto back = random_bytes(8192, 9);
  EXPECT_FALSE(read(*backend, {2}, 0, back));
  EXPECT_TRUE(same(back, first));
  EXPECT_FALSE(read(*backend, {2}, 8192, back));
  EXPECT_TRUE(same(back, second));
  EXPECT_EQ(backend->reopen({3}, {}).error().code, make_error_code(Errc::not_found));
}

TEST(FileBackend, OddEndOfBufferedPromptFileIsReadDirect) {
  const TempDir dir;
  auto options = options_for(dir);
  options.prompt_files = true;
  options.use_odirect = false;
  const auto data = random_bytes(5000, 14);
  {
    auto backend = ready(options);  // dies without seal()
    ASSERT_TRUE(backend->allocate({1}, {.prompt = PromptId{3}}));
    EXPECT_FALSE(write(*backend, {1}, 0, data));
  }
  options.use_odirect = std::nullopt;
  auto backend = ready(options);
  EXPECT_EQ(backend->existing_segments()->at(0).size_bytes, 8192U);
  const auto back = random_bytes(8192, 15);
  EXPECT_FALSE(read(*backend, {1}, 0, back));
  EXPECT_EQ(std::memcmp(back.data(), data.data(), data.size()), 0);
}

TEST(FileBackend, SealedDescriptorsStayBelowTheLimit) {
  const TempDir dir;
  auto options = options_for(dir);
  options.max_sealed_descriptors = 3;
  auto backend = ready(options);
  const auto descriptors = [] {
    return std::distance(fs::directory_iterator("/proc/self/fd"), fs::directory_iterator());
  };
  const auto before = descriptors();
  std::vector<io::AlignedBuffer> contents;
  for (std::uint32_t i = 0; i < 10; ++i) {
    contents.push_back(random_bytes(4096, i));
    ASSERT_TRUE(backend->allocate({i}, {}));
    EXPECT_FALSE(write(*backend, {i}, 0, contents.back()));
    backend->seal({i}, 4096);
  }
  EXPECT_LE(descriptors(), before + 3);
  auto back = random_bytes(4096, 99);
  for (const std::uint32_t i : {0U, 9U, 4U, 0U, 7U, 2U}) {
    EXPECT_FALSE(read(*backend, {i}, 0, back));
    EXPECT_TRUE(same(back, contents[i])) << i;
  }
  EXPECT_LE(descriptors(), before + 3);
}

// Files in the page cache, and on tmpfs; with O_DIRECT nothing is.
TEST_P(FileBackendOn, WhatLiesInMemoryIsCopied) {
  options_.max_sealed_descriptors = 1;
  auto backend = ready(options_);
  const auto data = random_bytes(256 << 10, 1), other = random_bytes(4096, 2);
  for (const std::uint32_t id : {1U, 2U}) {
    ASSERT_TRUE(backend->allocate({id}, {}));
    EXPECT_FALSE(write(*backend, {id}, 0, id == 1 ? data : other));
    backend->seal({id}, kMiB);
  }
  EXPECT_EQ(backend->cached({3}, 0, 4096), nullptr) << "there is none";
  if (!backend->capabilities().cached_writes) {
    EXPECT_EQ(backend->cached({1}, 0, data.size()), nullptr);
    return;
  }
  {
    const auto cached = backend->cached({1}, 0, data.size());
    if (cached == nullptr) GTEST_SKIP() << "Linux before 6.5 does not say what it has in memory";
    auto back = random_bytes(4096, 3);
    EXPECT_FALSE(read(*backend, {2}, 0, back));  // its descriptor would take the other's place
    EXPECT_TRUE(same(back, other));
    back = random_bytes(data.size() - 4096, 3);
    EXPECT_EQ(cached->copy(4096, back.span()), back.size());
    EXPECT_EQ(std::memcmp(back.data(), data.data() + 4096, back.size()), 0);
    back = random_bytes(8192, 3);
    EXPECT_EQ(cached->copy(kMiB - 4096, back.span()), 4096U) << "the file ends there";
    EXPECT_EQ(cached->copy(kMiB, back.span()), 0U);
  }
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .release = true, .segment = {1}}));
}

// How many segments below `dir` this process has mapped.
std::size_t mapped_segments(const TempDir& dir) {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) count += line.contains(dir.string()) ? 1 : 0;
  return count;
}

TEST(FileBackendInMemory, SegmentsAreMappedForAsLongAsTheyAreOpen) {
  if (const auto why = why_not_in_memory(); !why.empty()) GTEST_SKIP() << why;
  const TempDir dir(kMemoryDirectory);
  auto options = options_for(dir);
  options.max_sealed_descriptors = 2;
  auto backend = ready(options);
  const auto data = random_bytes(64 << 10, 1), other = random_bytes(64 << 10, 2);
  for (std::uint32_t id = 0; id < 4; ++id) {
    ASSERT_TRUE(backend->allocate({id}, {}));
    EXPECT_FALSE(write(*backend, {id}, 4096, data));
    backend->seal({id}, kMiB);
  }
  EXPECT_EQ(mapped_segments(dir), 2U);
  auto back = random_bytes(data.size(), 3);
  EXPECT_FALSE(read(*backend, {0}, 4096, back));
  EXPECT_TRUE(same(back, data));
  EXPECT_EQ(mapped_segments(dir), 2U);
  // Freed, it stays mapped for what is written to it next.
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .segment = {0}}));
  EXPECT_EQ(mapped_segments(dir), 2U);
  ASSERT_TRUE(backend->allocate({0}, {}));
  EXPECT_FALSE(write(*backend, {0}, 4096, other));
  EXPECT_FALSE(read(*backend, {0}, 4096, back));
  EXPECT_TRUE(same(back, other));
  backend->seal({0}, kMiB);
  io::AlignedBuffer on_file = random_bytes(other.size(), 4);
  File(dir / "segments/00000000.seg", O_RDONLY).read(on_file.span(), 4096);
  EXPECT_TRUE(same(on_file, other));
  EXPECT_FALSE(run(*backend, {.op = IoOp::free, .release = true, .segment = {0}}));
  EXPECT_EQ(mapped_segments(dir), 1U);
}

// Copied with its holes, say: a page of memory for one may not be there when it is touched.
TEST(FileBackendInMemory, ASparseSegmentIsReadAndNotMapped) {
  if (const auto why = why_not_in_memory(); !why.empty()) GTEST_SKIP() << why;
  const TempDir dir(kMemoryDirectory);
  const auto options = options_for(dir);
  {
    (void)ready(options);
  }
  const auto data = random_bytes(4096, 1);
  {
    const File file(dir / "segments/00000003.seg", O_CREAT | O_RDWR);
    ASSERT_EQ(::ftruncate(file.fd(), kMiB), 0);
    file.write(data.span(), 8192);
  }
  auto backend = ready(options);
  auto back = random_bytes(4096, 2);
  EXPECT_FALSE(read(*backend, {3}, 8192, back));
  EXPECT_TRUE(same(back, data));
  EXPECT_EQ(mapped_segments(dir), 0U);
  ASSERT_TRUE(backend->allocate({3}, {}));  // which fills the holes
  EXPECT_EQ(mapped_segments(dir), 1U);
}

TEST(FileBackendInMemory, ASegmentThatIsCutFailsItsRequestsAlone) {
  if (const auto why = why_not_in_memory(); !why.empty()) GTEST_SKIP() << why;
  const TempDir dir(kMemoryDirectory);
  auto backend = ready(options_for(dir));
  const auto data = random_bytes(4096, 1);
  for (const std::uint32_t id : {0U, 1U}) {
    ASSERT_TRUE(backend->allocate({id}, {}));
    EXPECT_FALSE(write(*backend, {id}, kMiB - 4096, data));
  }
  fs::resize_file(dir / "segments/00000000.seg", kMiB / 2);
  auto back = random_bytes(4096, 2);
  EXPECT_EQ(read(*backend, {0}, kMiB - 4096, back), make_error_code(Errc::corrupt));
  EXPECT_FALSE(read(*backend, {1}, kMiB - 4096, back));
  EXPECT_TRUE(same(back, data));
}

TEST(FileBackendInMemory, SegmentsOfALargerStoreAreCutBeforeTheyAreMapped) {
  if (const auto why = why_not_in_memory(); !why.empty()) GTEST_SKIP() << why;
  const TempDir dir(kMemoryDirectory);
  {
    auto backend = ready(options_for(dir), 2 * kMiB);
    ASSERT_TRUE(backend->allocate({1}, {}));
  }
  auto backend = ready(options_for(dir), kMiB);
  auto back = random_bytes(4096, 1);
  EXPECT_FALSE(read(*backend, {1}, 2 * kMiB - 4096, back));  // mapped as long as it is
  ASSERT_TRUE(backend->allocate({1}, {}));
  EXPECT_EQ(read(*backend, {1}, kMiB, back), make_error_code(Errc::corrupt));
}

TEST(FileBackend, MoreRequestsThanTheQueueHoldsAllComplete) {
  const TempDir dir;
  auto options = options_for(dir);
  options.queue_depth = 4;
  auto backend = ready(options);
  ASSERT_TRUE(backend->allocate({0}, {}));
  const auto data = random_bytes(kMiB, 10);
  std::vector<iovec> spans;
  std::vector<IoRequest> requests;
  for (std::size_t i = 0; i < 256; ++i) spans.push_back({data.data() + i * 4096, 4096});
  for (std::size_t i = 0; i < 256; ++i) {
    requests.push_back({.op = IoOp::write,
                        .segment = {0},
                        .offset_bytes = i * 4096,
                        .spans = {&spans[i], 1},
                        .user_data = i});
  }
  backend->submit(requests);
  std::map<std::uint64_t, int> seen;
  std::array<IoCompletion, 7> done;
  while (seen.size() < requests.size()) {
    const std::size_t count = backend->reap(done, std::chrono::seconds(5));
    ASSERT_GT(count, 0U);
    for (const auto& completion : std::span(done).first(count)) {
      EXPECT_FALSE(completion.error);
      ++seen[completion.user_data];
    }
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](const auto& one) { return one.second == 1; }));
  auto back = random_bytes(kMiB, 11);
  EXPECT_FALSE(read(*backend, {0}, 0, back));
  EXPECT_TRUE(same(back, data));
}

TEST(FileBackend, RegisteredMemoryCarriesTheSameBytes) {
  const TempDir dir;
  auto backend = ready(options_for(dir));
  ASSERT_TRUE(backend->allocate({0}, {}));
  auto data = random_bytes(128 << 10, 12), back = random_bytes(128 << 10, 13);
  const std::array<iovec, 2> ranges = {iovec{data.data(), data.size()},
                                       iovec{back.data(), back.size()}};
  const auto registered = backend->register_buffers(ranges);
  if (!registered) GTEST_SKIP() << registered.error().message();
  EXPECT_FALSE(write(*backend, {0}, 4096, data));
  EXPECT_FALSE(read(*backend, {0}, 4096, back));
  EXPECT_TRUE(same(data, back));
  EXPECT_TRUE(backend->register_buffers({}));
}

TEST(FileBackend, WakeEndsAWaitingReap) {
  const TempDir dir;
  auto backend = ready(options_for(dir));
  std::array<IoCompletion, 1> done;
  const auto start = std::chrono::steady_clock::now();
  std::thread other([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    backend->wake();
  });
  EXPECT_EQ(backend->reap(done, std::chrono::seconds(20)), 0U);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  other.join();
}

TEST(FileBackend, SuperblockCopiesAreNotFoundUntilWritten) {
  const TempDir dir;
  std::array<std::byte, kSuperblockBytes> bytes{}, back{};
  std::memcpy(bytes.data(), "FDPSUPER", 8);
  {
    auto backend = must_open(options_for(dir));
    EXPECT_EQ(backend->read_superblock(0, back).error().code, make_error_code(Errc::not_found));
    ASSERT_TRUE(backend->write_superblock(1, bytes));
    EXPECT_EQ(backend->read_superblock(0, back).error().code, make_error_code(Errc::not_found));
  }
  auto backend = must_open(options_for(dir));
  ASSERT_TRUE(backend->read_superblock(1, back));
  EXPECT_EQ(bytes, back);
}

TEST(FileBackend, SegmentLargerThanTheCapacityIsRefused) {
  const TempDir dir;
  auto backend = must_open(options_for(dir));
  const auto too_large = backend->set_segment_bytes(32 * kMiB);
  ASSERT_FALSE(too_large);
  EXPECT_EQ(too_large.error().code, make_error_code(Errc::invalid_option));
  EXPECT_NE(too_large.error().what.find("capacity_bytes"), std::string::npos);
  EXPECT_FALSE(backend->set_segment_bytes(5000));
  ASSERT_TRUE(backend->set_segment_bytes(4 * kMiB));
  EXPECT_EQ(backend->geometry().max_segments, 4U);
}

}  // namespace
}  // namespace fdpstore::test
