// StoreTest: one store of the variant under test, in a directory or on a device of its own,
// reopened at will.
//
// Object number n has make_key(n) and, unless a test says otherwise, the bytes fill(seed n).
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <memory>
#include <ostream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "fdpstore/store.hpp"
#include "support/bytes.hpp"
#include "support/client.hpp"
#include "support/eventually.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"
#include "support/test_device.hpp"
#include "support/variants.hpp"

namespace fdpstore {

inline void PrintTo(KeyStatus status, std::ostream* out) {
  static constexpr const char* kNames[] = {"miss", "hit", "stored", "present", "failed"};
  *out << kNames[static_cast<std::size_t>(status)];
}

}  // namespace fdpstore

namespace fdpstore::test {

class StoreTest : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    if (const auto why = why_not_here(variant(), dir_.path()); !why.empty()) GTEST_SKIP() << why;
    if (!variant().raw()) return;
    device_.emplace(variant(), path(), 1024 * kMiB);
    if (!device_->why_not().empty()) GTEST_SKIP() << device_->why_not();
    device_->guard(options().base_offset_bytes, options().capacity_bytes);
  }
  void TearDown() override {
    close();
    if (device_) {
      EXPECT_TRUE(device_->guards_intact()) << "a store wrote outside of its part of the device";
    }
  }

  [[nodiscard]] static Variant variant() { return GetParam(); }
  [[nodiscard]] std::filesystem::path path() const { return dir_.path() / "store"; }
  // The store's directory or device, as its messages name it.
  [[nodiscard]] std::string where() const { return device_ ? device_->path() : path().string(); }
  [[nodiscard]] Options options() const { return small_options(variant(), where()); }
  [[nodiscard]] TestDevice& device() { return *device_; }
  [[nodiscard]] const TestDevice& device() const { return *device_; }

  // A place on the disk: in a file of the store, or on its device when `file` is empty.
  void read_at(const std::filesystem::path& file, std::span<std::byte> out,
               std::uint64_t at) const {
    if (file.empty()) return device_->read(out, at);
    File(file, O_RDONLY).read(out, at);
  }
  void write_at(const std::filesystem::path& file, std::span<const std::byte> bytes,
                std::uint64_t at) const {
    if (file.empty()) return device_->write(bytes, at);
    File(file, O_RDWR).write(bytes, at);
  }
  void flip(const std::filesystem::path& file, std::uint64_t at) const {
    std::byte value{};
    read_at(file, {&value, 1}, at);
    value ^= std::byte{0xFF};
    write_at(file, {&value, 1}, at);
  }

  // As the store sees it.
  void let_time_pass(double seconds) {
    if (device_ && device_->pass_time(seconds)) return;
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  }

  // Bytes on the disk that are the store's. On a device that is what it says: what is around its
  // part is guarded.
  [[nodiscard]] std::uint64_t disk_use() {
    return device_ ? store_->status().info.allocated_bytes : disk_bytes(path());
  }

  // Throws when it cannot: nothing in a test makes sense then.
  void open(const Options& options) {
    close();
    if (device_) device_->guard(options.base_offset_bytes, options.capacity_bytes);
    auto opened = open_store(options);
    if (!opened) throw std::runtime_error("open_store: " + opened.error().message());
    store_ = std::move(*opened);
    client_ = std::make_unique<Client>(*store_);
    options_ = options;
  }
  void open() { open(options()); }
  void close() {
    if (store_) {
      const auto closed = store_->close();
      EXPECT_TRUE(closed.has_value()) << closed.error().message();
    }
    client_.reset();
    store_.reset();
  }
  void reopen() {
    close();
    open(options_);
  }

  Store& store() { return *store_; }
  Client& client() { return *client_; }

  // One key, one task.
  TaskResult put_bytes(const ObjectKey& key, std::span<const std::byte> bytes) {
    const PutItem item{
        .key = key.ref(), .bytes = bytes, .explicit_rank = {}, .explicit_stream = {}};
    return expect_done(client().put({&item, 1}));
  }
  KeyStatus put(const ObjectKey& key, std::size_t size, std::uint64_t seed) {
    const Buffer buffer = payload(size, seed);
    const TaskResult result = put_bytes(key, buffer.span());
    if (result.error) last_error_ = *result.error;
    return result.keys.at(0);
  }
  KeyStatus put(std::uint64_t n, std::size_t size) { return put(make_key(n), size, n); }

  KeyStatus get_into(const ObjectKey& key, std::span<std::byte> buffer) {
    const GetItem item{.key = key.ref(), .buffer = buffer};
    const TaskResult result = expect_done(client().get({&item, 1}));
    if (result.error) last_error_ = *result.error;
    return result.keys.at(0);
  }
  // A hit with other bytes than the seed's fails the test.
  KeyStatus get(const ObjectKey& key, std::size_t size, std::uint64_t seed) {
    Buffer buffer(size);
    const KeyStatus status = get_into(key, buffer.span());
    if (status == KeyStatus::hit) {
      EXPECT_TRUE(matches(buffer.span(), seed)) << "wrong bytes for object " << seed;
    }
    return status;
  }
  KeyStatus get(std::uint64_t n, std::size_t size) { return get(make_key(n), size, n); }

  KeyStatus lookup(const ObjectKey& key, bool lock = false) {
    const KeyRef ref = key.ref();
    const TaskResult result = expect_done(client().lookup({&ref, 1}, lock));
    return result.keys.at(0);
  }
  KeyStatus lookup(std::uint64_t n, bool lock = false) { return lookup(make_key(n), lock); }
  void unlock(const ObjectKey& key) {
    const KeyRef ref = key.ref();
    store().unlock({&ref, 1});
  }
  std::optional<std::uint64_t> erase(const ObjectKey& key) {
    const KeyRef ref = key.ref();
    const auto erased = store().erase({&ref, 1});
    if (!erased || erased->size() != 1) {
      ADD_FAILURE() << "erase: " << (erased ? "wrong number of results" : erased.error().message());
      return std::nullopt;
    }
    return erased->front();
  }

  // Objects first … first + count - 1 in one task, after a lookup of them as LMCache does one: they
  // are a prompt then. Expects all to be stored.
  void put_all(std::uint64_t first, std::size_t count, std::size_t size) {
    const auto keys = make_keys(first, count);
    (void)expect_done(client().lookup(refs(keys)));
    std::vector<Buffer> buffers;
    std::vector<PutItem> items;
    for (std::size_t i = 0; i < count; ++i) {
      buffers.push_back(payload(size, first + i));
      items.push_back({.key = keys[i].ref(),
                       .bytes = buffers.back().span(),
                       .explicit_rank = {},
                       .explicit_stream = {}});
    }
    const TaskResult result = expect_done(client().put(items));
    for (std::size_t i = 0; i < result.keys.size(); ++i) {
      ASSERT_EQ(result.keys[i], KeyStatus::stored)
          << "object " << first + i << ": " << text(result);
    }
    EXPECT_EQ(result.transferred_bytes, count * size);
  }
  void expect_all_hit(std::uint64_t first, std::size_t count, std::size_t size) {
    for (std::uint64_t n = first; n < first + count; ++n) {
      ASSERT_EQ(get(n, size), KeyStatus::hit) << "object " << n;
    }
  }

  static std::string text(const TaskResult& result) {
    return result.error ? result.error->message() : "no error";
  }
  static TaskResult expect_done(Result<TaskResult> result) {
    EXPECT_TRUE(result.has_value()) << result.error().message();
    return result ? std::move(*result) : TaskResult{};
  }
  [[nodiscard]] const Error& last_error() const { return last_error_; }

 private:
  TempDir dir_{parent_of(variant())};
  std::optional<TestDevice> device_;
  Options options_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Client> client_;
  Error last_error_;
};

inline std::string variant_name(const ::testing::TestParamInfo<Variant>& info) {
  return info.param.name();
}

}  // namespace fdpstore::test

// Runs every TEST_P of a suite derived from StoreTest over all variants.
#define FDPSTORE_FOR_ALL_VARIANTS(suite)                                                  \
  INSTANTIATE_TEST_SUITE_P(All, suite, ::testing::ValuesIn(::fdpstore::test::variants()), \
                           ::fdpstore::test::variant_name)
