// What the core's tests share: a store on a MemMedium, keys and payloads from numbers.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/check.hpp"
#include "core/segment_store.hpp"
#include "support/bytes.hpp"
#include "support/keys.hpp"
#include "support/mem_backend.hpp"

namespace fdpstore::test {

inline std::vector<std::byte> make_payload(std::uint64_t number, std::size_t bytes) {
  return make_bytes(bytes, number);
}

// One handle per tenant, as many as allowed; survivors go to the last one.
class TenantPolicy final : public Policy {
 public:
  TenantPolicy(std::uint32_t handles, double budget) : budget_(budget) {
    for (std::uint32_t i = 0; i < handles; ++i) {
      streams_.push_back({"s" + std::to_string(i), Lifetime::medium, i, ""});
    }
  }
  std::string_view name() const override { return "test"; }
  std::string_view description() const override { return "for tests"; }
  const std::vector<StreamSpec>& streams() const override { return streams_; }
  StreamId survivors() const override { return {static_cast<std::uint16_t>(streams_.size() - 1)}; }
  double reinsert_budget() const override { return budget_; }
  Lifetime metadata_lifetime() const override { return Lifetime::short_lived; }
  bool metadata_separate() const override { return true; }
  StreamId place(const ObjectFacts& object) override {
    return {static_cast<std::uint16_t>(std::hash<std::string_view>{}(object.key.cache_salt) %
                                       streams_.size())};
  }
  std::uint64_t state_version() const override { return 1; }
  std::string save_state() const override { return "state"; }
  bool restore_state(std::string_view) override { return true; }

 private:
  std::vector<StreamSpec> streams_;
  double budget_;
};

// Facts set by the test.
class FixedLineage final : public Lineage {
 public:
  void on_lookup(std::span<const LookupKey>, double) override {}
  PromptFacts facts(std::uint64_t) const override { return current; }
  PromptFacts current;
};

class CoreTest : public ::testing::Test {
 protected:
  CoreTest() {
    options.base_path = "memory";
    options.layout = Layout::segment;
    options.segment_bytes = 1U << 20;
    options.max_object_bytes = 256U << 10;
    options.capacity_bytes = 33U << 20;  // 32 segments
    options.lock_timeout_s = 300;
  }

  Result<std::unique_ptr<Store>> try_open(std::shared_ptr<MemMedium> on) {
    auto backend = std::make_unique<MemBackend>(std::move(on), config);
    auto made_lineage = std::make_unique<FixedLineage>();
    lineage = made_lineage.get();
    return core::open_segment_store(options, std::move(backend), policy_factory(),
                                    std::move(made_lineage));
  }
  std::unique_ptr<Store> open(std::shared_ptr<MemMedium> on) {
    auto store = try_open(std::move(on));
    if (!store) throw std::runtime_error(store.error().message());
    return std::move(*store);
  }
  std::unique_ptr<Store> open() { return open(medium); }
  core::PolicyFactory policy_factory() {
    return [this](std::uint32_t handles, std::string) -> Result<std::unique_ptr<Policy>> {
      return std::make_unique<TenantPolicy>(handles, reinsert_budget);
    };
  }

  static KeyStatus put(Store& store, const ObjectKey& key, std::span<const std::byte> bytes) {
    const PutItem item{key.ref(), bytes, std::nullopt, {}};
    return put_and_wait(store, {&item, 1})->keys[0];
  }
  // nullopt: a miss.
  static std::optional<std::vector<std::byte>> get(Store& store, const ObjectKey& key,
                                                   std::size_t bytes) {
    std::vector<std::byte> out(bytes);
    const GetItem item{key.ref(), out};
    if (get_and_wait(store, {&item, 1})->keys[0] != KeyStatus::hit) return std::nullopt;
    return out;
  }
  static bool present(Store& store, const ObjectKey& key, bool lock = false) {
    const KeyRef ref = key.ref();
    return lookup_and_wait(store, {&ref, 1}, lock)->keys[0] == KeyStatus::hit;
  }
  // One task, the same bytes under make_key(first) and those after it; they stay until it ends.
  static Result<TaskId> submit_puts(Store& store, std::uint64_t first, std::uint64_t count,
                                    std::span<const std::byte> bytes) {
    std::vector<ObjectKey> keys;
    std::vector<PutItem> items;
    for (std::uint64_t n = first; n < first + count; ++n) keys.push_back(make_key(n));
    for (const ObjectKey& key : keys) items.push_back({key.ref(), bytes, std::nullopt, {}});
    return store.submit_put(items);
  }
  static Result<std::optional<std::uint64_t>> try_erase(Store& store, const ObjectKey& key) {
    const KeyRef ref = key.ref();
    auto erased = store.erase({&ref, 1});
    if (!erased) return fail(std::move(erased.error()));
    return erased->at(0);
  }
  static std::optional<std::uint64_t> erase(Store& store, const ObjectKey& key) {
    return try_erase(store, key).value();
  }

  std::shared_ptr<MemMedium> medium = std::make_shared<MemMedium>();
  MemBackend::Config config;
  Options options;
  FixedLineage* lineage = nullptr;
  double reinsert_budget = 0.03;
};

}  // namespace fdpstore::test
