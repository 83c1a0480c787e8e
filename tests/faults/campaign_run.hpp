// One run of the campaign: its state; campaign.cpp sets it up, opens and closes,
// campaign_checks.cpp compares, campaign_workload.cpp does what users do.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "campaign.hpp"
#include "core/segment_store.hpp"
#include "model.hpp"
#include "support/fault_backend.hpp"
#include "support/files.hpp"
#include "support/mem_backend.hpp"

namespace fdpstore::test {

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
template <class... Args>
[[noreturn]] void broken(fmt::format_string<Args...> text, Args&&... args) {
  throw Broken(fmt::format(text, std::forward<Args>(args)...));
}

inline constexpr auto kPatience = std::chrono::seconds(20);
inline constexpr std::uint64_t kBlock = format::kBlockBytes;

class Run {
 public:
  explicit Run(const RunSetup& setup);
  RunReport execute();

 private:
  struct Pending {
    TaskKind kind;
    TaskId id;
    std::vector<std::uint64_t> keys;
    std::vector<std::uint64_t> sizes;
    std::vector<Buffer> buffers;
  };

  std::unique_ptr<Backend> backend();
  core::PolicyFactory policy() const;
  bool open();
  void close_store();
  void after_death();
  void reopen(bool closed_in_order);
  void check_contents();
  void check_listed(const std::map<std::uint64_t, std::uint64_t>& listed);
  void check_accounts();
  void fsck();
  void finish();

  void step();
  void batch();
  Pending submit_put(const std::vector<std::uint64_t>& keys);
  Pending submit_get(const std::vector<std::uint64_t>& keys);
  void settle(Pending& pending);
  void settle_put(Pending& pending, const TaskResult& result);
  void settle_get(Pending& pending, const TaskResult& result);
  void lookup();
  void unlock_some();
  void erase();
  void take_dropped();
  TaskResult wait(TaskKind kind, TaskId id);
  void lose_if_excused(std::uint64_t n, const char* when);
  [[nodiscard]] bool dropped_now(std::uint64_t n) const;
  [[nodiscard]] bool may_be_damaged(const ModelKey& key) const;
  std::vector<std::uint64_t> pick_keys(std::size_t most);
  std::uint64_t random_size(std::uint64_t n);
  std::uint64_t random(std::uint64_t below) { return random_() % below; }
  void trace(const std::string& text) const {
    if (setup_.verbose) fmt::print("  [{}] {}\n", step_, text);
  }

  RunSetup setup_;
  std::mt19937_64 random_;
  RunReport report_;
  Options options_;
  MemBackend::Config mem_;
  std::string policy_;
  TempDir dir_;
  std::shared_ptr<MemMedium> memory_ = std::make_shared<MemMedium>();
  std::shared_ptr<FaultMedium> faults_;
  Model model_;
  std::unique_ptr<Store> store_;
  std::map<std::pair<TaskKind, TaskId>, TaskResult> arrived_;
  std::uint32_t step_ = 0;
  std::set<std::pair<std::uint64_t, std::uint64_t>> just_dropped_;  // key, size: in this batch
  bool cached_ = false;
  bool power_cuts_ = false;
  Cut cut_ = Cut::none;  // the one armed last
};

}  // namespace fdpstore::test
