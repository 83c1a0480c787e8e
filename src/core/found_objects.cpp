#include "core/found_objects.hpp"

#include <algorithm>
#include <span>
#include <system_error>
#include <thread>
#include <tuple>

namespace fdpstore::core {
namespace {

constexpr std::size_t kBatchObjects = 1U << 16;
constexpr std::size_t kObjectsPerThread = 1U << 13;  // fewer are not worth starting one
constexpr std::size_t kMaxThreads = 8;
constexpr std::uint64_t kGuessFactor = 16;  // no more room is made than for so many times as many

}  // namespace

void FoundObjects::add_tombstone(const Key& key, std::uint64_t sequence, std::uint32_t segment,
                                 std::uint64_t segment_sequence) {
  const std::size_t number = tombstones_.size();
  tombstones_.push_back({key, sequence, segment, segment_sequence});
  const auto [latest, is_first] = latest_.try_emplace(key, number);
  if (!is_first && sequence >= tombstones_[latest->second].sequence) latest->second = number;
}

void FoundObjects::add(Segment& segment, std::uint64_t offset_bytes,
                       const format::ObjectMeta& object, ScopeResolver& scopes) {
  context_.note_sequence(object.sequence);
  if (!format::check_key(object.key) || object.payload_bytes > UINT32_MAX) return;
  batch_.push_back({Key(scopes.intern(object.key), object.key.chunk_hash),
                    {.location = {segment.id, offset_bytes, object.payload_bytes},
                     .sequence = object.sequence,
                     .checksum = object.payload_xxh3,
                     .stream = object.stream,
                     .prompt = {.prompt = PromptId{object.prompt},
                                .position = object.position,
                                .seen_in = object.seen_in}}});
  if (is_deleted(batch_.back(), segment)) batch_.pop_back();
  ++told_;
  told_bytes_ += format::record_bytes(object.payload_bytes);
  if (batch_.size() >= kBatchObjects) begin_insertion();
}

// Where it is not the copy that the tombstone names, that is needed as long as this one is there.
bool FoundObjects::is_deleted(const Object& object, const Segment& segment) {
  if (latest_.empty()) return false;
  const auto latest = latest_.find(object.key);
  if (latest == latest_.end()) return false;
  const Tombstone& tomb = tombstones_[latest->second];
  if (tomb.sequence < object.state.sequence) return false;
  if (tomb.segment != segment.id.value || tomb.segment_sequence != segment.sequence) {
    tombstones_.push_back({object.key, tomb.sequence, segment.id.value, segment.sequence});
  }
  return true;
}

// Growing step by step, the index would hash most objects twice. How many there will be is guessed
// from those so far, which may be smaller than the others.
void FoundObjects::make_room() {
  if (told_ < next_guess_) return;
  const double share = static_cast<double>(expected_bytes_) / static_cast<double>(told_bytes_);
  const auto guess = static_cast<std::uint64_t>(static_cast<double>(told_) * share);
  context_.index.expect(std::min(guess, told_ * kGuessFactor));
  next_guess_ = told_ * kGuessFactor;
}

void FoundObjects::begin_insertion() {
  end_insertion();
  if (batch_.size() >= kBatchObjects) make_room();
  std::swap(batch_, inserting_);
  sort_by_place();
  const std::size_t count = order_.size();
  const std::size_t processors = std::max(1U, std::thread::hardware_concurrency());
  const std::size_t parts =
      std::clamp<std::size_t>(count / kObjectsPerThread, 1, std::min(kMaxThreads, processors));
  for (std::size_t part = 0; part < parts; ++part) {
    const std::size_t first = count * part / parts, last = count * (part + 1) / parts;
    const auto insert = [this, numbers = std::span(order_).subspan(first, last - first)] {
      context_.index.insert(inserting_, numbers);
    };
    if (count < kObjectsPerThread) {
      insert();
      continue;
    }
    try {
      threads_.emplace_back(insert);
    } catch (const std::system_error&) {  // the process may have no more threads
      insert();
    }
  }
}

// What is counted along with the index is the engine's.
void FoundObjects::end_insertion() {
  threads_.clear();  // waits for them
  for (const Object& object : inserting_) {
    if (!object.present) context_.count_object(object.key, object.state, object.id);
  }
  for (const Object& object : inserting_) {
    if (object.present) choose_copy(object);
  }
  inserting_.clear();
}

// Those of one part of the index after another, so that it is in the processor's caches.
void FoundObjects::sort_by_place() {
  std::vector<std::uint32_t> begin(context_.index.places() + 1);
  std::vector<std::uint32_t> place(inserting_.size());
  for (std::size_t i = 0; i < inserting_.size(); ++i) {
    place[i] = context_.index.place_of(inserting_[i].key);
    ++begin[place[i] + 1];
  }
  for (std::uint32_t i = 0; i < context_.index.places(); ++i) begin[i + 1] += begin[i];
  order_.resize(inserting_.size());
  for (std::uint32_t i = 0; i < inserting_.size(); ++i) order_[begin[place[i]]++] = i;
}

// Two copies: a reclaim, or a failed write, was cut short. The newer one counts, and the older
// one's segment goes first, so that it cannot come back when the newer one is deleted.
void FoundObjects::choose_copy(const Object& object) {
  const auto present = context_.index.find(object.key);
  const Location& one = object.state.location;
  const Location& other = present->state.location;
  if (one.segment == other.segment && one.offset_bytes == other.offset_bytes) return;  // told again
  Segment& segment = context_.segments.at(one.segment);
  Segment& other_segment = context_.segments.at(other.segment);
  // Re-insertion keeps an object's sequence: then the one in the later life is the newer one.
  const bool newer =
      std::tuple(object.state.sequence, segment.sequence, one.offset_bytes) >
      std::tuple(present->state.sequence, other_segment.sequence, other.offset_bytes);
  Segment& older = newer ? other_segment : segment;
  if (segment.id != other_segment.id) context_.segments.mark_for_rewrite(older);
  if (!newer) return;
  context_.remove_object(object.key, true);
  context_.add_object(object.key, object.state);
}

void FoundObjects::finish() {
  begin_insertion();
  end_insertion();
  std::vector<std::byte> encoded;
  for (Tombstone& t : tombstones_) {
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

}  // namespace fdpstore::core
