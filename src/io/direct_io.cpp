#include "io/direct_io.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/aligned_buffer.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::io {
namespace {

constexpr std::uint32_t kBlockBytes = 4096;
// Kernels report down to 4 bytes for memory; vectors cut below a sector have been trouble.
constexpr std::uint32_t kSmallestMemoryAlign = 512;
constexpr unsigned kStatxDioAlign = 0x2000;  // STATX_DIOALIGN, Linux ≥ 6.1

// Alignments as the kernel states them; nothing when it does not say, 0 when O_DIRECT is
// impossible.
struct Alignments {
  std::uint32_t offset = 0;
  std::uint32_t memory = 0;
};
std::optional<Alignments> stated_alignments(int fd) {
  struct statx info{};
  if (::statx(fd, "", AT_EMPTY_PATH, kStatxDioAlign, &info) != 0) return std::nullopt;
  if ((info.stx_mask & kStatxDioAlign) == 0) return std::nullopt;
  return Alignments{info.stx_dio_offset_align, info.stx_dio_mem_align};
}

DirectIo impossible(std::string reason) {
  return {false, 0, 0, std::move(reason)};
}

// What is to be proved: a block at an address that is aligned to `memory` bytes and to no more.
DirectIo answer(const std::optional<Alignments>& stated) {
  DirectIo result{true, kBlockBytes, kBlockBytes, "tried with 4096-byte alignment"};
  if (stated) {
    result.offset_align_bytes = std::max(stated->offset, 1U);
    result.memory_align_bytes = std::max(stated->memory, kSmallestMemoryAlign);
    result.reason = "tried with the alignment that statx states";
  }
  return result;
}

std::byte* barely_aligned(const AlignedBuffer& buffer, std::uint32_t memory_align) {
  return buffer.data() + (memory_align < kBlockBytes ? memory_align : 0);
}

Result<UniqueFd> open_nameless(const std::string& directory) {
  auto nameless = open_file(directory, O_TMPFILE | O_RDWR | O_DIRECT);
  if (nameless) return nameless;
  const int code = nameless.error().code.value();
  if (code != EOPNOTSUPP && code != EISDIR && code != EINVAL && code != ENOENT) return nameless;
  std::string name = directory + "/" + kProbePrefix + "XXXXXX";
  UniqueFd file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) return fail_errno(errno, fmt::format("cannot make a temporary file in {}", directory));
  auto direct = open_file(name, O_RDWR | O_DIRECT);
  ::unlink(name.c_str());
  return direct;
}

}  // namespace

Result<DirectIo> probe_direct_io(const std::string& directory) {
  auto file = open_nameless(directory);
  if (!file) {
    if (file.error().code == std::errc::invalid_argument) {
      return impossible("the file system refuses O_DIRECT");
    }
    return fail(file.error());
  }
  const auto stated = stated_alignments(file->get());
  if (stated && stated->offset == 0) return impossible("statx says that O_DIRECT is not supported");
  DirectIo result = answer(stated);
  if (result.offset_align_bytes > kBlockBytes) {
    return impossible(
        fmt::format("O_DIRECT needs transfers of {} bytes here; records are padded "
                    "to {} bytes",
                    result.offset_align_bytes, kBlockBytes));
  }
  const auto memory = AlignedBuffer::make({.size_bytes = std::size_t{4} * kBlockBytes});
  if (!memory) return fail(memory.error());
  std::byte* out = barely_aligned(*memory, result.memory_align_bytes);
  std::byte* in = out + 2 * static_cast<std::size_t>(kBlockBytes);
  std::memset(out, 0x5A, kBlockBytes);
  for (const bool writing : {true, false}) {
    const auto done = writing ? pwrite_all(file->get(), {out, kBlockBytes}, 0, directory)
                              : pread_all(file->get(), {in, kBlockBytes}, 0, directory);
    if (done) continue;
    if (done.error().code == std::errc::invalid_argument) {
      return impossible(fmt::format("O_DIRECT is accepted at open, but an aligned {} fails",
                                    writing ? "write" : "read"));
    }
    return fail(done.error());
  }
  if (std::memcmp(out, in, kBlockBytes) != 0) {
    return impossible("a block written with O_DIRECT read back differently");
  }
  return result;
}

Result<DirectIo> probe_direct_read(const std::string& path) {
  const auto file = open_file(path, O_RDONLY | O_DIRECT);
  if (!file) {
    if (file.error().code == std::errc::invalid_argument) {
      return impossible("the file system refuses O_DIRECT");
    }
    return fail(file.error());
  }
  const auto stated = stated_alignments(file->get());
  if (stated && stated->offset == 0) return impossible("statx says that O_DIRECT is not supported");
  DirectIo result = answer(stated);
  const auto memory = AlignedBuffer::make({.size_bytes = std::size_t{2} * kBlockBytes});
  if (!memory) return fail(memory.error());
  std::byte* in = barely_aligned(*memory, result.memory_align_bytes);
  if (const auto done = pread_all(file->get(), {in, kBlockBytes}, 0, path); !done) {
    if (done.error().code == std::errc::invalid_argument) {
      return impossible("O_DIRECT is accepted at open, but an aligned read fails");
    }
    return fail(done.error());
  }
  return result;
}

}  // namespace fdpstore::io
