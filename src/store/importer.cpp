#include "store/importer.hpp"

#include <algorithm>
#include <filesystem>
#include <future>

#include <fmt/format.h>

#include "format/codec.hpp"

namespace fdpstore::store {
namespace {

constexpr std::size_t kPageKeys = 1024;
constexpr std::size_t kBatchObjects = 256;
constexpr std::uint64_t kBatchBytes = 32U << 20;

// Of an object: its header, and on the average half a block that it does not fill.
constexpr std::uint64_t kRecordOverheadBytes = format::kBlockBytes * 3 / 2;

constexpr std::uint64_t pages(std::uint64_t bytes) {
  constexpr std::uint64_t kPage = io::AlignedBuffer::kAlignBytes;
  return (bytes + kPage - 1) / kPage * kPage;
}

std::vector<KeyRef> refs(const std::vector<ListedKey>& keys) {
  std::vector<KeyRef> out;
  out.reserve(keys.size());
  for (const ListedKey& one : keys) out.push_back(one.key.ref());
  return out;
}

std::string reason(const TaskResult& result) {
  return result.error ? result.error->message() : "it failed";
}

void add_problem(ImportReport& report, const ListedKey& object, std::string what) {
  ++report.failed_objects;
  if (report.problems.size() >= kMaxImportProblems) return;
  report.problems.push_back({object, std::move(what)});
}

Result<void> make_room(io::AlignedBuffer& buffer, std::uint64_t bytes) {
  if (buffer.size() >= bytes) return {};
  auto made = io::AlignedBuffer::make({.size_bytes = std::max(bytes, kBatchBytes)});
  if (!made) return fail(std::move(made.error()));
  buffer = std::move(*made);
  return {};
}

}  // namespace

// ----------------------------------------------------------------------------------------- survey

Result<void> Importer::survey(ImportReport& report) {
  Missing missing;
  std::string cursor;
  do {
    const auto page = source_.list(cursor, kPageKeys, "");
    if (!page) return fail(page.error());
    const auto there = lookup_and_wait(destination_, refs(page->keys));
    if (!there) return fail(there.error());
    for (std::size_t i = 0; i < page->keys.size(); ++i) {
      const std::uint64_t bytes = page->keys[i].bytes;
      ++report.objects;
      report.bytes += bytes;
      if (there->keys[i] == KeyStatus::hit) continue;
      ++missing.objects;
      missing.bytes += bytes;
      missing.record_bytes += format::record_bytes(bytes);
      if (bytes > options_.max_object_bytes) {
        return fail(
            Errc::too_large,
            fmt::format("{} holds objects of {} bytes, {} takes at most max_object_bytes = "
                        "{}: make it with a larger max_object_bytes",
                        report.source, bytes, report.destination, options_.max_object_bytes));
      }
    }
    cursor = page->next;
  } while (!cursor.empty());
  return check_room(report, missing);
}

Result<void> Importer::check_room(const ImportReport& report, const Missing& missing) const {
  const StoreInfo info = destination_.status().info;
  if (info.max_live_bytes != 0 && missing.objects != 0) {
    // On disk, with headers. What does not fit behind a segment's last object begins the next one.
    const double mean =
        static_cast<double>(missing.record_bytes) / static_cast<double>(missing.objects);
    const double fit = options_.segment_bytes == 0
                           ? 1.0
                           : std::max(0.25, 1 - mean / static_cast<double>(options_.segment_bytes));
    const double room = static_cast<double>(info.max_live_bytes) * fit;
    const auto needed = static_cast<double>(
        info.live_bytes + info.live_objects * kRecordOverheadBytes + missing.record_bytes);
    if (needed <= room) return {};
    // A sixteenth of the segments may be open, one is begun, and the capacity is no multiple.
    const auto more = static_cast<std::uint64_t>((needed - room) / fit * 17 / 16) +
                      2 * options_.segment_bytes + 1;
    return fail(Errc::no_space,
                fmt::format("{} is too small: {} objects are to come, which take {} bytes, and it "
                            "has room for {}; raise capacity_bytes from {} by {}, or import into "
                            "another store",
                            report.destination, missing.objects, missing.record_bytes,
                            static_cast<std::uint64_t>(std::max(
                                0.0, room - (needed - static_cast<double>(missing.record_bytes)))),
                            info.capacity_bytes, more));
  }
  std::error_code unknown;
  const auto space = std::filesystem::space(info.path, unknown);
  // What is removed from the source may make room as it goes.
  if (unknown || options_.remove || missing.bytes <= space.available) return {};
  return fail(
      Errc::no_space,
      fmt::format("{}: {} objects of {} bytes are to come, and its file system has {} bytes "
                  "free: free {} bytes, or import into another file system",
                  report.destination, missing.objects, missing.bytes, space.available,
                  missing.bytes - space.available));
}

// ---------------------------------------------------------------------------------------- reading

Result<std::vector<bool>> Importer::wanted(const std::vector<ListedKey>& keys) {
  std::vector<bool> result(keys.size(), true);
  if (options_.verify || keys.empty()) return result;
  const auto there = lookup_and_wait(destination_, refs(keys));
  if (!there) return fail(there.error());
  for (std::size_t i = 0; i < keys.size(); ++i) result[i] = there->keys[i] != KeyStatus::hit;
  return result;
}

Result<void> Importer::next_page() {
  auto page = source_.list(*cursor_, kPageKeys, "");
  if (!page) return fail(std::move(page.error()));
  page_ = std::move(page->keys);
  std::ranges::reverse(page_);
  cursor_.reset();
  if (!page->next.empty()) cursor_ = std::move(page->next);
  return {};
}

// Takes keys off the page until the batch is full, or the page is used up.
Result<void> Importer::choose(Batch& batch) {
  if (page_.empty() && cursor_) {
    if (auto next = next_page(); !next) return next;
  }
  std::vector<ListedKey> keys;
  std::uint64_t bytes = 0;
  while (!page_.empty() && keys.size() < kBatchObjects) {
    bytes += pages(page_.back().bytes);
    if (!keys.empty() && bytes > kBatchBytes) break;
    keys.push_back(std::move(page_.back()));
    page_.pop_back();
  }
  batch.last = page_.empty() && !cursor_;
  const auto chosen = wanted(keys);
  if (!chosen) return fail(chosen.error());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if ((*chosen)[i]) {
      batch.objects.push_back(std::move(keys[i]));
    } else {
      ++batch.skipped_objects;
      batch.skipped_bytes += keys[i].bytes;
    }
  }
  return {};
}

Result<Importer::Batch> Importer::read_batch(io::AlignedBuffer buffer) {
  Batch batch;
  batch.buffer = std::move(buffer);
  if (auto chosen = choose(batch); !chosen) return fail(std::move(chosen.error()));
  if (batch.objects.empty()) return batch;
  std::uint64_t bytes = 0;
  for (const ListedKey& one : batch.objects) bytes += pages(one.bytes);
  if (auto room = make_room(batch.buffer, bytes); !room) return fail(std::move(room.error()));
  std::vector<GetItem> gets;
  std::uint64_t at = 0;
  for (const ListedKey& one : batch.objects) {
    batch.places.push_back(batch.buffer.span().subspan(at, one.bytes));
    gets.push_back({one.key.ref(), batch.places.back()});
    at += pages(one.bytes);
  }
  auto loaded = get_and_wait(source_, gets);
  if (!loaded) return fail(std::move(loaded.error()));
  batch.loaded = std::move(*loaded);
  return batch;
}

// ---------------------------------------------------------------------------------------- writing

Result<void> Importer::run(ImportReport& report, const ImportProgress& progress) {
  auto batch = read_batch({});
  io::AlignedBuffer spare;
  while (true) {
    if (!batch) return fail(std::move(batch.error()));
    std::future<Result<Batch>> reading;
    if (!batch->last) {
      reading = std::async(std::launch::async, [this, buffer = std::move(spare)]() mutable {
        return read_batch(std::move(buffer));
      });
    }
    // When it fails, the future waits for the other thread.
    if (auto written = write_batch(*batch, report); !written) return written;
    if (progress && !progress(report) && !batch->last) {
      report.interrupted = true;
      return {};
    }
    if (batch->last) return {};
    spare = std::move(batch->buffer);
    batch = reading.get();
  }
}

Result<TaskResult> Importer::put(const Batch& batch, const Indices& which) {
  std::vector<PutItem> items;
  for (const std::size_t i : which) {
    items.push_back({batch.objects[i].key.ref(), batch.places[i], {}, {}});
  }
  return put_and_wait(destination_, items);
}

// What was read goes to the destination; `outcome` says how that went.
Result<void> Importer::put_loaded(Batch& batch, ImportReport& report) {
  Indices good;
  for (std::size_t i = 0; i < batch.objects.size(); ++i) {
    if (batch.loaded.keys[i] == KeyStatus::hit) {
      good.push_back(i);
    } else {
      add_problem(report, batch.objects[i],
                  batch.loaded.keys[i] == KeyStatus::failed
                      ? "reading it from the source: " + reason(batch.loaded)
                      : "its bytes in the source fail their checks, or are gone");
    }
  }
  if (good.empty()) return {};
  const auto result = put(batch, good);
  if (!result) return fail(result.error());
  for (std::size_t n = 0; n < good.size(); ++n) {
    batch.outcome[good[n]] = result->keys[n];
    if (result->keys[n] != KeyStatus::failed) continue;
    add_problem(report, batch.objects[good[n]], "the destination: " + reason(*result));
  }
  if (!std::ranges::all_of(result->keys, [](KeyStatus s) { return s == KeyStatus::failed; })) {
    return {};
  }
  // It is full, or broken: the next batch would fare no better.
  return fail({result->error ? result->error->code : make_error_code(Errc::no_space),
               fmt::format("{} takes no more after {} of {} objects ({}); mend that, and start "
                           "again to go on",
                           report.destination, report.copied_objects + report.present_objects,
                           report.objects, reason(*result))});
}

Result<void> Importer::write_batch(Batch& batch, ImportReport& report) {
  batch.outcome.assign(batch.objects.size(), KeyStatus::miss);
  if (auto put = put_loaded(batch, report); !put) return put;
  if (options_.verify) {
    if (auto same = verify(batch, report); !same) return same;
  }
  report.seen_objects += batch.skipped_objects + batch.objects.size();
  report.seen_bytes += batch.skipped_bytes;
  report.present_objects += batch.skipped_objects;
  report.present_bytes += batch.skipped_bytes;
  for (std::size_t i = 0; i < batch.objects.size(); ++i) {
    const std::uint64_t bytes = batch.objects[i].bytes;
    report.seen_bytes += bytes;
    if (batch.outcome[i] == KeyStatus::stored) {
      ++report.copied_objects;
      report.copied_bytes += bytes;
    } else if (batch.outcome[i] == KeyStatus::present) {
      ++report.present_objects;
      report.present_bytes += bytes;
    }
  }
  report.dropped_objects += destination_.take_dropped().size();
  return options_.remove ? remove(batch, report) : Result<void>{};
}

// Those of `which` that come back as they are count as verified; misses are returned.
Result<Importer::Indices> Importer::read_back(Batch& batch, const Indices& which,
                                              ImportReport& report) {
  if (auto room = make_room(back_, batch.buffer.size()); !room) return fail(room.error());
  std::vector<GetItem> gets;
  for (const std::size_t i : which) {
    const auto at = static_cast<std::size_t>(batch.places[i].data() - batch.buffer.data());
    gets.push_back({batch.objects[i].key.ref(), back_.span().subspan(at, batch.places[i].size())});
  }
  Indices misses;
  if (which.empty()) return misses;
  const auto result = get_and_wait(destination_, gets);
  if (!result) return fail(result.error());
  for (std::size_t n = 0; n < which.size(); ++n) {
    const std::size_t i = which[n];
    if (result->keys[n] != KeyStatus::hit) {
      misses.push_back(i);
    } else if (std::ranges::equal(gets[n].buffer, batch.places[i])) {
      ++report.verified_objects;
    } else {
      batch.outcome[i] = KeyStatus::failed;
      add_problem(report, batch.objects[i], "the destination holds other bytes under its key");
    }
  }
  return misses;
}

Result<void> Importer::verify(Batch& batch, ImportReport& report) {
  Indices there;
  for (std::size_t i = 0; i < batch.objects.size(); ++i) {
    const KeyStatus outcome = batch.outcome[i];
    if (outcome == KeyStatus::stored || outcome == KeyStatus::present) there.push_back(i);
  }
  const auto lost = read_back(batch, there, report);
  if (!lost) return fail(lost.error());
  if (lost->empty()) return {};
  // A damaged copy that was there before is gone once it was read: a good one can take its place.
  const auto repeated = put(batch, *lost);
  if (!repeated) return fail(repeated.error());
  for (std::size_t n = 0; n < lost->size(); ++n) {
    if (repeated->keys[n] == KeyStatus::stored) batch.outcome[(*lost)[n]] = KeyStatus::stored;
  }
  const auto still = read_back(batch, *lost, report);
  if (!still) return fail(still.error());
  for (const std::size_t i : *still) {
    batch.outcome[i] = KeyStatus::failed;
    add_problem(report, batch.objects[i],
                "it cannot be read back from the destination (damaged, or of another size there)");
  }
  return {};
}

// Only what was verified.
Result<void> Importer::remove(const Batch& batch, ImportReport& report) {
  std::vector<KeyRef> keys;
  for (std::size_t i = 0; i < batch.objects.size(); ++i) {
    const KeyStatus outcome = batch.outcome[i];
    if (outcome != KeyStatus::stored && outcome != KeyStatus::present) continue;
    keys.push_back(batch.objects[i].key.ref());
  }
  if (keys.empty()) return {};
  const auto erased = source_.erase(keys);
  if (!erased) return fail(erased.error());
  for (const auto& size : *erased) report.removed_objects += size.has_value() ? 1 : 0;
  return {};
}

}  // namespace fdpstore::store
