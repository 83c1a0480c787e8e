// StoreView: looking into a store that exists, whether another process has it open or not.
//
// An open one is asked over its socket; a closed one is read from disk without a lock, and without
// changing anything.
//
// Thread:  one at a time.
// Errors:  not_found, foreign (no store there), or those of open_store and of the socket.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "fdpstore/store.hpp"
#include "store/diagnostics.hpp"

namespace fdpstore::store {

// The options that open what is at `path` for reading. Segments: as their superblock says; every
// other directory is one of layout `object`; what is no directory is taken for a device.
struct FoundStore {
  Options options;
  std::string socket_name;
  uid_t owner = 0;
};
// `base_offset_bytes`: where the store begins on a device.
[[nodiscard]] Result<FoundStore> find_store(const std::string& path,
                                            std::uint64_t base_offset_bytes = 0);
// Whether a process answers for it. One that cannot be asked (another user's) is not seen.
[[nodiscard]] Result<bool> is_open_elsewhere(const FoundStore& found);

class StoreView {
 public:
  // `policy`: names the streams of a closed store; empty: the default policy.
  [[nodiscard]] static Result<StoreView> open(const std::string& path, const std::string& policy,
                                              std::uint64_t base_offset_bytes = 0);

  [[nodiscard]] bool answered_by_owner() const { return client_.has_value(); }
  // As to_json(StoreStatus), with `answered_by_owner`. When that is false, what is not on disk
  // (policy, write_mode, placement, durability) is only what it was read with.
  [[nodiscard]] Result<std::string> status();
  [[nodiscard]] Result<KeyPage> list(std::string_view cursor, std::size_t page_size,
                                     std::string_view model_name);

 private:
  StoreView() = default;
  std::optional<DiagnosticsClient> client_;  // one of the two
  std::unique_ptr<Store> store_;
};

}  // namespace fdpstore::store
