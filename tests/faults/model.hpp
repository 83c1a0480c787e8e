// What a store has promised of each key, learnt from its own answers.
//
// Versions of a key differ in size, so that a listing tells which one is there.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "fdpstore/types.hpp"
#include "support/bytes.hpp"

namespace fdpstore::test {

inline constexpr std::uint64_t kTenants = 3;

struct ModelKey {
  ObjectKey key;
  std::string name;                   // chunk_hash, then salt: as FaultMedium names objects
  std::optional<std::uint64_t> live;  // size of the version that has to be there
  std::set<std::uint64_t> maybe;      // of others that may be there after a cut
  std::set<std::uint64_t> attempted;  // of all that were ever given to the store
  std::uint32_t locks = 0;
  bool excused = false;  // an I/O error or damage may have taken it
};

class Model {
 public:
  explicit Model(std::uint64_t keys) : keys_(keys) {
    for (std::uint64_t n = 0; n < keys; ++n) {
      // The same bytes under several tenants: the salt is a part of the identity.
      ModelKey& one = keys_[n];
      one.key.chunk_hash.resize(32);
      fill(one.key.chunk_hash, n / kTenants);
      one.key.model_name = n % 2 == 0 ? "org/model" : "org/other";
      one.key.cache_salt = salts()[n % kTenants];
      one.key.kv_rank = 0x01000100;
      one.name.assign(reinterpret_cast<const char*>(one.key.chunk_hash.data()), 32);
      one.name += one.key.cache_salt;
      by_name_[one.name] = n;
    }
  }

  [[nodiscard]] std::size_t size() const { return keys_.size(); }
  ModelKey& at(std::uint64_t n) { return keys_[n]; }
  std::optional<std::uint64_t> find(const ObjectKey& key) const {
    std::string name(reinterpret_cast<const char*>(key.chunk_hash.data()), key.chunk_hash.size());
    const auto it = by_name_.find(name + key.cache_salt);
    if (it == by_name_.end()) return std::nullopt;
    return it->second;
  }
  static std::uint64_t content_seed(std::uint64_t n, std::uint64_t size) {
    return mix(n * 0x1'0000'0001 + size);
  }

 private:
  static const std::vector<std::string>& salts() {
    static const std::vector<std::string> all{"", "acme:a", "globex:b"};
    return all;
  }
  std::vector<ModelKey> keys_;
  std::map<std::string, std::uint64_t> by_name_;
};

}  // namespace fdpstore::test
