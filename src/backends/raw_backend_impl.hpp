// RawBackend: the class behind open_raw_backend(); raw_backend.hpp has what callers need.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backends/discarder.hpp"
#include "backends/raw_backend.hpp"
#include "backends/raw_device.hpp"
#include "io/aligned_buffer.hpp"
#include "io/mapping.hpp"
#include "io/ring.hpp"

namespace fdpstore::backends {

class RawBackend final : public Backend {
 public:
  static Result<std::unique_ptr<RawBackend>> open(const RawBackendOptions& options);
  ~RawBackend() override;

  const Geometry& geometry() const override { return geometry_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  EffectivePlacement effective_placement() const override { return placement_.effective; }
  std::vector<std::string> warnings() const override;
  Result<DeviceStatistics> statistics() const override;
  std::string describe() const override { return device_.path(); }

  Result<void> read_superblock(std::size_t copy, std::span<std::byte> out) override;
  Result<void> write_superblock(std::size_t copy, std::span<const std::byte> bytes) override;
  Result<void> set_segment_bytes(std::uint64_t segment_bytes) override;
  Result<std::vector<ExistingSegment>> existing_segments() override;
  Result<void> allocate(SegmentId segment, const SegmentUse& use) override;
  Result<void> reopen(SegmentId segment, const SegmentUse& use) override;
  void seal(SegmentId segment, std::uint64_t used_bytes) override;

  std::unique_ptr<CachedSegment> cached(SegmentId segment, std::uint64_t offset_bytes,
                                        std::uint64_t bytes) override;
  void submit(std::span<const IoRequest> requests) override;
  std::size_t reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) override;
  void wake() override { ring_->wake(); }
  Result<void> register_buffers(std::span<const iovec> buffers) override;

  // Whether a store, something else, or nothing is in the window. For opening and for wiping.
  Result<bool> has_store();
  Result<std::string> foreign_content();
  Result<void> wipe();

 private:
  // A placement id, a stream, or nothing: what writes of a segment carry.
  using Directive = std::optional<std::uint16_t>;
  static constexpr std::int32_t kNoLane = -1;
  struct DeallocateData {
    io::AlignedBuffer memory;
    iovec span;
    std::size_t ranges;
  };
  // One request of the core, until its last part is done.
  struct Operation {
    IoRequest request;
    std::uint32_t parts = 0;
    std::error_code error = {};
    std::vector<DeallocateData> deallocations = {};
  };
  // Segments being written with one placement id: the front one may write, the others wait for it.
  struct Lane {
    struct Entry {
      SegmentId id;
      bool continued = false;  // from before the start: it has its unit, and waits for nobody
    };
    std::deque<Entry> segments;
    std::vector<IoRequest> waiting;
    bool short_unit = false;  // the segment before left its unit part empty
  };

  RawBackend(const RawBackendOptions& options, RawDevice device)
      : options_(options), device_(std::move(device)) {}
  Result<void> set_up();
  void set_limits();
  void watch_events();
  [[nodiscard]] std::vector<io::FdpEvent> read_events() const;

  // In the coordinates of what requests go to.
  [[nodiscard]] std::uint64_t absolute(std::uint64_t offset_in_window) const;
  [[nodiscard]] std::uint64_t offset_of(SegmentId segment) const;
  [[nodiscard]] Directive directive_of(const SegmentUse& use) const;
  [[nodiscard]] std::int32_t lane_of(const Directive& directive) const;
  [[nodiscard]] std::optional<io::PlacementId> pid_of(std::uint16_t directive) const;
  void start_unit(std::uint16_t directive);

  void start(const IoRequest& request);
  void write(const IoRequest& request);
  void transfer(const IoRequest& request, const Directive& directive);
  void free_segment(const IoRequest& request);
  std::uint32_t begin(const IoRequest& request);
  void push(std::uint32_t operation, io::RingRequest part);
  void part_done(const IoCompletion& completion);
  [[nodiscard]] io::RingRequest transfer_request(IoOp op, std::uint64_t absolute_bytes,
                                                 std::span<const iovec> spans,
                                                 const Directive& directive) const;
  [[nodiscard]] io::RingRequest flush_request() const;
  // Empty: no memory.
  [[nodiscard]] std::vector<DeallocateData> deallocate_data(std::uint64_t offset_in_window,
                                                            std::uint64_t bytes) const;
  // Synchronous, while nothing else is in flight.
  Result<void> run_now(io::RingRequest request, const std::string& what);
  Result<void> transfer_now(IoOp op, std::uint64_t offset_in_window, std::span<std::byte> bytes);
  Result<void> deallocate_now(std::uint64_t offset_in_window, std::uint64_t bytes);

  RawBackendOptions options_;
  RawDevice device_;
  RawPlacement placement_;
  bool commands_ = false;  // NVMe commands on the character device; else reads and writes
  bool discards_ = false;  // freed segments are given back to the device
  int fd_ = -1;            // of the node in use
  std::uint32_t nsid_ = 0;
  io::Mapping mapping_;  // of a file in memory
  std::uint64_t block_bytes_ = 512;
  io::DeallocateLimits deallocate_limits_;
  Geometry geometry_;
  Capabilities capabilities_;

  std::vector<Lane> lanes_;                    // by index into placement_.data
  std::vector<std::int32_t> lane_by_segment_;  // kNoLane: it waits for nobody
  std::vector<Directive> directive_by_segment_;
  std::uint64_t unit_updates_ = 0;       // reclaim units given up because they were out of step
  std::uint64_t data_unit_updates_ = 0;  // those of data
  std::string unit_problem_;             // why units cannot be kept in step
  std::string event_problem_;            // why events cannot be had
  std::uint64_t events_seen_ms_ = 0;

  std::vector<Operation> operations_;
  std::vector<std::uint32_t> free_operations_;
  std::deque<IoCompletion> done_;
  std::unique_ptr<Discarder> discarder_;
  std::unique_ptr<io::Ring> ring_;  // last: it must be gone before descriptors close
};

}  // namespace fdpstore::backends
