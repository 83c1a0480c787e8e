// Engine: opening and closing.
#include <algorithm>
#include <chrono>

#include <fmt/format.h>

#include "core/engine.hpp"
#include "core/sizing.hpp"

namespace fdpstore::core {
namespace {

// Of a segment's sequence, what counts the segments begun since the store was opened.
constexpr unsigned kSequenceBits = 32;

}  // namespace

Result<void> Engine::start() {
  std::promise<Result<void>> ready;
  auto result = ready.get_future();
  thread_ = std::thread([this, ready = std::move(ready)]() mutable { run(std::move(ready)); });
  return result.get();
}

Result<void> Engine::open_on_thread() {
  const auto begin = std::chrono::steady_clock::now();
  bool created = false;
  first_statistics_ = backend_->statistics();
  auto superblock = read_superblock(created);
  if (!superblock) return fail(std::move(superblock.error()));
  superblock_ = *superblock;
  clean_start_ = superblock_.clean != 0;
  if (auto set = backend_->set_segment_bytes(superblock_.segment_bytes); !set) return set;

  const std::uint64_t total = segments_in(options_.capacity_bytes, superblock_.segment_bytes);
  if (total < kMinSegments) {
    return fail(
        Errc::invalid_option,
        fmt::format("capacity_bytes = {} is too small for {}: with segments of {} bytes at "
                    "least {} bytes are needed (one segment being written, one for "
                    "metadata, two in reserve); raise capacity_bytes{}",
                    options_.capacity_bytes, backend_->describe(), superblock_.segment_bytes,
                    kMinSegments * superblock_.segment_bytes + kOverheadBytes,
                    created ? ", or lower segment_bytes or max_object_bytes" : ""));
  }
  context_ =
      std::make_unique<Context>(options_, *backend_, options_.capacity_bytes - kOverheadBytes);
  context_->uuid = superblock_.uuid;
  if (auto made = make_parts(); !made) return made;

  auto recovered = recover(*context_, clean_start_);
  if (!recovered) return fail(std::move(recovered.error()));
  findings_ = std::move(recovered->findings);
  if (!recovered->policy_state.empty()) {
    (void)policy_->restore_state(recovered->policy_state);  // another policy's is of no use
    meta_->set_state(policy_->save_state());
  }
  saved_policy_version_ = policy_->state_version();
  if (!options_.read_only) {
    if (auto written = write_superblock(false); !written) return written;
    // Never the sequence of a life whose header a power cut has taken and whose records it has not:
    // they would count as records of the new one.
    context_->segments.note_sequence(superblock_.generation << kSequenceBits);
    if (auto taken = take_up(std::move(*recovered)); !taken) return taken;
  }
  open_seconds_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return {};
}

Result<format::Superblock> Engine::read_superblock(bool& created) {
  Buffer block(kSuperblockBytes);
  std::optional<format::Superblock> best;
  std::optional<Error> damage;
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    auto read = backend_->read_superblock(copy, block.span());
    if (!read) {
      if (read.error().code != Errc::not_found && !damage) damage = std::move(read.error());
      continue;
    }
    auto decoded = format::decode_superblock(block.span());
    if (!decoded) {
      if (!damage || decoded.error().code == Errc::version_mismatch) {
        damage = std::move(decoded.error());
      }
    } else if (!best || decoded->generation > best->generation) {
      best = *decoded;
    }
  }
  if (damage && damage->code == Errc::version_mismatch) {
    return fail(Errc::version_mismatch, fmt::format("{}: {}; open it with that version",
                                                    backend_->describe(), damage->what));
  }
  if (best && damage) {
    findings_.push_back({backend_->describe() + " superblock", damage->message(), false});
  }
  created = !best.has_value();
  if (best) {
    if (best->layout != static_cast<std::uint32_t>(options_.layout)) {
      return fail(Errc::invalid_option,
                  fmt::format("{} was made with layout = {}, not {}: open it with that layout, or "
                              "use another directory",
                              backend_->describe(), to_string(static_cast<Layout>(best->layout)),
                              to_string(options_.layout)));
    }
    if (options_.segment_bytes != 0 && options_.segment_bytes != best->segment_bytes) {
      return fail(Errc::invalid_option,
                  fmt::format("{} was made with segment_bytes = {}, which cannot be changed: leave "
                              "segment_bytes out",
                              backend_->describe(), best->segment_bytes));
    }
    if (format::record_bytes(options_.max_object_bytes) + kSegmentOverheadBytes >
        best->segment_bytes) {
      return fail(
          Errc::invalid_option,
          fmt::format("max_object_bytes = {} does not fit in the segments of {}, which are "
                      "of {} bytes: lower max_object_bytes",
                      options_.max_object_bytes, backend_->describe(), best->segment_bytes));
    }
    // Segments beyond it would come back with what was deleted meanwhile when it grows again.
    if (backend_->geometry().medium_bytes != 0 && !options_.read_only &&
        options_.capacity_bytes < best->capacity_bytes) {
      return fail(Errc::invalid_option,
                  fmt::format("{}: the store in it had {} bytes when it was last open and has {} "
                              "now, and a store on a device cannot shrink: restore the device's "
                              "size or capacity_bytes, or make a new store (fdpstore format "
                              "--force)",
                              backend_->describe(), best->capacity_bytes, options_.capacity_bytes));
    }
    return *best;
  }
  if (damage && !options_.format) {
    return fail(Errc::corrupt,
                fmt::format("{}: no valid superblock ({}); restore one of its copies, or give "
                            "format = true to begin an empty store here",
                            backend_->describe(), damage->message()));
  }
  if (options_.read_only) {
    return fail(Errc::not_found, backend_->describe() + " holds no store");
  }
  format::Superblock fresh;
  fresh.uuid = format::random_uuid();
  fresh.segment_bytes = options_.segment_bytes != 0
                            ? options_.segment_bytes
                            : default_segment_bytes(options_, backend_->geometry().unit_bytes);
  fresh.created_unix_s =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  fresh.layout = static_cast<std::uint32_t>(options_.layout);
  fresh.clean = 1;
  return fresh;
}

Result<void> Engine::write_superblock(bool clean) {
  superblock_.clean = clean ? 1 : 0;
  superblock_.capacity_bytes = options_.capacity_bytes;
  Buffer block(kSuperblockBytes);
  // Both copies, one after the other, each flushed: one is whole at any time.
  for (int i = 0; i < 2; ++i) {
    ++superblock_.generation;
    format::encode(superblock_, block.span());
    auto written =
        backend_->write_superblock(superblock_.generation % kSuperblockCopies, block.span());
    if (!written) return written;
  }
  return {};
}

Result<void> Engine::make_parts() {
  const std::uint64_t total = context_->segments.total_segments();
  const auto by_segments = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, total / 16));
  const std::uint32_t by_backend = std::max(1U, backend_->geometry().handles);
  data_handles_ = std::min(by_segments, by_backend);
  const std::string reason =
      by_segments < by_backend
          ? fmt::format("{} segments of {} bytes leave room for {} open ones (one in 16)", total,
                        superblock_.segment_bytes, by_segments)
          : fmt::format("{} has {} handles", backend_->describe(), by_backend);
  auto policy = make_policy_(data_handles_, reason);
  if (!policy) return fail(std::move(policy.error()));
  policy_ = std::move(*policy);
  streams_.resize(policy_->streams().size());
  for (const StreamSpec& stream : policy_->streams()) {
    if (!stream.merged_note.empty()) context_->warnings.push_back(stream.merged_note);
  }
  writer_ = std::make_unique<Writer>(*context_);
  writer_->on_segment_lost(
      [this](Segment& segment, std::error_code error) { on_segment_lost(segment, error); });
  reader_ = std::make_unique<Reader>(*context_);
  meta_ = std::make_unique<MetaLog>(
      *context_, *writer_,
      SegmentUse{.handle = policy_->metadata_separate() ? backend_->geometry().handles : 0,
                 .lifetime = policy_->metadata_lifetime(),
                 .metadata = true});
  reclaimer_ =
      std::make_unique<Reclaimer>(*context_, *writer_, *reader_, *meta_, *policy_, *lineage_);
  return {};
}

// Open segments are continued where they ended; what cannot be is sealed.
Result<void> Engine::take_up(Recovered recovered) {
  for (const auto* segments : {&recovered.metadata, &recovered.open_data}) {
    for (Segment* segment : *segments) {
      if (auto ok = backend_->reopen(segment->id, segment->use); !ok) return ok;
    }
  }
  if (auto flushed = flush_recovered(); !flushed) return flushed;
  if (recovered.metadata.empty()) {
    if (auto begun = begin_metadata(); !begun) {
      return fail(
          Error{begun.error().code, fmt::format("{}: no segment can be made for metadata: {}",
                                                backend_->describe(), begun.error().message())});
    }
  } else {
    meta_->adopt(*recovered.metadata.front());
    if (recovered.metadata.size() > 1) {
      meta_->replace({recovered.metadata.begin() + 1, recovered.metadata.end()});
    }
  }
  for (Segment* segment : recovered.open_data) {
    segment->appending->last_append_s = context_->now_s();
    const bool ended = segment->appending->summary_lost || segment->appending->has_footer;
    const bool usable = segment->use.prompt.value == 0 && segment->use.handle < data_handles_ &&
                        !ended && writer_->fits(*segment, {}, 1);
    if (!usable || !writer_->adopt(*segment)) writer_->seal(*segment);
  }
  context_->segments.for_each([this](Segment& segment) {
    const bool empty = segment.live_objects == 0 && segment.state == SegmentState::sealed;
    if (empty) context_->segments.note_emptied(segment.id);
  });
  release_surplus();
  drain([this] { return context_->io.in_flight() == 0 && writer_->idle(); });
  return {};
}

// What a killed process had written and not flushed was found by recovery: from now on it is in
// the store, so a power cut must not take it. Before anything is written that relies on it: a new
// metadata log does not tell of lives that were freed before those whose headers were found.
Result<void> Engine::flush_recovered() {
  if (options_.durability != Durability::device || clean_start_) return {};
  return flush_segments();
}

// A log that was lost leaves none free where the store was full: then the oldest segment goes.
Result<void> Engine::begin_metadata() {
  auto begun = meta_->begin();
  if (begun || begun.error().code != Errc::no_space) return begun;
  Segment* oldest = nullptr;
  context_->segments.for_each([&](Segment& segment) {
    if (segment.state != SegmentState::sealed) return;
    if (oldest == nullptr || segment.sequence < oldest->sequence) oldest = &segment;
  });
  if (oldest == nullptr) return begun;
  context_->warnings.push_back(
      fmt::format("the metadata log was lost, and for a new one the {} objects of segment {} were "
                  "given up",
                  oldest->live_objects, oldest->id.value));
  for (const EntryId id : std::vector<EntryId>(oldest->entries)) {
    const auto entry = context_->entry_in(*oldest, id, context_->now_ticks());
    if (!entry) continue;
    context_->remove_object(entry->key, true);
    context_->drop_object(entry->key, entry->state.location.payload_bytes);
  }
  context_->segments.put_back(*oldest, false);  // its old header goes with the new life's
  return meta_->begin();
}

// Free segments that the medium should get back: all where segments grow, else what is beyond the
// capacity.
void Engine::release_surplus() {
  Segments& segments = context_->segments;
  while (!backend_->capabilities().fixed_size_segments || segments.over_budget()) {
    Segment* segment = segments.pop_free();
    if (segment == nullptr) return;
    context_->io.free(segment->id, true, [&segments, segment](std::error_code error) {
      if (error) {
        segments.set_free(*segment);
      } else {
        segments.put_back(*segment, true);
      }
    });
  }
}

void Engine::drain(const std::function<bool()>& done) {
  while (!done()) {
    meta_->step();
    writer_->write_batches();
    context_->io.poll(std::chrono::milliseconds(100));
  }
}

Result<void> Engine::flush_segments() {
  std::error_code failed;
  bool all = false;  // done by the first flush
  context_->segments.for_each([&](Segment& segment) {
    const bool wanted = segment.state == SegmentState::open || segment.unflushed;
    if (!wanted || all) return;
    all = backend_->capabilities().flushes_all;
    context_->io.flush(segment.id, [&failed, &segment](std::error_code error) {
      if (error) failed = error;
      if (!error) segment.unflushed = false;
    });
  });
  drain([this] { return context_->io.in_flight() == 0; });
  if (failed) {
    return fail(Error{failed, backend_->describe() + ": what was stored last may not have reached "
                                                     "the device"});
  }
  return {};
}

Result<void> Engine::close_on_thread() {
  if (options_.read_only) return {};
  const auto quiet = [this] { return context_->io.in_flight() == 0 && writer_->idle(); };
  writer_->write_summaries();
  drain(quiet);
  std::error_code failed;
  meta_->write_footers(writer_->footers(), [&](std::error_code error) { failed = error; });
  drain([&] { return quiet() && meta_->idle(); });
  if (failed) {
    return fail(Error{failed, backend_->describe() +
                                  ": the metadata log could not be written; the next start will "
                                  "read open segments in full"});
  }
  if (auto flushed = flush_segments(); !flushed) return flushed;
  return write_superblock(true);
}

}  // namespace fdpstore::core
