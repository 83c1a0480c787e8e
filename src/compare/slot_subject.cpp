// The slot store that LMCache 0.5.6's raw_block is, as far as it matters to a drive: slots of one
// size, objects evicted in LRU order, freed slots used again, last freed first, no deallocation.
// With FDP: the placement id by the cache salt's prefix, first come, first served; when none is
// left, no directive; with affinity a freed slot is used again for the same id where there is one.
// The drive is filled once in order before it is measured, as in LMCache PR #4016.
#include <algorithm>
#include <vector>

#include <fmt/format.h>
#include <boost/unordered/unordered_flat_map.hpp>

#include "compare/lru_list.hpp"
#include "compare/simulated.hpp"
#include "compare/subject.hpp"
#include "fdpstore/types.hpp"
#include "ftl/sim_device.hpp"

namespace fdpstore::compare {
namespace {

constexpr std::uint64_t kHeaderBytes = 4096;

class SlotSubject final : public SubjectUnderTest {
 public:
  SlotSubject(const Cell& cell, std::shared_ptr<ftl::SimDevice> device, std::uint64_t slot_bytes)
      : cell_(cell), device_(std::move(device)), slot_bytes_(slot_bytes) {
    const auto usable =
        static_cast<std::uint64_t>(static_cast<double>(device_->size_bytes()) * cell.utilisation);
    const std::uint64_t slots = usable / slot_bytes_;
    free_.resize(cell.subject == Subject::slots_affine ? cell.ruhs : 1);
    owner_.assign(slots, 0);
    for (std::uint64_t slot = slots; slot-- > 0;) free_[0].push_back(slot);
    for (std::uint64_t slot = 0; slot < slots; ++slot) write(slot, slot_bytes_, 0);
    written_ = 0;
  }

  fdpstore::Result<Outcome> run(const Request& request) override {
    using trace::OpKind;
    const trace::Op& op = *request.op;
    device_->clock().advance_to(request.time_s);
    Outcome outcome;
    if (op.kind == OpKind::erase) {
      for (const std::uint64_t key : request.keys) {
        if (list_.contains(key)) give(list_.remove(key).value);
      }
      return outcome;
    }
    bool leading = true;
    std::vector<std::uint64_t> missing;
    double loaded_s = 0;
    const double now_s = device_->clock().now_s();
    for (const std::uint64_t key : request.keys) {
      const bool present = list_.contains(key);
      leading = leading && present;
      outcome.leading += leading ? 1 : 0;
      outcome.present += present ? 1 : 0;
      if (!present) missing.push_back(key);
    }
    for (std::size_t i = request.keys.size(); i-- > 0;) {
      const LruList::Item* item = list_.touch(request.keys[i]);
      if (item == nullptr || i >= outcome.leading || op.kind == OpKind::store) continue;
      const iovec span{nullptr, op.object_bytes};
      loaded_s = std::max(loaded_s, device_->read(item->value * slot_bytes_, {&span, 1}));
    }
    if (loaded_s > 0) outcome.load_s = loaded_s - now_s;
    if (op.kind == OpKind::request || op.kind == OpKind::store) {
      double stored_s = 0;
      for (std::size_t i = missing.size(); i-- > 0;) {
        stored_s = std::max(stored_s, store(missing[i], op.object_bytes, *request.scope));
        ++outcome.stored;
      }
      if (stored_s > 0) outcome.store_s = stored_s - now_s;
    }
    device_->clock().advance_to(now_s + std::max({outcome.store_s, outcome.load_s, 0.0}));
    return outcome;
  }

  fdpstore::Result<Counts> counts() override {
    Counts counts = counts_;
    counts.host_written_bytes = written_;
    count_device(*device_, counts);
    return counts;
  }

  double write_bandwidth() const override { return program_bandwidth(device_->parameters()); }

 private:
  double write(std::uint64_t slot, std::uint64_t bytes, std::uint32_t handle) {
    const iovec span{nullptr, bytes};
    written_ += bytes;
    return device_->write(slot * slot_bytes_, {&span, 1}, handle);
  }

  std::uint32_t handle_of(const trace::Scope& scope) {
    if (cell_.subject == Subject::slots || cell_.ruhs < 2) return 0;
    const std::string tenant(tenant_of(scope.cache_salt));
    const auto known = handles_.find(tenant);
    if (known != handles_.end()) return known->second;
    // Placement id 0 is not given out; those who find none left get no directive, which is 0.
    const std::uint32_t handle = next_handle_ < cell_.ruhs ? next_handle_++ : 0;
    handles_.emplace(tenant, handle);
    return handle;
  }

  std::uint64_t take(std::uint32_t handle) {
    std::vector<std::uint64_t>* from = &free_[free_.size() > 1 ? handle : 0];
    if (from->empty()) {
      from = &*std::ranges::max_element(free_, {}, [](const auto& list) { return list.size(); });
    }
    const std::uint64_t slot = from->back();
    from->pop_back();
    return slot;
  }
  void give(std::uint64_t slot) { free_[free_.size() > 1 ? owner_[slot] : 0].push_back(slot); }
  [[nodiscard]] bool full() const {
    return std::ranges::all_of(free_, [](const auto& list) { return list.empty(); });
  }

  double store(std::uint64_t key, std::uint64_t bytes, const trace::Scope& scope) {
    if (list_.contains(key) || owner_.empty()) return 0;
    const std::uint32_t handle = handle_of(scope);
    if (full()) give(list_.take_oldest().value);
    const std::uint64_t slot = take(handle);
    owner_[slot] = static_cast<std::uint8_t>(handle);
    list_.add(key, slot);
    ++counts_.stored_objects;
    counts_.stored_bytes += bytes;
    // The unit that the last block lies in is the slot's alone, so it is written as a whole.
    const std::uint64_t map = device_->parameters().ftl.map_bytes;
    return write(slot, (bytes + kHeaderBytes + map - 1) / map * map, handle);
  }

  Cell cell_;
  std::shared_ptr<ftl::SimDevice> device_;
  std::uint64_t slot_bytes_;
  LruList list_;                                  // key → slot
  std::vector<std::vector<std::uint64_t>> free_;  // by placement id, or one for all
  std::vector<std::uint8_t> owner_;               // slot → placement id it was written with
  boost::unordered_flat_map<std::string, std::uint32_t> handles_;
  std::uint32_t next_handle_ = 1;
  std::uint64_t written_ = 0;
  Counts counts_;
};

}  // namespace

fdpstore::Result<std::unique_ptr<SubjectUnderTest>> make_slots(const Cell& cell,
                                                               std::uint64_t max_object_bytes) {
  auto parameters = ftl::parse_sim_uri(cell.device);
  if (!parameters) {
    return fail(
        Errc::unsupported,
        fmt::format("{}: the slot store is a model and runs on sim: devices only", cell.device));
  }
  parameters->keep_payload = false;
  auto device = ftl::SimDevice::make(*parameters);
  if (!device) return fail(std::move(device.error()));
  const std::uint64_t map = parameters->ftl.map_bytes;
  const std::uint64_t slot = (max_object_bytes + kHeaderBytes + map - 1) / map * map;
  if (static_cast<double>(slot) > static_cast<double>((*device)->size_bytes()) * cell.utilisation) {
    return fail(
        Errc::invalid_option,
        fmt::format("{}: not even one object of {} bytes fits; raise capacity or utilisation",
                    cell.device, max_object_bytes));
  }
  return std::make_unique<SlotSubject>(cell, std::move(*device), slot);
}

}  // namespace fdpstore::compare
