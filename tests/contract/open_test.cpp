// Opening: one owner, bad options, what belongs to others, damaged and newer superblocks.
#include <cctype>
#include <cstring>

#include "child.hpp"
#include "fixture.hpp"
#include "format/codec.hpp"
#include "support/self_exec.hpp"

namespace fdpstore::test {
namespace {

class Open : public StoreTest {
 protected:
  static std::error_code code_of(const Options& options, std::string* message = nullptr) {
    auto opened = open_store(options);
    if (opened) return {};
    if (message != nullptr) *message = opened.error().message();
    return opened.error().code;
  }

  struct Copy {
    std::filesystem::path file;  // empty: on the device
    std::uint64_t offset = 0;
  };
  // Where the superblock copies are, found by their magic number.
  [[nodiscard]] std::vector<Copy> superblocks() const {
    std::vector<Copy> out;
    const auto look_at = [&](const std::filesystem::path& file, std::uint64_t begin,
                             std::uint64_t end) {
      for (std::uint64_t at = begin; at + kSuperblock <= end; at += kSuperblock) {
        std::uint64_t magic = 0;
        read_at(file, std::as_writable_bytes(std::span(&magic, 1)), at);
        if (magic == format::kSuperblockMagic) out.push_back({file, at});
      }
    };
    if (variant().raw()) {
      look_at({}, kWindowAt, kWindowAt + kMiB);
      return out;
    }
    for (const auto& path : files_under(this->path())) {
      look_at(path, 0, std::min<std::uint64_t>(std::filesystem::file_size(path), kMiB));
    }
    return out;
  }
  // Applies `edit` to the copy and writes it back with its checksum put right.
  void rewrite(const Copy& copy, const std::function<void(format::Superblock&)>& edit) const {
    std::array<std::byte, kSuperblock> block{};
    read_at(copy.file, block, copy.offset);
    format::Superblock superblock;
    std::memcpy(&superblock, block.data(), sizeof superblock);
    edit(superblock);
    format::encode(superblock, block);
    write_at(copy.file, block, copy.offset);
  }

  static constexpr std::uint64_t kSuperblock = format::kBlockBytes;
};
FDPSTORE_FOR_ALL_VARIANTS(Open);

TEST_P(Open, SecondOpenInThisProcessIsBusy) {
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  std::string message;
  const auto code = code_of(options(), &message);
  if (variant().single_owner()) {
    EXPECT_EQ(code, Errc::busy) << message;
    EXPECT_NE(message.find(where()), std::string::npos) << message;
  } else {
    EXPECT_EQ(code, std::error_code()) << message;
  }
  EXPECT_EQ(get(1, 100), KeyStatus::hit) << "the first one goes on";
  EXPECT_EQ(put(2, 100), KeyStatus::stored);
  close();
  EXPECT_EQ(code_of(options()), std::error_code()) << "free again after close";
}

TEST_P(Open, SecondOpenInAnotherProcessIsBusy) {
  if (variant().simulated()) GTEST_SKIP() << "a simulated device is in one process";
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  const auto open_elsewhere = [&] {
    return wait_for(spawn_self({kOpenArgument, variant().name(), where()}));
  };
  EXPECT_EQ(open_elsewhere(), variant().single_owner() ? kExitBusy : kExitOpened);
  close();
  EXPECT_EQ(open_elsewhere(), kExitOpened);
}

TEST_P(Open, ReadOnlyOpenLooksAndLeaves) {
  open();
  put_all(1, 5, 1000);
  close();
  Options look = options();
  look.read_only = true;
  look.exclusive = false;  // takes a lock, which looking does not
  if (!variant().has_segments()) look.capacity_bytes = 0;
  open(look);
  expect_all_hit(1, 5, 1000);
  const ObjectKey key = make_key(10);
  const Buffer bytes = payload(100, 10);
  const PutItem item{
      .key = key.ref(), .bytes = bytes.span(), .explicit_rank = {}, .explicit_stream = {}};
  const auto refused = client().put({&item, 1});
  EXPECT_TRUE(!refused || refused->keys[0] == KeyStatus::failed);
  const ObjectKey first = make_key(1);
  const KeyRef ref = first.ref();
  const auto erased = store().erase({&ref, 1});
  EXPECT_TRUE(!erased || !erased->at(0));
  close();
  open();
  expect_all_hit(1, 5, 1000);
  EXPECT_EQ(lookup(10), KeyStatus::miss);
}

TEST_P(Open, MissingDirectoryIsMade) {
  if (variant().raw()) GTEST_SKIP() << "a device cannot be made: see device_test.cpp";
  Options deep = options();
  deep.base_path = (path() / "a" / "b").string();
  open(deep);
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  EXPECT_TRUE(std::filesystem::is_directory(deep.base_path));
}

TEST_P(Open, PathThatIsAFileIsRefusedAndLeft) {
  if (variant().raw()) GTEST_SKIP() << "a file may stand for a device: see device_test.cpp";
  const auto file = path().parent_path() / "plain";
  {
    const File made(file, O_CREAT | O_RDWR);
  }
  Options wrong = options();
  wrong.base_path = file.string();
  std::string message;
  EXPECT_NE(code_of(wrong, &message), std::error_code());
  EXPECT_NE(message.find(file.string()), std::string::npos) << message;
  EXPECT_EQ(std::filesystem::file_size(file), 0U);
}

TEST_P(Open, AbsentBasePathNamesTheOption) {
  Options wrong = options();
  wrong.base_path.clear();
  wrong.device_path.clear();
  wrong.base_offset_bytes = 0;
  std::string message;
  EXPECT_EQ(code_of(wrong, &message), Errc::invalid_option);
  EXPECT_NE(message.find("base_path"), std::string::npos) << message;
}

TEST_P(Open, BadOptionsNameTheOption) {
  const auto expect_named = [&](const char* name, auto&& change) {
    Options wrong = options();
    change(wrong);
    std::string message;
    EXPECT_EQ(code_of(wrong, &message), Errc::invalid_option) << name << ": " << message;
    EXPECT_NE(message.find(name), std::string::npos) << message;
    if (variant().raw()) {
      EXPECT_TRUE(superblocks().empty()) << name << ": something was made";
    } else {
      EXPECT_FALSE(std::filesystem::exists(path())) << name << ": something was made";
    }
  };
  expect_named("max_object_bytes", [](Options& o) { o.max_object_bytes = 0; });
  expect_named("lock_timeout_s", [](Options& o) { o.lock_timeout_s = -1; });
  expect_named("queue_depth", [](Options& o) { o.queue_depth = 0; });
  if (variant().has_segments()) {
    if (!variant().raw()) {  // of a device it would be all
      expect_named("capacity_bytes", [](Options& o) { o.capacity_bytes = 0; });
    }
    expect_named("segment_bytes", [](Options& o) { o.segment_bytes = 4097; });
    expect_named("max_object_bytes", [](Options& o) { o.max_object_bytes = 3 * kMiB; });
  }
}

// All numbers in a text.
std::vector<std::uint64_t> numbers_in(const std::string& text) {
  std::vector<std::uint64_t> out;
  for (std::size_t at = 0; at < text.size();) {
    if (std::isdigit(static_cast<unsigned char>(text[at])) == 0) {
      ++at;
      continue;
    }
    std::size_t used = 0;
    out.push_back(std::stoull(text.substr(at, 18), &used));
    at += used;
  }
  return out;
}

TEST_P(Open, CapacityBelowTheNeedNamesTheNumberThatWorks) {
  if (!variant().has_segments()) GTEST_SKIP() << "one file per object needs no open segments";
  Options small = options();
  small.capacity_bytes = 2 * kMiB;
  std::string message;
  EXPECT_EQ(code_of(small, &message), Errc::invalid_option);
  EXPECT_NE(message.find("capacity_bytes"), std::string::npos) << message;
  bool works = false;
  for (const std::uint64_t number : numbers_in(message)) {
    if (number <= small.capacity_bytes || number > 1024 * kMiB) continue;
    small.capacity_bytes = number;
    works = works || code_of(small) == std::error_code();
  }
  EXPECT_TRUE(works) << message;
}

TEST_P(Open, DirectoryOfAnotherProgramIsLeftUntouched) {
  if (variant().raw()) GTEST_SKIP() << "about directories: see device_test.cpp";
  std::filesystem::create_directory(path());
  const Buffer text = payload(5000, 1);
  {
    const File file(path() / "letter.txt", O_CREAT | O_RDWR);
    file.write(text.span(), 0);
  }
  std::string message;
  const auto code = code_of(options(), &message);
  if (variant().has_segments()) {
    EXPECT_EQ(code, Errc::foreign) << message;
    EXPECT_NE(message.find("letter.txt"), std::string::npos) << message;
    EXPECT_EQ(files_under(path()).size(), 1U) << "something was made beside it";
  } else {
    EXPECT_EQ(code, std::error_code()) << message;  // as LMCache's fs
  }
  const File file(path() / "letter.txt", O_RDONLY);
  ASSERT_EQ(file.size(), 5000U);
  Buffer now(5000);
  file.read(now.span(), 0);
  EXPECT_TRUE(matches(now.span(), 1));
}

TEST_P(Open, FormatMakesAStoreBesideForeignFiles) {
  if (variant().raw()) GTEST_SKIP() << "about directories: see device_test.cpp";
  std::filesystem::create_directory(path());
  {
    const File file(path() / "letter.txt", O_CREAT | O_RDWR);
  }
  Options force = options();
  force.format = true;
  open(force);
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  close();
  open();
  EXPECT_EQ(get(1, 100), KeyStatus::hit);
}

TEST_P(Open, FormatKeepsAStoreThatIsThere) {
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  Options force = options();
  force.format = true;
  open(force);
  EXPECT_EQ(get(1, 100), KeyStatus::hit) << "format is for what is not a store";
}

TEST_P(Open, LostAndFoundCountsAsEmpty) {
  if (variant().raw()) GTEST_SKIP() << "about directories: see device_test.cpp";
  std::filesystem::create_directories(path() / "lost+found");
  open();
  EXPECT_EQ(put(1, 100), KeyStatus::stored);
}

TEST_P(Open, OtherLayoutIsRefused) {
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  close();
  if (!variant().has_segments()) {
    Options other = small_options(kVariants[0], path());
    EXPECT_EQ(code_of(other), Errc::foreign) << "files of LMCache's fs are not overwritten";
  } else if (variant().raw()) {
    for (const Layout layout : {Layout::prompt, Layout::object}) {
      Options other = options();
      other.layout = layout;
      if (layout == Layout::object) other.segment_bytes = 0;
      std::string message;
      EXPECT_EQ(code_of(other, &message), Errc::invalid_option);
      EXPECT_NE(message.find("layout"), std::string::npos) << message;
    }
  } else {
    const Layout layout = variant().layout == Layout::segment ? Layout::prompt : Layout::segment;
    Options other = options();
    other.layout = layout;
    std::string message;
    EXPECT_NE(code_of(other, &message), std::error_code());
    EXPECT_NE(message.find("layout"), std::string::npos) << message;
    const Options object = small_options(kVariants[4], path());
    EXPECT_NE(code_of(object, &message), std::error_code());
  }
  open();
  EXPECT_EQ(get(1, 100), KeyStatus::hit);
}

TEST_P(Open, NewerSuperblockIsRefused) {
  if (!variant().has_segments()) GTEST_SKIP() << "no superblock in layout object";
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  close();
  const auto copies = superblocks();
  ASSERT_EQ(copies.size(), 2U);
  for (const Copy& copy : copies) {
    rewrite(copy, [](format::Superblock& s) { s.version = format::kVersion + 1; });
  }
  std::string message;
  EXPECT_EQ(code_of(options(), &message), Errc::version_mismatch) << message;
  EXPECT_NE(message.find(where()), std::string::npos) << message;
  for (const Copy& copy : copies) {
    rewrite(copy, [](format::Superblock& s) { s.version = format::kVersion; });
  }
  open();
  EXPECT_EQ(get(1, 100), KeyStatus::hit) << "refusing changed nothing";
}

TEST_P(Open, OneDamagedSuperblockCopyIsNoHarm) {
  if (!variant().has_segments()) GTEST_SKIP() << "no superblock in layout object";
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  for (std::size_t damaged = 0; damaged < 2; ++damaged) {
    for (const std::uint64_t at : {0U, 8U, 40U, 4095U}) {
      close();
      const auto copies = superblocks();
      ASSERT_EQ(copies.size(), 2U) << "a damaged copy was not written again";
      flip(copies[damaged].file, copies[damaged].offset + at);
      open();
      ASSERT_EQ(get(1, 100), KeyStatus::hit) << "copy " << damaged << " byte " << at;
    }
  }
}

TEST_P(Open, TwoDamagedSuperblockCopiesAreRefusedWithARemedy) {
  if (!variant().has_segments()) GTEST_SKIP() << "no superblock in layout object";
  open();
  ASSERT_EQ(put(1, 100), KeyStatus::stored);
  close();
  const auto copies = superblocks();
  ASSERT_EQ(copies.size(), 2U);
  for (const Copy& copy : copies) flip(copy.file, copy.offset + 100);
  std::string message;
  EXPECT_EQ(code_of(options(), &message), Errc::corrupt) << message;
  EXPECT_NE(message.find(where()), std::string::npos) << message;
  EXPECT_NE(message.find("format"), std::string::npos) << "the remedy: " << message;
  for (const Copy& copy : copies) flip(copy.file, copy.offset + 100);
  open();
  EXPECT_EQ(get(1, 100), KeyStatus::hit) << "refusing changed nothing";
}

TEST_P(Open, ChangedCapacityTakesEffect) {
  if (!variant().single_owner()) GTEST_SKIP() << "shared directory: best effort (DESIGN §4)";
  open();
  put_all(1, 20, 100000);
  Options larger = options();
  larger.capacity_bytes *= 2;
  open(larger);
  expect_all_hit(1, 20, 100000);
  EXPECT_EQ(store().status().info.capacity_bytes, larger.capacity_bytes);
  for (std::uint64_t n = 100; n < 300; ++n) ASSERT_EQ(put(n, 300000), KeyStatus::stored);
  EXPECT_LE(disk_use(), larger.capacity_bytes);
  if (variant().raw()) {
    // On a device what lies behind would come back when it grows again.
    close();
    std::string message;
    EXPECT_EQ(code_of(options(), &message), Errc::invalid_option);
    EXPECT_NE(message.find("cannot shrink"), std::string::npos) << message;
    EXPECT_NE(message.find(where()), std::string::npos) << message;
    open(larger);
    expect_all_hit(290, 10, 300000);
    return;
  }
  // Smaller again: the bound holds after open, what does not fit is gone.
  open(options());
  EXPECT_TRUE(eventually([&] { return disk_use() <= options().capacity_bytes; })) << disk_use();
  ASSERT_EQ(put(1000, 300000), KeyStatus::stored) << last_error().message();
  EXPECT_EQ(get(1000, 300000), KeyStatus::hit);
  EXPECT_LE(disk_use(), options().capacity_bytes);
}

}  // namespace
}  // namespace fdpstore::test
