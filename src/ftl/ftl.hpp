// Ftl: a page-mapped flash translation layer with reclaim units (RUs) and reclaim unit handles.
//
//   logical unit ──map──► place (= RU number × units per RU + position)
//
// Every RUH has one open RU at any time. An RU that is full is closed; a closed one with nothing
// valid is erased at once. When an RU has to be opened and fewer than two are free, garbage is
// collected: a victim's valid units are copied to an open RU of the collector, one for all or one
// for each RUH (persistent isolation), and the victim is erased.
//
// Small writes: a drive with a power-protected buffer programs a mapping unit once though it comes
// in pieces. A write that continues where a buffered unit of its RUH ends costs nothing extra; any
// other write of a part programs the whole unit, with a read of it first when it held data.
//
// Thread:  one at a time; no locks, no clock, no allocation per unit (once set up).
// Owns:    the tables: 8 bytes for each unit, 16 for each RU.
// Units:   bytes where a name says so; else mapping units.
// Errors:  check_parameters() and make(); ranges beyond the capacity assert.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "fdpstore/result.hpp"

namespace fdpstore::ftl {

enum class Isolation : std::uint8_t { initial, persistent };
enum class Collection : std::uint8_t { greedy, fifo };  // fewest valid units, or oldest closed
std::string_view to_string(Isolation isolation);
std::string_view to_string(Collection collection);

struct FtlParameters {
  std::uint64_t capacity_bytes = 64ULL << 30;
  double spare_percent = 7;  // physical space beyond the capacity, before what is reserved
  std::uint64_t unit_bytes = 256ULL << 20;  // of an RU
  std::uint32_t handles = 8;                // RUHs
  Isolation isolation = Isolation::initial;
  Collection collection = Collection::greedy;
  std::uint64_t map_bytes = 64ULL << 10;  // mapping unit
  std::uint32_t reclaim_units = 0;        // 0: as many as needed_reclaim_units()
  bool operator==(const FtlParameters&) const = default;
};

// ⌈capacity × (1 + spare) / RU⌉, the open ones (one for each RUH; of the collector one, or one for
// each RUH), and two: one that garbage is collected into, one to be opened next.
[[nodiscard]] std::uint64_t needed_reclaim_units(const FtlParameters& parameters);

// What make() refuses. invalid_option names the parameter as the URI spells it.
[[nodiscard]] Result<void> check_parameters(const FtlParameters& parameters);

// As in the FDP statistics log, and what explains them. Since make().
struct FtlCounters {
  std::uint64_t host_bytes = 0;             // HBMW
  std::uint64_t media_bytes = 0;            // MBMW: all that was programmed
  std::uint64_t erased_bytes = 0;           // MBE
  std::uint64_t copied_units = 0;           // by garbage collection
  std::uint64_t erases = 0;                 // of RUs
  std::uint64_t updates = 0;                // RUH Updates that gave up the rest of an RU
  std::uint64_t modified_units = 0;         // read, changed and programmed for a partial write
  std::vector<std::uint64_t> handle_bytes;  // HBMW by RUH
  // Device write amplification; 1 when nothing was written.
  [[nodiscard]] double amplification() const {
    return host_bytes == 0 ? 1.0
                           : static_cast<double>(media_bytes) / static_cast<double>(host_bytes);
  }
};

// What the flash does, in order, for a model of time.
struct MediaOp {
  enum class Kind : std::uint8_t { program, read, copy, erase };
  Kind kind = Kind::program;
  std::uint32_t place = 0;  // programmed or read; erase: RU number
  std::uint32_t from = 0;   // copy: read from here
};

class Ftl {
 public:
  [[nodiscard]] static Result<Ftl> make(const FtlParameters& parameters);

  // `first + count` units at most logical_units().
  void write_units(std::uint32_t first, std::uint32_t count, std::uint32_t handle);
  // The next write of this unit finds its mapping in the cache.
  void prefetch(std::uint32_t unit) const { __builtin_prefetch(&map_[unit], 1); }
  // Any offset and length.
  void write(std::uint64_t offset_bytes, std::uint64_t bytes, std::uint32_t handle);
  // Units that lie in the range as a whole are given back; the others stay, as on drives.
  void deallocate(std::uint64_t offset_bytes, std::uint64_t bytes);
  // RUH Update: programs what is buffered and opens a fresh RU, unless the open one is untouched.
  void update_handle(std::uint32_t handle);

  // RUAMW: what the open RU of a RUH still takes.
  [[nodiscard]] std::uint64_t available_bytes(std::uint32_t handle) const;
  // Where a unit lies; none: never written, deallocated, or still in the buffer.
  [[nodiscard]] std::optional<std::uint32_t> place_of(std::uint32_t unit) const {
    const std::uint32_t place = map_[unit];
    return place == kNowhere ? std::nullopt : std::optional(place);
  }
  [[nodiscard]] FtlCounters counters() const;
  [[nodiscard]] const FtlParameters& parameters() const { return parameters_; }
  [[nodiscard]] std::uint32_t logical_units() const { return logical_units_; }
  [[nodiscard]] std::uint32_t units_per_reclaim_unit() const { return per_ru_; }
  [[nodiscard]] std::uint32_t reclaim_units() const {
    return static_cast<std::uint32_t>(rus_.size());
  }
  [[nodiscard]] std::uint32_t free_reclaim_units() const {
    return static_cast<std::uint32_t>(free_.size());
  }
  [[nodiscard]] std::uint64_t valid_units() const;
  // Places that can hold data when garbage is collected, over logical units, less one, while one
  // RUH is written to: all RUs but the free one that is kept, other RUHs' open ones, and half of
  // the collector's.
  [[nodiscard]] double effective_spare() const;

  // From now on every media operation is appended to `log`, which the caller empties; nullptr: no
  // more.
  void set_log(std::vector<MediaOp>* log) { log_ = log; }

  // Throws std::logic_error when tables, counts and lists do not agree. For tests; takes long.
  void check() const;

 private:
  __extension__ using Wide = unsigned __int128;
  static constexpr std::uint32_t kNowhere = UINT32_MAX;
  static constexpr std::uint32_t kNone = UINT32_MAX;  // no RU
  // Partly written units that the buffer holds for one RUH: streams of small writes that share it
  // do not push each other out.
  static constexpr std::size_t kBufferedUnits = 4;

  enum class State : std::uint16_t { free, open, closed, victim };
  struct Ru {
    std::uint32_t valid = 0;  // while open: as if the rest were written and valid
    std::uint32_t before = kNone, after = kNone;  // in a list of closed ones
    State state = State::free;
    std::uint16_t handle = 0;  // whose data it holds
  };
  struct Open {
    std::uint32_t next = 0, end = 0;  // places
  };
  struct Buffered {
    std::uint32_t unit = 0, handle = 0;
    std::uint64_t begin_bytes = 0, end_bytes = 0;  // within the unit
  };
  struct List {
    std::uint32_t first = kNone, last = kNone;
  };

  explicit Ftl(const FtlParameters& parameters);
  [[nodiscard]] std::uint32_t ru_of(std::uint32_t place) const {
    return static_cast<std::uint32_t>((static_cast<Wide>(reciprocal_) * place) >> 64);
  }
  [[nodiscard]] List& list_of(const Ru& ru) {
    return lists_[parameters_.collection == Collection::greedy ? ru.valid : 0];
  }
  void link(std::uint32_t number);
  void unlink(std::uint32_t number);
  void invalidate(std::uint32_t ru, std::uint32_t units);
  void close(std::uint32_t number);
  void erase(std::uint32_t number);
  [[nodiscard]] Open take_free(std::uint32_t handle);
  void open_next(std::uint32_t handle);
  void collect();
  std::uint32_t choose_victim();
  void write_part(std::uint32_t unit, std::uint64_t begin, std::uint64_t end, std::uint32_t handle);
  void program_buffered(std::size_t index);

  FtlParameters parameters_;
  std::uint32_t logical_units_ = 0;
  std::uint32_t per_ru_ = 0;
  std::uint64_t reciprocal_ = 0;  // 2^64 / per_ru_, rounded up
  // One entry more than there are units, which is nowhere for ever: what an unwritten place holds.
  std::vector<std::uint32_t> map_;
  std::vector<std::uint32_t> unit_at_;  // by place: the unit written there, valid while map_ agrees
  std::vector<Ru> rus_;
  std::vector<std::uint32_t> free_;
  std::vector<Open> host_;          // by RUH
  std::vector<Open> collector_;     // one, or by RUH
  std::vector<List> lists_;         // closed RUs: greedy: by number of valid units; FIFO: one
  std::uint32_t fewest_ = 0;        // no list below it holds any
  std::vector<Buffered> buffered_;  // oldest first
  FtlCounters counters_;
  std::uint64_t programmed_ = 0;  // units, by the host or for it
  std::vector<MediaOp>* log_ = nullptr;
};

}  // namespace fdpstore::ftl
