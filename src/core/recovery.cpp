#include "core/recovery.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <boost/unordered/unordered_flat_map.hpp>

#include "core/found_objects.hpp"
#include "core/segment_walk.hpp"
#include "core/summary_reader.hpp"

namespace fdpstore::core {
namespace {

using format::kBlockBytes;

constexpr std::size_t kHeadersAtOnce = 64;
constexpr std::size_t kDenseReadAhead = 1U << 20;      // metadata: small records, all wanted
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
  const format::SegmentFooter* end_of(Found& found);
  bool goes_on(const Found& found, std::uint64_t offset);
  void adopt(const Found& found, const format::SegmentFooter& end);
  void read_summaries(std::span<SummaryChain> chains);
  Result<void> add_summary(Segment& segment, std::uint64_t size_bytes, std::uint64_t offset,
                           std::span<const std::byte> entries);
  void walk_data(Found& found);
  bool take_walked_summary(const Found& found, std::uint64_t offset,
                           const format::DecodedRecord& record, std::span<const std::byte> entries);
  [[nodiscard]] bool is_whole(const format::DecodedRecord& record,
                              std::span<const std::byte> payload) const;
  void finding(const Segment& segment, std::uint64_t offset, std::string what) {
    out_.findings.push_back({fmt::format("{} segment {} offset {}", context_.backend.describe(),
                                         segment.id.value, offset),
                             std::move(what), false});
  }

  Context& context_;
  bool clean_;
  Recovered out_;
  std::vector<Found> found_;
  FoundObjects objects_{context_};
  boost::unordered_flat_map<std::uint32_t, std::uint64_t> freed_until_;
  boost::unordered_flat_map<std::uint32_t, format::SegmentFooter> closed_open_;  // clean close
  std::uint64_t state_sequence_ = 0;
  std::uint64_t footers_sequence_ = 0;
};

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
    context_.io.finish_all();
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
  if (!is_whole(record, payload)) return;
  context_.note_sequence(sequence);
  Result<void> visited;
  switch (record.kind) {
    case format::RecordKind::tombstones:
      visited = format::visit_tombstones(payload, [&](const format::Tombstone& t) {
        const Key key(context_.scopes.intern(t.key), t.key.chunk_hash);
        context_.note_sequence(t.sequence);
        objects_.add_tombstone(key, t.sequence, t.segment, t.segment_sequence);
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
  std::vector<const format::SegmentFooter*> ends;
  std::vector<SummaryChain> chains;
  std::uint64_t used_bytes = 0;
  for (Found* found : data) {
    ends.push_back(end_of(*found));
    if (ends.back() == nullptr) continue;
    used_bytes += ends.back()->used_bytes;
    chains.push_back({.segment = found->segment,
                      .size_bytes = found->size_bytes,
                      .last_offset = ends.back()->last_summary,
                      .may_be_torn = !clean_});
  }
  objects_.expect(used_bytes);
  read_summaries(chains);
  auto chain = chains.begin();
  for (std::size_t i = 0; i < data.size(); ++i) {
    if (ends[i] != nullptr && (chain++)->whole) {
      adopt(*data[i], *ends[i]);
    } else {
      walk_data(*data[i]);
    }
  }
  objects_.finish();
}

// What says where the segment's summaries are: its footer, or the one that a clean close left for
// it in the metadata. nullptr: it must be walked.
const format::SegmentFooter* Recovery::end_of(Found& found) {
  const Segment& segment = *found.segment;
  if (found.footer && found.footer->used_bytes > found.size_bytes) {
    finding(segment, found.size_bytes - kBlockBytes, "footer: the segment is shorter than it says");
    found.footer.reset();
  }
  if (found.footer) return &*found.footer;
  const auto closed = closed_open_.find(segment.id.value);
  if (!clean_ || closed == closed_open_.end() || closed->second.sequence != segment.sequence ||
      closed->second.used_bytes > found.size_bytes || goes_on(found, closed->second.used_bytes)) {
    return nullptr;
  }
  return &closed->second;
}

void Recovery::adopt(const Found& found, const format::SegmentFooter& end) {
  Segment& segment = *found.segment;
  segment.end_bytes = end.used_bytes;
  if (found.footer) {
    segment.state = SegmentState::sealed;
    segment.unflushed = !clean_;
    return;
  }
  segment.state = SegmentState::open;
  segment.appending = std::make_unique<Appending>();
  segment.appending->header_done = true;
  segment.appending->last_summary = end.last_summary;
  out_.open_data.push_back(&segment);
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

void Recovery::read_summaries(std::span<SummaryChain> chains) {
  const auto visit = [this](const SummaryChain& chain, std::uint64_t offset,
                            std::span<const std::byte> entries) {
    return add_summary(*chain.segment, chain.size_bytes, offset, entries);
  };
  const auto damaged = [this](const Segment& segment, std::uint64_t offset, std::string what) {
    finding(segment, offset, std::move(what));
  };
  SummaryReader(context_, visit, damaged).read(chains);
}

Result<void> Recovery::add_summary(Segment& segment, std::uint64_t size_bytes, std::uint64_t offset,
                                   std::span<const std::byte> entries) {
  ScopeResolver scopes(context_.scopes);
  return format::visit_summary(entries, [&](const format::SummaryItem& item) {
    if (item.offset_bytes + format::record_bytes(item.object.payload_bytes) <= size_bytes) {
      objects_.add(segment, item.offset_bytes, item.object, scopes);
    } else {
      finding(segment, offset, "summary: an object outside of the segment");
    }
  });
}

void Recovery::walk_data(Found& found) {
  Segment& segment = *found.segment;
  segment.state = SegmentState::open;
  segment.appending = std::make_unique<Appending>();
  Appending& appending = *segment.appending;
  appending.header_done = true;
  appending.has_footer = found.footer.has_value();
  std::vector<WalkedObject> walked;
  std::uint64_t covered = kBlockBytes, torn_at = 0, torn_end = 0;
  SegmentWalk walk(context_, segment, found.size_bytes, kSparseReadAhead);
  segment.end_bytes = walk.run(kBlockBytes, [&](std::uint64_t offset, const auto& record) {
    if (record.kind == format::RecordKind::object) {
      walked.push_back({offset, ObjectKey(record.object.key), record.object});
    } else if (record.kind == format::RecordKind::summary) {
      const auto entries = walk.payload(offset, record.object.payload_bytes);
      if (!is_whole(record, entries)) {
        torn_at = offset;
        torn_end = offset + format::record_bytes(record.object.payload_bytes);
      } else if (take_walked_summary(found, offset, record, entries)) {
        covered = std::min(record.object.sequence, offset);
        std::erase_if(walked, [&](const WalkedObject& one) { return one.offset_bytes < covered; });
      }
    }
  });
  // There may be no room for another one.
  if (segment.end_bytes == torn_end) segment.end_bytes = torn_at;
  ScopeResolver scopes(context_.scopes);
  for (WalkedObject& object : walked) {
    object.meta.key = object.key.ref();
    const auto payload = walk.payload(object.offset_bytes, object.meta.payload_bytes);
    if (payload.size() != object.meta.payload_bytes) {
      finding(segment, object.offset_bytes, "object: cannot be read");
      continue;
    }
    const bool right =
        object.meta.payload_xxh3 == 0 ||
        format::payload_checksum(context_.uuid, object.meta.key, object.meta.sequence, payload) ==
            object.meta.payload_xxh3;
    if (!right) continue;  // torn, and never acknowledged
    objects_.add(segment, object.offset_bytes, object.meta, scopes);
    format::append_summary(appending.summary, {object.offset_bytes, object.meta});
  }
  appending.summary_reserve_bytes = appending.summary.size();
  appending.bytes_since_summary = segment.end_bytes - covered;
  out_.open_data.push_back(&segment);
}

// False: its objects are found by walking.
bool Recovery::take_walked_summary(const Found& found, std::uint64_t offset,
                                   const format::DecodedRecord& record,
                                   std::span<const std::byte> entries) {
  Segment& segment = *found.segment;
  Appending& appending = *segment.appending;
  if (appending.summary_lost) return false;
  if (record.previous_summary != appending.last_summary) {
    finding(segment, record.previous_summary, "summary: damaged, and the next one relies on it");
    appending.summary_lost = true;
    return false;
  }
  if (auto added = add_summary(segment, found.size_bytes, offset, entries); !added) {
    finding(segment, offset, "summary: " + added.error().message());
    appending.summary_lost = true;
    return false;
  }
  appending.last_summary = offset;
  return true;
}

// Not so: torn by the end of the process, and never acknowledged.
bool Recovery::is_whole(const format::DecodedRecord& record,
                        std::span<const std::byte> payload) const {
  return payload.size() == record.object.payload_bytes &&
         format::payload_checksum(context_.uuid, {}, record.object.sequence, payload) ==
             record.object.payload_xxh3;
}

Result<Recovered> Recovery::run() {
  if (auto read = read_ends(); !read) return fail(std::move(read.error()));
  read_metadata();
  read_data();
  std::ranges::reverse(out_.open_data);  // were in order of age
  return std::move(out_);
}

}  // namespace

Result<Recovered> recover(Context& context, bool clean) {
  return Recovery(context, clean).run();
}

}  // namespace fdpstore::core
