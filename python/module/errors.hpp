// Errors of the store as Python exceptions (fdpstore/errors.py).
//
// Thread:  with the GIL held.
#pragma once

#include "fdpstore/result.hpp"

namespace fdpstore::python {

// Raises fdpstore.OptionError for a bad option, else fdpstore.Error; both carry `code`.
[[noreturn]] void raise_error(const Error& error);

}  // namespace fdpstore::python
