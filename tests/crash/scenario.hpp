// What parent and child of the crash test agree on: the stores they use and the memory they share.
//
// Each key goes through generations (other bytes and size each time). The child writes what it is
// about to do with a key before it does it, and the outcome after the store has reported it, into
// shared memory that outlives it. So the parent knows at any instant of death what was promised.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>

#include "support/bytes.hpp"
#include "support/files.hpp"
#include "support/variants.hpp"

namespace fdpstore::test::crash {

inline constexpr std::size_t kKeys = 384;
inline constexpr unsigned kThreads = 3;  // key n belongs to thread n % kThreads
inline constexpr const char* kChildArgument = "--crash-child";
inline constexpr int kExitFinished = 0;
inline constexpr int kExitViolation = 20;  // the child itself saw a broken promise
inline constexpr int kExitCannotOpen = 21;

struct Scenario {
  std::string_view name;
  Variant variant;
  bool reclaims = false;     // more is stored than fits: objects may go, wrong bytes may not come
  std::uint32_t rounds = 0;  // when those on a disk's directories are 50 in all

  friend std::ostream& operator<<(std::ostream& out, const Scenario& s) { return out << s.name; }
};

inline constexpr std::array kScenarios = {
    Scenario{"segment", {Layout::segment, true, false}, false, 11},
    Scenario{"segment_buffered", {Layout::segment, false, false}, false, 5},
    Scenario{"segment_reclaim", {Layout::segment, true, false}, true, 8},
    Scenario{"segment_tmpfs_reclaim",
             {Layout::segment, false, false, Medium::directory, true},
             true,
             10},
    Scenario{"prompt", {Layout::prompt, true, false}, false, 6},
    Scenario{"prompt_buffered_reclaim", {Layout::prompt, false, false}, true, 6},
    Scenario{"object", {Layout::object, false, false}, false, 5},
    Scenario{"object_odirect", {Layout::object, true, false}, false, 4},
    Scenario{"object_exclusive_reclaim", {Layout::object, false, true}, true, 5},
    Scenario{"raw_file", {Layout::segment, true, false, Medium::raw_file}, false, 8},
    Scenario{
        "raw_file_buffered_reclaim", {Layout::segment, false, false, Medium::raw_file}, true, 3},
    Scenario{"loop", {Layout::segment, true, false, Medium::loop}, false, 8},
    Scenario{"loop_reclaim", {Layout::segment, true, false, Medium::loop}, true, 8},
};

inline constexpr std::uint64_t kRoomBytes = 1024 * kMiB;
// `where`: the store's directory or device.
inline Options options_of(const Scenario& scenario, const std::filesystem::path& where) {
  Options options = small_options(scenario.variant, where);
  // Without reclaim everything ever appended must fit: see kBytesPerRound.
  if (!scenario.reclaims && options.capacity_bytes != 0) options.capacity_bytes = kRoomBytes;
  return options;
}
// What the child stores in a round at most when nothing may be reclaimed.
inline constexpr std::uint64_t kBytesPerRound = 32 * kMiB;

inline std::uint64_t seed_of(std::uint64_t n, std::uint64_t generation) {
  return mix(n * 1'000'003 + generation);
}
inline std::size_t size_of(const Scenario& scenario, std::uint64_t n, std::uint64_t generation) {
  const std::uint64_t random = seed_of(n, generation);
  const std::uint64_t limit = scenario.reclaims ? 300'000 : 60'000;
  return random % 8 == 0 ? 1 + random % 5000 : 1 + random % limit;
}

// What is known of a key; the states are ordered as a key goes through them.
enum class Phase : std::uint8_t { absent, storing, stored, erasing };
struct KeyState {
  std::uint64_t generation = 0;
  Phase phase = Phase::absent;
};

struct Shared {
  std::atomic<std::uint64_t> acknowledged;  // operations, for the parent to choose its moment
  std::array<std::atomic<std::uint64_t>, kKeys> keys;

  [[nodiscard]] KeyState get(std::uint64_t n) const {
    const std::uint64_t word = keys[n].load(std::memory_order_acquire);
    return {.generation = word >> 2, .phase = static_cast<Phase>(word & 3)};
  }
  void set(std::uint64_t n, KeyState state) {
    keys[n].store(state.generation << 2 | static_cast<std::uint64_t>(state.phase),
                  std::memory_order_release);
  }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "shared between processes");

// A Shared in a file, zero at first.
class SharedFile {
 public:
  explicit SharedFile(const std::filesystem::path& path) {
    const File file(path, O_CREAT | O_RDWR);
    if (file.size() < sizeof(Shared) && ::ftruncate(file.fd(), sizeof(Shared)) != 0) {
      throw_errno("ftruncate");
    }
    void* at = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (at == MAP_FAILED) throw_errno("mmap");
    shared_ = static_cast<Shared*>(at);
  }
  ~SharedFile() { ::munmap(shared_, sizeof(Shared)); }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  [[nodiscard]] Shared& get() const { return *shared_; }

 private:
  Shared* shared_;
};

// `--crash-child SCENARIO SHARED_FILE STORE SEED`; returns an exit status if it is not killed.
int run_child(const std::array<std::string, 4>& arguments);

}  // namespace fdpstore::test::crash
