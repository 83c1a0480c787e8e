#include "ftl/ftl.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

namespace fdpstore::ftl {
namespace {

// Garbage is collected until so many are free: one to open, one to collect into meanwhile.
constexpr std::size_t kKeptFree = 2;
// How far ahead of a copy its mapping is fetched.
constexpr std::uint32_t kAhead = 24;

std::uint64_t data_reclaim_units(const FtlParameters& p) {
  const double bytes = static_cast<double>(p.capacity_bytes) * (1 + p.spare_percent / 100);
  return static_cast<std::uint64_t>(std::ceil(bytes / static_cast<double>(p.unit_bytes)));
}

std::uint32_t collectors(const FtlParameters& p) {
  return p.isolation == Isolation::persistent ? p.handles : 1;
}

}  // namespace

std::string_view to_string(Isolation isolation) {
  return isolation == Isolation::initial ? "initial" : "persistent";
}

std::string_view to_string(Collection collection) {
  return collection == Collection::greedy ? "greedy" : "fifo";
}

std::uint64_t needed_reclaim_units(const FtlParameters& parameters) {
  return data_reclaim_units(parameters) + parameters.handles + collectors(parameters) + kKeptFree;
}

// ------------------------------------------------------------------------------------------ set-up

Result<void> check_parameters(const FtlParameters& p) {
  const auto bad = [](std::string what) { return fail(Errc::invalid_option, std::move(what)); };
  if (p.map_bytes < 512 || (p.map_bytes & (p.map_bytes - 1)) != 0) {
    return bad(fmt::format("map = {}: use a power of two from 512 on", p.map_bytes));
  }
  if (p.unit_bytes % p.map_bytes != 0 || p.unit_bytes < 2 * p.map_bytes) {
    return bad(fmt::format("ru = {}: use a multiple of the mapping unit (map = {}), at least two",
                           p.unit_bytes, p.map_bytes));
  }
  if (p.capacity_bytes == 0 || p.capacity_bytes % p.map_bytes != 0) {
    return bad(fmt::format("capacity = {}: use a multiple of the mapping unit (map = {})",
                           p.capacity_bytes, p.map_bytes));
  }
  if (p.handles == 0 || p.handles > 128) {
    return bad(fmt::format("ruhs = {}: use 1 … 128", p.handles));
  }
  if (!(p.spare_percent >= 0 && p.spare_percent <= 1000)) {
    return bad(fmt::format("op = {}: use 0 … 1000 percent", p.spare_percent));
  }
  const std::uint64_t needed = needed_reclaim_units(p);
  if (p.reclaim_units != 0 && p.reclaim_units < needed) {
    return bad(fmt::format(
        "rus = {} is too few: {} are needed ({} for the capacity with {} % spare, {} open for "
        "hosts, {} open for garbage collection, {} free): raise rus, or lower op, ruhs or capacity",
        p.reclaim_units, needed, data_reclaim_units(p), p.spare_percent, p.handles, collectors(p),
        kKeptFree));
  }
  const std::uint64_t reclaim_units = p.reclaim_units != 0 ? p.reclaim_units : needed;
  if (reclaim_units * (p.unit_bytes / p.map_bytes) >= UINT32_MAX) {
    return bad(
        fmt::format("capacity = {} in mapping units of map = {} is more than 2^32 of them: "
                    "raise map",
                    p.capacity_bytes, p.map_bytes));
  }
  return {};
}

Result<Ftl> Ftl::make(const FtlParameters& parameters) {
  if (auto checked = check_parameters(parameters); !checked) {
    return fail(std::move(checked.error()));
  }
  FtlParameters complete = parameters;
  if (complete.reclaim_units == 0) {
    complete.reclaim_units = static_cast<std::uint32_t>(needed_reclaim_units(parameters));
  }
  return Ftl(complete);
}

Ftl::Ftl(const FtlParameters& parameters)
    : parameters_(parameters),
      logical_units_(static_cast<std::uint32_t>(parameters.capacity_bytes / parameters.map_bytes)),
      per_ru_(static_cast<std::uint32_t>(parameters.unit_bytes / parameters.map_bytes)),
      reciprocal_(UINT64_MAX / per_ru_ + 1),
      map_(logical_units_ + 1ULL, kNowhere),
      unit_at_(static_cast<std::uint64_t>(parameters.reclaim_units) * per_ru_, logical_units_),
      rus_(parameters.reclaim_units),
      host_(parameters.handles),
      collector_(collectors(parameters)),
      lists_(parameters.collection == Collection::greedy ? per_ru_ + 1ULL : 1),
      fewest_(static_cast<std::uint32_t>(lists_.size())) {
  counters_.handle_bytes.resize(parameters.handles);
  free_.reserve(rus_.size());
  for (std::uint32_t number = parameters.reclaim_units; number > 0; --number) {
    free_.push_back(number - 1);
  }
  for (std::uint32_t handle = 0; handle < parameters.handles; ++handle) {
    host_[handle] = take_free(handle);
  }
}

// --------------------------------------------------------------------------------- reclaim units

void Ftl::link(std::uint32_t number) {
  Ru& ru = rus_[number];
  List& list = list_of(ru);
  ru.before = list.last;
  ru.after = kNone;
  (list.last == kNone ? list.first : rus_[list.last].after) = number;
  list.last = number;
  if (parameters_.collection == Collection::greedy) fewest_ = std::min(fewest_, ru.valid);
}

void Ftl::unlink(std::uint32_t number) {
  const Ru& ru = rus_[number];
  List& list = list_of(ru);
  (ru.before == kNone ? list.first : rus_[ru.before].after) = ru.after;
  (ru.after == kNone ? list.last : rus_[ru.after].before) = ru.before;
}

inline void Ftl::invalidate(std::uint32_t number, std::uint32_t units) {
  Ru& ru = rus_[number];
  assert(ru.valid >= units);
  if (ru.state != State::closed) {
    ru.valid -= units;
    return;
  }
  const bool greedy = parameters_.collection == Collection::greedy;
  if (greedy || ru.valid == units) unlink(number);
  ru.valid -= units;
  if (ru.valid == 0) {
    erase(number);
  } else if (greedy) {
    link(number);
  }
}

void Ftl::close(std::uint32_t number) {
  Ru& ru = rus_[number];
  if (ru.valid == 0) return erase(number);
  ru.state = State::closed;
  link(number);
}

void Ftl::erase(std::uint32_t number) {
  rus_[number].state = State::free;
  free_.push_back(number);
  ++counters_.erases;
  if (log_ != nullptr) log_->push_back({MediaOp::Kind::erase, number, 0});
}

Ftl::Open Ftl::take_free(std::uint32_t handle) {
  assert(!free_.empty());
  const std::uint32_t number = free_.back();
  free_.pop_back();
  rus_[number] = {
      .valid = per_ru_, .state = State::open, .handle = static_cast<std::uint16_t>(handle)};
  return {number * per_ru_, (number + 1) * per_ru_};
}

// The open RU of this RUH has been closed.
void Ftl::open_next(std::uint32_t handle) {
  while (free_.size() < kKeptFree) collect();
  host_[handle] = take_free(handle);
}

std::uint32_t Ftl::choose_victim() {
  if (parameters_.collection == Collection::fifo) return lists_[0].first;
  while (lists_[fewest_].first == kNone) ++fewest_;
  return lists_[fewest_].first;
}

void Ftl::collect() {
  const std::uint32_t number = choose_victim();
  Ru& victim = rus_[number];
  unlink(number);
  victim.state = State::victim;
  const std::uint32_t handle = victim.handle;
  const std::size_t which = collector_.size() == 1 ? 0 : handle;
  Open open = collector_[which];
  const std::uint32_t begin = number * per_ru_;
  std::uint32_t left = victim.valid;
  counters_.copied_units += left;
  for (std::uint32_t at = begin; left != 0; ++at) {
    // Beyond the victim's end it is another RU's entry, or the table's last one: of no harm.
    __builtin_prefetch(&map_[unit_at_[std::min<std::size_t>(at + kAhead, unit_at_.size() - 1)]], 1);
    const std::uint32_t unit = unit_at_[at];
    if (map_[unit] != at) continue;
    --left;
    if (open.end == 0) open = take_free(handle);
    if (log_ != nullptr) log_->push_back({MediaOp::Kind::copy, open.next, at});
    map_[unit] = open.next;
    unit_at_[open.next] = unit;
    if (++open.next != open.end) continue;
    close(ru_of(open.next - 1));
    open = {};
  }
  collector_[which] = open;
  erase(number);
}

// ------------------------------------------------------------------------------------ whole units

void Ftl::write_units(std::uint32_t first, std::uint32_t count, std::uint32_t handle) {
  assert(count <= logical_units_ && first <= logical_units_ - count && handle < host_.size());
  counters_.host_bytes += count * parameters_.map_bytes;
  counters_.handle_bytes[handle] += count * parameters_.map_bytes;
  programmed_ += count;
  // What is invalidated in one RU after the other is counted in one go.
  std::uint32_t old_begin = 0, old_end = 0, old_ru = 0, old_count = 0;
  for (std::uint32_t unit = first; unit < first + count; ++unit) {
    const std::uint32_t old = map_[unit];
    if (old != kNowhere) {
      if (old < old_begin || old >= old_end) {
        if (old_count != 0) invalidate(old_ru, old_count);
        old_ru = ru_of(old);
        old_begin = old_ru * per_ru_;
        old_end = old_begin + per_ru_;
        old_count = 0;
      }
      ++old_count;
    }
    Open& open = host_[handle];
    if (log_ != nullptr) log_->push_back({MediaOp::Kind::program, open.next, 0});
    map_[unit] = open.next;
    unit_at_[open.next] = unit;
    if (++open.next != open.end) continue;
    if (old_count != 0) invalidate(old_ru, old_count);
    old_count = old_begin = old_end = 0;
    close(ru_of(open.next - 1));
    open_next(handle);
  }
  if (old_count != 0) invalidate(old_ru, old_count);
}

// ------------------------------------------------------------------------------- bytes and buffer

void Ftl::write(std::uint64_t offset_bytes, std::uint64_t bytes, std::uint32_t handle) {
  const std::uint64_t size = parameters_.map_bytes;
  while (bytes > 0) {
    const auto unit = static_cast<std::uint32_t>(offset_bytes / size);
    const std::uint64_t begin = offset_bytes % size;
    if (begin != 0 || bytes < size) {
      const std::uint64_t length = std::min(bytes, size - begin);
      write_part(unit, begin, begin + length, handle);
      offset_bytes += length;
      bytes -= length;
      continue;
    }
    const auto units = static_cast<std::uint32_t>(bytes / size);
    std::erase_if(buffered_, [&](const Buffered& part) {
      return part.unit >= unit && part.unit < unit + units;
    });
    write_units(unit, units, handle);
    offset_bytes += units * size;
    bytes -= units * size;
  }
}

void Ftl::write_part(std::uint32_t unit, std::uint64_t begin, std::uint64_t end,
                     std::uint32_t handle) {
  counters_.host_bytes += end - begin;
  counters_.handle_bytes[handle] += end - begin;
  const auto found = std::ranges::find(buffered_, unit, &Buffered::unit);
  if (found != buffered_.end()) {
    const auto index = static_cast<std::size_t>(found - buffered_.begin());
    if (found->handle == handle && found->end_bytes == begin) {
      found->end_bytes = end;
      std::rotate(found, found + 1, buffered_.end());  // now the one used last
      if (end == parameters_.map_bytes) program_buffered(buffered_.size() - 1);
      return;
    }
    program_buffered(index);
  }
  buffered_.push_back({unit, handle, begin, end});
  std::size_t of_handle = 0, oldest = buffered_.size();
  for (std::size_t i = buffered_.size(); i-- > 0;) {
    if (buffered_[i].handle != handle) continue;
    ++of_handle;
    oldest = i;
  }
  if (of_handle > kBufferedUnits) program_buffered(oldest);
}

void Ftl::program_buffered(std::size_t index) {
  const Buffered part = buffered_[index];
  buffered_.erase(buffered_.begin() + static_cast<std::ptrdiff_t>(index));
  const bool whole = part.begin_bytes == 0 && part.end_bytes == parameters_.map_bytes;
  const std::uint32_t old = map_[part.unit];
  if (!whole && old != kNowhere) {
    ++counters_.modified_units;
    if (log_ != nullptr) log_->push_back({MediaOp::Kind::read, old, 0});
  }
  write_units(part.unit, 1, part.handle);
  counters_.host_bytes -= parameters_.map_bytes;  // counted as it came
  counters_.handle_bytes[part.handle] -= parameters_.map_bytes;
}

void Ftl::deallocate(std::uint64_t offset_bytes, std::uint64_t bytes) {
  const std::uint64_t size = parameters_.map_bytes;
  const auto first = static_cast<std::uint32_t>((offset_bytes + size - 1) / size);
  const auto end = static_cast<std::uint32_t>((offset_bytes + bytes) / size);
  assert(end <= logical_units_);
  if (first >= end) return;
  std::erase_if(buffered_,
                [&](const Buffered& part) { return part.unit >= first && part.unit < end; });
  std::uint32_t ru = 0, count = 0;
  for (std::uint32_t unit = first; unit < end; ++unit) {
    const std::uint32_t old = std::exchange(map_[unit], kNowhere);
    if (old == kNowhere) continue;
    const std::uint32_t number = ru_of(old);
    if (count != 0 && number != ru) {
      invalidate(ru, count);
      count = 0;
    }
    ru = number;
    ++count;
  }
  if (count != 0) invalidate(ru, count);
}

void Ftl::update_handle(std::uint32_t handle) {
  for (std::size_t i = buffered_.size(); i-- > 0;) {
    if (i < buffered_.size() && buffered_[i].handle == handle) program_buffered(i);
  }
  const Open open = host_[handle];
  const std::uint32_t number = ru_of(open.next);
  if (open.next == number * per_ru_) return;
  ++counters_.updates;
  rus_[number].valid -= open.end - open.next;
  std::fill(unit_at_.begin() + open.next, unit_at_.begin() + open.end, logical_units_);
  close(number);
  open_next(handle);
}

std::uint64_t Ftl::available_bytes(std::uint32_t handle) const {
  const Open& open = host_[handle];
  std::uint64_t bytes = (open.end - open.next) * parameters_.map_bytes;
  for (const Buffered& part : buffered_) {
    if (part.handle == handle) bytes -= std::min(bytes, part.end_bytes - part.begin_bytes);
  }
  return bytes;
}

// --------------------------------------------------------------------------------------- observers

FtlCounters Ftl::counters() const {
  FtlCounters out = counters_;
  out.media_bytes = (programmed_ + counters_.copied_units) * parameters_.map_bytes;
  out.erased_bytes = counters_.erases * parameters_.unit_bytes;
  return out;
}

std::uint64_t Ftl::valid_units() const {
  return static_cast<std::uint64_t>(
      std::ranges::count_if(map_, [](std::uint32_t place) { return place != kNowhere; }));
}

double Ftl::effective_spare() const {
  const double unused = (kKeptFree - 1) + static_cast<double>(host_.size() - 1) + 0.5;
  return (static_cast<double>(rus_.size()) - unused) * per_ru_ / logical_units_ - 1;
}

void Ftl::check() const {
  const auto expect = [](bool good, const char* what) {
    if (!good) throw std::logic_error(what);
  };
  std::vector<std::uint32_t> valid(rus_.size());
  for (std::uint32_t unit = 0; unit < logical_units_; ++unit) {
    if (map_[unit] == kNowhere) continue;
    expect(unit_at_[map_[unit]] == unit, "a place does not know its unit");
    ++valid[map_[unit] / per_ru_];
  }
  expect(map_[logical_units_] == kNowhere, "the unit that is nowhere is somewhere");
  std::vector<std::uint32_t> unwritten(rus_.size());
  for (const auto* all : {&host_, &collector_}) {
    for (const Open& open : *all) {
      if (open.end == 0) continue;
      const std::uint32_t number = (open.end - 1) / per_ru_;
      expect(rus_[number].state == State::open, "an RU that is written to is not open");
      unwritten[number] += open.end - open.next;
    }
  }
  std::size_t closed = 0;
  for (std::uint32_t number = 0; number < rus_.size(); ++number) {
    const Ru& ru = rus_[number];
    expect(ru.state != State::victim, "a victim was left");
    if (ru.state == State::closed) ++closed;
    const bool counted = ru.state == State::free ? valid[number] == 0
                                                 : ru.valid == valid[number] + unwritten[number];
    expect(counted, "valid units are counted wrong");
  }
  std::size_t listed = 0;
  for (std::size_t list = 0; list < lists_.size(); ++list) {
    std::uint32_t before = kNone;
    for (std::uint32_t at = lists_[list].first; at != kNone; at = rus_[at].after) {
      const bool greedy = parameters_.collection == Collection::greedy;
      expect(!greedy || (rus_[at].valid == list && list >= fewest_), "in the wrong list");
      expect(rus_[at].before == before && rus_[at].state == State::closed, "a list is broken");
      before = at;
      ++listed;
    }
    expect(lists_[list].last == before, "a list has the wrong end");
  }
  expect(listed == closed, "a closed RU is in no list");
}

}  // namespace fdpstore::ftl
