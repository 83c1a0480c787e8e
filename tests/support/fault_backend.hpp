// FaultBackend: any backend, with a volatile cache in front of it and a device that misbehaves as
// a seed says.
//
// What is written stays in the cache (FaultMedium) until a flush of its segment; then it goes to
// the inner backend. A cut ends the "machine": requests in flight are done in part, every later one
// fails, and with Cut::power what was not flushed is lost, too, block by block as the seed says.
// The medium outlives the backend, as a device outlives a process: revive() it, and open another
// FaultBackend on it.
//
// Thread:  FaultMedium: any, one lock inside. FaultBackend: as Backend.
// Owns:    the inner backend; FaultMedium: what was written and not flushed.
// Units:   probabilities in 1/10000 of the requests they concern; blocks of 4096 bytes.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "fdpstore/backend.hpp"
#include "format/layout.hpp"

namespace fdpstore::test {

struct FaultPlan {
  // The request fails with an error. A write has done a part of itself then: none, some or all of
  // its blocks.
  std::uint32_t failed_writes = 0;
  std::uint32_t failed_reads = 0;
  std::uint32_t failed_flushes = 0;  // what the flush was for is lost in part
  std::uint32_t failed_frees = 0;
  std::uint32_t failed_allocates = 0;
  // Reported as done.
  std::uint32_t lost_writes = 0;         // some or all of its blocks are not written
  std::uint32_t misdirected_writes = 0;  // it went elsewhere
  std::uint32_t rotten_reads = 0;        // a bit of what is returned is wrong, this time
  std::uint32_t rot = 0;                 // per request of any kind: a written block goes bad
  std::uint32_t max_delay = 0;           // a request is passed over up to so many times
  [[nodiscard]] bool damages() const {
    return lost_writes + misdirected_writes + rotten_reads + rot != 0;
  }
};

enum class Cut : std::uint8_t { none, kill, power };

class FaultMedium {
 public:
  explicit FaultMedium(std::uint64_t seed, FaultPlan plan = {}) : plan_(plan), random_(seed) {}

  // Prints every request.
  void verbose(bool on) { verbose_ = on; }
  // None from now on / as planned again. Cuts are not part of the plan.
  void calm(bool on);
  // In the middle of the `requests`-th request from now on (superblocks count as requests).
  void arm(Cut cut, std::uint64_t requests);
  void disarm() { arm(Cut::none, 0); }
  // Between two requests.
  void cut(Cut cut);
  [[nodiscard]] bool dead() const;
  // Another process may begin.
  void revive();

  // So that a seed always gives the same run: the store's engine does nothing while it is held,
  // and has done all it had to do once quiet() returns. False: it did not come to rest in
  // `patience`.
  void hold(bool on);
  [[nodiscard]] bool quiet(std::chrono::seconds patience);
  // The store's clock: passes with each request, while stores are blocked, and so.
  void pass(double seconds) { clock_us_ += static_cast<std::uint64_t>(seconds * 1e6); }

  // Segments hit by lost or misdirected writes or by rot, so far.
  [[nodiscard]] std::set<std::uint32_t> damaged() const;
  // Segments that copies of the object were ever written to; `key`: chunk_hash, then salt.
  [[nodiscard]] std::set<std::uint32_t> segments_of(const std::string& key) const;
  [[nodiscard]] std::uint64_t requests() const;
  [[nodiscard]] std::uint64_t injected() const;  // faults, cuts not counted
  [[nodiscard]] std::uint64_t flushes() const;

 private:
  friend class FaultBackend;
  struct alignas(4096) Block {
    std::array<std::byte, format::kBlockBytes> bytes;
    bool durable = false;  // survives a power cut, though the inner backend does not have it
  };
  struct Segment {
    std::map<std::uint64_t, std::unique_ptr<Block>> cache;  // by offset
    std::uint64_t end_bytes = 0;                            // of what was ever written
    std::set<std::uint64_t> written;                        // offsets
  };

  bool chance(std::uint32_t in_10000);
  std::uint64_t pick(std::uint64_t below) { return below == 0 ? 0 : random_() % below; }
  // True: the cut comes with this request.
  bool count_request();
  void cut_locked(Cut cut);
  void put(std::uint32_t segment, std::uint64_t offset, const std::byte* bytes, bool durable);
  void note_record(std::uint32_t segment, const std::byte* block);

  mutable std::mutex mutex_;
  FaultPlan plan_;
  std::mt19937_64 random_;
  bool verbose_ = false;
  bool calm_ = false;
  bool dead_ = false;
  Cut armed_ = Cut::none;
  std::uint64_t armed_in_ = 0;
  std::map<std::uint32_t, Segment> segments_;
  std::set<std::uint32_t> damaged_;
  std::map<std::string, std::set<std::uint32_t>> copies_;
  std::uint64_t requests_ = 0, injected_ = 0, flushes_ = 0;
  std::atomic<std::uint64_t> clock_us_{0};

  std::mutex rest_mutex_;  // of what follows
  std::condition_variable rest_;
  bool woken_ = false, held_ = false, resting_ = false;
};

class FaultBackend final : public Backend {
 public:
  struct Config {
    bool cached_writes = false;  // says that writes are cached, as buffered files do
    // Nothing is acknowledged before a flush: one that fails damages nothing that anybody counts
    // on.
    bool flush_promised = false;
    bool release_at_seal = false;  // the inner backend takes no writes to a sealed segment
  };
  FaultBackend(std::shared_ptr<FaultMedium> medium, std::unique_ptr<Backend> inner, Config config);

  const Geometry& geometry() const override { return inner_->geometry(); }
  const Capabilities& capabilities() const override { return capabilities_; }
  EffectivePlacement effective_placement() const override { return inner_->effective_placement(); }
  std::string describe() const override { return "faulty " + inner_->describe(); }
  const Clock& clock() const override { return clock_; }

  Result<void> read_superblock(std::size_t copy, std::span<std::byte> out) override;
  Result<void> write_superblock(std::size_t copy, std::span<const std::byte> bytes) override;
  Result<void> set_segment_bytes(std::uint64_t bytes) override;
  Result<std::vector<ExistingSegment>> existing_segments() override;
  Result<void> allocate(SegmentId segment, const SegmentUse& use) override;
  Result<void> reopen(SegmentId segment, const SegmentUse& use) override;
  void seal(SegmentId segment, std::uint64_t used_bytes) override;
  void submit(std::span<const IoRequest> requests) override;
  std::size_t reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) override;
  void wake() override;
  Result<void> register_buffers(std::span<const iovec> buffers) override {
    return inner_->register_buffers(buffers);
  }

 private:
  struct Queued {
    IoRequest request;
    std::uint32_t delay = 0;
  };
  class VirtualClock final : public Clock {
   public:
    explicit VirtualClock(const FaultMedium& medium) : medium_(medium) {}
    [[nodiscard]] double now_s() const override {
      return static_cast<double>(medium_.clock_us_.load()) / 1e6;
    }

   private:
    const FaultMedium& medium_;
  };

  void idle(std::chrono::microseconds timeout);
  // All with the medium's lock held.
  std::error_code carry_out(const IoRequest& request);
  std::error_code answer(const IoRequest& request);
  std::error_code write(const IoRequest& request);
  std::error_code read(const IoRequest& request);
  std::error_code flush(SegmentId segment);
  std::error_code push_out(std::uint32_t segment);
  std::error_code free(const IoRequest& request);
  void some_blocks(const IoRequest& request, std::span<const std::byte> bytes);
  void all_blocks(std::uint32_t segment, std::uint64_t offset, std::span<const std::byte> bytes);
  void rot_somewhere();
  std::error_code inner_io(IoRequest request);
  std::error_code read_block(std::uint32_t segment, std::uint64_t offset, std::span<std::byte> out);
  std::error_code error_of(IoOp op);
  void die_with(const IoRequest& request);

  std::shared_ptr<FaultMedium> medium_;
  std::unique_ptr<Backend> inner_;
  Config config_;
  Capabilities capabilities_;
  VirtualClock clock_{*medium_};
  std::vector<Queued> queue_;     // the engine's thread only
  std::set<std::uint32_t> open_;  // segments that the inner backend takes writes to
};

}  // namespace fdpstore::test
