// Traces made by hand or to order, for tests of the comparison.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compare/plan.hpp"
#include "compare/replay.hpp"
#include "compare/subject.hpp"
#include "trace/recipe.hpp"
#include "trace/trace.hpp"

namespace fdpstore::compare::testing {

template <class T>
T need(fdpstore::Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message());
  return std::move(*result);
}

// Operations one second after the other.
class TraceMaker {
 public:
  explicit TraceMaker(std::uint64_t object_bytes) : object_bytes_(object_bytes) {
    trace.name = "hand-made";
    trace.scopes.resize(1);
  }
  trace::Op& add(trace::OpKind kind, const std::vector<std::uint64_t>& keys,
                 std::uint32_t key_tokens = 10, std::uint16_t scope = 0) {
    trace.ops.push_back({.time_s = static_cast<double>(trace.ops.size()),
                         .kind = kind,
                         .scope = scope,
                         .keys = static_cast<std::uint32_t>(keys.size()),
                         .first_key = trace.keys.size(),
                         .object_bytes = object_bytes_,
                         .key_tokens = key_tokens});
    trace.keys.insert(trace.keys.end(), keys.begin(), keys.end());
    return trace.ops.back();
  }
  trace::Trace trace;

 private:
  std::uint64_t object_bytes_;
};

// Four keys; what an LRU of three objects makes of it is worked out in replay_test.cpp.
inline trace::Trace six_operations() {
  using enum trace::OpKind;
  TraceMaker made(100);
  made.add(request, {1, 2, 3});
  made.add(request, {1, 2, 3});
  made.add(request, {1, 4});
  made.add(request, {1, 2, 3}, 20);
  made.add(lookup, {4, 1}, 0);
  made.add(load, {2});
  return made.trace;
}

inline trace::Trace generated(std::string_view spec) {
  return need(trace::generate(need(trace::parse_recipe(spec))));
}

// One operation at a time against a subject, keys as they are.
class Asker {
 public:
  explicit Asker(SubjectUnderTest& subject) : subject_(subject) {}
  Outcome operator()(trace::OpKind kind, const std::vector<std::uint64_t>& keys,
                     std::uint64_t bytes, std::string salt = "") {
    trace::Op op;
    op.kind = kind;
    op.keys = static_cast<std::uint32_t>(keys.size());
    op.object_bytes = bytes;
    trace::Scope scope;
    scope.cache_salt = std::move(salt);
    const std::vector<std::uint64_t> next(keys.size(), kNever);
    Request request;
    request.op = &op;
    request.scope = &scope;
    request.keys = keys;
    request.next_uses = next;
    request.position = position_;
    position_ += keys.size();
    return need(subject_.run(request));
  }

 private:
  SubjectUnderTest& subject_;
  std::uint64_t position_ = 0;
};

}  // namespace fdpstore::compare::testing
