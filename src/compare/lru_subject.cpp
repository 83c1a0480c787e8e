// Object-level LRU in as many bytes: the hit ratio that placement must not cost.
#include "compare/lru_list.hpp"
#include "compare/subject.hpp"

namespace fdpstore::compare {
namespace {

class LruSubject final : public SubjectUnderTest {
 public:
  explicit LruSubject(std::uint64_t capacity_bytes) : capacity_(capacity_bytes) {}

  fdpstore::Result<Outcome> run(const Request& request) override {
    using trace::OpKind;
    const trace::Op& op = *request.op;
    Outcome outcome;
    if (op.kind == OpKind::erase) {
      for (const std::uint64_t key : request.keys) {
        if (list_.contains(key)) used_ -= list_.remove(key).value;
      }
      return outcome;
    }
    bool leading = true;
    std::vector<std::uint64_t> missing;
    for (const std::uint64_t key : request.keys) {
      const bool present = list_.contains(key);
      leading = leading && present;
      outcome.leading += leading ? 1 : 0;
      outcome.present += present ? 1 : 0;
      if (!present) missing.push_back(key);
    }
    // Last key first, so that a prefix outlives what follows it.
    for (std::size_t i = request.keys.size(); i-- > 0;) (void)list_.touch(request.keys[i]);
    if (op.kind == OpKind::request || op.kind == OpKind::store) {
      for (std::size_t i = missing.size(); i-- > 0;) store(missing[i], op.object_bytes, outcome);
    }
    return outcome;
  }

  fdpstore::Result<Counts> counts() override { return counts_; }
  std::string no_device_counts() const override { return "object-level LRU writes to no device"; }

 private:
  void store(std::uint64_t key, std::uint64_t bytes, Outcome& outcome) {
    if (bytes > capacity_ || list_.contains(key)) return;
    while (used_ + bytes > capacity_) used_ -= list_.take_oldest().value;
    list_.add(key, bytes);
    used_ += bytes;
    ++outcome.stored;
    ++counts_.stored_objects;
    counts_.stored_bytes += bytes;
  }

  std::uint64_t capacity_;
  std::uint64_t used_ = 0;
  LruList list_;
  Counts counts_;
};

}  // namespace

std::unique_ptr<SubjectUnderTest> make_lru(std::uint64_t capacity_bytes) {
  return std::make_unique<LruSubject>(capacity_bytes);
}

}  // namespace fdpstore::compare
