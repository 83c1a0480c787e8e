// ReuseModel: which kinds of keys are used again, learnt as lookups come.
//
// A key's class says what the lookup looked like that did not find it: whose it was, how much of
// the chain was known already, whether it ended the chain (the last chunk is often cut off
// differently the next time), how long the chain was. For a sample of keys the model notes whether
// another lookup names them before the store has turned over a few times, whether or not the store
// still has them, and keeps the share per class and number of uses so far. A class that has been
// seen little leans on its elders: first the same without the length, then the owner's, then all
// keys.
//
// Thread:  chance() from any thread; everything else under the caller's lock.
// Owns:    a bounded sample of keys, counts per class.
// Units:   time in keys used; shares 0 … 1.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace fdpstore::placement {

class ReuseModel {
 public:
  ReuseModel();

  // Where a key stands in its lookup.
  struct Place {
    std::uint64_t chain = 0;  // whose keys these are (LookupKey::chain)
    std::size_t index = 0;    // of the key
    std::size_t known = 0;    // length of the leading run that was known before
    std::size_t keys = 0;     // of the whole chain
  };
  // 1 … ; 0 is for keys of which nothing is known.
  [[nodiscard]] std::uint16_t class_of(const Place& place);

  // A lookup named the key, or a store brought one that no lookup had named.
  // `uses`: how often an object of it was used since it was stored, this time included.
  void used(std::uint64_t digest, std::uint16_t reuse_class, std::uint32_t uses);
  void set_live_objects(std::uint64_t objects);

  // Chance that a key of this class, used so often since its first time, is used again.
  [[nodiscard]] double chance(std::uint16_t reuse_class, std::uint32_t uses) const;
  // How long keys whose first lookup looked like that are of use: from it to the last one, mean, in
  // turnovers.
  [[nodiscard]] double life(std::uint16_t reuse_class) const;
  // What a class says of its keys besides whose they are and how long the chain was; < kKinds + 1.
  [[nodiscard]] static std::uint32_t kind_of(std::uint16_t reuse_class);

 private:
  static constexpr std::uint32_t kUses = 4;  // 0, 1, 2, more
  static constexpr std::uint32_t kOwners = 64;
  static constexpr std::uint32_t kKinds = 8;    // how the lookup began × whether the key ended it
  static constexpr std::uint32_t kLengths = 8;  // by powers of two
  static constexpr std::uint32_t kClasses = 1 + kOwners * kKinds * kLengths;

  struct Share {
    double seen = 0, used = 0, value = 0;
  };
  struct Sampled {
    std::uint16_t reuse_class = 0;
    std::uint16_t first_class = 0;
    std::uint8_t uses = 0;
    std::uint64_t at = 0;  // on the clock of keys used
    std::uint64_t first_at = 0;
  };
  void count(const Sampled& key, bool used_again);
  void count_life(const Sampled& key);
  void forget_old();
  static void learn(Share& share, double elder);
  void learn_class(std::uint32_t one);
  void learn_owner(std::uint32_t owner);
  void refresh();

  // Elders first: all, owner, owner × uses, owner × uses × kind; then the classes × uses.
  Share all_;
  std::vector<Share> owner_, owner_uses_, kind_, leaf_;
  // Lives, by class: `used` is a sum of turnovers here, `seen` the number of keys.
  Share life_of_all_;
  std::vector<Share> life_of_kind_, life_of_leaf_;
  std::unique_ptr<std::atomic<float>[]> chance_;                   // class × uses
  std::unique_ptr<std::atomic<float>[]> life_;                     // class
  boost::unordered_flat_map<std::uint64_t, std::uint8_t> owners_;  // chain → number
  boost::unordered_flat_map<std::uint64_t, Sampled> sample_;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> order_;  // key, when
  std::uint32_t known_owners_ = 0;                             // numbers below are in use
  std::uint64_t now_ = 0;
  std::uint64_t live_objects_ = 0;
  std::uint64_t refreshed_at_ = 0;
};

}  // namespace fdpstore::placement
