#include "core/victim_search.hpp"

#include <algorithm>

namespace fdpstore::core {
namespace {

// So many segments are looked at for each that is freed: at least, more where they hold few objects
// (choosing among those that seemed worst some time ago cost 1 to 2 points of hit ratio), and at
// most. Looking at one reads every entry.
constexpr std::size_t kLeastLooks = 32;
constexpr std::size_t kObjectsLookedAt = 4096;
constexpr std::size_t kMostLooks = 1024;
constexpr std::size_t kRandomLooks = 8;
// After a start nothing is known of any segment: the oldest are looked at first.
constexpr std::size_t kFirstLooks = 256;

}  // namespace

VictimSearch::VictimSearch(const Worth& worth, const std::vector<Segment*>& candidates,
                           std::minstd_rand& random)
    : worth_(worth), random_(random) {
  known_.reserve(candidates.size());
  for (Segment* segment : candidates) {
    if (segment->worth_known_at != 0) {
      known_.emplace_back(0, segment);
    } else if (unknown_.size() < kFirstLooks) {
      unknown_.push_back(segment);
    }
  }
}

bool VictimSearch::go_on(std::size_t objects) {
  while (true) {
    if (!look_) {
      Segment* segment = next();
      if (segment == nullptr) return true;
      look_.emplace(worth_, *segment);
    }
    if (!look_->go_on(objects)) return false;
    const Worth::Sum sum = worth_.sum_up(*look_);
    worth_.remember(look_->segment(), sum);
    if (in_order_ && sum.worth < least_) {
      best_ = &look_->segment();
      least_ = sum.worth;
    }
    look_.reset();
  }
}

Segment* VictimSearch::next() {
  if (!unknown_.empty()) {
    Segment* segment = unknown_.back();
    unknown_.pop_back();
    known_.emplace_back(0, segment);
    return segment;
  }
  if (!in_order_) put_in_order();
  if (next_ < most_ && (next_ < kLeastLooks || objects_ < kObjectsLookedAt)) {
    Segment* segment = known_[next_++].second;
    objects_ += segment->entries.size();
    return segment;
  }
  if (random_looks_ == kRandomLooks || next_ == known_.size()) return nullptr;
  ++random_looks_;
  return known_[next_ + random_() % (known_.size() - next_)].second;
}

void VictimSearch::put_in_order() {
  in_order_ = true;
  for (auto& [guess, segment] : known_) guess = worth_.guess(*segment);
  most_ = std::min(known_.size(), kMostLooks);
  std::partial_sort(known_.begin(), known_.begin() + static_cast<std::ptrdiff_t>(most_),
                    known_.end(), [](const auto& a, const auto& b) {
                      return std::pair(a.first, a.second->sequence) <
                             std::pair(b.first, b.second->sequence);
                    });
}

}  // namespace fdpstore::core
