// What a FaultBackend's device remembers, and how it ends.
#include <algorithm>
#include <array>
#include <cstring>

#include "support/fault_backend.hpp"

namespace fdpstore::test {

using format::kBlockBytes;

void FaultMedium::calm(bool on) {
  const std::lock_guard guard(mutex_);
  calm_ = on;
}

void FaultMedium::arm(Cut cut, std::uint64_t requests) {
  const std::lock_guard guard(mutex_);
  armed_ = cut;
  armed_in_ = requests;
}

void FaultMedium::cut(Cut cut) {
  const std::lock_guard guard(mutex_);
  cut_locked(cut);
}

bool FaultMedium::dead() const {
  const std::lock_guard guard(mutex_);
  return dead_;
}

void FaultMedium::revive() {
  const std::lock_guard guard(mutex_);
  dead_ = false;
  armed_ = Cut::none;
}

void FaultMedium::hold(bool on) {
  std::unique_lock lock(rest_mutex_);
  held_ = on;
  rest_.notify_all();
  if (on) rest_.wait_for(lock, std::chrono::seconds(5), [this] { return resting_; });
}

bool FaultMedium::quiet(std::chrono::seconds patience) {
  std::unique_lock lock(rest_mutex_);
  return rest_.wait_for(lock, patience, [this] { return resting_ && !woken_; });
}

std::set<std::uint32_t> FaultMedium::damaged() const {
  const std::lock_guard guard(mutex_);
  return damaged_;
}

std::set<std::uint32_t> FaultMedium::segments_of(const std::string& key) const {
  const std::lock_guard guard(mutex_);
  const auto it = copies_.find(key);
  return it == copies_.end() ? std::set<std::uint32_t>{} : it->second;
}

std::uint64_t FaultMedium::requests() const {
  const std::lock_guard guard(mutex_);
  return requests_;
}
std::uint64_t FaultMedium::injected() const {
  const std::lock_guard guard(mutex_);
  return injected_;
}
std::uint64_t FaultMedium::flushes() const {
  const std::lock_guard guard(mutex_);
  return flushes_;
}

bool FaultMedium::chance(std::uint32_t in_10000) {
  if (calm_ || in_10000 == 0 || random_() % 10000 >= in_10000) return false;
  ++injected_;
  return true;
}

bool FaultMedium::count_request() {
  ++requests_;
  return armed_ != Cut::none && (armed_in_ == 0 || --armed_in_ == 0);
}

void FaultMedium::cut_locked(Cut cut) {
  dead_ = true;
  armed_ = Cut::none;
  if (cut != Cut::power) return;
  // All that was not flushed goes, or some of it, or only a few blocks.
  constexpr std::array<std::uint64_t, 4> kLostIn100 = {100, 70, 30, 5};
  const std::uint64_t lost = kLostIn100[pick(kLostIn100.size())];
  for (auto& [id, segment] : segments_) {
    std::erase_if(segment.cache,
                  [&](const auto& entry) { return !entry.second->durable && pick(100) < lost; });
    for (auto& [offset, block] : segment.cache) block->durable = true;
  }
}

void FaultMedium::put(std::uint32_t segment, std::uint64_t offset, const std::byte* bytes,
                      bool durable) {
  Segment& to = segments_[segment];
  std::unique_ptr<Block>& block = to.cache[offset];
  if (!block) block = std::make_unique<Block>();
  std::memcpy(block->bytes.data(), bytes, kBlockBytes);
  block->durable = durable;
  to.written.insert(offset);
  to.end_bytes = std::max(to.end_bytes, offset + kBlockBytes);
}

void FaultMedium::note_record(std::uint32_t segment, const std::byte* block) {
  format::RecordHeader header;
  std::memcpy(&header, block, sizeof header);
  if (header.magic != format::kRecordMagic ||
      header.kind != static_cast<std::uint16_t>(format::RecordKind::object)) {
    return;
  }
  const auto* text = reinterpret_cast<const char*>(block) + sizeof header;
  std::string key(text, header.hash_bytes);
  key.append(text + header.hash_bytes + header.model_bytes, header.salt_bytes);
  copies_[key].insert(segment);
}

}  // namespace fdpstore::test
