// Opens a store, puts objects into it, says so, and keeps it open until its standard input ends.
//
//   hold_store OPTIONS-JSON OBJECTS [work]
//
// With "work" it goes on: every few milliseconds it stores an object, looks ten keys up of which
// half are there, loads one, unlocks and deletes.
//
// Object n has 1000 + n bytes; even ones are of model/even, odd ones of model/odd; the first five
// are tenant one's.
#include <poll.h>
#include <unistd.h>

#include <iostream>
#include <optional>
#include <string>
#include <vector>

#include "fdpstore/store.hpp"
#include "support/bytes.hpp"
#include "support/keys.hpp"

namespace {

using namespace fdpstore;

int complain(const Error& error) {
  std::cerr << error.message() << '\n';
  return 2;
}

// Object n, of 1000 + n bytes.
std::optional<Error> put(Store& store, const ObjectKey& key, std::uint64_t n) {
  std::vector<std::byte> bytes(1000 + n);
  test::fill(bytes, n);
  const PutItem item{key.ref(), bytes, {}, {}};
  const auto result = put_and_wait(store, {&item, 1});
  return result ? result->error : result.error();
}

ObjectKey worked_key(std::uint64_t n) {
  return test::make_key(1'000'000 + n, "model/work", "worker:x");
}

std::optional<Error> work_once(Store& store, std::uint64_t n) {
  if (auto error = put(store, worked_key(n), n)) return error;
  std::vector<ObjectKey> keys;
  for (std::uint64_t i = 0; i < 10; ++i) keys.push_back(worked_key(i < 5 ? n : n + i));
  const auto refs = test::refs(keys);
  if (auto looked = lookup_and_wait(store, refs, true); !looked) return looked.error();
  std::vector<std::byte> bytes(1000 + n);
  const GetItem item{keys[0].ref(), bytes};
  if (auto got = get_and_wait(store, {&item, 1}); !got) return got.error();
  store.unlock(refs);
  for (int i = 0; i < 4; ++i) store.unlock(std::span(refs).first(1));
  if (auto erased = store.erase(std::span(refs).first(1)); !erased) return erased.error();
  return std::nullopt;
}

// Until the standard input ends.
std::optional<Error> work(Store& store) {
  for (std::uint64_t n = 0;; ++n) {
    pollfd input{STDIN_FILENO, POLLIN, 0};
    if (::poll(&input, 1, 2) != 0) return std::nullopt;
    if (auto error = work_once(store, n % 10'000)) return error;
  }
}

int hold(const std::string& json, std::uint64_t objects, bool works) {
  const auto options = parse_options(json);
  if (!options) return complain(options.error());
  auto store = open_store(*options);
  if (!store) return complain(store.error());
  for (std::uint64_t n = 0; n < objects; ++n) {
    const ObjectKey key =
        test::make_key(n, n % 2 == 0 ? "model/even" : "model/odd", n < 5 ? "one:x" : "two");
    if (const auto error = put(**store, key, n)) return complain(*error);
  }
  std::cout << "ready" << std::endl;
  if (works) {
    if (const auto error = work(**store)) return complain(*error);
  }
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  if (auto closed = (*store)->close(); !closed) return complain(closed.error());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && !(argc == 4 && std::string(argv[3]) == "work")) {
    std::cerr << "usage: hold_store OPTIONS-JSON OBJECTS [work]\n";
    return 2;
  }
  return hold(argv[1], std::stoull(argv[2]), argc == 4);
}
