// File names: those of LMCache where they can be turned back into the key, our own elsewhere.
#include <cstdio>
#include <cstdlib>
#include <set>

#include "objects_test.hpp"

namespace fdpstore::objects {
namespace {

ObjectKey key_of(std::string model, std::uint64_t rank, std::uint32_t group, std::size_t hash_bytes,
                 std::string salt) {
  ObjectKey key;
  for (std::size_t i = 0; i < hash_bytes; ++i) key.chunk_hash.push_back(static_cast<std::byte>(i));
  key.model_name = std::move(model);
  key.kv_rank = rank;
  key.object_group_id = group;
  key.cache_salt = std::move(salt);
  return key;
}

// As LMCache 0.5.6's fs_l2_adapter._object_key_to_filename gives them.
TEST(Names, GoldenNamesOfFs) {
  EXPECT_EQ(file_name(key_of("meta-llama/Llama-3.1-8B", 0x01000100, 0, 4, "")),
            "meta-llama-SEP-Llama-3.1-8B@0x01000100@0@00010203.data");
  EXPECT_EQ(file_name(key_of("m", 0x123456789A, 31, 2, "tenant-a:7")),
            "m@0x123456789a@1f@0001@tenant-a:7.data");
  EXPECT_EQ(file_name(key_of("a/b/c", 0, 0, 1, "")), "a-SEP-b-SEP-c@0x00000000@0@00.data");
}

TEST(Names, SameAsLmcacheItself) {
  const char* interpreter = std::getenv("FDPSTORE_TEST_PYTHON");
  if (interpreter == nullptr) GTEST_SKIP() << "FDPSTORE_TEST_PYTHON names no Python with LMCache";
  const std::string script =
      "from lmcache.v1.distributed.api import ObjectKey as K\n"
      "from lmcache.v1.distributed.l2_adapters.fs_l2_adapter import _object_key_to_filename as f\n"
      "h = bytes(range(32))\n"
      "for k in [K(h, 'org/model', 0x01000001), K(h[:3], 'x y', 0xFFFFFFFF, 12, 'salt:1'),\n"
      "          K(h, '', 1, 0), K(h, '..', 1, 0), K(h, 'm\\u00fcller/b', 7, 1, 'a b')]:\n"
      "    print('NAME ' + f(k))\n";
  TempDir directory;
  write_file(directory / "names.py", std::as_bytes(std::span(script)));
  FILE* pipe = ::popen(
      (std::string(interpreter) + " " + (directory / "names.py") + " 2>/dev/null").c_str(), "r");
  ASSERT_NE(pipe, nullptr);
  std::vector<std::string> names;
  for (std::array<char, 512> line{}; std::fgets(line.data(), line.size(), pipe) != nullptr;) {
    std::string text = line.data();
    if (text.starts_with("NAME ")) names.push_back(text.substr(5, text.size() - 6));
  }
  ::pclose(pipe);
  if (names.empty()) GTEST_SKIP() << interpreter << " cannot import LMCache";
  const std::vector<ObjectKey> keys = {key_of("org/model", 0x01000001, 0, 32, ""),
                                       key_of("x y", 0xFFFFFFFF, 12, 3, "salt:1"),
                                       key_of("", 1, 0, 32, ""), key_of("..", 1, 0, 32, ""),
                                       key_of("m\u00fcller/b", 7, 1, 32, "a b")};
  ASSERT_EQ(names.size(), keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(file_name(keys[i]), names[i]);
}

TEST(Names, OrdinaryNameIsReversed) {
  const ObjectKey key = key_of("org/model-7B", 0x02010201, 5, 32, "tenant:x");
  EXPECT_EQ(parse_name(file_name(key)), key);
}

TEST(Names, OtherSpellingsAreNoObjects) {
  for (const std::string_view name :
       {"m@0x1@0@00.data", "m@0x00000001@0@0.data", "m@0x00000001@0@0G.data",
        "m@0x00000001@0@.data", "m@0x00000001@00@00.data", "m@0x00000001@0@AB.data",
        "m@1@0@00.data", "m@@@.data", "x.data", "m@0x00000001@0@00@.data",
        "m@0x00000001@0@00@s@t.data", "m@0x00000001@0@00.tmp", ".data"}) {
    EXPECT_FALSE(parse_name(name)) << name;
  }
}

TEST(Names, AmbiguousAndLongKeysGetNamesOfTheirOwn) {
  const std::vector<ObjectKey> keys = {
      key_of("a-SEP-b", 1, 0, 32, ""),
      key_of("a-SEP/b", 1, 0, 32, ""),
      key_of("a@b", 1, 0, 32, ""),
      key_of(std::string(200, 'm'), 1, 0, 32, ""),
      key_of("m", 1, 0, 128, ""),
      key_of(std::string("m\0n", 3), 1, 0, 32, ""),
      key_of("m\n", 1, 0, 32, ""),
      key_of("m", 1, 0, 32, "../../etc"),
      key_of("m", 1, 0, 32, "a@b"),
      key_of("m", 1, 0, 32, "\x7F"),
      key_of("a@b@0x1", 1, 0, 32, "x\\y"),
      key_of(std::string(1024, '/'), 1, 0, 128, std::string(512, 's'))};
  std::set<std::string> names;
  for (const ObjectKey& key : keys) {
    const std::string name = file_name(key);
    EXPECT_TRUE(is_own_name(name)) << name;
    EXPECT_FALSE(parse_name(name));
    EXPECT_LE(name.size(), kMaxFileNameBytes);
    EXPECT_EQ(name.find('/'), std::string::npos);
    EXPECT_EQ(decode_key(encode_key(key.ref())), key);
    names.insert(name);
  }
  EXPECT_EQ(names.size(), keys.size());
}

TEST(Names, ImpossibleKeysAreErrors) {
  NameBuilder builder;
  EXPECT_EQ(builder.build(key_of("m", 1, 0, 0, "").ref()).error().code, Errc::invalid_argument);
  EXPECT_EQ(builder.build(key_of("m", 1, 0, 129, "").ref()).error().code, Errc::too_large);
  EXPECT_EQ(builder.build(key_of(std::string(1025, 'm'), 1, 0, 1, "").ref()).error().code,
            Errc::too_large);
}

TEST(Names, ChainIsEqualForEqualScopeOnly) {
  NameBuilder builder;
  const auto chain = [&](const ObjectKey& key) { return builder.build(key.ref())->chain; };
  const std::uint64_t first = chain(key_of("m", 1, 0, 32, "s"));
  EXPECT_EQ(first, chain(key_of("m", 1, 0, 4, "s")));
  for (const ObjectKey& other : {key_of("n", 1, 0, 32, "s"), key_of("m", 2, 0, 32, "s"),
                                 key_of("m", 1, 1, 32, "s"), key_of("m", 1, 0, 32, "t")}) {
    EXPECT_NE(first, chain(other));
  }
}

TEST(Names, TemporaryFilesOfFsAreKnown) {
  EXPECT_TRUE(is_fs_temporary("m@0x00000001@0@00.tmp"));
  EXPECT_FALSE(is_fs_temporary("m@0x00000001@0@00.data"));
  EXPECT_FALSE(is_fs_temporary("notes.tmp"));
}

TEST(Names, KeyBytesThatAreNoKeyAreRefused) {
  const auto bytes = encode_key(key_of("model", 1, 2, 8, "salt").ref());
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
    EXPECT_FALSE(decode_key(std::span(bytes).first(cut))) << cut;
  }
}

}  // namespace
}  // namespace fdpstore::objects
