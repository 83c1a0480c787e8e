#include "backends/store_directory.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/directory_content.hpp"
#include "fdpstore/backend.hpp"

namespace fdpstore::backends {
namespace {

Error explained(int error, const std::string& path, std::string_view doing) {
  std::string what = fmt::format("base_path {}: {}", path, doing);
  switch (error) {
    case EACCES:
    case EPERM:
      what += fmt::format(
          " is not permitted to this user (uid {}); change the owner or mode, or "
          "choose another directory",
          ::geteuid());
      break;
    case EROFS:
      what += " fails; mount the file system read-write or choose another directory";
      break;
    case ELOOP: what += " fails; it is a symbolic link, and a store follows none: remove it"; break;
    case ENOTDIR: what += " fails; a part of the path is a file, name a directory"; break;
    case ENOSPC: what += " fails; make room or choose another directory"; break;
    default: what += " fails"; break;
  }
  return {std::error_code(error, std::generic_category()), std::move(what)};
}

// Who may read the files may enter their directory.
mode_t directory_mode(mode_t file_mode) {
  return 0700 | ((file_mode & 0040) != 0 ? 0050 : 0) | ((file_mode & 0004) != 0 ? 0005 : 0);
}

// Creates `path` and missing parents, as LMCache's fs adapter does, open to those who may read its
// files.
Result<void> make_directories(const std::string& path, mode_t mode) {
  const std::filesystem::path target(path);
  if (target.has_parent_path() && !std::filesystem::exists(target.parent_path())) {
    if (auto made = make_directories(target.parent_path().native(), mode); !made) return made;
  }
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) {
    return fail(explained(errno, path, "making the directory"));
  }
  const std::string parent = target.has_parent_path() ? target.parent_path().native() : ".";
  return io::sync_directory(parent);
}

}  // namespace

Result<StoreDirectory> StoreDirectory::open(const Options& options) {
  if (options.path.empty()) {
    return fail(Errc::invalid_option, "base_path is missing; name the directory of the store");
  }
  StoreDirectory directory(options.path);
  while (directory.path_.size() > 1 && directory.path_.ends_with('/')) directory.path_.pop_back();
  struct stat info{};
  if (::stat(directory.path_.c_str(), &info) != 0) {
    if (errno != ENOENT) return fail(explained(errno, directory.path_, "looking at the directory"));
    if (options.read_only) {
      return fail(Errc::not_found,
                  fmt::format("{} does not exist: no store to read", directory.path_));
    }
    const auto made = make_directories(directory.path_, directory_mode(options.file_mode));
    if (!made) return fail(made.error());
  } else if (!S_ISDIR(info.st_mode)) {
    return fail_errno(ENOTDIR,
                      fmt::format("base_path {} is not a directory; name one", directory.path_));
  }
  auto ready = directory.check(options);
  if (ready) ready = options.read_only ? directory.open_existing() : directory.create(options);
  if (!ready) return fail(ready.error());
  return directory;
}

Result<void> StoreDirectory::check(const Options& options) const {
  const auto content = inspect_directory(path_);
  if (!content) return fail(explained(content.error().code.value(), path_, "listing it"));
  if (content->has_superblock) return {};
  if (options.read_only) {
    return fail(Errc::not_found, fmt::format("{} holds no fdpstore store with segment files ({})",
                                             path_, content->describe()));
  }
  if (!content->has_foreign() || options.format) return {};
  if (content->lmcache_objects > 0) {
    return fail(Errc::foreign,
                fmt::format("base_path {} is an LMCache fs directory with {} objects (such as {}); "
                            "layout 'object' serves it, layouts 'segment' and 'prompt' need a "
                            "directory of their own",
                            path_, content->lmcache_objects, content->foreign_example));
  }
  return fail(
      Errc::foreign,
      fmt::format("base_path {} holds files that are not fdpstore's (such as {}); choose an "
                  "empty directory, or set format=true to make a store beside them",
                  path_, content->foreign_example));
}

Result<void> StoreDirectory::create(const Options& options) {
  if (::faccessat(AT_FDCWD, path_.c_str(), W_OK | X_OK, AT_EACCESS) != 0) {
    return fail(explained(errno, path_, "writing to it"));
  }
  auto superblock =
      io::open_file(superblock_path(), O_RDWR | O_CREAT | O_NOFOLLOW, options.file_mode);
  if (!superblock) {
    return fail(explained(superblock.error().code.value(), path_, "opening its superblock"));
  }
  superblock_ = std::move(*superblock);
  if (auto mine = lock(); !mine) return mine;
  if (::mkdir(segments_path().c_str(), directory_mode(options.file_mode)) != 0 && errno != EEXIST) {
    return fail(explained(errno, path_, "making the folder 'segments'"));
  }
  auto segments = io::open_file(segments_path(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!segments) {
    return fail(explained(segments.error().code.value(), path_, "opening the folder 'segments'"));
  }
  segments_ = std::move(*segments);
  if (::faccessat(segments_.get(), ".", W_OK | X_OK, AT_EACCESS) != 0) {
    return fail(explained(errno, segments_path(), "writing to it"));
  }
  // A block of zeros means "never written"; allocated now, so that a full disk shows at open.
  const auto size = io::file_size(superblock_.get(), superblock_path());
  if (!size) return fail(size.error());
  if (*size < kSuperblockCopies * kSuperblockBytes) {
    if (auto made = io::allocate_file(superblock_.get(), kSuperblockCopies * kSuperblockBytes,
                                      superblock_path());
        !made) {
      return made;
    }
  }
  return io::sync_directory(path_);
}

Result<void> StoreDirectory::open_existing() {
  auto superblock = io::open_file(superblock_path(), O_RDONLY | O_NOFOLLOW);
  if (!superblock) return fail(superblock.error());
  auto segments = io::open_file(segments_path(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!segments) return fail(segments.error());
  superblock_ = std::move(*superblock);
  segments_ = std::move(*segments);
  return {};
}

Result<void> StoreDirectory::lock() {
  auto taken = WriteLock::acquire(superblock_.get(), 0, 0, superblock_path());
  if (!taken) return fail(std::move(taken.error()));
  if (*taken) {
    locked_.emplace(std::move(**taken));
    return {};
  }
  struct flock range{};
  range.l_type = F_WRLCK;
  range.l_whence = SEEK_SET;
  std::string who = "such a lock does not tell its process";
  if (::fcntl(superblock_.get(), F_OFD_GETLK, &range) == 0 && range.l_pid > 0) {
    who = fmt::format("process {}", range.l_pid);
  }
  return fail(Errc::busy, fmt::format("base_path {} is in use by another fdpstore process ({}; "
                                      "'fuser {}' shows who has it open); close that one or choose "
                                      "another directory",
                                      path_, who, superblock_path()));
}

Result<void> StoreDirectory::read_superblock(std::size_t copy, std::span<std::byte> out) const {
  assert(copy < kSuperblockCopies && out.size() == kSuperblockBytes);
  const auto size = io::file_size(superblock_.get(), superblock_path());
  if (!size) return fail(size.error());
  const auto never_written = [&] {
    return fail(Errc::not_found,
                fmt::format("{}: copy {} was never written", superblock_path(), copy));
  };
  if (*size < (copy + 1) * kSuperblockBytes) return never_written();
  if (auto read = io::pread_all(superblock_.get(), out, copy * kSuperblockBytes, superblock_path());
      !read) {
    return read;
  }
  if (std::ranges::all_of(out, [](std::byte b) { return b == std::byte{0}; })) {
    return never_written();
  }
  return {};
}

Result<void> StoreDirectory::write_superblock(std::size_t copy, std::span<const std::byte> bytes) {
  assert(copy < kSuperblockCopies && bytes.size() == kSuperblockBytes);
  if (!locked_) {
    return fail(Errc::invalid_argument,
                fmt::format("{} was opened for reading only", superblock_path()));
  }
  if (auto written =
          io::pwrite_all(superblock_.get(), bytes, copy * kSuperblockBytes, superblock_path());
      !written) {
    return written;
  }
  return io::sync_file(superblock_.get(), superblock_path());
}

std::string StoreDirectory::superblock_path() const {
  return path_ + "/" + kSuperblockName;
}
std::string StoreDirectory::segments_path() const {
  return path_ + "/" + kSegmentsName;
}

}  // namespace fdpstore::backends
