#include "core/segment_walk.hpp"

#include <algorithm>

#include "core/writer.hpp"

namespace fdpstore::core {

using format::kBlockBytes;

namespace {
// Across a hole, and where records are small, so much is read at once.
constexpr std::size_t kDenseBytes = 1U << 20;
constexpr std::uint64_t kSmallRecordBytes = kDenseBytes / 8;
}  // namespace

SegmentWalk::SegmentWalk(Context& context, const Segment& segment, std::uint64_t size_bytes,
                         std::size_t read_ahead_bytes)
    : context_(context),
      segment_(segment),
      size_bytes_(size_bytes / kBlockBytes * kBlockBytes),
      read_ahead_bytes_(read_ahead_bytes) {}

format::Place SegmentWalk::place(std::uint64_t offset) const {
  return {context_.uuid, segment_.id.value, segment_.sequence, offset};
}

std::span<const std::byte> SegmentWalk::block(std::uint64_t offset) {
  return in_window(offset, kBlockBytes, read_ahead_bytes_);
}

// Empty: it cannot be read.
std::span<const std::byte> SegmentWalk::in_window(std::uint64_t offset, std::uint64_t wanted,
                                                  std::uint64_t read_ahead) {
  if (offset + wanted > size_bytes_) return {};
  if (offset < window_at_ || offset + wanted > window_at_ + window_bytes_) {
    const std::size_t bytes = std::min(std::max(read_ahead, wanted), size_bytes_ - offset);
    if (window_.span().size() < bytes) window_ = Buffer(bytes);
    window_at_ = offset;
    window_bytes_ = bytes;
    if (context_.io.read_now(segment_.id, offset, window_.span().first(bytes))) {
      // One bad block must not hide its neighbours.
      window_bytes_ = wanted;
      if (context_.io.read_now(segment_.id, offset, window_.span().first(wanted))) {
        window_bytes_ = 0;
        return {};
      }
    }
  }
  return window_.span().subspan(offset - window_at_, wanted);
}

std::uint64_t SegmentWalk::run(std::uint64_t first, const Visit& visit) {
  const std::uint64_t window = Writer::window_bytes(context_.options);
  const std::size_t normal_read_ahead = read_ahead_bytes_;
  std::uint64_t end = first;  // of the last valid record
  for (std::uint64_t offset = first; offset + kBlockBytes <= size_bytes_;) {
    const std::span<const std::byte> bytes = block(offset);
    const bool candidate = !bytes.empty() && format::looks_like_record(bytes);
    const auto record =
        candidate ? format::decode_record_header(bytes, place(offset)) : fail(Errc::corrupt, "");
    if (record && offset + format::record_bytes(record->object.payload_bytes) <= size_bytes_) {
      if (offset != end) holes_.push_back(end);
      visit(offset, *record);
      offset += format::record_bytes(record->object.payload_bytes);
      const bool small = offset - end <= kSmallRecordBytes;
      end = offset;
      read_ahead_bytes_ = small ? std::max(normal_read_ahead, kDenseBytes) : normal_read_ahead;
      continue;
    }
    if (offset - end > window) break;
    read_ahead_bytes_ = std::max(normal_read_ahead, kDenseBytes);
    offset += kBlockBytes;
  }
  read_ahead_bytes_ = normal_read_ahead;
  return end;
}

std::span<const std::byte> SegmentWalk::payload(std::uint64_t record_offset, std::uint64_t bytes) {
  const std::uint64_t rounded = format::round_up_block(bytes);
  if (record_offset + kBlockBytes + rounded > size_bytes_) return {};
  if (rounded != 0 && rounded <= kSmallRecordBytes) {
    const auto found = in_window(record_offset + kBlockBytes, rounded, kDenseBytes);
    return found.empty() ? found : found.first(bytes);
  }
  if (payload_.span().size() < rounded) payload_ = Buffer(rounded);
  if (rounded != 0 && context_.io.read_now(segment_.id, record_offset + kBlockBytes,
                                           payload_.span().first(rounded))) {
    return {};
  }
  return payload_.span().first(bytes);
}

}  // namespace fdpstore::core
