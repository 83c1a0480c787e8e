#include "common/xxh3_inline.hpp"

#if defined(__AVX512F__)  // as src/CMakeLists.txt has it compiled
namespace fdpstore {

constinit const Xxh3Unit kXxh3Avx512 = inlined_xxh3();

}  // namespace fdpstore
#endif
