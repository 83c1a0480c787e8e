// Layout `object`: a Store where every object is one file, exchangeable with LMCache's `fs`.
//
// Existence is what the file system says, asked on a small pool of threads, so that hosts may share
// a directory. Plain system calls on threads, no ring: of the time a 256 KiB object takes, what
// counts is making, naming and removing files, which io_uring hands to threads of its own anyway.
//
// Owns:    the directory (object_directory.hpp), the policy and the lineage.
// Errors:  a bad base path is named, with the remedy; Errc::busy when another process has the
//          directory with exclusive = true; Errc::unsupported when a requirement cannot be kept.
#pragma once

#include <memory>

#include "fdpstore/options.hpp"
#include "fdpstore/policy.hpp"
#include "fdpstore/result.hpp"
#include "fdpstore/store.hpp"

namespace fdpstore::objects {

[[nodiscard]] Result<std::unique_ptr<Store>> open_object_store(const Options& options,
                                                               std::unique_ptr<Policy> policy,
                                                               std::unique_ptr<Lineage> lineage);

}  // namespace fdpstore::objects
