// Opens a store in the directory given, puts one object, and gets it back.
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "fdpstore/options.hpp"
#include "fdpstore/store.hpp"

namespace {

int fail(const char* step, const std::string& why) {
  std::fprintf(stderr, "%s: %s\n", step, why.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fail("usage", "consumer DIRECTORY");
  fdpstore::Options options;
  options.base_path = argv[1];
  options.layout = fdpstore::Layout::segment;
  options.capacity_bytes = 64ULL << 20;
  options.max_object_bytes = 1ULL << 20;
  auto store = fdpstore::open_store(options);
  if (!store) return fail("open", store.error().what);

  const std::vector<std::byte> hash(32, std::byte{7});
  const fdpstore::KeyRef key{.chunk_hash = hash, .model_name = "model", .cache_salt = "tenant"};
  const std::vector<std::byte> stored(100'001, std::byte{42});
  std::vector<std::byte> loaded(stored.size());

  const fdpstore::PutItem put{.key = key, .bytes = stored};
  const auto put_result = fdpstore::put_and_wait(**store, {&put, 1});
  if (!put_result) return fail("put", put_result.error().what);
  const fdpstore::GetItem get{.key = key, .buffer = loaded};
  const auto get_result = fdpstore::get_and_wait(**store, {&get, 1});
  if (!get_result) return fail("get", get_result.error().what);
  if (!std::ranges::equal(stored, loaded)) return fail("get", "other bytes came back");
  if (const auto closed = (*store)->close(); !closed) return fail("close", closed.error().what);
  std::puts("stored and loaded one object");
  return 0;
}
