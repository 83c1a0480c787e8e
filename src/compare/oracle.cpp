#include "compare/oracle.hpp"

#include <algorithm>
#include <bit>

#include "compare/subject.hpp"

namespace fdpstore::compare {
namespace {
// Classes of PromptFacts: 1 + the waiting time's power of two; this one: never.
constexpr std::uint16_t kNeverClass = 100;
}  // namespace

void Oracle::tell(std::span<const std::uint64_t> next_uses, std::uint64_t position) {
  const std::lock_guard guard(mutex_);
  next_uses_ = next_uses;
  now_ = position;
}

void Oracle::on_lookup(std::span<const LookupKey> keys, double /*now_s*/) {
  const std::lock_guard guard(mutex_);
  for (std::size_t i = 0; i < keys.size() && i < next_uses_.size(); ++i) {
    known_[keys[i].digest] = {next_uses_[i], keys[i].use, static_cast<std::uint32_t>(i)};
  }
}

PromptFacts Oracle::facts(std::uint64_t digest) const {
  const std::lock_guard guard(mutex_);
  const auto it = known_.find(digest);
  if (it == known_.end()) return {};
  PromptFacts facts;
  facts.position = it->second.position;
  facts.use = it->second.use;
  facts.reuse_class =
      it->second.next == kNever
          ? kNeverClass
          : static_cast<std::uint16_t>(
                1 + std::bit_width(it->second.next - std::min(it->second.next, now_)));
  return facts;
}

double Oracle::reuse_chance(std::uint16_t reuse_class, std::uint32_t /*uses*/) const {
  if (reuse_class == 0 || reuse_class == kNeverClass) return 0;
  const std::lock_guard guard(mutex_);
  // Within one turnover for sure, then ever less.
  const double waits = static_cast<double>(std::uint64_t{1} << std::min<int>(reuse_class, 62)) /
                       static_cast<double>(live_objects_);
  return 1 / (1 + waits);
}

double Oracle::reuse_rate(const ReuseFacts& object) const {
  const std::lock_guard guard(mutex_);
  const auto it = known_.find(object.digest);
  if (it == known_.end() || it->second.next == kNever || it->second.next <= now_) return 0;
  return 1 / (1 + static_cast<double>(it->second.next - now_));
}

void Oracle::set_live_objects(std::uint64_t objects) {
  const std::lock_guard guard(mutex_);
  live_objects_ = std::max<std::uint64_t>(objects, 1);
}

}  // namespace fdpstore::compare
