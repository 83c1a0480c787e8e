// What this test program does as a child process: `--open VARIANT PATH` opens a store, says how
// that went in its exit status, and leaves.
#pragma once

namespace fdpstore::test {

inline constexpr const char* kOpenArgument = "--open";
inline constexpr int kExitOpened = 0;
inline constexpr int kExitBusy = 10;
inline constexpr int kExitOtherError = 11;

}  // namespace fdpstore::test
