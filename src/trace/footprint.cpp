#include "trace/footprint.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <unordered_map>

namespace fdpstore::trace {
namespace {

constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

struct Object {
  std::uint16_t scope = 0;
  bool asked = false;  // looked up; the next load or store of it belongs to that use
  bool cached = false;
  std::uint32_t uses = 0;
  std::uint64_t bytes = 0;
  std::uint64_t last_position = 0;
  double last_s = 0;
};

struct ScopedKey {
  std::uint64_t key = 0;
  std::uint16_t scope = 0;
  bool operator==(const ScopedKey&) const = default;
};
struct ScopedKeyHash {
  std::size_t operator()(const ScopedKey& one) const {
    std::uint64_t hash = (one.key ^ std::uint64_t{one.scope} << 48) * 0x9E3779B97F4A7C15U;
    return hash ^ hash >> 32;
  }
};

// The trace with its keys as numbers of objects.
struct Numbered {
  std::vector<Object> objects;
  std::vector<std::uint32_t> numbers;  // of the keys of op 0, then of op 1, …
  std::vector<std::uint64_t> first;    // of an op in `numbers`; one more than there are ops
};

Numbered number_objects(const Trace& trace) {
  Numbered numbered;
  std::unordered_map<ScopedKey, std::uint32_t, ScopedKeyHash> known;
  known.reserve(trace.keys.size());
  numbered.first.push_back(0);
  for (const Op& op : trace.ops) {
    for (const std::uint64_t key : trace.keys_of(op)) {
      const auto next = static_cast<std::uint32_t>(numbered.objects.size());
      const auto [place, is_new] = known.try_emplace({.key = key, .scope = op.scope}, next);
      if (is_new) numbered.objects.push_back({.scope = op.scope, .bytes = op.object_bytes});
      numbered.numbers.push_back(place->second);
    }
    numbered.first.push_back(numbered.numbers.size());
  }
  return numbered;
}

// Sums of a row of numbers, kept while they change (Fenwick).
class PrefixSums {
 public:
  explicit PrefixSums(std::size_t size) : tree_(size + 1) {}
  // Unsigned numbers wrap around, so that adding -x takes x away.
  void add(std::size_t at, std::uint64_t value) {
    for (++at; at < tree_.size(); at += at & (~at + 1)) tree_[at] += value;
  }
  [[nodiscard]] std::uint64_t sum_before(std::size_t end) const {
    std::uint64_t sum = 0;
    for (; end > 0; end &= end - 1) sum += tree_[end];
    return sum;
  }

 private:
  std::vector<std::uint64_t> tree_;
};

template <class Number>
Percentiles percentiles_of(std::vector<Number>& values) {
  const auto at = [&](double share) {
    if (values.empty()) return 0.0;
    const auto rank =
        static_cast<std::size_t>(std::lround(share * static_cast<double>(values.size() - 1)));
    const auto place = values.begin() + static_cast<std::ptrdiff_t>(rank);
    std::ranges::nth_element(values, place);
    return static_cast<double>(*place);
  };
  return {.p50 = at(0.50), .p90 = at(0.90), .p99 = at(0.99)};
}

// Of what is looked up, how much is there.
class HitCounter {
 public:
  // `is_there(i)` for each of the op's keys.
  template <class IsThere>
  void look_up(const Op& op, IsThere is_there) {
    const double tokens = std::max(1U, op.key_tokens);
    bool leading = true;
    for (std::uint32_t i = 0; i < op.keys; ++i) {
      const bool hit = is_there(i);
      leading = leading && hit;
      asked_ += tokens;
      present_ += hit ? tokens : 0;
      leading_ += leading ? tokens : 0;
    }
  }
  [[nodiscard]] double asked() const { return asked_; }
  [[nodiscard]] HitRatio ratio() const {
    if (asked_ == 0) return {};
    return {.tokens = present_ / asked_, .leading = leading_ / asked_};
  }

 private:
  double asked_ = 0, present_ = 0, leading_ = 0;
};

bool looks_up(OpKind kind) {
  return kind == OpKind::request || kind == OpKind::lookup;
}
bool stores(OpKind kind) {
  return kind == OpKind::request || kind == OpKind::store;
}

// Counts uses and measures reuse, over all of the trace.
class UseCounter {
 public:
  UseCounter(Numbered& numbered, Footprint& footprint)
      : numbered_(numbered), footprint_(footprint), recent_(numbered.numbers.size()) {}

  void add(const Trace& trace, std::size_t index) {
    const Op& op = trace.ops[index];
    const std::uint32_t* numbers = &numbered_.numbers[numbered_.first[index]];
    ++footprint_.operations[static_cast<std::size_t>(op.kind)];
    ++footprint_.total.operations;
    ++footprint_.scopes[op.scope].operations;
    if (looks_up(op.kind)) {
      hits_.look_up(op, [&](std::uint32_t i) { return numbered_.objects[numbers[i]].cached; });
    }
    for (std::uint32_t i = op.keys; i-- > 0;) take(op, numbers[i]);
  }

  void finish() {
    footprint_.reuses = distances_.size();
    footprint_.reuse_bytes = percentiles_of(distances_);
    footprint_.reuse_s = percentiles_of(times_);
    footprint_.unlimited = hits_.ratio();
    footprint_.tokens_looked_up = hits_.asked();
  }

 private:
  void take(const Op& op, std::uint32_t number) {
    Object& object = numbered_.objects[number];
    if (op.kind == OpKind::erase) {
      object.cached = object.asked = false;
      return;
    }
    const bool answers = object.asked && (op.kind == OpKind::load || op.kind == OpKind::store);
    if (!answers) use(op, object);
    object.asked = op.kind == OpKind::lookup;
    if (stores(op.kind)) object.cached = true;
  }

  void use(const Op& op, Object& object) {
    if (object.uses++ > 0) {
      distances_.push_back(recent_.sum_before(position_) -
                           recent_.sum_before(object.last_position + 1));
      times_.push_back(op.time_s - object.last_s);
      recent_.add(object.last_position, ~object.bytes + 1);
    }
    object.last_position = position_;
    object.last_s = op.time_s;
    recent_.add(position_++, object.bytes);
    for (Usage* usage : {&footprint_.total, &footprint_.scopes[op.scope]}) {
      ++usage->uses;
      usage->used_bytes += op.object_bytes;
    }
  }

  Numbered& numbered_;
  Footprint& footprint_;
  PrefixSums recent_;  // bytes of each object, at the position of its last use
  std::uint64_t position_ = 0;
  std::vector<std::uint64_t> distances_;
  std::vector<double> times_;
  HitCounter hits_;
};

// Objects in order of last use, up to a capacity.
class Lru {
 public:
  Lru(const std::vector<Object>& objects, std::uint64_t capacity)
      : objects_(objects), links_(objects.size() + 1), capacity_(capacity) {
    links_.back() = {end(), end()};
  }

  [[nodiscard]] bool holds(std::uint32_t number) const { return links_[number].next != kNone; }
  void remove(std::uint32_t number) {
    if (!holds(number)) return;
    Link& link = links_[number];
    links_[link.before].next = link.next;
    links_[link.next].before = link.before;
    link = {};
    bytes_ -= objects_[number].bytes;
  }
  // Makes it the most recent; others go until it fits.
  void put(std::uint32_t number) {
    remove(number);
    const std::uint64_t bytes = objects_[number].bytes;
    if (bytes > capacity_) return;
    while (bytes_ + bytes > capacity_) remove(links_.back().before);
    const std::uint32_t first = links_.back().next;
    links_[number] = {.before = end(), .next = first};
    links_[first].before = number;
    links_.back().next = number;
    bytes_ += bytes;
  }

 private:
  struct Link {
    std::uint32_t before = kNone;
    std::uint32_t next = kNone;
  };
  [[nodiscard]] std::uint32_t end() const { return static_cast<std::uint32_t>(links_.size() - 1); }

  const std::vector<Object>& objects_;
  std::vector<Link> links_;  // a ring; the last one begins and ends it
  std::uint64_t capacity_;
  std::uint64_t bytes_ = 0;
};

HitRatio lru_hits(const Trace& trace, const Numbered& numbered, std::uint64_t capacity) {
  Lru cache(numbered.objects, capacity);
  HitCounter hits;
  for (std::size_t index = 0; index < trace.ops.size(); ++index) {
    const Op& op = trace.ops[index];
    const std::uint32_t* numbers = &numbered.numbers[numbered.first[index]];
    if (looks_up(op.kind)) {
      hits.look_up(op, [&](std::uint32_t i) { return cache.holds(numbers[i]); });
    }
    for (std::uint32_t i = op.keys; i-- > 0;) {
      if (op.kind == OpKind::erase) {
        cache.remove(numbers[i]);
      } else if (stores(op.kind) || cache.holds(numbers[i])) {
        cache.put(numbers[i]);
      }
    }
  }
  return hits.ratio();
}

void count_objects(const Trace& trace, const Numbered& numbered, Footprint& footprint) {
  for (const Object& object : numbered.objects) {
    if (object.uses == 0) continue;
    for (Usage* usage : {&footprint.total, &footprint.scopes[object.scope]}) {
      ++usage->objects;
      usage->bytes += object.bytes;
      usage->once += object.uses == 1 ? 1 : 0;
    }
  }
  std::map<std::string, Usage> classes;
  for (std::size_t i = 0; i < trace.scopes.size(); ++i) {
    Usage& sum = classes[trace.scopes[i].storage_class];
    const Usage& one = footprint.scopes[i];
    sum.operations += one.operations;
    sum.uses += one.uses;
    sum.used_bytes += one.used_bytes;
    sum.objects += one.objects;
    sum.bytes += one.bytes;
    sum.once += one.once;
  }
  footprint.classes.assign(classes.begin(), classes.end());
}

}  // namespace

Footprint analyse(const Trace& trace) {
  Footprint footprint;
  footprint.scopes.resize(trace.scopes.size());
  Numbered numbered = number_objects(trace);
  UseCounter counter(numbered, footprint);
  for (std::size_t index = 0; index < trace.ops.size(); ++index) counter.add(trace, index);
  counter.finish();
  count_objects(trace, numbered, footprint);
  if (!trace.ops.empty()) {
    footprint.duration_s = trace.ops.back().time_s - trace.ops.front().time_s;
  }
  for (const double share : kLruShares) {
    const auto capacity =
        static_cast<std::uint64_t>(share * static_cast<double>(footprint.total.bytes));
    footprint.lru.push_back(
        {.share = share, .bytes = capacity, .hits = lru_hits(trace, numbered, capacity)});
  }
  return footprint;
}

}  // namespace fdpstore::trace
