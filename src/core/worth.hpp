// Worth: what would be lost with an object, or with all of a segment.
//
// An object is worth its likely uses per time (Lineage::reuse_rate). One that lies behind a gap,
// an object before it in its prompt that is gone, is worth less: only leading runs of chunks help,
// so it counts again only once the gap has been stored anew. Of the keys of a lookup, later ones
// count as used earlier: the tail of a prompt is worth less than its head. With a segment no more
// can be lost of an object than its price: what is worth more is moved.
//
// Thread:  the engine's.
// Owns:    the gaps that reclaim made, by lookup; bounded.
// Units:   likely uses per turnover of the store; a segment's are weighted by payload bytes.
#pragma once

#include <cmath>
#include <cstdint>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/context.hpp"
#include "fdpstore/policy.hpp"

namespace fdpstore::core {

class Worth {
 public:
  Worth(Context& context, const Lineage& lineage) : context_(context), lineage_(lineage) {}

  [[nodiscard]] double of(const Index::Entry& entry) const;
  // Of what is worth more, this much counts with a segment.
  void set_price(double price) { price_ = price; }
  // Of the live objects of a segment, per byte that freeing it gives. INFINITY: too much of it is
  // locked for freeing to be worth while.
  [[nodiscard]] double of(const Segment& segment) const;
  // The same, and remembers it with the segment.
  double look_at(Segment& segment) const;
  // What it has come to since it was looked at, as if nothing in it had been used: a guess, to look
  // at the right ones first.
  [[nodiscard]] double guess(const Segment& segment) const;

  // The object is dropped while others of its lookup may stay.
  void note_gap(const ObjectState& state);

 private:
  struct Sum {
    double worth = 0;
    double age = 0;  // mean, weighted by worth; turnovers
  };
  [[nodiscard]] double age_of(const ObjectState& state) const;
  [[nodiscard]] Sum sum_of(const Segment& segment) const;

  Context& context_;
  const Lineage& lineage_;
  double price_ = INFINITY;
  boost::unordered_flat_map<std::uint32_t, std::uint32_t> gaps_;  // lookup → first position missing
};

}  // namespace fdpstore::core
