#include "core/segments.hpp"

#include <algorithm>
#include <cassert>
#include <iterator>

namespace fdpstore::core {

std::string_view to_string(SegmentState state) {
  switch (state) {
    case SegmentState::absent: return "absent";
    case SegmentState::free: return "free";
    case SegmentState::open: return "open";
    case SegmentState::sealing: return "sealing";
    case SegmentState::sealed: return "sealed";
    case SegmentState::reclaiming: return "reclaiming";
  }
  return "?";
}

Segments::Segments(const Geometry& geometry, bool fixed_size, std::uint64_t budget_bytes)
    : segment_bytes_(geometry.segment_bytes),
      max_segments_(geometry.max_segments),
      fixed_size_(fixed_size),
      budget_(budget_bytes),
      full_budget_(budget_bytes) {}

Segment& Segments::at(SegmentId id) {
  assert(id.value < table_.size() && table_[id.value] != nullptr);
  return *table_[id.value];
}

Segment* Segments::find(SegmentId id) {
  return id.value < table_.size() ? table_[id.value].get() : nullptr;
}

void Segments::add_dead(Segment& segment, DeadCopy copy, std::uint64_t record_bytes) {
  segment.dead.push_back(std::move(copy));
  segment.dead_bytes += record_bytes;
  dead_bytes_ += record_bytes;
}

void Segments::for_each(const std::function<void(Segment&)>& visit) {
  for (const auto& segment : table_) {
    if (segment != nullptr && segment->state != SegmentState::absent) visit(*segment);
  }
}

std::uint64_t Segments::available_bytes() const {
  const std::uint64_t fresh = unused_budget();
  // A part of a segment is of no use where all have one size.
  const std::uint64_t usable = fixed_size_ ? fresh / segment_bytes_ * segment_bytes_ : fresh;
  return usable + free_.size() * segment_bytes_;
}

Segment& Segments::adopt(SegmentId id, std::uint64_t allocated_bytes) {
  if (table_.size() <= id.value) table_.resize(id.value + 1);
  // Ids between that do not exist can be used.
  for (; never_used_ < id.value; ++never_used_) gone_.push_back(SegmentId{never_used_});
  never_used_ = std::max(never_used_, id.value + 1);
  table_[id.value] = std::make_unique<Segment>();
  Segment& segment = *table_[id.value];
  segment.id = id;
  segment.allocated_bytes = allocated_bytes;
  allocated_ += allocated_bytes;
  return segment;
}

void Segments::set_free(Segment& segment) {
  segment.state = SegmentState::free;
  if (segment.faulty) {
    free_.push_back(segment.id);
    ++faulty_free_;
  } else {
    free_.insert(free_.end() - static_cast<std::ptrdiff_t>(faulty_free_), segment.id);
  }
}

Segment* Segments::next_rewrite() {
  std::erase_if(rewrites_, [this](SegmentId id) {
    const Segment* segment = find(id);
    return segment == nullptr || !segment->rewrite;
  });
  return rewrites_.empty() ? nullptr : &at(rewrites_.front());
}

Segment* Segments::pop_free() {
  if (free_.empty()) return nullptr;
  Segment& segment = at(free_.front());
  free_.pop_front();
  if (segment.faulty) --faulty_free_;
  return &segment;
}

bool Segments::can_take_fresh() const {
  return unused_budget() >= segment_bytes_ && (!gone_.empty() || never_used_ < max_segments_);
}

Segment* Segments::take(const SegmentUse& use, bool grown) {
  SegmentId id;
  if (!grown && !free_.empty() && (faulty_free_ < free_.size() || !can_take_fresh())) {
    Segment& oldest = *pop_free();
    id = oldest.id;
    oldest.recycled = true;
  } else {
    if (!grown && unused_budget() < segment_bytes_) return nullptr;
    if (!gone_.empty()) {
      id = gone_.back();
      gone_.pop_back();
    } else if (never_used_ < max_segments_) {
      id = SegmentId{never_used_};
    } else {
      return nullptr;
    }
    Segment& fresh = adopt(id, grown ? 0 : segment_bytes_);
    fresh.state = SegmentState::absent;
  }
  Segment& segment = at(id);
  segment.state = SegmentState::open;
  segment.use = use;
  segment.sequence = next_sequence_++;
  segment.end_bytes = format::kBlockBytes;  // past the segment header
  segment.live_payload_bytes = 0;
  segment.live_objects = 0;
  segment.rewrite = segment.headless = false;
  segment.entries.clear();
  segment.appending = std::make_unique<Appending>();
  return &segment;
}

void Segments::grow(Segment& segment, std::uint64_t bytes) {
  segment.allocated_bytes += bytes;
  allocated_ += bytes;
}

void Segments::put_back(Segment& segment, bool released) {
  assert(segment.readers == 0 && segment.live_objects == 0);
  promise(segment, 0);
  segment.appending.reset();
  segment.rewrite = segment.unflushed = false;
  std::vector<EntryId>().swap(segment.entries);
  // A segment that waits to be rewritten may hold further copies of what was deleted here.
  if (Segment* other = next_rewrite(); other != nullptr) {
    std::ranges::move(segment.dead, std::back_inserter(other->dead));
    other->dead_bytes += std::exchange(segment.dead_bytes, 0);
  }
  std::vector<DeadCopy>().swap(segment.dead);
  dead_bytes_ -= std::exchange(segment.dead_bytes, 0);
  if (!released) {
    set_free(segment);
    return;
  }
  allocated_ -= segment.allocated_bytes;
  gone_.push_back(segment.id);
  const SegmentId id = segment.id;
  table_[id.value].reset();
}

void Segments::give_up(Segment& segment) {
  segment.headless = true;
  put_back(segment, !segment.recycled);
}

}  // namespace fdpstore::core
