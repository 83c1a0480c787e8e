// What the tests of layout `object` share: a directory of their own, keys, a policy, blocking
// calls.
//
// Thread:  as the store; the fixture itself belongs to the test's thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "fdpstore/store.hpp"
#include "io/unique_fd.hpp"
#include "objects/names.hpp"
#include "objects/object_store.hpp"
#include "support/bytes.hpp"
#include "support/eventually.hpp"
#include "support/files.hpp"

namespace fdpstore::objects {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

using test::eventually;
using test::flip_byte;
using test::make_bytes;
using test::read_file;
using test::same;
using test::TempDir;

// One stream per KV rank parity, so that placement can be seen in the inode's hint.
class ParityPolicy final : public Policy {
 public:
  ParityPolicy() {
    streams_ = {{"even", Lifetime::short_lived, 0, ""}, {"odd", Lifetime::extreme, 1, ""}};
  }
  std::string_view name() const override { return "parity"; }
  std::string_view description() const override { return "for tests"; }
  const std::vector<StreamSpec>& streams() const override { return streams_; }
  StreamId survivors() const override { return {0}; }
  double reinsert_budget() const override { return 0; }
  Lifetime metadata_lifetime() const override { return Lifetime::not_set; }
  bool metadata_separate() const override { return false; }
  StreamId place(const ObjectFacts& object) override {
    ++version_;
    if (object.explicit_stream)
      return {static_cast<std::uint16_t>(*object.explicit_stream == "odd")};
    const std::uint32_t rank = object.explicit_rank.value_or(rank_of(object.key.kv_rank));
    return {static_cast<std::uint16_t>(rank % 2)};
  }
  std::uint64_t state_version() const override { return version_; }
  std::string save_state() const override { return fmt::format("parity {}", version_); }
  bool restore_state(std::string_view state) override {
    if (!state.starts_with("parity ")) return false;
    version_ = std::stoull(std::string(state.substr(7)));
    restored = version_;
    return true;
  }
  inline static std::uint64_t restored = 0;

 private:
  std::vector<StreamSpec> streams_;
  std::uint64_t version_ = 0;
};

inline ObjectKey make_key(std::uint64_t number, const std::string& model = "org/model",
                          const std::string& salt = "") {
  ObjectKey key;
  for (unsigned i = 0; i < 32; ++i) {
    key.chunk_hash.push_back(static_cast<std::byte>((number >> (8 * (i % 8))) ^ (i * 7)));
  }
  key.model_name = model;
  key.kv_rank = 0x01000001;
  key.cache_salt = salt;
  return key;
}

inline std::string file_name(const ObjectKey& key) {
  NameBuilder builder;
  return builder.build(key.ref())->file;
}

// Waits for one task of `kind`, however long it takes.
inline TaskResult wait_for(Store& store, TaskKind kind, TaskId id) {
  while (true) {
    for (TaskResult& result : store.take_completed(kind)) {
      if (result.id == id) return std::move(result);
    }
    pollfd wait{.fd = store.event_fd(kind), .events = POLLIN, .revents = 0};
    ::poll(&wait, 1, 1000);
    io::drain_event_fd(wait.fd);
  }
}

inline TaskResult put(Store& store, const ObjectKey& key, std::span<const std::byte> bytes,
                      std::string_view stream = "") {
  const PutItem item{
      .key = key.ref(), .bytes = bytes, .explicit_rank = {}, .explicit_stream = stream};
  return wait_for(store, TaskKind::put, *store.submit_put({&item, 1}));
}
inline TaskResult get(Store& store, const ObjectKey& key, std::span<std::byte> buffer) {
  const GetItem item{.key = key.ref(), .buffer = buffer};
  return wait_for(store, TaskKind::get, *store.submit_get({&item, 1}));
}
inline KeyStatus look(Store& store, const ObjectKey& key, bool lock = false) {
  const KeyRef ref = key.ref();
  return wait_for(store, TaskKind::lookup, *store.submit_lookup({&ref, 1}, lock)).keys.at(0);
}
inline std::optional<std::uint64_t> erase(Store& store, const ObjectKey& key) {
  const KeyRef ref = key.ref();
  return store.erase({&ref, 1}).value().at(0);
}
// What a get returns, or nothing.
inline std::optional<Bytes> fetch(Store& store, const ObjectKey& key, std::size_t size) {
  Bytes buffer(size, std::byte{0xEE});
  if (get(store, key, buffer).keys.at(0) != KeyStatus::hit) return std::nullopt;
  return buffer;
}

inline Result<std::unique_ptr<Store>> try_open(const Options& options,
                                               std::unique_ptr<Lineage> lineage = nullptr) {
  return open_object_store(options, std::make_unique<ParityPolicy>(), std::move(lineage));
}
inline std::unique_ptr<Store> open(const Options& options,
                                   std::unique_ptr<Lineage> lineage = nullptr) {
  auto store = try_open(options, std::move(lineage));
  EXPECT_TRUE(store) << store.error().message();
  return store ? std::move(*store) : nullptr;
}
inline Options options_for(const TempDir& directory) {
  Options options;
  options.base_path = directory.string();
  return options;
}
inline Options exclusive_for(const TempDir& directory, std::uint64_t capacity_bytes) {
  Options options = options_for(directory);
  options.exclusive = true;
  options.capacity_bytes = capacity_bytes;
  return options;
}

inline void write_file(const std::string& path, std::span<const std::byte> bytes) {
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()),
            static_cast<std::streamsize>(bytes.size()));
}
inline std::size_t count_files(const std::string& path, std::string_view ending) {
  std::size_t count = 0;
  std::error_code error;  // of entries that vanish while they are counted
  for (fs::recursive_directory_iterator it(path, error), end; !error && it != end;
       it.increment(error)) {
    if (it->path().native().ends_with(ending)) ++count;
  }
  return count;
}

}  // namespace fdpstore::objects
