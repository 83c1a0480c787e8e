#include "core/scopes.hpp"

#include <mutex>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace fdpstore::core {

std::uint64_t Scopes::stable_hash(const KeyRef& key) {
  const std::uint64_t numbers[2] = {key.kv_rank, key.object_group_id};
  std::uint64_t hash = XXH3_64bits(numbers, sizeof(numbers));
  hash = XXH3_64bits_withSeed(key.model_name.data(), key.model_name.size(), hash);
  return XXH3_64bits_withSeed(key.cache_salt.data(), key.cache_salt.size(), hash);
}

std::uint64_t Scopes::digest(std::uint64_t scope_hash, std::span<const std::byte> chunk_hash) {
  return XXH3_64bits_withSeed(chunk_hash.data(), chunk_hash.size(), scope_hash);
}

bool Scopes::matches(std::uint32_t id, const KeyRef& key) const {
  const Scope& scope = scopes_[id];
  return scope.kv_rank == key.kv_rank && scope.object_group_id == key.object_group_id &&
         scope.model_name == key.model_name && scope.cache_salt == key.cache_salt;
}

std::optional<ScopeId> Scopes::find(const KeyRef& key) const {
  const std::uint64_t hash = stable_hash(key);
  const std::shared_lock lock(mutex_);
  const auto it = by_hash_.find(hash);
  if (it == by_hash_.end()) return std::nullopt;
  for (const std::uint32_t id : it->second) {
    if (matches(id, key)) return ScopeId{id};
  }
  return std::nullopt;
}

ScopeId Scopes::intern(const KeyRef& key) {
  if (const auto found = find(key)) return *found;
  const std::uint64_t hash = stable_hash(key);
  const std::unique_lock lock(mutex_);
  std::vector<std::uint32_t>& ids = by_hash_[hash];
  for (const std::uint32_t id : ids) {  // another thread may have been first
    if (matches(id, key)) return ScopeId{id};
  }
  const auto id = static_cast<std::uint32_t>(scopes_.size());
  Scope& scope = scopes_.emplace_back();
  scope.model_name = key.model_name;
  scope.cache_salt = key.cache_salt;
  scope.kv_rank = key.kv_rank;
  scope.object_group_id = key.object_group_id;
  scope.stable_hash = hash;
  ids.push_back(id);
  return ScopeId{id};
}

const Scopes::Scope& Scopes::at(ScopeId id) const {
  const std::shared_lock lock(mutex_);
  return scopes_[id.value];
}

Scopes::Scope& Scopes::at(ScopeId id) {
  const std::shared_lock lock(mutex_);
  return scopes_[id.value];
}

std::size_t Scopes::size() const {
  const std::shared_lock lock(mutex_);
  return scopes_.size();
}

KeyRef Scopes::key(ScopeId id, std::span<const std::byte> chunk_hash) const {
  const Scope& scope = at(id);
  return {chunk_hash, scope.model_name, scope.kv_rank, scope.object_group_id, scope.cache_salt};
}

bool ScopeResolver::same_as_last(const KeyRef& key) {
  const bool same = has_last_ && last_.kv_rank == key.kv_rank &&
                    last_.object_group_id == key.object_group_id &&
                    last_.model_name == key.model_name && last_.cache_salt == key.cache_salt;
  if (!same) {
    last_ = key;
    has_last_ = true;
    hash_ = Scopes::stable_hash(key);
  }
  return same;
}

std::optional<ScopeId> ScopeResolver::find(const KeyRef& key) {
  if (!same_as_last(key)) id_ = scopes_.find(key);
  return id_;
}

ScopeId ScopeResolver::intern(const KeyRef& key) {
  if (!same_as_last(key) || !id_) id_ = scopes_.intern(key);
  return *id_;
}

}  // namespace fdpstore::core
