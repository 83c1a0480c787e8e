#include "core/segment_walk.hpp"

#include <algorithm>

#include "core/writer.hpp"

namespace fdpstore::core {

using format::kBlockBytes;

namespace {
// Across a hole, and where records are small, so much is read at once.
constexpr std::size_t kDenseBytes = 1U << 20;
constexpr std::uint64_t kSmallRecordBytes = kDenseBytes / 8;
constexpr std::size_t kMaxGuesses = 32;
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
  if (read_ahead_bytes_ == kBlockBytes && stride_bytes_ != 0) {
    if (const auto found = guessed(offset); !found.empty()) return found;
  }
  return in_window(offset, kBlockBytes, read_ahead_bytes_);
}

// Empty: it cannot be read.
std::span<const std::byte> SegmentWalk::guessed(std::uint64_t offset) {
  auto it = std::ranges::find(guesses_, offset, &Guess::offset_bytes);
  if (it == guesses_.end()) {
    guess(offset);
    it = guesses_.begin();
  }
  if (it == guesses_.end() || it->error) return {};
  const auto number = static_cast<std::size_t>(it - guesses_.begin());
  return guessed_blocks_.span().subspan(number * kBlockBytes, kBlockBytes);
}

void SegmentWalk::guess(std::uint64_t offset) {
  if (!guessed_blocks_) guessed_blocks_ = Buffer(kMaxGuesses * kBlockBytes);
  guesses_.clear();
  for (std::uint64_t at = offset; at + kBlockBytes <= size_bytes_ && guesses_.size() < kMaxGuesses;
       at += stride_bytes_) {
    guesses_.push_back({at, {}});
  }
  for (std::size_t i = 0; i < guesses_.size(); ++i) {
    context_.io.read(segment_.id, guesses_[i].offset_bytes,
                     {{guessed_blocks_.data() + i * kBlockBytes, kBlockBytes}},
                     [this, i](std::error_code error) { guesses_[i].error = error; });
  }
  context_.io.finish_all();
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
      visit(offset, *record);
      const std::uint64_t stride = format::record_bytes(record->object.payload_bytes);
      stride_bytes_ = stride == last_record_bytes_ ? stride : 0;
      last_record_bytes_ = stride;
      offset += stride;
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
