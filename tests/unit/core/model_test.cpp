// Random operations against a model, with a crash image taken and opened every so often.
#include <map>
#include <random>
#include <set>

#include "core_test.hpp"
#include "support/sanitizers.hpp"

namespace fdpstore::test {
namespace {

constexpr int kSteps = kThreadSanitizer ? 300 : 1500;

struct Model {
  std::map<std::uint64_t, std::size_t> live;  // key number → payload bytes
  // Reclaimed, and not deleted by anybody: a crash before that was recorded brings them back.
  std::map<std::uint64_t, std::set<std::size_t>> maybe;
};

class ModelTest : public CoreTest, public ::testing::WithParamInterface<std::uint64_t> {
 protected:
  // Everything in `model` is a hit with the right bytes; nothing else is there. With `may_lack`,
  // objects may have been reclaimed, but what is there is right, and what was deleted is not there.
  void compare(Store& store, const Model& model, std::uint64_t keys, bool may_lack) {
    for (std::uint64_t number = 0; number < keys; ++number) {
      const auto it = model.live.find(number);
      if (it == model.live.end()) {
        if (!present(store, make_key(number))) continue;
        ASSERT_TRUE(model.maybe.contains(number)) << number << " was deleted";
        bool right = false;
        for (const std::size_t bytes : model.maybe.at(number)) {
          const auto got = get(store, make_key(number), bytes);
          if (got) right = same(*got, make_payload(number + bytes, bytes));
        }
        ASSERT_TRUE(right) << number;
        continue;
      }
      const auto bytes = get(store, make_key(number), it->second);
      if (!bytes && may_lack) continue;
      ASSERT_TRUE(bytes && same(*bytes, make_payload(number + it->second, it->second))) << number;
    }
  }

  void run(std::uint64_t seed, std::uint64_t keys, bool may_lack) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::mt19937_64 random(seed);
    Model model;
    auto store = open();
    for (int step = 0; step < kSteps; ++step) {
      const std::uint64_t number = random() % keys;
      const std::uint64_t what = random() % 100;
      if (what < 60) {
        const std::size_t bytes = 1 + random() % 60000;
        const KeyStatus status = put(*store, make_key(number), make_payload(number + bytes, bytes));
        ASSERT_NE(status, KeyStatus::failed);
        if (status == KeyStatus::stored) model.live[number] = bytes;
      } else if (what < 85) {
        const auto erased = erase(*store, make_key(number));
        ASSERT_TRUE(may_lack || erased.has_value() == model.live.contains(number));
        model.live.erase(number);
        if (erased) model.maybe.erase(number);
      } else if (what < 96) {
        present(*store, make_key(number));
      } else if (what < 98) {
        auto crashed = open(medium->snapshot());
        compare(*crashed, model, keys, may_lack);
        if (HasFatalFailure()) return;
      } else if (random() % 4 == 0) {  // go on after the crash
        auto image = medium->snapshot();
        store.reset();
        medium = image;
        store = open();
      } else if (random() % 4 == 0) {
        ASSERT_TRUE(store->close());
        store = open();
      }
      if (may_lack) {
        for (const DroppedKey& dropped : store->take_dropped()) {
          std::uint64_t gone = 0;
          std::memcpy(&gone, dropped.key.chunk_hash.data(), sizeof(gone));
          // It may have been stored again, with another size, before this was told.
          const auto live = model.live.find(gone);
          if (live != model.live.end() && live->second == dropped.bytes) model.live.erase(live);
          model.maybe[gone].insert(dropped.bytes);
        }
        ASSERT_LE(medium->allocated(), options.capacity_bytes);
      }
    }
    compare(*store, model, keys, may_lack);
  }
};

TEST_P(ModelTest, NothingIsLostWhileThereIsRoom) {
  run(GetParam(), 200, false);
}

TEST_P(ModelTest, NothingIsWrongAtCapacity) {
  options.capacity_bytes = 7U << 20;
  reinsert_budget = 0.2;
  run(GetParam() + 1000, 400, true);
}

TEST_P(ModelTest, PromptFilesBehaveLikeSegments) {
  options.layout = Layout::prompt;
  config.fixed_size = false;
  options.capacity_bytes = 17U << 20;
  run(GetParam() + 2000, 300, true);
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Range<std::uint64_t>(1, 6));

}  // namespace
}  // namespace fdpstore::test
