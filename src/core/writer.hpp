// Writer: appends records to open segments, seals full ones, keeps their summaries.
//
// Thread:  the engine's.
// Owns:    open segments (one per data handle, one for metadata, one per open prompt), batches.
//          Borrows payloads until the record's callback has run.
// Units:   bytes of payload unless a name says otherwise.
// Errors:  a failed write fails the records of its batch, and the segment takes no more of them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/context.hpp"

namespace fdpstore::core {

struct Placed {
  Location location;
  std::uint64_t checksum = 0;
};

struct Append {
  format::RecordKind kind = format::RecordKind::object;
  format::ObjectMeta object;           // its key is used during append() only
  std::span<const std::byte> payload;  // valid until `done`
  Buffer owned;                        // memory of the payload, when nobody else keeps it
  std::move_only_function<void(Result<Placed>)> done;
};

// Who may use the reserve (DESIGN §2: kStoreReserve segments beyond the open ones).
enum class Purpose : std::uint8_t { store, survivor, metadata };

class Writer {
 public:
  using SegmentLost = std::function<void(Segment&, std::error_code)>;
  // Free segments that stores leave to survivors and metadata.
  static constexpr std::uint64_t kStoreReserve = 2;

  explicit Writer(Context& context);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Called when a sealed segment's bytes may not have reached the medium (fdatasync failed).
  void on_segment_lost(SegmentLost callback) { segment_lost_ = std::move(callback); }

  // The open segment for `use` with room for such a record, opened if need be. nullptr: no space
  // (Errc::no_space), or the backend could not make a segment (its error).
  [[nodiscard]] Result<Segment*> room(const SegmentUse& use, const KeyRef& key,
                                      std::uint64_t payload_bytes, Purpose purpose);
  void append(Segment& segment, Append record);
  // Whether more may be appended now: writes in flight are bounded, so that start-up knows how far
  // to look beyond a hole.
  [[nodiscard]] bool may_append(const Segment& segment) const;
  // Writes what append() has gathered.
  void write_batches();

  // No more records; written out, then sealed. A segment that lost everything may be freed instead.
  void seal(Segment& segment);
  // Seals prompt files that nobody has added to for `prompt_idle_s`.
  void seal_idle_prompts();
  // Seals the one that nobody has added to for longest; false when none is open.
  bool seal_oldest_prompt();
  // Takes up an open segment found at start-up. False: another one has its place.
  bool adopt(Segment& segment);
  // Summaries of everything open, for a clean close; then `footers` are complete.
  void write_summaries();
  [[nodiscard]] std::vector<format::SegmentFooter> footers() const;

  // A segment for the metadata log, outside the tables above.
  [[nodiscard]] Result<Segment*> open_segment(const SegmentUse& use, Purpose purpose);
  [[nodiscard]] bool fits(const Segment& segment, const KeyRef& key,
                          std::uint64_t payload_bytes) const;
  // A segment with a failed write takes records again, behind the place; for want of another one.
  // False: it cannot, or not yet.
  static bool resume(Segment& segment);
  [[nodiscard]] bool idle() const { return in_flight_bytes_ == 0 && sealing_ == 0; }
  [[nodiscard]] std::uint64_t in_flight_bytes() const { return in_flight_bytes_; }
  [[nodiscard]] std::size_t open_segments() const;
  // How far beyond a hole an acknowledged record can lie.
  static std::uint64_t window_bytes(const Options& options);

 private:
  struct InFlightRecord;
  struct Batch;

  Segment** slot_for(const SegmentUse& use);
  void forget(Segment& segment);
  void write_header(Segment& segment);
  void header_done(Segment& segment, std::error_code error);
  void write_summary(Segment& segment);
  [[nodiscard]] bool has_checksum(const Append& record) const;
  void describe(const Segment& segment, InFlightRecord& record, std::span<std::byte> header);
  void write_batch(Segment& segment, const std::function<void()>& make_header = {});
  void gather(Batch& batch, InFlightRecord& record);
  void batch_done(Batch batch, std::error_code error);
  std::error_code flush_result(Segment& segment, std::error_code flushed);
  void written(Batch batch, std::error_code error);
  void continue_sealing(Segment& segment);
  void sealed(Segment& segment, std::error_code error);

  Context& context_;
  SegmentLost segment_lost_;
  std::vector<Segment*> by_handle_;
  boost::unordered_flat_map<std::uint32_t, Segment*> by_prompt_;
  boost::unordered_flat_map<std::uint32_t, std::unique_ptr<Batch>> batches_;  // by segment
  std::uint64_t in_flight_bytes_ = 0;
  std::size_t sealing_ = 0;
};

}  // namespace fdpstore::core
