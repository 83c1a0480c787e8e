#include "core/summary_reader.hpp"

#include <algorithm>

namespace fdpstore::core {
namespace {

using format::kBlockBytes;

constexpr std::size_t kChainsAtOnce = 64;

}  // namespace

void SummaryReader::read(std::span<SummaryChain> chains) {
  waiting_ = chains;
  std::vector<Lane> lanes(std::min(kChainsAtOnce, chains.size()));
  for (Lane& lane : lanes) begin_next(lane);
  context_.io.finish_all();
}

void SummaryReader::begin_next(Lane& lane) {
  while (!waiting_.empty()) {
    lane.chain = &waiting_.front();
    waiting_ = waiting_.subspan(1);
    lane.offset_bytes = lane.chain->last_offset;
    lane.end_bytes = lane.chain->size_bytes;
    if (begin_link(lane)) return;
  }
}

// False: the chain has ended.
bool SummaryReader::begin_link(Lane& lane) {
  const std::uint64_t offset = lane.offset_bytes;
  if (offset == 0) {
    lane.chain->whole = true;
    return false;
  }
  if (offset % kBlockBytes != 0 || offset + kBlockBytes > lane.end_bytes) {
    return damaged(lane, "summary chain leads out of the segment");
  }
  lane.needed_bytes = kBlockBytes;
  const std::uint64_t room = (lane.end_bytes - offset) / kBlockBytes * kBlockBytes;
  read(lane, std::min<std::uint64_t>(likely_bytes_, room));
  return true;
}

void SummaryReader::read(Lane& lane, std::size_t bytes) {
  lane.read_bytes = bytes;
  if (lane.buffer.span().size() < bytes) lane.buffer = Buffer(bytes);
  context_.io.read(lane.chain->segment->id, lane.offset_bytes, {{lane.buffer.data(), bytes}},
                   [this, &lane](std::error_code error) { arrived(lane, error); });
}

void SummaryReader::arrived(Lane& lane, std::error_code error) {
  if (error && lane.read_bytes > lane.needed_bytes) {
    read(lane, lane.needed_bytes);  // what cannot be read may lie behind it
    return;
  }
  if (error) {
    damaged(lane, "summary cannot be read: " + error.message());
  } else if (take(lane)) {
    return;
  }
  begin_next(lane);
}

// What was read of a summary. False: the chain has ended.
bool SummaryReader::take(Lane& lane) {
  const Segment& segment = *lane.chain->segment;
  const std::uint64_t offset = lane.offset_bytes;
  const auto record =
      format::decode_record_header(lane.buffer.span().first(kBlockBytes),
                                   {context_.uuid, segment.id.value, segment.sequence, offset});
  if (!record) return unverified(lane, "summary: " + record.error().message());
  if (record->kind != format::RecordKind::summary ||
      offset + format::record_bytes(record->object.payload_bytes) > lane.end_bytes ||
      (record->previous_summary != 0 && record->previous_summary >= offset)) {
    return damaged(lane, "summary: out of order");
  }
  const std::uint64_t bytes = record->object.payload_bytes;
  lane.needed_bytes = format::record_bytes(bytes);
  if (lane.needed_bytes > lane.read_bytes) {
    read(lane, lane.needed_bytes);
    return true;
  }
  likely_bytes_ = lane.needed_bytes;
  const auto entries = lane.buffer.span().subspan(kBlockBytes, bytes);
  if (format::payload_checksum(context_.uuid, {}, record->object.sequence, entries) !=
      record->object.payload_xxh3) {
    return unverified(lane, "summary: its entries are damaged");
  }
  if (auto visited = visit_(*lane.chain, offset, entries); !visited) {
    return damaged(lane, "summary: " + visited.error().message());
  }
  lane.end_bytes = offset;
  lane.offset_bytes = record->previous_summary;
  return begin_link(lane);
}

bool SummaryReader::unverified(const Lane& lane, std::string what) {
  const bool last = lane.offset_bytes == lane.chain->last_offset;
  return last && lane.chain->may_be_torn ? false : damaged(lane, std::move(what));
}

bool SummaryReader::damaged(const Lane& lane, std::string what) {
  damaged_(*lane.chain->segment, lane.offset_bytes, std::move(what));
  return false;
}

}  // namespace fdpstore::core
