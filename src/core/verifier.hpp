// Verifier: sums payloads up for their checksums, and copies those that lie in memory.
//
// A load's bytes are summed up in order, a piece at a time, as they arrive; those of a file in the
// page cache are copied first, and summed up while they are in the processor's cache. The engine
// takes pieces itself while it has nothing else to do; helpers join in when more are waiting.
//
// Thread:  the engine's; `wake`, called by a helper, tells it that a payload is done.
// Owns:    the helpers, begun when they are first needed. Borrows payloads until they are done.
// Errors:  none. Where no thread can be had, the engine does all of it.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "fdpstore/backend.hpp"
#include "format/checksum.hpp"

namespace fdpstore::core {

class Verifier {
 public:
  // Less is summed up sooner than handed over.
  static constexpr std::uint64_t kMinBytes = 64U << 10;

  // A payload on its way.
  class Payload {
   public:
    // Without a seed it has no checksum, and is only copied.
    Payload(std::optional<std::uint64_t> seed, std::span<std::byte> bytes) : bytes_(bytes) {
      if (seed) sum_.emplace(*seed);
    }
    // Once it is done: all, or as much as was in memory.
    [[nodiscard]] std::uint64_t done_bytes() const { return done_; }
    // Of those with a seed.
    [[nodiscard]] std::uint64_t checksum() const { return sum_->value(); }

   private:
    friend class Verifier;
    std::optional<format::PayloadChecksum> sum_;  // of whoever works on it
    std::span<std::byte> bytes_;
    const CachedSegment* from_ = nullptr;  // to be copied
    std::uint64_t from_offset_bytes_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t arrived_ = 0;
    bool queued_ = false;  // or being worked on
    bool given_up_ = false;
  };

  // `most_helpers`: beside the engine.
  Verifier(std::function<void()> wake, unsigned most_helpers)
      : wake_(std::move(wake)), most_helpers_(most_helpers) {}
  ~Verifier();
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;
  // One for each processor that this process may use and that the engine leaves.
  [[nodiscard]] static unsigned helpers_here();

  // To be copied from there. It is done when that is, or something is missing: from then on the
  // rest may arrive.
  void copy(Payload& payload, const CachedSegment& from, std::uint64_t offset_bytes);
  // That many bytes, from the first on, are there. With all of them it is going to be done.
  void arrived(Payload& payload, std::uint64_t bytes);
  // No more bytes will come. It is done when nobody works on it any more.
  void give_up(Payload& payload);
  // The engine takes one piece; false: none is waiting.
  bool help();
  // Those that are done since the last call: summed up, partly copied, or given up.
  [[nodiscard]] std::vector<Payload*> take_done();
  // Pieces are waiting for somebody.
  [[nodiscard]] bool waiting() const;
  [[nodiscard]] std::size_t helpers() const { return helpers_.size(); }

 private:
  void queue(Payload& payload);
  // Gives `lock` back while it is at it. True: something is done, and nothing was before.
  bool work_on_next(std::unique_lock<std::mutex>& lock);
  void begin_helper();
  void run();

  std::function<void()> wake_;
  unsigned most_helpers_;
  mutable std::mutex mutex_;  // all below, and all of a Payload but its sum
  std::condition_variable more_;
  std::deque<Payload*> queue_;
  std::vector<Payload*> done_;
  unsigned resting_ = 0;  // helpers that wait
  bool stop_ = false;
  std::vector<std::thread> helpers_;  // the engine's alone
};

}  // namespace fdpstore::core
