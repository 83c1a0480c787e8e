// Reference: the same drive as ftl::Ftl, written to be obviously right: plain vectors, everything
// found by searching. Counts must agree exactly.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace fdpstore::test {

struct ReferenceParameters {
  int units = 0;   // logical
  int per_ru = 0;  // units in an RU
  int rus = 0;
  int handles = 1;
  bool persistent = false;  // garbage of each RUH is collected apart
  bool greedy = true;
};

class Reference {
 public:
  explicit Reference(const ReferenceParameters& p)
      : p_(p), rus_(p.rus), host_(p.handles, -1), collector_(p.persistent ? p.handles : 1, -1) {
    for (int handle = 0; handle < p.handles; ++handle) host_[handle] = open_free(handle);
  }

  void write(int unit, int handle) {
    remove(unit);
    rus_[host_[handle]].units.push_back(unit);
    ++written_;
    if (!full(host_[handle])) return;
    close(host_[handle]);
    while (count(State::free) < 2) collect();
    host_[handle] = open_free(handle);
  }
  void deallocate(int unit) { remove(unit); }
  // Gives up the rest of the open RU.
  void update(int handle) {
    if (rus_[host_[handle]].units.empty()) return;
    close(host_[handle]);
    while (count(State::free) < 2) collect();
    host_[handle] = open_free(handle);
  }

  [[nodiscard]] long written() const { return written_; }
  [[nodiscard]] long copied() const { return copied_; }
  [[nodiscard]] long erases() const { return erases_; }
  [[nodiscard]] int available(int handle) const {
    return p_.per_ru - static_cast<int>(rus_[host_[handle]].units.size());
  }

 private:
  enum class State { free, open, closed };
  static constexpr int kDead = -1;
  struct Ru {
    State state = State::free;
    int handle = 0;
    std::vector<int> units;  // in the order written; kDead once overwritten
    long since = 0;          // when it was closed, or (greedy) its valid units last changed
  };

  [[nodiscard]] int valid(int number) const {
    const auto& units = rus_[number].units;
    return static_cast<int>(units.size() - std::ranges::count(units, kDead));
  }
  [[nodiscard]] bool full(int number) const {
    return static_cast<int>(rus_[number].units.size()) == p_.per_ru;
  }
  [[nodiscard]] int count(State state) const {
    return static_cast<int>(std::ranges::count(rus_, state, &Ru::state));
  }
  int open_free(int handle) {
    const auto it = std::ranges::find(rus_, State::free, &Ru::state);
    *it = Ru{.state = State::open, .handle = handle, .units = {}, .since = 0};
    return static_cast<int>(it - rus_.begin());
  }
  void erase(int number) {
    rus_[number] = Ru{};
    ++erases_;
  }
  void close(int number) {
    rus_[number].state = State::closed;
    rus_[number].since = ++now_;
    if (valid(number) == 0) erase(number);
  }
  void remove(int unit) {
    for (int number = 0; number < p_.rus; ++number) {
      Ru& ru = rus_[number];
      const auto it = std::ranges::find(ru.units, unit);
      if (it == ru.units.end()) continue;
      *it = kDead;
      if (ru.state != State::closed) return;
      if (p_.greedy) ru.since = ++now_;
      if (valid(number) == 0) erase(number);
      return;
    }
  }
  void collect() {
    int victim = -1;
    for (int number = 0; number < p_.rus; ++number) {
      if (rus_[number].state != State::closed) continue;
      if (victim == -1 || better(number, victim)) victim = number;
    }
    const Ru old = rus_[victim];
    int& open = collector_[p_.persistent ? old.handle : 0];
    for (const int unit : old.units) {
      if (unit == kDead) continue;
      if (open == -1) open = open_free(old.handle);
      rus_[open].units.push_back(unit);
      ++copied_;
      if (full(open)) {
        close(open);
        open = -1;
      }
    }
    erase(victim);
  }
  [[nodiscard]] bool better(int a, int b) const {
    if (p_.greedy && valid(a) != valid(b)) return valid(a) < valid(b);
    return rus_[a].since < rus_[b].since;
  }

  ReferenceParameters p_;
  std::vector<Ru> rus_;
  std::vector<int> host_, collector_;
  long now_ = 0, written_ = 0, copied_ = 0, erases_ = 0;
};

}  // namespace fdpstore::test
