// FileBackend: the class behind open_file_backend(); file_backend.hpp has what callers need.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backends/file_backend.hpp"
#include "backends/segment_files.hpp"
#include "backends/store_directory.hpp"
#include "io/ring.hpp"
#include "io/write_hint.hpp"

namespace fdpstore::backends {

class FileBackend final : public Backend {
 public:
  static Result<std::unique_ptr<Backend>> open(const FileBackendOptions& options);
  ~FileBackend() override;

  const Geometry& geometry() const override { return geometry_; }
  const Capabilities& capabilities() const override { return capabilities_; }
  EffectivePlacement effective_placement() const override { return placement_; }
  std::string describe() const override { return directory_.path(); }

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

 private:
  // What the ring's user_data is an index of: a request, or the growing of a file.
  struct Operation {
    IoRequest request;
    SegmentFile* file = nullptr;
    std::uint32_t parts = 0;     // ring requests that are not done
    std::error_code error = {};  // of the first part that failed
    bool grows = false;          // ours: allocates up to request.offset_bytes
  };
  // Writes that wait until their file has grown.
  struct Growth {
    SegmentFile* file = nullptr;
    std::vector<IoRequest> waiting;
  };

  FileBackend(const FileBackendOptions& options, StoreDirectory directory);
  Result<void> choose_direct_io();
  Result<void> choose_placement();
  Result<void> start_ring();
  Result<void> hint(const SegmentFile& file, Lifetime lifetime);

  void start(const IoRequest& request);
  void transfer(SegmentFile& file, const IoRequest& request);
  void write_growing(SegmentFile& file, const IoRequest& request);
  void grow(const Growth& growth);
  void growth_done(SegmentFile& file, std::uint64_t end_bytes, std::error_code error);
  void flush(SegmentFile& file, const IoRequest& request);
  void free_segment(SegmentFile& file, const IoRequest& request);
  // A new operation, which pins the file until its last part is done.
  std::uint32_t begin(SegmentFile& file, const IoRequest& request);
  void push(std::uint32_t operation, io::RingRequest part);
  void part_done(const IoCompletion& completion);
  void complete(const IoRequest& request, std::error_code error);

  FileBackendOptions options_;
  StoreDirectory directory_;
  bool direct_io_ = false;
  bool in_memory_ = false;  // tmpfs: all is in memory, and reads cannot be asked not to wait
  std::unique_ptr<SegmentFiles> files_;
  io::WriteHintMechanism hint_mechanism_ = io::WriteHintMechanism::none;
  Geometry geometry_;
  Capabilities capabilities_;
  EffectivePlacement placement_;

  std::vector<Operation> operations_;
  std::vector<std::uint32_t> free_operations_;
  std::vector<Growth> growths_;  // one per file that is growing now
  std::deque<IoCompletion> done_;
  std::unique_ptr<io::Ring> ring_;  // last: it must be gone before descriptors close
};

}  // namespace fdpstore::backends
