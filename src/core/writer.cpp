#include "core/writer.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>

#include <fmt/format.h>

#include "core/writer_impl.hpp"

namespace fdpstore::core {
namespace {

using format::kBlockBytes;

// Small records travel together; more per write gains nothing, and makes the first wait.
constexpr std::uint64_t kBatchBytes = 2U << 20;
// A summary at least this often, so that little is walked after a crash.
constexpr std::uint64_t kSummaryIntervalBytes = 64U << 20;
constexpr std::uint64_t kMinWindowBytes = 128U << 20;
constexpr std::size_t kMaxOpenPrompts = 256;

std::span<const std::byte> zero_block() {
  alignas(kBlockBytes) static const std::byte zeros[kBlockBytes]{};
  return zeros;
}

}  // namespace

Writer::Writer(Context& context) : context_(context) {}
Writer::~Writer() = default;

std::uint64_t Writer::window_bytes(const Options& options) {
  return std::max(kMinWindowBytes, 2 * format::record_bytes(options.max_object_bytes));
}

bool Writer::fits(const Segment& segment, const KeyRef& key, std::uint64_t payload_bytes) const {
  const Appending& appending = *segment.appending;
  const std::uint64_t summary = appending.summary_reserve_bytes + format::summary_bytes(key);
  return !appending.failed &&
         segment.end_bytes + format::record_bytes(payload_bytes) + closing_bytes(summary) <=
             context_.segments.segment_bytes();
}

bool Writer::may_append(const Segment& segment) const {
  const auto& window = segment.appending->window;
  return window.empty() || segment.end_bytes - window.front().offset_bytes +
                                   format::record_bytes(context_.options.max_object_bytes) <=
                               window_bytes(context_.options);
}

Segment** Writer::slot_for(const SegmentUse& use) {
  if (use.prompt.value != 0) return &by_prompt_[use.prompt.value];
  if (by_handle_.size() <= use.handle) by_handle_.resize(use.handle + 1);
  return &by_handle_[use.handle];
}

Result<Segment*> Writer::room(const SegmentUse& use, const KeyRef& key, std::uint64_t payload_bytes,
                              Purpose purpose) {
  if (Segment* current = *slot_for(use); current != nullptr) {
    const std::uint64_t reserve = purpose == Purpose::store ? kStoreReserve : 1;
    // Its entry may be the first of the summary, which then takes two blocks.
    const bool space = use.prompt.value == 0 || context_.segments.available_bytes() >=
                                                    reserve * context_.segments.segment_bytes() +
                                                        format::record_bytes(payload_bytes) +
                                                        2 * kBlockBytes;
    if (fits(*current, key, payload_bytes)) {
      if (space) return current;
      return fail(Errc::no_space, "");
    }
    seal(*current);
  }
  // slot_for() has added the new one already.
  if (by_prompt_.size() > kMaxOpenPrompts) seal_oldest_prompt();
  auto opened = open_segment(use, purpose);
  if (!opened) {
    if (use.prompt.value != 0) by_prompt_.erase(use.prompt.value);
    return opened;
  }
  *slot_for(use) = *opened;
  return opened;
}

Result<Segment*> Writer::open_segment(const SegmentUse& use, Purpose purpose) {
  const bool grown = use.prompt.value != 0;
  // A medium that was full a moment ago is asked again: without metadata nothing can be freed.
  if (purpose == Purpose::metadata) context_.segments.restore_budget();
  const std::uint64_t reserve =
      purpose == Purpose::store ? kStoreReserve : (purpose == Purpose::survivor ? 1 : 0);
  if (context_.segments.available_segments() <= reserve) return fail(Errc::no_space, "");
  Segment* segment = context_.segments.take(use, grown);
  if (segment == nullptr) return fail(Errc::no_space, "");
  if (auto made = context_.backend.allocate(segment->id, use); !made) {
    context_.segments.give_up(*segment);
    if (made.error().code == std::errc::no_space_on_device) context_.segments.shrink_budget();
    return fail(std::move(made.error()));
  }
  segment->appending->last_append_s = context_.now_s();
  write_header(*segment);
  return segment;
}

void Writer::write_header(Segment& segment) {
  format::SegmentHeader header;
  header.kind = static_cast<std::uint16_t>(segment.use.metadata ? format::SegmentKind::metadata
                                                                : format::SegmentKind::data);
  header.segment = segment.id.value;
  header.sequence = segment.sequence;
  header.uuid = context_.uuid;
  header.handle = segment.use.handle;
  header.prompt = segment.use.prompt.value;
  header.lifetime = static_cast<std::uint8_t>(segment.use.lifetime);
  Buffer block = context_.blocks.take();
  format::encode(header, block.span());
  if (segment.use.prompt.value != 0) {
    context_.segments.grow(segment, kBlockBytes);
    context_.segments.promise(segment, kBlockBytes);
  }
  context_.counters.host_written_bytes += kBlockBytes;
  in_flight_bytes_ += kBlockBytes;
  const std::vector<iovec> spans = {as_iovec(block.span())};
  context_.io.write(segment.id, 0, spans,
                    [this, &segment, kept = std::move(block)](std::error_code error) mutable {
                      context_.blocks.give(std::move(kept));
                      in_flight_bytes_ -= kBlockBytes;
                      // Records that a flush has saved are lost with a header that it has not.
                      if (!error && context_.options.durability == Durability::device) {
                        context_.io.flush(segment.id, [this, &segment](std::error_code flushed) {
                          header_done(segment, flush_result(segment, flushed));
                        });
                      } else {
                        header_done(segment, error);
                      }
                    });
}

void Writer::header_done(Segment& segment, std::error_code error) {
  Appending& appending = *segment.appending;
  appending.header_done = true;
  appending.header_error = error;
  if (error) {
    appending.failed = segment.faulty = segment.headless = true;
    if (!segment.use.metadata) context_.segments.mark_for_rewrite(segment);
  }
  for (auto& waiting : std::exchange(appending.after_header, {})) waiting(error);
  if (segment.state == SegmentState::sealing) continue_sealing(segment);
}

void Writer::append(Segment& segment, Append record) {
  Appending& appending = *segment.appending;
  InFlightRecord item;
  item.offset_bytes = segment.end_bytes;
  const std::uint64_t bytes = format::record_bytes(record.payload.size());
  std::unique_ptr<Batch>& batch = batches_[segment.id.value];
  if (batch && (batch->bytes + bytes > kBatchBytes ||
                batch->spans.size() + 3 > context_.backend.geometry().max_spans)) {
    write_batch(segment);
    context_.io.submit();  // the device is at it while the next checksum is computed
  }
  item.placed.location = {segment.id, segment.end_bytes, record.payload.size()};
  item.append = std::move(record);
  Buffer header = context_.blocks.take();
  const std::span<std::byte> block = header.span();
  const bool header_last = bytes > kBatchBytes && has_checksum(item.append);
  if (!header_last) describe(segment, item, block);

  appending.window.push_back({segment.end_bytes, false});
  appending.bytes_since_summary += bytes;
  appending.last_append_s = context_.now_s();

  if (!batch) {
    batch = std::make_unique<Batch>();
    batch->segment = &segment;
    batch->offset_bytes = segment.end_bytes;
  }
  batch->spans.push_back(as_iovec(block));
  batch->blocks.push_back(std::move(header));
  gather(*batch, item);
  batch->bytes += bytes;
  batch->records.push_back(std::move(item));
  InFlightRecord& added = batch->records.back();
  segment.end_bytes += bytes;
  in_flight_bytes_ += bytes;
  if (header_last) write_batch(segment, [&] { describe(segment, added, block); });
  if (segment.use.prompt.value != 0) {
    context_.segments.grow(segment, bytes);
    context_.segments.promise(segment, closing_bytes(appending.summary_reserve_bytes));
  }
  if (appending.bytes_since_summary >= kSummaryIntervalBytes && !segment.use.metadata) {
    write_summary(segment);
  }
}

bool Writer::has_checksum(const Append& record) const {
  return record.kind == format::RecordKind::object && context_.options.checksum &&
         record.payload.data() != nullptr;
}

// Computes the checksum, encodes the header, adds the object to the next summary.
void Writer::describe(const Segment& segment, InFlightRecord& record, std::span<std::byte> header) {
  const Append& append = record.append;
  Appending& appending = *segment.appending;
  const format::Place place{context_.uuid, segment.id.value, segment.sequence, record.offset_bytes};
  if (append.kind == format::RecordKind::object) {
    format::ObjectMeta object = append.object;
    object.payload_bytes = append.payload.size();
    object.payload_xxh3 =
        has_checksum(append)
            ? format::payload_checksum(context_.uuid, object.key, object.sequence, append.payload)
            : 0;
    format::encode_object_header(place, object, header);
    format::append_summary(record.summary_entry, {record.offset_bytes, object});
    appending.summary_reserve_bytes += record.summary_entry.size();
    record.placed.checksum = object.payload_xxh3;
  } else {
    const bool summary = append.kind == format::RecordKind::summary;
    format::encode_record_header(place, append.kind, append.object.sequence,
                                 summary ? appending.last_summary : 0, append.payload, header);
  }
  record.append.object.key = {};
}

// Adds the payload, padded to whole blocks: as it lies where the backend can take it so.
void Writer::gather(Batch& batch, InFlightRecord& record) {
  const std::span<const std::byte> payload = record.append.payload;
  if (payload.empty()) return;
  if (payload.data() == nullptr) {  // a phantom
    batch.spans.push_back({nullptr, format::round_up_block(payload.size())});
    return;
  }
  const std::size_t align = context_.backend.geometry().memory_align_bytes;
  const std::size_t tail = payload.size() % kBlockBytes;
  if (align <= 1) {
    batch.spans.push_back(as_iovec(payload));
    if (tail != 0) batch.spans.push_back(as_iovec(zero_block().first(kBlockBytes - tail)));
    return;
  }
  if (reinterpret_cast<std::uintptr_t>(payload.data()) % align != 0) {
    Buffer copy(payload.size());
    std::memcpy(copy.data(), payload.data(), payload.size());
    std::memset(copy.data() + payload.size(), 0, copy.span().size() - payload.size());
    batch.spans.push_back(as_iovec(copy.span()));
    batch.blocks.push_back(std::move(copy));
    return;
  }
  if (payload.size() > tail) batch.spans.push_back(as_iovec(payload.first(payload.size() - tail)));
  if (tail != 0) {
    Buffer last = context_.blocks.take();
    std::memcpy(last.data(), payload.data() + payload.size() - tail, tail);
    std::memset(last.data() + tail, 0, kBlockBytes - tail);
    batch.spans.push_back(as_iovec(last.span()));
    batch.blocks.push_back(std::move(last));
  }
}

void Writer::write_batches() {
  for (auto& [id, batch] : batches_) {
    if (batch) write_batch(*batch->segment);
  }
}

// `make_header`: of its only record, which is large: while the device writes the payload.
void Writer::write_batch(Segment& segment, const std::function<void()>& make_header) {
  const auto it = batches_.find(segment.id.value);
  if (it == batches_.end() || !it->second) return;
  std::unique_ptr<Batch> batch = std::move(it->second);
  context_.counters.host_written_bytes += batch->bytes;
  const std::uint64_t offset_bytes = batch->offset_bytes;
  const std::vector<iovec> spans = std::move(batch->spans);
  auto done = [this, kept = std::move(batch)](std::error_code error) {
    batch_done(std::move(*kept), error);
  };
  context_.io.write(segment.id, offset_bytes, spans, std::move(done), make_header);
}

void Writer::batch_done(Batch batch, std::error_code error) {
  Segment& segment = *batch.segment;
  Appending& appending = *segment.appending;
  in_flight_bytes_ -= batch.bytes;
  context_.write_error = error;
  for (Buffer& block : batch.blocks) context_.blocks.give(std::move(block));
  if (error) {
    appending.failed = segment.faulty = true;
    // Until it is sealed without these records. The metadata log replaces its segment by itself.
    if (!segment.use.metadata) context_.segments.mark_for_rewrite(segment);
  }
  if (error || context_.options.durability != Durability::device) {
    written(std::move(batch), error);
    return;
  }
  ++appending.flushes;
  context_.io.flush(segment.id,
                    [this, &segment, kept = std::move(batch)](std::error_code flushed) mutable {
                      --segment.appending->flushes;
                      written(std::move(kept), flush_result(segment, flushed));
                    });
}

// As safe as the store's durability asks for, or failed.
void Writer::written(Batch batch, std::error_code error) {
  Segment& segment = *batch.segment;
  Appending& appending = *segment.appending;
  for (InFlightRecord& record : batch.records) {
    const auto it = std::ranges::lower_bound(appending.window, record.offset_bytes, {},
                                             &Appending::InFlight::offset_bytes);
    it->done = true;
    if (error) continue;
    appending.summary.insert(appending.summary.end(), record.summary_entry.begin(),
                             record.summary_entry.end());
  }
  while (!appending.window.empty() && appending.window.front().done) appending.window.pop_front();

  auto finish = [this, kept = std::move(batch), error](std::error_code header_error) mutable {
    const std::error_code failed = error ? error : header_error;
    for (InFlightRecord& record : kept.records) {
      if (failed) {
        record.append.done(
            fail(Error{failed, fmt::format("writing to {}", context_.backend.describe())}));
      } else {
        record.append.done(record.placed);
      }
    }
  };
  if (appending.header_done) {
    finish(appending.header_error);
  } else {
    appending.after_header.push_back(std::move(finish));
  }
  if (segment.state == SegmentState::sealing) continue_sealing(segment);
}

// A flush that failed may have dropped what later ones were to save, and the kernel tells it once.
std::error_code Writer::flush_result(Segment& segment, std::error_code flushed) {
  Appending& appending = *segment.appending;
  if (flushed && !appending.flush_error) {
    appending.flush_error = flushed;
    appending.failed = segment.faulty = true;
    if (!segment.use.metadata) context_.segments.mark_for_rewrite(segment);
  }
  return appending.flush_error;
}

bool Writer::resume(Segment& segment) {
  Appending& appending = *segment.appending;
  if (!appending.header_done || appending.header_error || !appending.window.empty()) return false;
  appending.failed = false;
  appending.flush_error = {};
  return true;
}

// Entries of records that are on the medium. Records still in flight will be in the next one, so
// the summary says from which offset on start-up has to look for itself.
void Writer::write_summary(Segment& segment) {
  Appending& appending = *segment.appending;
  if (appending.summary.empty()) return;
  std::vector<std::byte> entries = std::exchange(appending.summary, {});
  appending.summary_reserve_bytes -= entries.size();
  appending.bytes_since_summary = 0;
  Append record;
  record.kind = format::RecordKind::summary;
  record.object.sequence =
      appending.window.empty() ? segment.end_bytes : appending.window.front().offset_bytes;
  record.owned = Buffer(entries.size());
  std::memcpy(record.owned.data(), entries.data(), entries.size());
  record.payload = record.owned.span().first(entries.size());
  record.done = [&appending](Result<Placed> placed) {
    if (!placed) appending.summary_lost = true;
  };
  const std::uint64_t offset = segment.end_bytes;
  append(segment, std::move(record));
  appending.last_summary = offset;
}

}  // namespace fdpstore::core
