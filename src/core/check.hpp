// fsck of a segment store: everything recovery checks, then every live object read and verified.
#pragma once

#include <memory>

#include "core/segment_store.hpp"

namespace fdpstore::core {

// With `repair`, damaged objects are deleted. The store must not be open elsewhere then.
[[nodiscard]] Result<CheckReport> check_segments(const Options& options,
                                                 std::unique_ptr<Backend> backend,
                                                 PolicyFactory make_policy, bool repair,
                                                 const CheckProgress& progress);

}  // namespace fdpstore::core
