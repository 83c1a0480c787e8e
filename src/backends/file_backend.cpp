// Opening, geometry, segments. Requests are in file_backend_io.cpp.
#include "backends/file_backend.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>

#include <fcntl.h>
#include <fmt/format.h>

#include "backends/file_backend_impl.hpp"
#include "backends/file_placement.hpp"
#include "backends/file_system.hpp"
#include "io/direct_io.hpp"

namespace fdpstore::backends {
namespace {

// More in one request gains nothing, and several requests let the device work in parallel.
constexpr std::uint32_t kMaxTransferBytes = 4U << 20;
// A file can be made for every open segment; this only bounds how many are open at once. Five
// lifetimes can be told apart, and several streams may share one without sharing a file.
constexpr std::uint32_t kHandles = 8;
// Segments of prompts may be small, so that capacity / segment_bytes does not bound their number.
constexpr std::uint32_t kMaxPromptSegments = 1U << 20;

}  // namespace

Result<std::unique_ptr<Backend>> open_file_backend(const FileBackendOptions& options) {
  return FileBackend::open(options);
}

FileBackend::FileBackend(const FileBackendOptions& options, StoreDirectory directory)
    : options_(options), directory_(std::move(directory)) {
  capabilities_.fixed_size_segments = !options.prompt_files;
  capabilities_.fixed_buffers = true;
  geometry_.align_bytes = kBlockBytes;
  geometry_.max_transfer_bytes = kMaxTransferBytes;
  geometry_.handles = kHandles;
}

Result<std::unique_ptr<Backend>> FileBackend::open(const FileBackendOptions& options) {
  // Options that can never work are refused before anything is created.
  if (options.write_mode == WriteMode::uring_cmd || options.write_mode == WriteMode::write_stream) {
    const auto refusal = choose_file_placement(
        {.path = options.base_path, .write_mode = options.write_mode}, {}, {});
    return fail(refusal.error());
  }
  auto directory = StoreDirectory::open({.path = options.base_path,
                                         .file_mode = options.file_mode,
                                         .format = options.format,
                                         .read_only = options.read_only});
  if (!directory) return fail(directory.error());
  std::unique_ptr<FileBackend> backend(new FileBackend(options, std::move(*directory)));
  if (auto done = backend->choose_placement(); !done) return fail(done.error());
  if (auto done = backend->choose_direct_io(); !done) return fail(done.error());
  backend->files_ = std::make_unique<SegmentFiles>(
      SegmentFiles::Options{.directory_fd = backend->directory_.segments_fd(),
                            .directory_path = backend->directory_.segments_path(),
                            .open_flags = backend->direct_io_ ? O_DIRECT : 0,
                            .file_mode = options.file_mode,
                            .max_sealed_descriptors = options.max_sealed_descriptors,
                            .read_only = options.read_only,
                            .mapped = backend->in_memory_});
  if (auto done = backend->files_->scan(); !done) return fail(done.error());
  if (auto done = backend->start_ring(); !done) return fail(done.error());
  return backend;
}

FileBackend::~FileBackend() {
  if (ring_ == nullptr || !ring_->is_own()) return;
  std::array<IoCompletion, 64> ignored;
  while (ring_->pending() > 0) reap(ignored, std::chrono::seconds(1));
}

Result<void> FileBackend::choose_placement() {
  const auto file_system = file_system_of(directory_.path());
  if (!file_system) return fail(file_system.error());
  in_memory_ = file_system->name == "tmpfs";
  const auto found = io::probe_write_hint(directory_.superblock_fd());
  const PlacementRequest request{
      .path = directory_.path(),
      .write_mode = options_.write_mode,
      // Somebody who only reads must be able to look at a store that could not be opened.
      .strictness = options_.read_only ? Strictness::prefer : options_.placement};
  auto placement = choose_file_placement(request, *file_system, found);
  if (!placement) return fail(placement.error());
  placement_ = std::move(*placement);
  placement_.strictness = options_.placement;
  placement_.reason += options_.chosen_because;
  if (placement_.effective == WriteMode::hint) hint_mechanism_ = found;
  return {};
}

Result<void> FileBackend::choose_direct_io() {
  if (options_.use_odirect == false) {
    capabilities_.cached_writes = true;
    return {};
  }
  auto probe = options_.read_only ? io::probe_direct_read(directory_.superblock_path())
                                  : io::probe_direct_io(directory_.segments_path());
  // A full disk must not keep a store from being opened.
  if (!probe && (probe.error().code == std::errc::no_space_on_device ||
                 probe.error().code.value() == EDQUOT)) {
    probe = io::probe_direct_read(directory_.superblock_path());
  }
  if (!probe) return fail(probe.error());
  if (!probe->works && options_.use_odirect == true) {
    return fail(Errc::unsupported,
                fmt::format("use_odirect=true, but base_path {} has no O_DIRECT: {}; set "
                            "use_odirect=false, or leave it out to have it probed",
                            directory_.path(), probe->reason));
  }
  direct_io_ = probe->works && !in_memory_;
  capabilities_.cached_writes = !direct_io_;
  if (direct_io_) geometry_.memory_align_bytes = probe->memory_align_bytes;
  return {};
}

Result<void> FileBackend::start_ring() {
  auto ring = io::Ring::open({.depth = options_.queue_depth});
  if (!ring) return fail(ring.error());
  ring_ = std::move(*ring);
  if (options_.read_only) return {};
  // The lock must outlast a killed process for as long as the kernel still writes for it.
  const int lock = directory_.superblock_fd();
  return ring_->register_files({&lock, 1});
}

Result<void> FileBackend::read_superblock(std::size_t copy, std::span<std::byte> out) {
  return directory_.read_superblock(copy, out);
}

Result<void> FileBackend::write_superblock(std::size_t copy, std::span<const std::byte> bytes) {
  return directory_.write_superblock(copy, bytes);
}

Result<void> FileBackend::set_segment_bytes(std::uint64_t segment_bytes) {
  if (segment_bytes == 0 || segment_bytes % kBlockBytes != 0) {
    return fail(Errc::invalid_option, fmt::format("segment_bytes is {}; use a multiple of {}",
                                                  segment_bytes, kBlockBytes));
  }
  if (!options_.read_only && options_.capacity_bytes < segment_bytes) {
    return fail(Errc::invalid_option,
                fmt::format("capacity_bytes ({}) is less than one segment ({} bytes) of the store "
                            "in {}; raise it",
                            options_.capacity_bytes, segment_bytes, directory_.path()));
  }
  geometry_.segment_bytes = segment_bytes;
  const std::uint64_t by_capacity =
      std::min<std::uint64_t>(options_.capacity_bytes / segment_bytes, kMaxSegmentFiles);
  geometry_.max_segments = options_.prompt_files
                               ? kMaxPromptSegments
                               : std::max(1U, static_cast<std::uint32_t>(by_capacity));
  return {};
}

Result<std::vector<ExistingSegment>> FileBackend::existing_segments() {
  return files_->existing();
}

Result<void> FileBackend::hint(const SegmentFile& file, Lifetime lifetime) {
  if (hint_mechanism_ == io::WriteHintMechanism::none) return {};
  auto set = io::set_write_hint(file.fd.get(), hint_mechanism_, lifetime);
  if (set) return {};
  const std::string what = fmt::format("{}: {}", files_->path(file), set.error().message());
  if (placement_.strictness == Strictness::require) {
    return fail(Error{set.error().code, what});
  }
  // Said aloud instead of failing stores: with `prefer`, data matters more than where it lies.
  hint_mechanism_ = io::WriteHintMechanism::none;
  placement_.effective = WriteMode::plain;
  placement_.mechanism = io::to_string(hint_mechanism_);
  placement_.reaches_device = false;
  placement_.reason = "given up when a hint was refused: " + what;
  return {};
}

Result<void> FileBackend::allocate(SegmentId segment, const SegmentUse& use) {
  assert(!options_.read_only && geometry_.segment_bytes != 0);
  const SegmentName name{segment, options_.prompt_files ? use.prompt : PromptId{}};
  const auto file = files_->make(name, geometry_.segment_bytes);
  if (!file) return fail(file.error());
  // Before the first write: the hint counts for blocks when they are written.
  return hint(**file, use.lifetime);
}

Result<void> FileBackend::reopen(SegmentId segment, const SegmentUse& use) {
  assert(!options_.read_only && geometry_.segment_bytes != 0);
  const auto file = files_->reopen(segment, geometry_.segment_bytes);
  if (!file) return fail(file.error());
  return hint(**file, use.lifetime);
}

void FileBackend::seal(SegmentId segment, std::uint64_t used_bytes) {
  SegmentFile* file = files_->find(segment);
  assert(file != nullptr && file->open_for_writing);
  files_->seal(*file, used_bytes);
}

Result<void> FileBackend::register_buffers(std::span<const iovec> buffers) {
  return ring_->register_buffers(buffers);
}

}  // namespace fdpstore::backends
