// Opening a store on a backend that is open already: for the comparison, which brings its own
// simulated device, and its own lineage where a policy is to know the future.
//
// Errors:  as open_store.
#pragma once

#include <memory>

#include "fdpstore/backend.hpp"
#include "fdpstore/options.hpp"
#include "fdpstore/policy.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::store {

// Layouts `segment` and `prompt`. `lineage` null: what open_store takes.
[[nodiscard]] Result<std::unique_ptr<Store>> open_on(const Options& options,
                                                     std::unique_ptr<Backend> backend,
                                                     std::unique_ptr<Lineage> lineage = nullptr);

// What learns from lookups in a store.
[[nodiscard]] std::unique_ptr<Lineage> make_lineage();

}  // namespace fdpstore::store
