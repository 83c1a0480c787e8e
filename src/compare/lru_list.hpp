// LruList: keys in the order of their last use, with a number each.
//
// Thread:  one at a time.
// Owns:    its entries.
#pragma once

#include <cstdint>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace fdpstore::compare {

class LruList {
 public:
  struct Item {
    std::uint64_t key = 0;
    std::uint64_t value = 0;
  };
  LruList() : nodes_(1) {}

  // Makes it the newest; nullptr: it is not there.
  Item* touch(std::uint64_t key) {
    const auto it = index_.find(key);
    if (it == index_.end()) return nullptr;
    unlink(it->second);
    link(it->second);
    return &nodes_[it->second].item;
  }
  [[nodiscard]] bool contains(std::uint64_t key) const { return index_.contains(key); }
  // The key must not be there.
  void add(std::uint64_t key, std::uint64_t value) {
    std::uint32_t at = free_;
    if (at != 0) {
      free_ = nodes_[at].newer;
    } else {
      at = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
    }
    nodes_[at].item = {key, value};
    index_.emplace(key, at);
    link(at);
  }
  [[nodiscard]] bool empty() const { return index_.empty(); }
  Item take_oldest() { return take(nodes_[0].older); }
  // The key must be there.
  Item remove(std::uint64_t key) { return take(index_.find(key)->second); }

 private:
  struct Node {
    Item item;
    std::uint32_t newer = 0, older = 0;
  };
  // Node 0 stands for the list: `newer` is its newest item, `older` its oldest; 0 ends it.
  void link(std::uint32_t at) {
    Node& head = nodes_[0];
    nodes_[at].newer = 0;
    nodes_[at].older = head.newer;
    if (head.newer != 0) {
      nodes_[head.newer].newer = at;
    } else {
      head.older = at;
    }
    head.newer = at;
  }
  void unlink(std::uint32_t at) {
    const Node& node = nodes_[at];
    (node.newer != 0 ? nodes_[node.newer].older : nodes_[0].newer) = node.older;
    (node.older != 0 ? nodes_[node.older].newer : nodes_[0].older) = node.newer;
  }
  Item take(std::uint32_t at) {
    unlink(at);
    const Item item = nodes_[at].item;
    index_.erase(item.key);
    nodes_[at].newer = free_;
    free_ = at;
    return item;
  }

  std::vector<Node> nodes_;
  boost::unordered_flat_map<std::uint64_t, std::uint32_t> index_;
  std::uint32_t free_ = 0;
};

}  // namespace fdpstore::compare
