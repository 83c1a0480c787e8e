// Worth: what would be lost with an object, or with all of a segment.
//
// An object is worth its likely uses per time (Lineage::reuse_rate). One that lies behind a gap,
// an object before it in its prompt that is gone, is worth less: only leading runs of chunks help,
// so it counts again only once the gap has been stored anew. Of the keys of a lookup, later ones
// count as used earlier: the tail of a prompt is worth less than its head, which is also worth part
// of what lies behind it elsewhere. With a segment no more can be lost of an object than its price:
// what is worth more is moved.
//
// Thread:  the engine's.
// Units:   likely uses per turnover of the store; a segment's are weighted by payload bytes.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "core/context.hpp"
#include "fdpstore/policy.hpp"

namespace fdpstore::core {

class Worth {
 public:
  Worth(Context& context, const Lineage& lineage) : context_(context), lineage_(lineage) {}

  // By itself.
  [[nodiscard]] double of(const Index::Entry& entry) const;

  // One of a segment's.
  struct Object {
    std::uint32_t use = 0;  // the lookup that named it last
    std::uint32_t position = 0;
    EntryId id;
    std::uint64_t bytes = 0;
    double worth = 0;  // by itself
    double age = 0;
    bool locked = false;
  };
  [[nodiscard]] Object object(EntryId id, const Index::Entry& entry) const;
  // Objects of one prompt that are moved together, or not at all.
  struct Run {
    std::span<const Object> objects;
    std::uint64_t bytes = 0;
    double worth = 0;  // of each, mean, with its part of what lies behind
  };
  // Of objects by `use` and `position`, which must stay. An object does not help without those
  // before it: of a prompt no run is worth more than the one before it.
  [[nodiscard]] std::vector<Run> runs_of(std::span<const Object> objects) const;

  // At the live objects of a segment, some at a time: there can be a hundred thousand. Others may
  // leave meanwhile.
  class Look {
   public:
    Look(const Worth& worth, Segment& segment) : worth_(&worth), segment_(&segment) {}
    // At `left` more, at most, which it takes off. True: it is over.
    [[nodiscard]] bool go_on(std::size_t& left);
    [[nodiscard]] Segment& segment() const { return *segment_; }
    // When it is over: by `use` and `position`.
    [[nodiscard]] std::vector<Object>& objects() { return objects_; }

   private:
    void put_in_order();

    const Worth* worth_;
    Segment* segment_;
    std::size_t next_ = 0;
    std::vector<Object> objects_;
  };
  // Of what is worth more, this much counts with a segment.
  void set_price(double price) { price_ = price; }
  struct Sum {
    // Per byte that freeing the segment gives. INFINITY: too much of it is locked for freeing to be
    // worth while.
    double worth = 0;
    double age = 0;  // mean, weighted by worth; turnovers
  };
  [[nodiscard]] Sum sum_up(Look& finished) const;
  void remember(Segment& segment, const Sum& sum) const;
  // What it has come to since it was looked at, as if nothing in it had been used: a guess, to look
  // at the right ones first.
  [[nodiscard]] double guess(const Segment& segment) const;

 private:
  [[nodiscard]] double age_of(const ObjectState& state) const;
  void add_runs(std::span<const Object> prompt, std::vector<Run>& runs) const;

  Context& context_;
  const Lineage& lineage_;
  double price_ = INFINITY;
};

}  // namespace fdpstore::core
