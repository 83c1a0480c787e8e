// The files of an ObjectDirectory: look, read, write, remove.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "io/page_cache.hpp"
#include "objects/object_directory.hpp"

namespace fdpstore::objects {
namespace {

constexpr std::size_t kBounceBytes = 1U << 20;
constexpr std::size_t kMaxNoteBytes = 1U << 20;

std::uint64_t mtime_ns(const struct stat& info) {
  return static_cast<std::uint64_t>(info.st_mtim.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(info.st_mtim.tv_nsec);
}
std::uint64_t allocated(const struct stat& info) {
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

// Errors of opening that mean "there is no object": nothing, a link, no permission, and a file that
// another host has removed meanwhile.
bool means_absent(int error) {
  return error == ENOENT || error == ELOOP || error == EACCES || error == ESTALE || error == ENXIO;
}

// What the attribute says of the file, without reading it.
void judge(FileState& state, const ReadAttribute& attribute) {
  switch (attribute.state) {
    case AttributeState::absent: state.verdict = FileVerdict::unverified; break;
    case AttributeState::newer: state.verdict = FileVerdict::unreadable; return;
    case AttributeState::damaged:
      state.verdict = FileVerdict::damaged;
      state.what = "its attribute is damaged or belongs to another object";
      return;
    case AttributeState::valid:
      state.verdict = attribute.value.has_checksum ? FileVerdict::good : FileVerdict::unverified;
      if (attribute.value.size_bytes != state.size_bytes) {
        state.verdict = FileVerdict::damaged;
        state.what = "its size is not the one it was written with";
      }
  }
  // Payloads have a byte at least: an empty file is what a power cut left of one.
  if (state.size_bytes == 0) {
    state.verdict = FileVerdict::damaged;
    state.what = "it is empty";
  }
}

}  // namespace

FileState ObjectDirectory::describe(const struct stat& info, const ReadAttribute& attribute) {
  FileState state;
  state.size_bytes = static_cast<std::uint64_t>(info.st_size);
  state.allocated_bytes = allocated(info);
  state.inode = info.st_ino;
  state.rewritten =
      attribute.state == AttributeState::valid && attribute.value.mtime_ns != mtime_ns(info);
  judge(state, attribute);
  return state;
}

// Most files are either not there or in order, and that can be told without opening them.
std::optional<FileState> ObjectDirectory::look_by_name(const ObjectName& name) const {
  struct stat info{};
  if (::fstatat(fd_.get(), name.file.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno == ENOENT ? std::optional<FileState>(FileState{}) : std::nullopt;
  }
  if (!by_name_ || name.own_key || !S_ISREG(info.st_mode)) return std::nullopt;
  if (auto known = known_.find(name.digest, info)) return known;
  const auto attribute = read_attribute_at(fd_.get(), name);
  if (!attribute) {
    if (attribute.error().code == Errc::unsupported) by_name_ = false;
    return std::nullopt;
  }
  // Size and attribute may be of two files when another one took the name in between: what looks
  // wrong is looked at again.
  const FileState state = describe(info, *attribute);
  if (!state.present()) return std::nullopt;
  known_.remember(name.digest, info, state);
  return state;
}

Result<ObjectDirectory::OpenFile> ObjectDirectory::open_object(const ObjectName& name,
                                                               int flags) const {
  OpenFile file;
  file.fd.reset(::openat(fd_.get(), name.file.c_str(),
                         O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags));
  if (!file.fd) {
    if (means_absent(errno)) return file;
    return fail_errno(errno, fmt::format("cannot open {}/{}", path_, name.file));
  }
  struct stat info{};
  if (::fstat(file.fd.get(), &info) != 0) return fail_errno(errno, name.file);
  if (!S_ISREG(info.st_mode)) return file;
  auto attribute = read_attribute(file.fd.get(), name);
  if (!attribute) return fail(attribute.error());
  file.attribute = *attribute;
  file.state = describe(info, *attribute);
  if (name.own_key && file.state.present()) {
    auto key = read_key_attribute(file.fd.get());
    if (!key) return fail(key.error());
    if (*key != *name.own_key) {
      file.state.verdict = FileVerdict::damaged;
      file.state.what = "it does not hold the key that its name stands for";
    }
  }
  return file;
}

Result<FileState> ObjectDirectory::look(const ObjectName& name) const {
  if (auto state = look_by_name(name)) return *state;
  auto file = open_object(name, 0);
  if (!file) return fail(file.error());
  return file->state;
}

Result<FileState> ObjectDirectory::read(const ObjectName& name, std::span<std::byte> out,
                                        unsigned worker) {
  auto file = open_object(name, direct_.works ? O_DIRECT : 0);
  if (!file) return fail(file.error());
  FileState& state = file->state;
  if (!state.present()) return state;
  if (state.size_bytes != out.size()) {
    state.verdict = FileVerdict::other_size;
    return state;
  }
  if (options_.read_ahead_size > 0 && !direct_.works) {
    // Advice only; where it fails, the read below does all the work.
    (void)::posix_fadvise(file->fd.get(), 0, static_cast<off_t>(options_.read_ahead_size),
                          POSIX_FADV_WILLNEED);
  }
  const Attribute& attribute = file->attribute.value;
  std::uint64_t checksum = 0;
  auto got = attribute.has_checksum ? read_and_sum(file->fd.get(), name, out, worker, checksum)
                                    : read_payload(file->fd.get(), out, worker, name.file);
  if (!got) {
    if (got.error().code != Errc::corrupt) return fail(got.error());
    state.verdict = FileVerdict::damaged;
    state.what = "it became shorter while it was read";
    return state;
  }
  if (attribute.has_checksum && checksum != attribute.checksum) {
    state.verdict = FileVerdict::damaged;
    state.what = "its bytes do not match their checksum";
  }
  return state;
}

// What lies in memory is copied and summed up a piece at a time, while the processor's cache has
// it.
Result<void> ObjectDirectory::read_and_sum(int fd, const ObjectName& name, std::span<std::byte> out,
                                           unsigned worker, std::uint64_t& checksum) {
  if (direct_.works || out.size() <= kXxh3CachedBytes || !io::in_page_cache(fd, 0, out.size())) {
    auto got = read_payload(fd, out, worker, name.file);
    if (got) checksum = payload_checksum(name, out);
    return got;
  }
  Xxh3 sum = payload_sum(name);
  for (std::size_t at = 0; at < out.size(); at += kXxh3CachedBytes) {
    const auto piece = out.subspan(at, std::min(kXxh3CachedBytes, out.size() - at));
    if (auto got = io::pread_all(fd, piece, at, name.file); !got) return got;
    sum.add(piece);
  }
  checksum = sum.value();
  return {};
}

bool ObjectDirectory::is_aligned(const void* data) const {
  return reinterpret_cast<std::uintptr_t>(data) % direct_.memory_align_bytes == 0;
}

Result<std::span<std::byte>> ObjectDirectory::bounce(unsigned worker) {
  io::AlignedBuffer& buffer = bounce_[worker];
  if (buffer.data() == nullptr) {
    auto made = io::AlignedBuffer::make({.size_bytes = kBounceBytes, .populate = true});
    if (!made) return fail(made.error());
    buffer = std::move(*made);
  }
  return buffer.span();
}

Result<void> ObjectDirectory::read_payload(int fd, std::span<std::byte> out, unsigned worker,
                                           const std::string& name) {
  if (!direct_.works) return io::pread_all(fd, out, 0, name);
  const std::size_t block = direct_.offset_align_bytes;
  std::size_t done = 0;
  if (is_aligned(out.data())) {
    done = out.size() / block * block;
    if (auto got = io::pread_all(fd, out.first(done), 0, name); !got) return got;
    if (done == out.size()) return {};
  }
  auto buffer = bounce(worker);
  if (!buffer) return fail(buffer.error());
  while (done < out.size()) {
    const ssize_t got = ::pread(fd, buffer->data(), buffer->size(), static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail_errno(errno, fmt::format("cannot read {} at {}", name, done));
    if (got == 0) return fail(Errc::corrupt, name);
    const std::size_t part = std::min(static_cast<std::size_t>(got), out.size() - done);
    std::memcpy(out.data() + done, buffer->data(), part);
    done += part;
    // A short direct read that is no whole block is the end of the file.
    if (done < out.size() && part % block != 0) return fail(Errc::corrupt, name);
  }
  return {};
}

Result<void> ObjectDirectory::write_payload(int fd, std::span<const std::byte> bytes,
                                            unsigned worker, const std::string& name) {
  if (!direct_.works) return io::pwrite_all(fd, bytes, 0, name);
  const std::size_t block = direct_.offset_align_bytes;
  const std::size_t whole = bytes.size() / block * block;
  if (is_aligned(bytes.data())) {
    if (auto put = io::pwrite_all(fd, bytes.first(whole), 0, name); !put) return put;
  } else {
    auto buffer = bounce(worker);
    if (!buffer) return fail(buffer.error());
    for (std::size_t at = 0; at < whole;) {
      const auto part = buffer->first(std::min(buffer->size(), whole - at));
      std::memcpy(part.data(), bytes.data() + at, part.size());
      if (auto put = io::pwrite_all(fd, part, at, name); !put) return put;
      at += part.size();
    }
  }
  if (whole == bytes.size()) return {};
  // The rest of an odd size goes through the page cache: padding it and cutting the file to size
  // afterwards would make the file system read the block back.
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) != 0) return fail_errno(errno, name);
  return io::pwrite_all(fd, bytes.subspan(whole), whole, name);
}

Result<void> ObjectDirectory::write_attributes(int fd, const WriteRequest& request,
                                               std::uint64_t written_mtime_ns) {
  if (request.name.own_key) {
    if (auto put = write_key_attribute(fd, request.name.own_key->ref()); !put) return put;
  }
  if (!has_attributes_) return {};
  Attribute attribute{.size_bytes = request.bytes.size(), .mtime_ns = written_mtime_ns};
  if (options_.checksum) {
    attribute.has_checksum = true;
    attribute.checksum = payload_checksum(request.name, request.bytes);
  }
  auto put = write_attribute(fd, request.name, attribute);
  if (!put && put.error().code == Errc::unsupported) {
    has_attributes_ = false;  // status warns that objects cannot be verified here
    return {};
  }
  return put;
}

Result<std::uint64_t> ObjectDirectory::write(const WriteRequest& request, unsigned worker) {
  const std::string& name = request.name.file;
  auto file = temp_->create(worker, direct_.works ? O_DIRECT : 0);
  if (!file) return fail(file.error());
  if (hint_ != io::WriteHintMechanism::none && request.lifetime != Lifetime::not_set) {
    if (auto set = io::set_write_hint(file->fd(), hint_, request.lifetime); !set) {
      return fail(set.error());
    }
  }
  if (auto put = write_payload(file->fd(), request.bytes, worker, name); !put) {
    return fail(put.error());
  }
  struct stat info{};
  if (::fstat(file->fd(), &info) != 0) return fail_errno(errno, name);
  if (auto put = write_attributes(file->fd(), request, mtime_ns(info)); !put) {
    return fail(put.error());
  }
  // fsync, not fdatasync: the attribute has to survive as well.
  if (options_.durability == Durability::device) {
    if (auto synced = io::sync_file(file->fd(), name); !synced) return fail(synced.error());
  }
  if (auto moved = file->commit(fd_.get(), name); !moved) return fail(moved.error());
  return allocated(info);
}

Result<std::optional<std::uint64_t>> ObjectDirectory::remove(const ObjectName& name) {
  struct stat info{};
  if (::fstatat(fd_.get(), name.file.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::unlinkat(fd_.get(), name.file.c_str(), 0) != 0) {
    if (errno == ENOENT || errno == ESTALE) return std::nullopt;
    return fail_errno(errno, fmt::format("cannot remove {}/{}", path_, name.file));
  }
  return static_cast<std::uint64_t>(info.st_size);
}

bool ObjectDirectory::remove_inode(const ObjectName& name, std::uint64_t inode) {
  struct stat info{};
  return ::fstatat(fd_.get(), name.file.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
         info.st_ino == inode && ::unlinkat(fd_.get(), name.file.c_str(), 0) == 0;
}

std::optional<ObjectKey> ObjectDirectory::own_key(const std::string& file) const {
  const io::UniqueFd fd(
      ::openat(fd_.get(), file.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd) return std::nullopt;
  auto key = read_key_attribute(fd.get());
  return key ? *key : std::nullopt;
}

std::optional<ObjectKey> ObjectDirectory::key_of(const std::string& file) const {
  return is_own_name(file) ? own_key(file) : parse_name(file);
}

Result<void> ObjectDirectory::sync() const {
  return io::sync_file(fd_.get(), path_);
}

Result<void> ObjectDirectory::write_note(const std::string& file, std::string_view text,
                                         unsigned worker) {
  auto temp = temp_->create(worker, 0);
  if (!temp) return fail(temp.error());
  if (auto put = io::pwrite_all(temp->fd(), std::as_bytes(std::span(text)), 0, file); !put) {
    return put;
  }
  return temp->commit(fd_.get(), file);
}

std::string ObjectDirectory::read_note(const std::string& file) const {
  auto fd = io::open_at(fd_.get(), path_, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  if (!fd) return {};
  const auto size = io::file_size(fd->get(), file);
  if (!size || *size > kMaxNoteBytes) return {};
  std::string text(*size, '\0');
  if (!io::pread_all(fd->get(), std::as_writable_bytes(std::span(text)), 0, file)) return {};
  return text;
}

}  // namespace fdpstore::objects
