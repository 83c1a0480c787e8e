// Leases: locks of lookups, with a count and an end, and claims of those who remove objects.
//
// A lock protects an object from erase and eviction until it has been unlocked as often as it was
// locked, or its lease ends: callers that die or forget must not keep objects for ever. A claim is
// what erase and eviction hold for the moment of removal, so that no lookup locks what is going
// away.
//
// Thread:  any; one short lock inside.
// Owns:    one entry per locked or claimed key, by digest.
// Units:   seconds.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <vector>

namespace fdpstore::objects {

class Leases {
 public:
  explicit Leases(double timeout_s) : timeout_(timeout_s) {}

  // One lock more, whose lease starts anew. False: the object is being removed right now.
  [[nodiscard]] bool lock(std::uint64_t digest);
  void unlock(std::uint64_t digest);  // of what is not locked: nothing
  // Takes the right to remove. False: locked, or claimed by another.
  [[nodiscard]] bool claim(std::uint64_t digest);
  void release_claim(std::uint64_t digest);

  struct Counts {
    std::uint64_t locked = 0;
    std::uint64_t expired = 0;  // keys whose lease ran out since open
  };
  [[nodiscard]] Counts counts();

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    std::uint32_t count = 0;
    bool claimed = false;
    Clock::time_point end;
  };
  void drop_expired();

  const std::chrono::duration<double> timeout_;
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Entry> entries_;
  std::uint64_t expired_ = 0;
  std::size_t sweep_at_ = 1024;
};

// One put, erase or eviction of a key at a time; puts and erases wait, without a thread, until it
// is over.
//
// Thread:  any.
class KeyGate {
 public:
  // True: the caller is in, and must leave(). False: `when_free`, if given, is called once after
  // the one inside has left, and may enter again.
  [[nodiscard]] bool enter(std::uint64_t digest, std::function<void()> when_free = {});
  void leave(std::uint64_t digest);

 private:
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, std::vector<std::function<void()>>> inside_;
};

}  // namespace fdpstore::objects
