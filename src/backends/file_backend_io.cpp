// Requests: from IoRequest to the ring and back.
#include <algorithm>
#include <array>
#include <cassert>
#include <cerrno>

#include <sys/uio.h>

#include "backends/file_backend_impl.hpp"
#include "backends/mapped_transfer.hpp"
#include "io/page_cache.hpp"

namespace fdpstore::backends {
namespace {

std::uint64_t end_of(const IoRequest& request) {
  std::uint64_t end = request.offset_bytes;
  for (const iovec& span : request.spans) end += span.iov_len;
  return end;
}

class CachedFile final : public CachedSegment {
 public:
  CachedFile(SegmentFile& file, int fd, int flags) : file_(file), fd_(fd), flags_(flags) {
    ++file_.pins;
  }
  ~CachedFile() override { --file_.pins; }
  std::size_t copy(std::uint64_t offset_bytes, std::span<std::byte> out) const noexcept override {
    if (file_.mapping.read(offset_bytes, out)) return out.size();
    const iovec span{out.data(), out.size()};
    const ssize_t copied = ::preadv2(fd_, &span, 1, static_cast<off_t>(offset_bytes), flags_);
    // An error is the request's to report.
    return copied < 0 ? 0 : static_cast<std::size_t>(copied);
  }

 private:
  SegmentFile& file_;
  int fd_;
  int flags_;
};

}  // namespace

// It is asked for first: a read that may not wait starts a small read-ahead where it finds nothing,
// and the request behind it is the slower for it.
std::unique_ptr<CachedSegment> FileBackend::cached(SegmentId segment, std::uint64_t offset_bytes,
                                                   std::uint64_t bytes) {
  SegmentFile* file = direct_io_ ? nullptr : files_->find(segment);
  if (file == nullptr) return nullptr;
  const auto fd = files_->descriptor(*file);
  if (!fd || !(in_memory_ || io::in_page_cache(*fd, offset_bytes, bytes))) return nullptr;
  return std::make_unique<CachedFile>(*file, *fd, in_memory_ ? 0 : RWF_NOWAIT);
}

void FileBackend::submit(std::span<const IoRequest> requests) {
  for (const IoRequest& request : requests) start(request);
  ring_->flush();
}

void FileBackend::start(const IoRequest& request) {
  SegmentFile* file = files_->find(request.segment);
  if (file == nullptr) {
    complete(request, Errc::not_found);
    return;
  }
  switch (request.op) {
    case IoOp::read: transfer(*file, request); return;
    case IoOp::write:
      assert(file->open_for_writing && end_of(request) <= geometry_.segment_bytes);
      if (file->grows() && end_of(request) > file->size_bytes) {
        write_growing(*file, request);
      } else {
        transfer(*file, request);
      }
      return;
    case IoOp::flush: flush(*file, request); return;
    case IoOp::free: free_segment(*file, request); return;
  }
}

std::uint32_t FileBackend::begin(SegmentFile& file, const IoRequest& request) {
  if (free_operations_.empty()) {
    free_operations_.push_back(static_cast<std::uint32_t>(operations_.size()));
    operations_.emplace_back();
  }
  const std::uint32_t index = free_operations_.back();
  free_operations_.pop_back();
  operations_[index] = {.request = request, .file = &file};
  ++file.pins;
  return index;
}

void FileBackend::push(std::uint32_t operation, io::RingRequest part) {
  ++operations_[operation].parts;
  part.user_data = operation;
  ring_->push(std::move(part));
}

void FileBackend::transfer(SegmentFile& file, const IoRequest& request) {
  const auto fd = files_->descriptor(file);
  if (!fd) {
    complete(request, fd.error().code);
    return;
  }
  if (transfer_mapped(file.mapping, request.offset_bytes, request)) {
    complete(request, {});
    return;
  }
  push(begin(file, request), {.op = request.op == IoOp::read ? io::RingOp::read : io::RingOp::write,
                              .fd = *fd,
                              .offset_bytes = request.offset_bytes,
                              .spans = request.spans});
}

// Space is allocated before it is written: writes that extend a file are done one after the other
// by the kernel, and a full disk would show in the middle of them.
void FileBackend::write_growing(SegmentFile& file, const IoRequest& request) {
  const auto growing = std::ranges::find(growths_, &file, &Growth::file);
  if (growing != growths_.end()) {
    growing->waiting.push_back(request);
    return;
  }
  growths_.push_back({.file = &file, .waiting = {request}});
  grow(growths_.back());
}

void FileBackend::grow(const Growth& growth) {
  SegmentFile& file = *growth.file;
  std::uint64_t end = 0;
  for (const IoRequest& request : growth.waiting) end = std::max(end, end_of(request));
  const std::uint64_t block = geometry_.align_bytes;
  end = (end + block - 1) / block * block;
  IoRequest request;
  request.offset_bytes = end;
  const std::uint32_t operation = begin(file, request);
  operations_[operation].grows = true;
  push(operation, {.op = io::RingOp::allocate, .fd = file.fd.get(), .offset_bytes = end});
}

void FileBackend::growth_done(SegmentFile& file, std::uint64_t end_bytes, std::error_code error) {
  if (!error) {
    file.size_bytes = end_bytes;
    file.allocated_bytes = std::max(file.allocated_bytes, end_bytes);
  }
  const auto growth = std::ranges::find(growths_, &file, &Growth::file);
  assert(growth != growths_.end());
  std::vector<IoRequest> later;
  for (const IoRequest& request : growth->waiting) {
    if (end_of(request) <= file.size_bytes) {
      transfer(file, request);
    } else if (error && end_of(request) <= end_bytes) {
      complete(request, error);
    } else {
      later.push_back(request);  // came while the file was growing
    }
  }
  growth->waiting = std::move(later);
  if (growth->waiting.empty()) {
    growths_.erase(growth);
  } else {
    grow(*growth);
  }
}

void FileBackend::flush(SegmentFile& file, const IoRequest& request) {
  const auto fd = files_->descriptor(file);
  if (!fd) {
    complete(request, fd.error().code);
    return;
  }
  const std::uint32_t operation = begin(file, request);
  push(operation, {.op = io::RingOp::sync_data, .fd = *fd});
  // A file made since the last flush is only there after a power cut if its name is synced as well.
  if (!file.name_is_durable) {
    push(operation, {.op = io::RingOp::sync_file, .fd = directory_.segments_fd()});
  }
}

void FileBackend::free_segment(SegmentFile& file, const IoRequest& request) {
  if (!request.release && !file.grows()) {
    files_->rest(file);
    complete(request, {});
    return;
  }
  files_->close(file);
  push(begin(file, request),
       {.op = io::RingOp::unlink, .fd = directory_.segments_fd(), .name = to_file_name(file.name)});
}

void FileBackend::complete(const IoRequest& request, std::error_code error) {
  done_.push_back({.user_data = request.user_data, .error = error});
}

void FileBackend::part_done(const IoCompletion& completion) {
  const auto index = static_cast<std::uint32_t>(completion.user_data);
  Operation& state = operations_[index];
  if (completion.error && !state.error) state.error = completion.error;
  if (--state.parts > 0) return;
  const Operation operation = state;  // a request that follows may take its place
  free_operations_.push_back(index);
  SegmentFile& file = *operation.file;
  --file.pins;
  if (operation.grows) {
    growth_done(file, operation.request.offset_bytes, operation.error);
    return;
  }
  std::error_code error = operation.error;
  if (operation.request.op == IoOp::flush && !error) file.name_is_durable = true;
  if (operation.request.op == IoOp::free) {
    if (error == std::errc::no_such_file_or_directory) error.clear();  // gone is what was wanted
    if (!error) files_->forget(file.name.id);
  }
  complete(operation.request, error);
}

std::size_t FileBackend::reap(std::span<IoCompletion> out, std::chrono::microseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::array<IoCompletion, 64> parts;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        deadline - std::chrono::steady_clock::now());
    const std::size_t count = ring_->reap(
        parts, done_.empty() ? std::max(left, std::chrono::microseconds(0)) : left.zero());
    for (const IoCompletion& part : std::span(parts).first(count)) part_done(part);
    ring_->flush();  // what a file that has grown was waited for
    // Nothing: time is up, or wake(). All ours: the caller has seen nothing yet.
    if (count == 0 || !done_.empty()) break;
  }
  const std::size_t count = std::min(out.size(), done_.size());
  std::copy_n(done_.begin(), count, out.begin());
  done_.erase(done_.begin(), done_.begin() + static_cast<std::ptrdiff_t>(count));
  return count;
}

}  // namespace fdpstore::backends
