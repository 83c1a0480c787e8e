// The store of layouts `segment` and `prompt` (and raw): segments as append logs over a Backend.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "fdpstore/backend.hpp"
#include "fdpstore/policy.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::core {

// Makes the policy once it is known how many segments may be open; `reason` is for its merge notes.
using PolicyFactory =
    std::function<Result<std::unique_ptr<Policy>>(std::uint32_t data_handles, std::string reason)>;

// Opens the store on `backend`, or creates one on a blank medium. Recovers before it returns.
[[nodiscard]] Result<std::unique_ptr<Store>> open_segment_store(const Options& options,
                                                                std::unique_ptr<Backend> backend,
                                                                PolicyFactory make_policy,
                                                                std::unique_ptr<Lineage> lineage);

}  // namespace fdpstore::core
