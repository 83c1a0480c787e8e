// FoundObjects: what start-up found, on its way into the index. Many at a time are taken in, in the
// order of the index' parts, by threads that wait for memory while the engine's reads on.
//
// Thread:  the engine's; those that it starts have ended after finish().
// Errors:  none.
#pragma once

#include <cstdint>
#include <thread>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/context.hpp"

namespace fdpstore::core {

class FoundObjects {
 public:
  explicit FoundObjects(Context& context) : context_(context) {}

  // Records of about so many bytes will be told of: says how much room to make.
  void expect(std::uint64_t record_bytes) { expected_bytes_ = record_bytes; }
  // A delete at `sequence`, of the copy in that life of that segment. All of them come first.
  void add_tombstone(const Key& key, std::uint64_t sequence, std::uint32_t segment,
                     std::uint64_t segment_sequence);
  // An object whose record lies there. May be told again.
  void add(Segment& segment, std::uint64_t offset_bytes, const format::ObjectMeta& object,
           ScopeResolver& scopes);
  // Takes in what is left, and has segments remember deletes of what they hold.
  void finish();

 private:
  struct Tombstone {
    Key key;
    std::uint64_t sequence = 0;  // covers copies up to it
    std::uint32_t segment = 0;
    std::uint64_t segment_sequence = 0;
  };

  using Object = Index::Insertion;

  bool is_deleted(const Object& object, const Segment& segment);
  void make_room();
  void begin_insertion();
  void end_insertion();
  void sort_by_place();
  void choose_copy(const Object& object);

  Context& context_;
  std::uint64_t expected_bytes_ = 0, told_bytes_ = 0;
  std::uint64_t told_ = 0, next_guess_ = 0;
  std::vector<Object> batch_;  // waits for those before it
  // Being inserted, and the order in which they are.
  std::vector<Object> inserting_;
  std::vector<std::uint32_t> order_;
  std::vector<std::jthread> threads_;
  std::vector<Tombstone> tombstones_;
  boost::unordered_flat_map<Key, std::size_t, KeyHash> latest_;  // of a key's tombstones
};

}  // namespace fdpstore::core
