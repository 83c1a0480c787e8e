// Scopes: the parts of a key that many objects share (model, rank, group, salt), interned, so that
// an object in memory costs its chunk_hash and a number.
//
// Thread:  any; one short lock inside.
// Owns:    one record per distinct combination ever stored; they are never forgotten while open.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "fdpstore/types.hpp"

namespace fdpstore::core {

struct ScopeId {
  std::uint32_t value = 0;
  auto operator<=>(const ScopeId&) const = default;
};

class Scopes {
 public:
  struct Scope {
    std::string model_name;
    std::string cache_salt;
    std::uint64_t kv_rank = 0;
    std::uint32_t object_group_id = 0;
    std::uint64_t stable_hash = 0;  // the same in every process: seeds key digests
    std::atomic<std::uint64_t> objects{0}, bytes{0};  // live payload
  };

  // Finds the scope of `key`, or makes it.
  ScopeId intern(const KeyRef& key);
  [[nodiscard]] std::optional<ScopeId> find(const KeyRef& key) const;
  // Stays valid as long as the Scopes.
  [[nodiscard]] const Scope& at(ScopeId id) const;
  Scope& at(ScopeId id);
  [[nodiscard]] std::size_t size() const;
  // The key of an object, its strings pointing into the scope.
  [[nodiscard]] KeyRef key(ScopeId id, std::span<const std::byte> chunk_hash) const;

  static std::uint64_t stable_hash(const KeyRef& key);
  // 64-bit hash of the whole key, the same in every process.
  static std::uint64_t digest(std::uint64_t scope_hash, std::span<const std::byte> chunk_hash);

 private:
  [[nodiscard]] bool matches(std::uint32_t id, const KeyRef& key) const;

  mutable std::shared_mutex mutex_;
  std::deque<Scope> scopes_;  // stable addresses
  boost::unordered_flat_map<std::uint64_t, std::vector<std::uint32_t>> by_hash_;
};

// Resolves the keys of one batch: neighbours mostly share their scope, so the last one is kept.
class ScopeResolver {
 public:
  explicit ScopeResolver(Scopes& scopes) : scopes_(scopes) {}
  // nullopt: never stored, so no object can have it.
  std::optional<ScopeId> find(const KeyRef& key);
  ScopeId intern(const KeyRef& key);
  // Of the key last resolved.
  [[nodiscard]] std::uint64_t stable_hash() const { return hash_; }

 private:
  bool same_as_last(const KeyRef& key);

  Scopes& scopes_;
  KeyRef last_;
  bool has_last_ = false;
  std::uint64_t hash_ = 0;
  std::optional<ScopeId> id_;
};

}  // namespace fdpstore::core
