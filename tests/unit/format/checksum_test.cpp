// Payload checksums and keys.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "format/checksum.hpp"
#include "samples.hpp"

namespace fdpstore::format {
namespace {

TEST(Checksum, DependsOnEveryPartOfTheIdentity) {
  const auto payload = samples::payload();
  std::set<std::uint64_t> sums;
  std::size_t variants = 0;
  const auto add = [&](const Uuid& uuid, const KeyRef& key, std::uint64_t sequence) {
    sums.insert(payload_checksum(uuid, key, sequence, payload));
    ++variants;
  };
  const Uuid uuid = samples::uuid();
  const KeyRef key = samples::key();
  add(uuid, key, 1);
  add(uuid, key, 2);
  Uuid other = uuid;
  other[0] ^= 1;
  add(other, key, 1);
  KeyRef changed = key;
  changed.chunk_hash = samples::bytes_of("\xDE\xAD\xBE\xEE");
  add(uuid, changed, 1);
  changed = key;
  changed.model_name = "org/n";
  add(uuid, changed, 1);
  changed = key;
  changed.kv_rank ^= 1;
  add(uuid, changed, 1);
  changed = key;
  changed.object_group_id ^= 1;
  add(uuid, changed, 1);
  changed = key;
  changed.cache_salt = "acme:y";
  add(uuid, changed, 1);
  // The same bytes, cut at another place.
  changed = key;
  changed.model_name = "org/ma";
  changed.cache_salt = "cme:x";
  add(uuid, changed, 1);
  EXPECT_EQ(sums.size(), variants);
}

TEST(Checksum, SeededFormIsTheSame) {
  const auto seed = payload_seed(samples::uuid(), samples::key(), 9);
  EXPECT_EQ(seeded_checksum(seed, samples::payload()),
            payload_checksum(samples::uuid(), samples::key(), 9, samples::payload()));
}

TEST(Checksum, PiecesGiveTheSame) {
  std::string data(100'000, '\0');
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 37 + (i >> 9));
  const auto payload = samples::bytes_of(data);
  const std::uint64_t whole = seeded_checksum(42, payload);
  for (const std::size_t piece : {1000U, 4096U, 65536U, 100'000U}) {
    PayloadChecksum checksum(42);
    for (std::size_t at = 0; at < payload.size(); at += piece) {
      checksum.add(payload.subspan(at, std::min(piece, payload.size() - at)));
    }
    EXPECT_EQ(checksum.value(), whole) << piece;
  }
}

TEST(CheckKey, LimitsAreEnforced) {
  const std::string text(kMaxModelNameBytes + 1, 'x');
  EXPECT_TRUE(check_key(samples::key()).has_value());
  const auto error_of = [](auto&& change) {
    KeyRef key = samples::key();
    change(key);
    const auto result = check_key(key);
    return result ? std::error_code() : result.error().code;
  };
  const std::string_view view = text;
  EXPECT_EQ(error_of([&](KeyRef& k) { k.chunk_hash = {}; }), Errc::invalid_argument);
  EXPECT_EQ(error_of([&](KeyRef& k) { k.chunk_hash = samples::bytes_of(view.substr(0, 129)); }),
            Errc::too_large);
  EXPECT_EQ(error_of([&](KeyRef& k) { k.model_name = view; }), Errc::too_large);
  EXPECT_EQ(error_of([&](KeyRef& k) { k.cache_salt = view.substr(0, 513); }), Errc::too_large);
  EXPECT_EQ(error_of([&](KeyRef& k) { k.model_name = "a@b"; }), Errc::invalid_argument);
  for (const std::string& salt :
       {std::string("a@b"), std::string("a/b"), std::string("a\\b"), std::string("a\0b", 3)}) {
    EXPECT_EQ(error_of([&](KeyRef& k) { k.cache_salt = salt; }), Errc::invalid_argument) << salt;
  }
  EXPECT_EQ(error_of([&](KeyRef& k) { k.cache_salt = {}; }), std::error_code());
}

}  // namespace
}  // namespace fdpstore::format
