// SimBackend: the class behind open_sim_backend(); sim_backend.hpp has what callers need.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <vector>

#include "ftl/sim_backend.hpp"

namespace fdpstore::ftl {

class SimBackend final : public Backend {
 public:
  SimBackend(std::shared_ptr<SimDevice> device, const SimBackendOptions& options);
  ~SimBackend() override;
  // What an open has to see to: the claim, what is there, what was required.
  [[nodiscard]] Result<void> set_up();

  const Geometry& geometry() const override { return geometry_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  EffectivePlacement effective_placement() const override { return placement_; }
  std::vector<std::string> warnings() const override;
  const Clock& clock() const override { return device_->clock(); }
  Result<DeviceStatistics> statistics() const override;
  std::string describe() const override { return device_->uri(); }

  Result<void> read_superblock(std::size_t copy, std::span<std::byte> out) override;
  Result<void> write_superblock(std::size_t copy, std::span<const std::byte> bytes) override;
  Result<void> set_segment_bytes(std::uint64_t segment_bytes) override;
  Result<std::vector<ExistingSegment>> existing_segments() override;
  Result<void> allocate(SegmentId segment, const SegmentUse& use) override;
  Result<void> reopen(SegmentId segment, const SegmentUse& use) override;
  void seal(SegmentId segment, std::uint64_t used_bytes) override;

  void submit(std::span<const IoRequest> requests) override;
  std::size_t reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) override;
  void wake() override;
  Result<void> register_buffers(std::span<const iovec> buffers) override;

 private:
  static constexpr std::int32_t kNoLane = -1;
  // Segments being written through one RUH: the front one may write, the others wait for it.
  struct Lane {
    struct Entry {
      SegmentId id;
      bool continued = false;  // from before the start: it has its unit, and waits for nobody
    };
    std::deque<Entry> segments;
    std::vector<IoRequest> waiting;
    bool short_unit = false;  // the segment before left its unit part empty
  };
  struct Done {
    double time_s = 0;
    std::uint64_t order = 0;  // of submission, among those of one moment
    IoCompletion completion;
    bool operator>(const Done& other) const {
      return time_s != other.time_s ? time_s > other.time_s : order > other.order;
    }
  };

  void choose_placement();
  void set_limits();
  [[nodiscard]] Result<void> check_content();
  [[nodiscard]] std::uint64_t offset_of(SegmentId segment) const;
  [[nodiscard]] std::uint32_t handle_of(const SegmentUse& use) const;
  [[nodiscard]] bool in_step(const SegmentUse& use) const;
  void start_unit(std::uint32_t handle, bool data);
  void start(const IoRequest& request);
  void finish(const IoRequest& request, double time_s, std::error_code error = {});
  void pass(double time_s) { device_->clock().advance_to(time_s); }

  const std::shared_ptr<SimDevice> device_;
  const SimBackendOptions options_;
  bool claimed_ = false;
  std::uint64_t window_bytes_ = 0;
  bool placed_ = false;  // handles reach RUHs
  EffectivePlacement placement_;
  Geometry geometry_;
  Capabilities capabilities_;
  std::vector<Lane> lanes_;                       // by RUH
  std::vector<std::int32_t> lane_by_segment_;     // kNoLane: it waits for nobody
  std::vector<std::uint32_t> handle_by_segment_;  // RUH
  std::uint64_t data_unit_updates_ = 0;
  std::priority_queue<Done, std::vector<Done>, std::greater<>> done_;
  std::uint64_t submitted_ = 0;

  std::mutex mutex_;  // woken_
  std::condition_variable changed_;
  bool woken_ = false;
};

}  // namespace fdpstore::ftl
