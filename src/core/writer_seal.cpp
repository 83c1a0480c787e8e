// Writer: sealing, and what a clean close needs.
#include <algorithm>
#include <cstring>

#include "common/log.hpp"
#include "core/writer.hpp"
#include "core/writer_impl.hpp"

namespace fdpstore::core {

using format::kBlockBytes;

namespace {

constexpr std::uint64_t kPadBytes = 1U << 20;
// What padding may cost where it is not needed: one part in so many.
constexpr std::uint64_t kMaxPadParts = 256;

// `bytes` made of as many times `block` as it takes.
std::vector<iovec> repeated(std::span<std::byte> block, std::uint64_t bytes) {
  std::vector<iovec> spans;
  for (std::uint64_t at = 0; at < bytes; at += block.size()) {
    spans.push_back(as_iovec(block.first(std::min<std::uint64_t>(block.size(), bytes - at))));
  }
  return spans;
}

}  // namespace

void Writer::forget(Segment& segment) {
  for (Segment*& open : by_handle_) {
    if (open == &segment) open = nullptr;
  }
  const auto it = by_prompt_.find(segment.use.prompt.value);
  if (it != by_prompt_.end() && it->second == &segment) by_prompt_.erase(it);
}

void Writer::seal(Segment& segment) {
  if (segment.state != SegmentState::open) return;
  write_batch(segment);
  batches_.erase(segment.id.value);
  forget(segment);
  segment.state = SegmentState::sealing;
  ++sealing_;
  continue_sealing(segment);
}

void Writer::continue_sealing(Segment& segment) {
  Appending& appending = *segment.appending;
  if (!appending.window.empty() || !appending.header_done || appending.flushes != 0 ||
      appending.closing) {
    return;
  }
  appending.closing = true;
  const bool grown = segment.use.prompt.value != 0;
  const std::uint64_t used = segment.end_bytes;
  std::uint64_t last_summary = appending.last_summary;
  std::uint64_t end = used;
  // What we write leaves room for both; what was found on a medium may not.
  if (used + closing_bytes(appending.summary.size()) > context_.segments.segment_bytes()) {
    appending.summary.clear();
    appending.summary_lost = appending.failed = true;
  }

  // Summary and footer, in one buffer; two writes where the footer's place is the segment's end.
  const std::uint64_t summary_bytes = summary_record_bytes(appending.summary.size());
  Buffer buffer(summary_bytes + kBlockBytes);
  if (summary_bytes != 0) {
    const format::Place place{context_.uuid, segment.id.value, segment.sequence, used};
    std::byte* payload = buffer.data() + kBlockBytes;
    std::memcpy(payload, appending.summary.data(), appending.summary.size());
    std::memset(payload + appending.summary.size(), 0,
                summary_bytes - kBlockBytes - appending.summary.size());
    format::encode_record_header(place, format::RecordKind::summary, used, last_summary,
                                 {payload, appending.summary.size()},
                                 buffer.span().first(kBlockBytes));
    last_summary = used;
    end += summary_bytes;
  }
  format::SegmentFooter footer;
  footer.segment = segment.id.value;
  footer.sequence = segment.sequence;
  footer.uuid = context_.uuid;
  footer.last_summary = last_summary;
  footer.used_bytes = end;
  format::encode(footer, buffer.span().subspan(summary_bytes, kBlockBytes));

  struct Progress {
    Buffer buffer;
    Buffer zeros;
    int parts = 0;
    std::error_code error;
  };
  auto progress = std::make_shared<Progress>();
  progress->buffer = std::move(buffer);
  auto part_done = [this, &segment, progress](std::error_code error) {
    if (error) progress->error = error;
    if (--progress->parts == 0) sealed(segment, progress->error);
  };
  segment.end_bytes = end;
  // Where records were lost to a failed write of a summary, start-up must walk: no footer.
  const bool with_footer = !appending.summary_lost;
  const std::span<std::byte> all = progress->buffer.span();
  struct Part {
    std::uint64_t offset_bytes;
    std::vector<iovec> spans;
    std::uint64_t bytes;
  };
  std::vector<Part> parts;
  if (summary_bytes != 0) {
    parts.push_back({used, {as_iovec(all.first(summary_bytes))}, summary_bytes});
  }
  const std::uint64_t footer_at = grown ? end : context_.segments.segment_bytes() - kBlockBytes;
  const std::uint64_t pad = footer_at - end;
  // The tail that was too short for another object is filled, unless it is long and the backend can
  // begin a fresh reclaim unit after it. One that ends early for another reason is not filled.
  const Capabilities& can = context_.backend.capabilities();
  const std::uint64_t longest = can.begins_units
                                    ? context_.segments.segment_bytes() / kMaxPadParts
                                    : 2 * format::record_bytes(context_.options.max_object_bytes);
  const bool fill = can.must_fill && !appending.failed && pad <= longest;
  appending.filled = fill;
  if (fill && pad > 0) {
    progress->zeros = Buffer(std::min(pad, kPadBytes));
    std::memset(progress->zeros.data(), 0, progress->zeros.span().size());
    parts.push_back({end, repeated(progress->zeros.span(), pad), pad});
  }
  const std::span<std::byte> last = all.subspan(summary_bytes, kBlockBytes);
  if (!with_footer) std::ranges::fill(last, std::byte{});
  if (with_footer || fill) {
    parts.push_back({footer_at, {as_iovec(last)}, kBlockBytes});
  }
  progress->parts = static_cast<int>(parts.size()) + 1;
  context_.segments.promise(segment, 0);
  for (const Part& part : parts) {
    if (grown) context_.segments.grow(segment, part.bytes);
    context_.counters.host_written_bytes += part.bytes;
    context_.io.write(segment.id, part.offset_bytes, part.spans, part_done);
  }
  part_done({});
}

void Writer::sealed(Segment& segment, std::error_code error) {
  segment.faulty = segment.appending->failed || error;
  if (error) {
    log().warn(
        "segment {} of {} was sealed without a summary ({}); start-up will read it in "
        "full",
        segment.id.value, context_.backend.describe(), error.message());
  }
  const bool in_order = !error && !segment.appending->summary_lost;
  auto finish = [this, &segment, in_order](std::error_code flushed) {
    if (in_order && !flushed) {
      segment.rewrite = false;
    } else {
      context_.segments.mark_for_rewrite(segment);
    }
    context_.backend.seal(segment.id, segment.appending->filled ? context_.segments.segment_bytes()
                                                                : segment.end_bytes);
    segment.state = SegmentState::sealed;
    segment.appending.reset();
    segment.entries.shrink_to_fit();
    --sealing_;
    // It may have lost its last object while it was open: nothing else would free it before need.
    if (segment.live_objects == 0) context_.segments.note_emptied(segment.id);
    // With durability `device` each object has been flushed before.
    if (flushed && context_.options.durability != Durability::device)
      segment_lost_(segment, flushed);
  };
  if (context_.backend.capabilities().cached_writes ||
      context_.options.durability == Durability::device) {
    context_.io.flush(segment.id, finish);
  } else {
    segment.unflushed = true;  // until the store is closed
    finish({});
  }
}

void Writer::seal_idle_prompts() {
  const double now = context_.now_s();
  std::vector<Segment*> idle;
  for (const auto& [prompt, segment] : by_prompt_) {
    if (segment != nullptr &&
        now - segment->appending->last_append_s >= context_.options.prompt_idle_s) {
      idle.push_back(segment);
    }
  }
  for (Segment* segment : idle) seal(*segment);
}

bool Writer::seal_oldest_prompt() {
  Segment* oldest = nullptr;
  for (const auto& [prompt, segment] : by_prompt_) {
    if (segment == nullptr) continue;
    if (oldest == nullptr || segment->appending->last_append_s < oldest->appending->last_append_s) {
      oldest = segment;
    }
  }
  if (oldest == nullptr) return false;
  seal(*oldest);
  return true;
}

bool Writer::adopt(Segment& segment) {
  Segment** slot = slot_for(segment.use);
  if (*slot != nullptr) return false;
  *slot = &segment;
  return true;
}

void Writer::write_summaries() {
  // Prompt files are not continued after a restart: a later turn opens a further one.
  std::vector<Segment*> prompts;
  for (const auto& [prompt, segment] : by_prompt_) {
    if (segment != nullptr) prompts.push_back(segment);
  }
  for (Segment* segment : prompts) seal(*segment);
  for (Segment* segment : by_handle_) {
    if (segment == nullptr) continue;
    // A segment that cannot take a summary any more is as good as full.
    if (segment->appending->failed || segment->appending->summary_lost) {
      seal(*segment);
    } else {
      write_summary(*segment);
    }
  }
  write_batches();
}

std::vector<format::SegmentFooter> Writer::footers() const {
  std::vector<format::SegmentFooter> out;
  for (const Segment* segment : by_handle_) {
    if (segment == nullptr || segment->appending->summary_lost) continue;
    format::SegmentFooter footer;
    footer.segment = segment->id.value;
    footer.sequence = segment->sequence;
    footer.uuid = context_.uuid;
    footer.last_summary = segment->appending->last_summary;
    footer.used_bytes = segment->end_bytes;
    out.push_back(footer);
  }
  return out;
}

std::size_t Writer::open_segments() const {
  return by_prompt_.size() + static_cast<std::size_t>(std::ranges::count_if(
                                 by_handle_, [](const Segment* s) { return s != nullptr; }));
}

}  // namespace fdpstore::core
