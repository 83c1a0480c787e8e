#include "core/recovery.hpp"

#include <algorithm>
#include <cstring>

#include <fmt/format.h>
#include <boost/unordered/unordered_flat_map.hpp>

#include "core/segment_walk.hpp"

namespace fdpstore::core {
namespace {

using format::kBlockBytes;

constexpr std::size_t kHeadersAtOnce = 64;
constexpr std::size_t kBatchObjects = 1U << 17;    // found at start, taken into the index at a time
constexpr std::size_t kFetchAhead = 8;             // of those, on their way to the caches
constexpr std::size_t kDenseReadAhead = 1U << 20;  // metadata: small records, all wanted
constexpr std::size_t kSparseReadAhead = kBlockBytes;  // objects: headers between payloads

struct Found {
  Segment* segment = nullptr;
  std::uint64_t size_bytes = 0;
  format::SegmentHeader header;
  bool has_header = false;
  std::optional<format::SegmentFooter> footer;
  Buffer blocks;  // header, footer
  std::error_code header_error, footer_error;
};

// A walked record that no summary vouches for.
struct WalkedObject {
  std::uint64_t offset_bytes = 0;
  ObjectKey key;
  format::ObjectMeta meta;  // meta.key is set from `key` when used
};

class Recovery {
 public:
  Recovery(Context& context, bool clean) : context_(context), clean_(clean) {}
  Result<Recovered> run();

 private:
  Result<void> read_ends();
  void judge(Found& found);
  void read_metadata();
  void read_metadata_segment(Found& found);
  void read_metadata_record(const Segment& segment, SegmentWalk& walk, std::uint64_t offset,
                            const format::DecodedRecord& record);
  void read_data();
  void read_data_segment(Found& found);
  bool goes_on(const Found& found, std::uint64_t offset);
  bool read_summaries(Found& found, std::uint64_t last);
  void walk_data(Found& found);
  void add(Segment& segment, std::uint64_t offset, const format::ObjectMeta& object,
           ScopeResolver& scopes);
  void add_batch();
  void add(const Key& key, const ObjectState& state);
  void tie_tombstones();
  void finding(const Segment& segment, std::uint64_t offset, std::string what) {
    out_.findings.push_back({fmt::format("{} segment {} offset {}", context_.backend.describe(),
                                         segment.id.value, offset),
                             std::move(what), false});
  }

  struct OwnedTombstone {
    Key key;
    std::uint64_t sequence;
    std::uint32_t segment;
    std::uint64_t segment_sequence;
  };

  Context& context_;
  bool clean_;
  Recovered out_;
  std::vector<Found> found_;
  std::vector<OwnedTombstone> tombstones_;
  struct Object {
    Key key;
    ObjectState state;
    void prefetch() const {
      const auto* bytes = reinterpret_cast<const std::byte*>(this);
      for (std::size_t at = 0; at < sizeof(Object); at += 64) __builtin_prefetch(bytes + at);
    }
  };
  std::vector<Object> batch_;  // found, in the order of the segments, and not yet in the index
  struct Dead {
    std::uint64_t until = 0;  // copies up to this sequence
    std::uint32_t segment = 0;
    std::uint64_t segment_sequence = 0;
  };
  boost::unordered_flat_map<Key, Dead, KeyHash> dead_until_;
  boost::unordered_flat_map<std::uint32_t, std::uint64_t> freed_until_;
  boost::unordered_flat_map<std::uint32_t, format::SegmentFooter> closed_open_;  // clean close
  std::uint64_t state_sequence_ = 0;
  std::uint64_t footers_sequence_ = 0;
};

void note(std::uint64_t& next, std::uint64_t seen) {
  next = std::max(next, seen + 1);
}

Result<void> Recovery::read_ends() {
  auto existing = context_.backend.existing_segments();
  if (!existing) return fail(std::move(existing.error()));
  found_.resize(existing->size());
  for (std::size_t i = 0; i < existing->size(); ++i) {
    const ExistingSegment& one = (*existing)[i];
    found_[i].segment = &context_.segments.adopt(one.id, one.allocated_bytes);
    // More than a segment is nothing of ours: a file that somebody has made longer.
    found_[i].size_bytes = std::min(one.size_bytes, context_.segments.segment_bytes());
  }
  for (std::size_t first = 0; first < found_.size(); first += kHeadersAtOnce) {
    const std::size_t count = std::min(kHeadersAtOnce, found_.size() - first);
    for (Found& found : std::span(found_).subspan(first, count)) {
      if (found.size_bytes < 2 * kBlockBytes) continue;
      found.blocks = Buffer(2 * kBlockBytes);
      const std::uint64_t last = found.size_bytes / kBlockBytes * kBlockBytes - kBlockBytes;
      context_.io.read(found.segment->id, 0, {{found.blocks.data(), kBlockBytes}},
                       [&found](std::error_code error) { found.header_error = error; });
      context_.io.read(found.segment->id, last, {{found.blocks.data() + kBlockBytes, kBlockBytes}},
                       [&found](std::error_code error) { found.footer_error = error; });
    }
    while (context_.io.in_flight() != 0) context_.io.poll(std::chrono::seconds(1));
    for (Found& found : std::span(found_).subspan(first, count)) judge(found);
  }
  return {};
}

void Recovery::judge(Found& found) {
  Segment& segment = *found.segment;
  segment.recycled = true;
  if (!found.blocks) return;
  const std::span<const std::byte> blocks = found.blocks.span();
  const auto header = found.header_error
                          ? fail(Error{found.header_error, "cannot be read"})
                          : format::decode_segment_header(blocks.first(kBlockBytes), context_.uuid,
                                                          segment.id.value);
  if (!header) {
    // All zeros: allocated, and nothing written before the end came.
    const bool blank =
        !found.header_error && std::ranges::all_of(blocks.first(kBlockBytes),
                                                   [](std::byte b) { return b == std::byte{0}; });
    if (!blank) finding(segment, 0, "segment header: " + header.error().message());
  } else {
    found.header = *header;
    found.has_header = true;
    context_.segments.note_sequence(header->sequence);
    segment.sequence = header->sequence;
    segment.use = {
        .handle = header->handle,
        .lifetime = static_cast<Lifetime>(header->lifetime),
        .metadata = header->kind == static_cast<std::uint16_t>(format::SegmentKind::metadata),
        .prompt = PromptId{header->prompt}};
    const auto footer = format::decode_segment_footer(blocks.subspan(kBlockBytes), context_.uuid,
                                                      segment.id.value, header->sequence);
    if (!found.footer_error && footer) found.footer = *footer;
  }
  found.blocks = Buffer();
}

// ------------------------------------------------------------------------------------- metadata

void Recovery::read_metadata() {
  std::vector<Found*> logs;
  for (Found& found : found_) {
    if (found.has_header && found.segment->use.metadata) logs.push_back(&found);
  }
  // Newest first: it says which older ones are dead.
  std::ranges::sort(logs, std::greater{}, [](const Found* f) { return f->header.sequence; });
  for (Found* log : logs) {
    const auto freed = freed_until_.find(log->segment->id.value);
    if (freed != freed_until_.end() && freed->second >= log->header.sequence) continue;
    read_metadata_segment(*log);
  }
}

void Recovery::read_metadata_segment(Found& found) {
  Segment& segment = *found.segment;
  SegmentWalk walk(context_, segment, found.size_bytes, kDenseReadAhead);
  segment.end_bytes = walk.run(kBlockBytes, [&](std::uint64_t offset, const auto& record) {
    read_metadata_record(segment, walk, offset, record);
  });
  segment.state = SegmentState::open;
  segment.appending = std::make_unique<Appending>();
  segment.appending->header_done = true;
  out_.metadata.push_back(&segment);
}

void Recovery::read_metadata_record(const Segment& segment, SegmentWalk& walk, std::uint64_t offset,
                                    const format::DecodedRecord& record) {
  const std::uint64_t sequence = record.object.sequence;
  const auto payload = walk.payload(offset, record.object.payload_bytes);
  if (payload.size() != record.object.payload_bytes ||
      format::payload_checksum(context_.uuid, {}, sequence, payload) !=
          record.object.payload_xxh3) {
    return;  // torn by the end of the process: never acknowledged
  }
  note(context_.next_sequence, sequence);
  Result<void> visited;
  switch (record.kind) {
    case format::RecordKind::tombstones:
      visited = format::visit_tombstones(payload, [&](const format::Tombstone& t) {
        const Key key(context_.scopes.intern(t.key), t.key.chunk_hash);
        note(context_.next_sequence, t.sequence);
        Dead& dead = dead_until_[key];
        if (t.sequence >= dead.until) dead = {t.sequence, t.segment, t.segment_sequence};
        tombstones_.push_back({key, t.sequence, t.segment, t.segment_sequence});
      });
      break;
    case format::RecordKind::freed:
      visited = format::visit_freed(payload, [&](const format::FreedEntry& freed) {
        context_.segments.note_sequence(freed.sequence);
        std::uint64_t& until = freed_until_[freed.segment];
        until = std::max(until, freed.sequence);
      });
      break;
    case format::RecordKind::state:
      if (sequence >= state_sequence_) {
        state_sequence_ = sequence;
        out_.policy_state.assign(reinterpret_cast<const char*>(payload.data()), payload.size());
      }
      break;
    case format::RecordKind::footers:
      if (sequence < footers_sequence_) break;
      footers_sequence_ = sequence;
      closed_open_.clear();
      visited = format::visit_footers(payload, context_.uuid, [&](const auto& footer) {
        closed_open_[footer.segment] = footer;
      });
      break;
    default: break;
  }
  if (!visited) {
    finding(segment, offset, "metadata record: " + visited.error().message());
  }
}

// ----------------------------------------------------------------------------------------- data

void Recovery::read_data() {
  // In the order they were written, so that of two copies the later one is met last.
  std::vector<Found*> data;
  for (Found& found : found_) {
    Segment& segment = *found.segment;
    const auto freed = freed_until_.find(segment.id.value);
    if (freed != freed_until_.end()) segment.freed_sequence = freed->second;
    if (!found.has_header || segment.freed_sequence >= found.header.sequence) {
      context_.segments.set_free(segment);
    } else if (!segment.use.metadata) {
      data.push_back(&found);
    }
  }
  std::ranges::sort(data, {}, [](const Found* f) { return f->header.sequence; });
  for (Found* found : data) read_data_segment(*found);
  add_batch();
}

void Recovery::read_data_segment(Found& found) {
  Segment& segment = *found.segment;
  if (found.footer && found.footer->used_bytes > found.size_bytes) {
    finding(segment, found.size_bytes - kBlockBytes, "footer: the segment is shorter than it says");
    found.footer.reset();
  }
  if (found.footer) {
    segment.state = SegmentState::sealed;
    segment.unflushed = !clean_;
    segment.end_bytes = found.footer->used_bytes;
    if (read_summaries(found, found.footer->last_summary)) return;
  }
  const auto closed = closed_open_.find(segment.id.value);
  if (clean_ && !found.footer && closed != closed_open_.end() &&
      closed->second.sequence == segment.sequence &&
      closed->second.used_bytes <= found.size_bytes && !goes_on(found, closed->second.used_bytes)) {
    if (read_summaries(found, closed->second.last_summary)) {
      segment.state = SegmentState::open;
      segment.end_bytes = closed->second.used_bytes;
      segment.appending = std::make_unique<Appending>();
      segment.appending->header_done = true;
      segment.appending->last_summary = closed->second.last_summary;
      out_.open_data.push_back(&segment);
      return;
    }
  }
  walk_data(found);
}

// Whether a record of this life lies there: then the footers are those of an earlier close, and the
// last ones were lost.
bool Recovery::goes_on(const Found& found, std::uint64_t offset) {
  if (offset + kBlockBytes > found.size_bytes) return false;
  const Segment& segment = *found.segment;
  Buffer block(kBlockBytes);
  if (context_.io.read_now(segment.id, offset, block.span())) return true;
  return format::decode_record_header(block.span(),
                                      {context_.uuid, segment.id.value, segment.sequence, offset})
      .has_value();
}

// Follows the chain of summaries back; false when a link is damaged.
bool Recovery::read_summaries(Found& found, std::uint64_t last) {
  Segment& segment = *found.segment;
  Buffer block(kBlockBytes);
  Buffer payload;
  std::uint64_t end = found.size_bytes;  // the next one's begin: summaries do not overlap
  for (std::uint64_t offset = last; offset != 0;) {
    if (offset % kBlockBytes != 0 || offset + kBlockBytes > end) {
      finding(segment, offset, "summary chain leads out of the segment");
      return false;
    }
    if (const auto error = context_.io.read_now(segment.id, offset, block.span())) {
      finding(segment, offset, "summary cannot be read: " + error.message());
      return false;
    }
    const auto record = format::decode_record_header(
        block.span(), {context_.uuid, segment.id.value, segment.sequence, offset});
    if (!record || record->kind != format::RecordKind::summary ||
        offset + format::record_bytes(record->object.payload_bytes) > end ||
        (record->previous_summary != 0 && record->previous_summary >= offset)) {
      finding(segment, offset, "summary: " + (record ? "out of order" : record.error().message()));
      return false;
    }
    const std::uint64_t bytes = record->object.payload_bytes;
    if (payload.span().size() < bytes) payload = Buffer(bytes);
    const auto whole = payload.span().first(format::round_up_block(bytes));
    if (context_.io.read_now(segment.id, offset + kBlockBytes, whole) ||
        format::payload_checksum(context_.uuid, {}, record->object.sequence, whole.first(bytes)) !=
            record->object.payload_xxh3) {
      finding(segment, offset, "summary: its entries are damaged");
      return false;
    }
    ScopeResolver scopes(context_.scopes);
    const auto visited =
        format::visit_summary(whole.first(bytes), [&](const format::SummaryItem& item) {
          const std::uint64_t bytes_there = format::record_bytes(item.object.payload_bytes);
          if (item.offset_bytes + bytes_there <= found.size_bytes) {
            add(segment, item.offset_bytes, item.object, scopes);
          } else {
            finding(segment, offset, "summary: an object outside of the segment");
          }
        });
    if (!visited) {
      finding(segment, offset, "summary: " + visited.error().message());
      return false;
    }
    end = offset;
    offset = record->previous_summary;
  }
  return true;
}

void Recovery::walk_data(Found& found) {
  Segment& segment = *found.segment;
  std::vector<WalkedObject> walked;
  std::uint64_t last_summary = 0, covered = 0;
  SegmentWalk walk(context_, segment, found.size_bytes, kSparseReadAhead);
  segment.end_bytes = walk.run(kBlockBytes, [&](std::uint64_t offset, const auto& record) {
    if (record.kind == format::RecordKind::summary) {
      last_summary = offset;
      covered = record.object.sequence;
    } else if (record.kind == format::RecordKind::object) {
      walked.push_back({offset, ObjectKey(record.object.key), record.object});
    }
  });
  segment.state = SegmentState::open;
  segment.appending = std::make_unique<Appending>();
  Appending& appending = *segment.appending;
  appending.header_done = true;
  if (!read_summaries(found, last_summary)) {
    last_summary = covered = 0;  // believe nothing that is not verified
    appending.summary_lost = true;
  }
  appending.last_summary = last_summary;
  ScopeResolver scopes(context_.scopes);
  for (WalkedObject& object : walked) {
    if (object.offset_bytes < covered) continue;
    object.meta.key = object.key.ref();
    const auto payload = walk.payload(object.offset_bytes, object.meta.payload_bytes);
    const bool right =
        payload.size() == object.meta.payload_bytes &&
        (object.meta.payload_xxh3 == 0 ||
         format::payload_checksum(context_.uuid, object.meta.key, object.meta.sequence, payload) ==
             object.meta.payload_xxh3);
    if (!right) continue;
    add(segment, object.offset_bytes, object.meta, scopes);
    format::append_summary(appending.summary, {object.offset_bytes, object.meta});
  }
  appending.summary_reserve_bytes = appending.summary.size();
  appending.bytes_since_summary = segment.end_bytes - std::max(covered, std::uint64_t{kBlockBytes});
  out_.open_data.push_back(&segment);
}

void Recovery::add(Segment& segment, std::uint64_t offset, const format::ObjectMeta& object,
                   ScopeResolver& scopes) {
  note(context_.next_sequence, object.sequence);
  if (!format::check_key(object.key) || object.payload_bytes > UINT32_MAX) return;
  batch_.push_back({Key(scopes.intern(object.key), object.key.chunk_hash),
                    {.location = {segment.id, offset, object.payload_bytes},
                     .sequence = object.sequence,
                     .checksum = object.payload_xxh3,
                     .stream = object.stream,
                     .prompt = {.prompt = PromptId{object.prompt},
                                .position = object.position,
                                .seen_in = object.seen_in}}});
  if (batch_.size() >= kBatchObjects) add_batch();
}

// Those of one part of the index after another, so that it is in the processor's caches; copies of
// one key stay in order.
void Recovery::add_batch() {
  std::vector<std::uint32_t> begin(context_.index.places() + 1);
  std::vector<std::uint32_t> place(batch_.size());
  for (std::size_t i = 0; i < batch_.size(); ++i) {
    place[i] = context_.index.place_of(batch_[i].key);
    ++begin[place[i] + 1];
  }
  for (std::uint32_t i = 0; i < context_.index.places(); ++i) begin[i + 1] += begin[i];
  std::vector<std::uint32_t> order(batch_.size());
  for (std::uint32_t i = 0; i < batch_.size(); ++i) order[begin[place[i]]++] = i;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i + kFetchAhead < order.size()) batch_[order[i + kFetchAhead]].prefetch();
    add(batch_[order[i]].key, batch_[order[i]].state);
  }
  batch_.clear();
}

void Recovery::add(const Key& key, const ObjectState& state) {
  Segment& segment = context_.segments.at(state.location.segment);
  const auto dead = dead_until_.empty() ? dead_until_.end() : dead_until_.find(key);
  if (dead != dead_until_.end() && dead->second.until >= state.sequence) {
    // Not the copy that the tombstone names: it is needed as long as this one is there, too.
    const Dead& tomb = dead->second;
    if (tomb.segment != segment.id.value || tomb.segment_sequence != segment.sequence) {
      tombstones_.push_back({key, tomb.until, segment.id.value, segment.sequence});
    }
    return;
  }
  const auto present = context_.add_object(key, state).present;
  if (!present) return;
  const Location& other = present->location;
  if (other.segment == segment.id && other.offset_bytes == state.location.offset_bytes) {
    return;  // met before
  }
  // Two copies: a reclaim, or a failed write, was cut short. The newer one counts, and the older
  // one's segment goes first, so that it cannot come back when the newer one is deleted.
  const bool newer = state.sequence >= present->sequence;
  Segment& older = newer ? context_.segments.at(other.segment) : segment;
  if (older.id != (newer ? segment.id : other.segment)) context_.segments.mark_for_rewrite(older);
  if (!newer) return;
  context_.remove_object(key, true);
  context_.add_object(key, state);
}

void Recovery::tie_tombstones() {
  std::vector<std::byte> encoded;
  for (OwnedTombstone& t : tombstones_) {
    Segment* segment = context_.segments.find(SegmentId{t.segment});
    if (segment == nullptr || segment->sequence != t.segment_sequence ||
        segment->state == SegmentState::free) {
      continue;
    }
    encoded.clear();
    format::append_tombstone(encoded, {.key = context_.scopes.key(t.key.scope(), t.key.hash()),
                                       .sequence = t.sequence,
                                       .segment = t.segment,
                                       .segment_sequence = t.segment_sequence});
    context_.segments.add_dead(*segment, {std::move(t.key), t.sequence}, encoded.size());
  }
}

Result<Recovered> Recovery::run() {
  if (auto read = read_ends(); !read) return fail(std::move(read.error()));
  read_metadata();
  read_data();
  tie_tombstones();
  std::ranges::reverse(out_.open_data);  // were in order of age
  return std::move(out_);
}

}  // namespace

Result<Recovered> recover(Context& context, bool clean) {
  return Recovery(context, clean).run();
}

}  // namespace fdpstore::core
