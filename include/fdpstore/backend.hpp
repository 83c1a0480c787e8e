// Backend: segments on some medium, and asynchronous I/O on them. Knows nothing of keys.
//
// Thread:  one thread (the engine's) calls everything but wake(), which any thread may call.
// Owns:    descriptors, ring, lock on the medium. Borrows every span until its request is reaped.
// Units:   offsets and lengths in bytes.
// Errors:  a request that fails is reported in its completion and affects nothing else. The core
//          tests capabilities() before it uses what a backend may lack.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include <sys/uio.h>

#include "fdpstore/clock.hpp"
#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore {

// What offsets of transfers are multiples of on every file system and device at hand.
inline constexpr std::uint64_t kBlockBytes = 4096;

struct Geometry {
  std::uint64_t segment_bytes = 0;  // size of a segment, at most; a multiple of align_bytes
  std::uint32_t max_segments = 0;   // ids are 0 … max_segments - 1
  // Offsets of every transfer are multiples; lengths too, unless memory_align_bytes is 1.
  std::uint32_t align_bytes = kBlockBytes;
  std::uint32_t memory_align_bytes = 1;  // span bases and lengths must be multiples (O_DIRECT)
  std::uint32_t max_transfer_bytes = 0;  // of one request; the core splits
  std::uint32_t max_spans = 1024;        // of one request (IOV_MAX)
  // Places for data that can be told apart, at most: handles 0 … handles - 1. Handle number
  // `handles` is the metadata's own.
  std::uint32_t handles = 1;
  std::uint64_t medium_bytes = 0;  // space there is; 0: what the capacity says (a file system)
  std::uint64_t unit_bytes = 0;    // reclaim unit of the device; 0: unknown, or there is none
};

struct Capabilities {
  // An allocated segment takes segment_bytes. Else one that serves a prompt (SegmentUse::prompt)
  // grows as it is written, and its space is given back by any IoOp::free; others still take all at
  // once.
  bool fixed_size_segments = true;
  bool fixed_buffers = false;  // register_buffers() works
  bool flushes_all = false;    // IoOp::flush of any segment is one of all segments
  bool cached_writes = false;  // writes sit in a page cache until IoOp::flush (buffered files)
  // Keeps no payload: spans may be phantoms (a length, no address), which writes ignore and reads
  // leave alone. Headers, summaries and metadata are always real, and are kept.
  bool phantom_payload = false;
  bool must_fill =
      false;  // a reclaim unit lies behind a segment: every block is to be written once
  // Of those: the next segment gets a fresh unit even where one left much of its unit empty, so
  // that a long tail need not be written.
  bool begins_units = false;
};

enum class IoOp : std::uint8_t {
  read,
  write,
  flush,  // what was written to this segment reaches stable storage
  free,   // the segment's content is dead; with IoRequest::release its space is given back
};

struct IoRequest {
  IoOp op = IoOp::read;
  bool release = false;  // free only: unlink / shrink instead of keeping the space for recycling
  SegmentId segment;
  std::uint64_t offset_bytes = 0;
  std::span<const iovec> spans = {};  // the array and what it points to stay valid until reaped
  std::uint64_t user_data = 0;        // given back in the completion
};

struct IoCompletion {
  std::uint64_t user_data = 0;
  std::error_code error;  // empty when all bytes were transferred; a short transfer is an error
};

// How the segment will be used; the backend turns it into a hint, a PID, a write stream or nothing.
struct SegmentUse {
  std::uint32_t handle = 0;  // as Geometry::handles says
  Lifetime lifetime = Lifetime::not_set;
  bool metadata = false;
  PromptId prompt = {};  // non-zero: the segment serves one prompt (layout `prompt`)
};

struct ExistingSegment {
  SegmentId id;
  std::uint64_t size_bytes = 0;       // where written data may end: file size, or segment_bytes
  std::uint64_t allocated_bytes = 0;  // space it takes on the medium
};

inline constexpr std::size_t kSuperblockCopies = 2;
inline constexpr std::size_t kSuperblockBytes = 4096;

// What a device says that it has written since it was made, as in NVMe's FDP statistics log. All of
// the endurance group counts, whoever wrote.
struct DeviceStatistics {
  std::uint64_t host_written_bytes = 0;   // HBMW
  std::uint64_t media_written_bytes = 0;  // MBMW
  std::uint64_t media_erased_bytes = 0;   // MBE
};

// A segment whose content may lie in memory: a file in the page cache.
class CachedSegment {
 public:
  virtual ~CachedSegment() = default;
  CachedSegment(const CachedSegment&) = delete;
  CachedSegment& operator=(const CachedSegment&) = delete;
  // Any thread. Copies what is there without waiting for the medium, from the first byte on, and
  // returns how much that was: what is missing has to be read by a request.
  [[nodiscard]] virtual std::size_t copy(std::uint64_t offset_bytes,
                                         std::span<std::byte> out) const noexcept = 0;

 protected:
  CachedSegment() = default;
};

class Backend {
 public:
  virtual ~Backend() = default;
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;

  [[nodiscard]] virtual const Geometry& geometry() const = 0;
  [[nodiscard]] virtual const Capabilities& capabilities() const = 0;
  [[nodiscard]] virtual EffectivePlacement effective_placement() const = 0;
  // What a person should know of the medium now: one sentence each.
  [[nodiscard]] virtual std::vector<std::string> warnings() const { return {}; }
  // Time as it passes for this medium.
  [[nodiscard]] virtual const Clock& clock() const { return steady_clock(); }
  // Errc::unsupported, with the reason, where the medium does not count.
  [[nodiscard]] virtual Result<DeviceStatistics> statistics() const;
  // For messages: the directory, device or URI.
  [[nodiscard]] virtual std::string describe() const = 0;

  // Superblock copies: synchronous, 4096 bytes, used at open and close only. write flushes before
  // it returns. Reading a copy that was never written gives Errc::not_found.
  [[nodiscard]] virtual Result<void> read_superblock(std::size_t copy,
                                                     std::span<std::byte> out) = 0;
  [[nodiscard]] virtual Result<void> write_superblock(std::size_t copy,
                                                      std::span<const std::byte> bytes) = 0;

  // Called once by the core after it has read (or made up) the superblock, before any I/O: the
  // segment size the store was made with. Fails when the medium cannot hold it.
  [[nodiscard]] virtual Result<void> set_segment_bytes(std::uint64_t segment_bytes) = 0;

  // Segments that exist on the medium, in id order: candidates for recovery. (Raw: all of them.)
  // After the capacity was lowered there may be ids ≥ max_segments: readable, to be freed with
  // release.
  [[nodiscard]] virtual Result<std::vector<ExistingSegment>> existing_segments() = 0;

  // Makes `segment` ready for writing from offset 0. A segment that already exists (freed before)
  // is rewritten in place. Synchronous; at most a few milliseconds.
  [[nodiscard]] virtual Result<void> allocate(SegmentId segment, const SegmentUse& use) = 0;
  // Gets ready to continue a segment found by existing_segments() that was still open.
  [[nodiscard]] virtual Result<void> reopen(SegmentId segment, const SegmentUse& use) = 0;
  // No more writes will come: descriptors may be closed, over-allocated space given back.
  // `used_bytes` is what was written.
  virtual void seal(SegmentId segment, std::uint64_t used_bytes) = 0;

  // nullptr: not all of it is in memory. Else to be given back, by the engine's thread, before the
  // segment is freed.
  [[nodiscard]] virtual std::unique_ptr<CachedSegment> cached(SegmentId /*segment*/,
                                                              std::uint64_t /*offset_bytes*/,
                                                              std::uint64_t /*bytes*/) {
    return nullptr;
  }

  // Queues requests; never blocks. Completions arrive through reap() in any order.
  virtual void submit(std::span<const IoRequest> requests) = 0;
  // Writes up to out.size() completions, waiting up to `timeout` for the first one (or for wake()).
  virtual std::size_t reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) = 0;
  // Makes a reap() that is waiting, or the next one, return early.
  virtual void wake() = 0;

  // Memory the caller keeps valid until it is replaced or the backend dies; transfers inside it
  // skip pinning. Replaces earlier registrations. Errors are worth a log line, not a failure.
  [[nodiscard]] virtual Result<void> register_buffers(std::span<const iovec> buffers) = 0;

 protected:
  Backend() = default;
};

}  // namespace fdpstore
