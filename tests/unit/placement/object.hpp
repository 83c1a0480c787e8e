// Objects as a policy sees them, for tests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "fdpstore/policy.hpp"

namespace fdpstore::placement {

inline constexpr std::array<std::byte, 4> kHash{std::byte{1}, std::byte{2}, std::byte{3},
                                                std::byte{4}};

// An object of model "org/model-8B", rank 0, no salt, 1 MiB, that no lookup has named.
inline ObjectFacts object() {
  ObjectFacts facts;
  facts.key.chunk_hash = kHash;
  facts.key.model_name = "org/model-8B";
  facts.size_bytes = 1U << 20;
  return facts;
}
inline ObjectFacts with_rank(std::uint32_t rank) {
  ObjectFacts facts = object();
  facts.key.kv_rank = (8ULL << 24) | (std::uint64_t{rank} << 16) | (8ULL << 8) | rank;
  return facts;
}
inline ObjectFacts with_salt(std::string_view salt) {
  ObjectFacts facts = object();
  facts.key.cache_salt = salt;
  return facts;
}
inline ObjectFacts with_prompt(PromptFacts prompt) {
  ObjectFacts facts = object();
  facts.prompt = prompt;
  return facts;
}
inline ObjectFacts asking_for(std::string_view stream) {
  ObjectFacts facts = object();
  facts.explicit_stream = stream;
  return facts;
}

}  // namespace fdpstore::placement
