// Damage by others: flipped bytes everywhere, truncated and swapped files. Never wrong bytes; the
// object is a miss then, and can be stored again.
#include <sys/xattr.h>

#include <algorithm>
#include <cstring>
#include <functional>

#include "fixture.hpp"
#include "format/layout.hpp"
#include "support/sanitizers.hpp"

namespace fdpstore::test {
namespace {

// One place to damage.
struct Spot {
  std::filesystem::path file;  // relative to the store; empty: on the device
  std::uint64_t offset = 0;
  std::string what;
};

std::string label(const std::string& what, const std::filesystem::path& file, std::uint64_t at) {
  return what + " of " + (file.empty() ? "the device" : file.string()) + " at " +
         std::to_string(at);
}

// Size of the object that is erased in the tests' store; no live one has it.
constexpr std::uint64_t kDeadBytes = 4096;

// Structures of a segment file, superblock or device, found by their magic numbers: two places in
// each struct, one behind it in its block, and begin, middle and end of each payload. `bytes` begin
// at `base` of the file.
void spots_of_blocks(std::span<const std::byte> bytes, const std::filesystem::path& file,
                     std::uint64_t base, std::vector<Spot>& out) {
  const auto add = [&](const std::string& what, std::uint64_t at) {
    if (at < bytes.size()) out.push_back({file, base + at, label(what, file, base + at)});
  };
  for (std::uint64_t at = 0; at + format::kBlockBytes <= bytes.size(); at += format::kBlockBytes) {
    std::uint64_t magic = 0;
    std::memcpy(&magic, bytes.data() + at, sizeof magic);
    const char* name = magic == format::kSuperblockMagic ? "superblock"
                       : magic == format::kSegmentMagic  ? "segment header"
                       : magic == format::kFooterMagic   ? "footer"
                       : magic == format::kRecordMagic   ? "record header"
                                                         : nullptr;
    if (name == nullptr) continue;
    const std::string what = name;
    add(what + " magic", at + 3);
    add(what + " field", at + 8 + mix(at) % 40);
    add(what + " rest of block", at + 2000);
    if (magic != format::kRecordMagic) continue;
    format::RecordHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    const std::string kind = std::to_string(header.kind);
    const bool dead = header.payload_bytes == kDeadBytes;
    const std::string payload = (dead ? "dead payload" : "payload") + (" of record kind " + kind);
    if (header.payload_bytes == 0) continue;
    const std::uint64_t begin = at + format::kBlockBytes;
    add(payload, begin);
    add(payload, begin + header.payload_bytes / 2);
    add(payload, begin + header.payload_bytes - 1);
    add("padding of record kind " + kind, begin + header.payload_bytes);
    at += (header.payload_bytes + format::kBlockBytes - 1) / format::kBlockBytes *
          format::kBlockBytes;
  }
}

class Damage : public StoreTest {
 protected:
  static constexpr std::uint64_t kObjects = 6;
  static constexpr std::uint64_t kErased = 100;
  static std::size_t size_of(std::uint64_t n) { return n % 2 == 0 ? 9001 : 70000 + n; }

  // Few objects and one tombstone, so that every structure exists and a run over all places is
  // short.
  void make_store() {
    // A device that gives no blocks back still holds what earlier tests stored: no place to damage.
    if (variant().medium == Medium::device) {
      device().write(std::vector<std::byte>(options().capacity_bytes), kWindowAt);
    }
    open();
    const auto keys = make_keys(1, kObjects);
    (void)expect_done(client().lookup(refs(keys)));
    for (std::uint64_t n = 1; n <= kObjects; ++n) {
      ASSERT_EQ(put(n, size_of(n)), KeyStatus::stored) << last_error().message();
    }
    ASSERT_EQ(put(kErased, kDeadBytes), KeyStatus::stored);
    ASSERT_EQ(erase(make_key(kErased)), kDeadBytes);
  }

  [[nodiscard]] std::vector<Spot> spots(const std::filesystem::path& root) const {
    std::vector<Spot> out;
    if (variant().raw()) {
      spots_of_blocks(window(), {}, kWindowAt, out);
      return out;
    }
    for (const auto& path : files_under(root)) {
      const auto file = std::filesystem::relative(path, root);
      if (variant().has_segments()) {
        spots_of_blocks(read_file(path), file, 0, out);
        continue;
      }
      const std::uint64_t size = std::filesystem::file_size(path);
      for (const std::uint64_t at : {std::uint64_t{0}, size / 2, size - 1}) {
        if (at < size) out.push_back({file, at, label("byte", file, at)});
      }
    }
    return out;
  }

  // Under a sanitizer a part of them, each variant another one.
  static std::vector<Spot> some_of(const std::vector<Spot>& all) {
    constexpr std::size_t kEvery = kThreadSanitizer ? 11 : kAddressSanitizer ? 4 : 1;
    std::vector<Spot> out;
    for (std::size_t i = std::hash<std::string>{}(variant().name()) % kEvery; i < all.size();
         i += kEvery) {
      out.push_back(all[i]);
    }
    return out;
  }

  // Every object is a hit with its bytes or a miss; a miss can be stored again and is a hit then.
  // Returns the number of misses.
  std::size_t expect_never_wrong() {
    std::size_t misses = 0;
    for (std::uint64_t n = 1; n <= kObjects; ++n) {
      const KeyStatus status = get(n, size_of(n));  // checks the bytes of a hit
      EXPECT_NE(status, KeyStatus::failed) << "object " << n << ": " << last_error().message();
      if (status != KeyStatus::miss) continue;
      ++misses;
      EXPECT_EQ(put(n, size_of(n)), KeyStatus::stored)
          << "object " << n << " after its damage: " << last_error().message();
      EXPECT_EQ(get(n, size_of(n)), KeyStatus::hit) << "object " << n << " stored again";
    }
    // Damage may take the delete with it; what comes back then are the bytes that were stored.
    EXPECT_NE(get(kErased, kDeadBytes), KeyStatus::failed) << last_error().message();
    return misses;
  }
  void expect_all_right() {
    for (std::uint64_t n = 1; n <= kObjects; ++n) {
      EXPECT_EQ(get(n, size_of(n)), KeyStatus::hit) << "object " << n;
    }
  }

  // A store as make_store leaves it, closed, to copy from.
  void make_pristine() {
    make_store();
    close();
    if (variant().raw()) {
      pristine_window_ = window();
      return;
    }
    std::filesystem::create_directory(pristine());
    copy_tree(path(), pristine());
  }
  void restore() {
    if (variant().raw()) {
      for (std::size_t at = 0; at < pristine_window_.size(); at += kMiB) {
        device().read(now_.span(), kWindowAt + at);
        const auto was = std::span(pristine_window_).subspan(at, kMiB);
        if (std::memcmp(was.data(), now_.span().data(), kMiB) == 0) continue;  // most
        device().write(was, kWindowAt + at);
      }
      return;
    }
    std::filesystem::remove_all(path());
    std::filesystem::create_directory(path());
    copy_tree(pristine(), path());
  }
  [[nodiscard]] std::filesystem::path pristine() const { return path().parent_path() / "pristine"; }
  // Of what pristine() or path() has, as flip() and its like take it.
  [[nodiscard]] std::filesystem::path place(const std::filesystem::path& file) const {
    return file.empty() ? file : path() / file;
  }

  // The store's part of the device.
  [[nodiscard]] std::vector<std::byte> window() const {
    std::vector<std::byte> bytes(options().capacity_bytes);
    device().read(bytes, kWindowAt);
    return bytes;
  }
  // Where segments with anything in them begin on the device.
  [[nodiscard]] std::vector<std::uint64_t> used_segments() const {
    std::vector<std::uint64_t> out;
    const std::uint64_t size = options().segment_bytes;
    for (std::uint64_t at = kMiB; at + size <= pristine_window_.size(); at += size) {
      std::uint64_t magic = 0;
      std::memcpy(&magic, pristine_window_.data() + at, sizeof magic);
      if (magic == format::kSegmentMagic) out.push_back(kWindowAt + at);
    }
    return out;
  }
  [[nodiscard]] std::span<const std::byte> pristine_segment(std::uint64_t at) const {
    return std::span(pristine_window_).subspan(at - kWindowAt, options().segment_bytes);
  }

 private:
  std::vector<std::byte> pristine_window_;
  Buffer now_{kMiB};
};
FDPSTORE_FOR_ALL_VARIANTS(Damage);

TEST_P(Damage, FlippedByteWhileClosedIsNeverWrongBytes) {
  make_pristine();
  const auto all = spots(pristine());
  ASSERT_GE(all.size(), 3 * kObjects);
  std::size_t misses = 0;
  for (const Spot& spot : some_of(all)) {
    SCOPED_TRACE(spot.what);
    restore();
    flip(place(spot.file), spot.offset);
    open();
    misses += expect_never_wrong();
    reopen();
    expect_all_right();
    close();
    if (HasFailure()) return;  // one spot says enough
  }
  EXPECT_GT(misses, 0U) << "no damage was ever noticed: the test is blind";
}

TEST_P(Damage, FlippedByteWhileOpenIsNeverWrongBytes) {
  make_store();
  ASSERT_FALSE(HasFatalFailure());
  const auto all = spots(path());
  ASSERT_GE(all.size(), 3 * kObjects);
  std::size_t misses = 0;
  for (const Spot& spot : all) {
    SCOPED_TRACE(spot.what);
    if (!spot.file.empty()) {  // it may have been replaced after earlier damage
      const auto file = path() / spot.file;
      if (!std::filesystem::exists(file) || std::filesystem::file_size(file) <= spot.offset)
        continue;
    }
    flip(place(spot.file), spot.offset);
    misses += expect_never_wrong();
    if (HasFailure()) return;
  }
  EXPECT_GT(misses, 0U) << "no damage was ever noticed: the test is blind";
  EXPECT_GT(store().status().info.damaged_objects, 0U);
  // Undamaged objects, a reopen, and the same again.
  expect_all_right();
  reopen();
  (void)expect_never_wrong();
  expect_all_right();
}

TEST_P(Damage, DamagedObjectIsReportedAsDropped) {
  make_store();
  ASSERT_FALSE(HasFatalFailure());
  (void)client().take_dropped();
  std::size_t misses = 0;
  for (const Spot& spot : spots(path())) {
    if (variant().has_segments() && !spot.what.starts_with("payload of record kind 1 ")) continue;
    flip(place(spot.file), spot.offset);
  }
  for (std::uint64_t n = 1; n <= kObjects; ++n) {
    misses += get(n, size_of(n)) == KeyStatus::miss ? 1 : 0;
    EXPECT_EQ(lookup(n), KeyStatus::miss) << n;
  }
  EXPECT_EQ(misses, kObjects);
  std::vector<DroppedKey> dropped;
  EXPECT_TRUE(eventually([&] {
    for (DroppedKey& key : client().take_dropped()) dropped.push_back(std::move(key));
    return dropped.size() >= kObjects;
  })) << dropped.size();
  EXPECT_EQ(dropped.size(), kObjects);
}

TEST_P(Damage, TruncatedFileIsNeverWrongBytes) {
  if (variant().raw()) GTEST_SKIP() << "a device that became smaller: see device_test.cpp";
  make_pristine();
  std::size_t misses = 0;
  for (const auto& source : files_under(pristine())) {
    const auto file = std::filesystem::relative(source, pristine());
    const std::uint64_t size = std::filesystem::file_size(source);
    for (const std::uint64_t keep : {std::uint64_t{0}, std::uint64_t{1}, size / 2, size - 1}) {
      if (keep >= size) continue;
      SCOPED_TRACE(file.string() + " cut to " + std::to_string(keep) + " of " +
                   std::to_string(size));
      restore();
      std::filesystem::resize_file(path() / file, keep);
      auto opened = open_store(options());
      if (!opened) {
        // Both superblock copies are in one file: that is an error, and what was left of it stays.
        EXPECT_EQ(opened.error().code, Errc::corrupt) << opened.error().message();
        auto before = read_file(source);
        auto now = read_file(path() / file);
        before.resize(keep);
        ASSERT_GE(now.size(), keep);
        now.resize(keep);
        EXPECT_EQ(now, before);
        continue;
      }
      opened->reset();
      open();
      misses += expect_never_wrong();
      close();
      if (HasFailure()) return;
    }
  }
  EXPECT_GT(misses, 0U);
}

// Writes that went to another place.
TEST_P(Damage, SwappedSegmentsOfADeviceAreNeverWrongBytes) {
  if (!variant().raw()) GTEST_SKIP() << "files are swapped in SwappedFiles…";
  make_pristine();
  const auto segments = used_segments();
  ASSERT_GE(segments.size(), 2U);  // data and metadata
  for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
    for (std::size_t j = i + 1; j < segments.size(); ++j) {
      SCOPED_TRACE("segments at " + std::to_string(segments[i]) + " and " +
                   std::to_string(segments[j]));
      restore();
      device().write(pristine_segment(segments[j]), segments[i]);
      device().write(pristine_segment(segments[i]), segments[j]);
      open();
      EXPECT_GT(expect_never_wrong(), 0U);
      reopen();
      expect_all_right();
      close();
      if (HasFailure()) return;
    }
  }
}

TEST_P(Damage, SegmentOfADeviceThatIsGoneIsAMiss) {
  if (!variant().raw()) GTEST_SKIP() << "files are removed in RemovedFile…";
  make_pristine();
  std::size_t misses = 0;
  for (const std::uint64_t at : used_segments()) {
    for (const std::byte value : {std::byte{0}, std::byte{0xFF}, std::byte{0x5A}}) {
      SCOPED_TRACE("segment at " + std::to_string(at) + " full of " +
                   std::to_string(std::to_integer<int>(value)));
      restore();
      device().write(std::vector<std::byte>(options().segment_bytes, value), at);
      open();
      misses += expect_never_wrong();
      reopen();
      expect_all_right();
      close();
      if (HasFailure()) return;
    }
  }
  EXPECT_GE(misses, kObjects);
}

TEST_P(Damage, SwappedFilesAreNeverWrongBytes) {
  if (variant().raw()) GTEST_SKIP() << "segments are swapped in SwappedSegments…";
  make_pristine();
  std::vector<std::filesystem::path> files;
  for (const auto& source : files_under(pristine())) {
    files.push_back(std::filesystem::relative(source, pristine()));
  }
  ASSERT_GE(files.size(), 2U);
  for (std::size_t i = 0; i + 1 < files.size(); ++i) {
    // Objects of one size: 1, 3, 5 differ in size, 2, 4, 6 do not.
    for (std::size_t j = i + 1; j < files.size(); ++j) {
      SCOPED_TRACE(files[i].string() + " and " + files[j].string());
      restore();
      swap_files(path() / files[i], path() / files[j]);
      auto opened = open_store(options());
      if (!opened) {
        EXPECT_TRUE(opened.error().code == Errc::corrupt || opened.error().code == Errc::foreign)
            << opened.error().message();
        continue;
      }
      opened->reset();
      open();
      (void)expect_never_wrong();
      reopen();
      expect_all_right();
      if (HasFailure()) return;
    }
  }
}

TEST_P(Damage, RemovedFileIsAMiss) {
  if (variant().raw()) GTEST_SKIP() << "segments are overwritten in SegmentOfADevice…";
  make_pristine();
  for (const auto& source : files_under(pristine())) {
    const auto file = std::filesystem::relative(source, pristine());
    SCOPED_TRACE(file.string());
    restore();
    std::filesystem::remove(path() / file);
    auto opened = open_store(options());
    if (!opened) continue;  // the superblock: refused below, in open_test.cpp
    opened->reset();
    open();
    (void)expect_never_wrong();
    close();
    if (HasFailure()) return;
  }
}

TEST_P(Damage, CheckFindsWhatIsDamagedAndRepairTakesItOut) {
  make_pristine();
  const auto clean = check_store(options(), false);
  ASSERT_TRUE(clean.has_value()) << clean.error().message();
  for (const CheckFinding& finding : clean->findings) {
    ADD_FAILURE() << finding.where << ": " << finding.what;
  }
  EXPECT_EQ(clean->objects, kObjects);
  auto all = spots(pristine());
  std::erase_if(all, [](const Spot& spot) {
    return variant().has_segments() && !spot.what.starts_with("payload of record kind 1 ");
  });
  for (const Spot& spot : some_of(all)) {
    SCOPED_TRACE(spot.what);
    restore();
    flip(place(spot.file), spot.offset);
    const auto found = check_store(options(), false);
    ASSERT_TRUE(found.has_value()) << found.error().message();
    EXPECT_EQ(found->findings.size(), 1U);
    const auto repaired = check_store(options(), true);
    ASSERT_TRUE(repaired.has_value()) << repaired.error().message();
    ASSERT_EQ(repaired->findings.size(), 1U);
    EXPECT_TRUE(repaired->findings[0].repaired);
    const auto after = check_store(options(), false);
    ASSERT_TRUE(after.has_value()) << after.error().message();
    EXPECT_TRUE(after->clean()) << after->findings[0].where << ": " << after->findings[0].what;
    open();
    EXPECT_EQ(expect_never_wrong(), 1U);
    close();
    if (HasFailure()) return;
  }
}

// Layout object: the extended attributes are part of what can be damaged.
TEST_P(Damage, DamagedAttributeIsNeverWrongBytes) {
  if (variant().has_segments()) GTEST_SKIP() << "segment files have no attributes of ours";
  make_pristine();
  std::size_t attributes = 0;
  for (const auto& source : files_under(pristine())) {
    char names[4096];
    const ssize_t length = ::listxattr(source.c_str(), names, sizeof names);
    for (ssize_t at = 0; at < length; at += static_cast<ssize_t>(std::strlen(names + at)) + 1) {
      const std::string name = names + at;
      if (!name.starts_with("user.")) continue;
      ++attributes;
      char value[4096];
      const ssize_t size = ::getxattr(source.c_str(), name.c_str(), value, sizeof value);
      ASSERT_GT(size, 0);
      const auto file = std::filesystem::relative(source, pristine());
      for (ssize_t i = 0; i < size; ++i) {
        SCOPED_TRACE(file.string() + " " + name + " byte " + std::to_string(i));
        if (i % 7 != static_cast<ssize_t>(attributes % 7)) continue;  // all bytes over all files
        restore();
        value[i] = static_cast<char>(value[i] ^ 0x10);
        ASSERT_EQ(::setxattr((path() / file).c_str(), name.c_str(), value, size, 0), 0);
        value[i] = static_cast<char>(value[i] ^ 0x10);
        open();
        (void)expect_never_wrong();
        reopen();
        expect_all_right();
        close();
        if (HasFailure()) return;
      }
    }
  }
  EXPECT_GE(attributes, kObjects);
}

TEST_P(Damage, FileOfAnotherKeyUnderThisNameIsNotServed) {
  if (variant().has_segments()) GTEST_SKIP() << "segments are swapped in SwappedFiles…";
  make_store();
  // While open, among objects of one size: names say nothing about the bytes, checksums do.
  std::vector<std::filesystem::path> same;
  for (const auto& file : files_under(path())) {
    if (std::filesystem::file_size(file) == size_of(2)) same.push_back(file);
  }
  ASSERT_GE(same.size(), 2U);
  swap_files(same[0], same[1]);
  EXPECT_EQ(expect_never_wrong(), 2U);
  expect_all_right();
}

}  // namespace
}  // namespace fdpstore::test
