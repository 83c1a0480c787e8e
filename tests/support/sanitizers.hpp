// Which sanitizer the tests are built with: under one, what takes long does less.
#pragma once

namespace fdpstore::test {

#if defined(__has_feature)
#define FDPSTORE_HAS_FEATURE(name) __has_feature(name)
#else
#define FDPSTORE_HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || FDPSTORE_HAS_FEATURE(address_sanitizer)
inline constexpr bool kAddressSanitizer = true;
#else
inline constexpr bool kAddressSanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__) || FDPSTORE_HAS_FEATURE(thread_sanitizer)
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif
#undef FDPSTORE_HAS_FEATURE
inline constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

// How often something is repeated: a third of `times` under a sanitizer, where each takes 5 to 15
// times as long.
constexpr int repeated(int times) {
  return kSanitized ? (times + 2) / 3 : times;
}

}  // namespace fdpstore::test
