#include "common/xxh3_inline.hpp"

namespace fdpstore {

constinit const Xxh3Unit kXxh3Baseline = inlined_xxh3();

}  // namespace fdpstore
