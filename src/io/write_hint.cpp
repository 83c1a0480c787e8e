#include "io/write_hint.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

namespace fdpstore::io {
namespace {

// Numbers of linux/fcntl.h, which cannot be included beside glibc's fcntl.h.
constexpr int kGetInodeHint = 1035;
constexpr int kSetInodeHint = 1036;
constexpr int kGetDescriptorHint = 1037;
constexpr int kSetDescriptorHint = 1038;

Result<void> refuse_other_than_file(int fd) {
  struct stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, "cannot stat the file to hint");
  if (!S_ISREG(info.st_mode)) {
    return fail(Errc::unsupported,
                "write hints are for regular files; on a device they stick to it");
  }
  return {};
}

Result<std::uint64_t> get_raw(int fd, WriteHintMechanism mechanism) {
  std::uint64_t hint = 0;
  const int command =
      mechanism == WriteHintMechanism::descriptor ? kGetDescriptorHint : kGetInodeHint;
  if (::fcntl(fd, command, &hint) != 0) {
    return fail_errno(errno,
                      fmt::format("cannot read the write hint (for {})", to_string(mechanism)));
  }
  return hint;
}

Result<void> set_raw(int fd, WriteHintMechanism mechanism, std::uint64_t hint) {
  const int command =
      mechanism == WriteHintMechanism::descriptor ? kSetDescriptorHint : kSetInodeHint;
  if (::fcntl(fd, command, &hint) != 0) {
    return fail_errno(errno, fmt::format("{} refused", to_string(mechanism)));
  }
  return {};
}

}  // namespace

std::string_view to_string(WriteHintMechanism mechanism) {
  switch (mechanism) {
    case WriteHintMechanism::none: return "none";
    case WriteHintMechanism::inode: return "F_SET_RW_HINT";
    case WriteHintMechanism::descriptor: return "F_SET_FILE_RW_HINT";
  }
  return "?";
}

Result<void> try_write_hint(int fd, WriteHintMechanism mechanism) {
  if (mechanism == WriteHintMechanism::none) return {};
  if (auto file = refuse_other_than_file(fd); !file) return file;
  const auto present = get_raw(fd, mechanism);
  if (!present) return fail(present.error());
  return set_raw(fd, mechanism, *present);
}

WriteHintMechanism probe_write_hint(int fd) {
  for (const auto mechanism : {WriteHintMechanism::descriptor, WriteHintMechanism::inode}) {
    if (try_write_hint(fd, mechanism)) return mechanism;
  }
  return WriteHintMechanism::none;
}

Result<void> set_write_hint(int fd, WriteHintMechanism mechanism, Lifetime lifetime) {
  if (mechanism == WriteHintMechanism::none) return {};
  if (auto file = refuse_other_than_file(fd); !file) return file;
  return set_raw(fd, mechanism, static_cast<std::uint64_t>(lifetime));
}

Result<Lifetime> get_write_hint(int fd, WriteHintMechanism mechanism) {
  if (mechanism == WriteHintMechanism::none) return Lifetime::not_set;
  const auto hint = get_raw(fd, mechanism);
  if (!hint) return fail(hint.error());
  return static_cast<Lifetime>(*hint);
}

}  // namespace fdpstore::io
