// Opens a store, puts objects into it, says so, and keeps it open until its standard input ends.
//
//   hold_store OPTIONS-JSON OBJECTS
//
// Object n has 1000 + n bytes; even ones are of model/even, odd ones of model/odd; the first five
// are tenant one's.
#include <iostream>
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

int hold(const std::string& json, std::uint64_t objects) {
  const auto options = parse_options(json);
  if (!options) return complain(options.error());
  auto store = open_store(*options);
  if (!store) return complain(store.error());
  for (std::uint64_t n = 0; n < objects; ++n) {
    const ObjectKey key =
        test::make_key(n, n % 2 == 0 ? "model/even" : "model/odd", n < 5 ? "one:x" : "two");
    std::vector<std::byte> bytes(1000 + n);
    test::fill(bytes, n);
    const PutItem item{key.ref(), bytes, {}, {}};
    const auto put = put_and_wait(**store, {&item, 1});
    if (!put) return complain(put.error());
    if (put->error) return complain(*put->error);
  }
  std::cout << "ready" << std::endl;
  std::string line;
  while (std::getline(std::cin, line)) {
  }
  if (auto closed = (*store)->close(); !closed) return complain(closed.error());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: hold_store OPTIONS-JSON OBJECTS\n";
    return 2;
  }
  return hold(argv[1], std::stoull(argv[2]));
}
