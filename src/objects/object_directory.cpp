// Opening a base directory: what is refused, the lock, and what the file system can do.
#include "objects/object_directory.hpp"

#include <cerrno>
#include <filesystem>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "backends/directory_content.hpp"
#include "backends/file_placement.hpp"
#include "backends/file_system.hpp"

namespace fdpstore::objects {
namespace {

namespace fs = std::filesystem;

// A system error in words that say what to do.
Error explain(const Error& error, const std::string& path) {
  std::string remedy;
  if (error.code == std::errc::read_only_file_system) {
    remedy = "it is on a read-only file system: mount it for writing, or choose another base_path";
  } else if (error.code == std::errc::permission_denied ||
             error.code == std::errc::operation_not_permitted) {
    remedy =
        "it is not writable for this user: change its owner or mode, or choose another "
        "base_path";
  } else if (error.code == std::errc::not_a_directory) {
    remedy = "it, or something above it, is not a directory: choose another base_path";
  } else if (error.code == std::errc::no_space_on_device) {
    remedy = "the file system is full: free some space, or choose another base_path";
  } else {
    return error;
  }
  return {error.code, fmt::format("base_path {}: {}", path, remedy)};
}

Result<void> refuse_segment_store(const std::string& path) {
  struct stat superblock{}, segments{};
  const std::string first = path + "/" + backends::kSuperblockName;
  const std::string second = path + "/" + backends::kSegmentsName;
  if (::lstat(first.c_str(), &superblock) != 0 || ::lstat(second.c_str(), &segments) != 0 ||
      !S_ISREG(superblock.st_mode) || !S_ISDIR(segments.st_mode)) {
    return {};
  }
  return fail(Errc::foreign,
              fmt::format("base_path {} holds a store of layout segment or prompt; open it with "
                          "layout=segment (or prompt), or choose another base_path",
                          path));
}

Result<void> set_lock(int fd, short type) {
  struct flock lock{};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  if (::fcntl(fd, F_OFD_SETLK, &lock) != 0) return fail_errno(errno, kLockFile);
  return {};
}

}  // namespace

Result<std::unique_ptr<ObjectDirectory>> ObjectDirectory::open(const Options& options,
                                                               unsigned workers) {
  if (options.base_path.empty()) {
    return fail(Errc::invalid_option, "base_path is missing: name the directory for the objects");
  }
  std::unique_ptr<ObjectDirectory> directory(new ObjectDirectory(options));
  if (auto opened = directory->open_base(); !opened) return fail(opened.error());
  if (auto ours = refuse_segment_store(options.base_path); !ours) return fail(ours.error());
  directory->bounce_.resize(workers);
  if (!options.read_only) {
    if (auto locked = directory->take_lock(); !locked) return fail(locked.error());
  }
  if (auto probed = directory->probe(workers); !probed) return fail(probed.error());
  return directory;
}

Result<void> ObjectDirectory::open_base() {
  std::error_code error;
  if (!options_.read_only) fs::create_directories(path_, error);
  // create_directories reports a file in the way as "not a directory" or, for the last part, not at
  // all; opening it does.
  if (error && error != std::errc::file_exists) {
    return fail(explain({error, fmt::format("base_path {} cannot be made", path_)}, path_));
  }
  auto opened = io::open_file(path_, O_RDONLY | O_DIRECTORY);
  if (!opened) return fail(explain(opened.error(), path_));
  fd_ = std::move(*opened);
  return {};
}

Result<void> ObjectDirectory::take_lock() {
  auto file =
      io::open_at(fd_.get(), path_, kLockFile, O_RDWR | O_CREAT | O_NOFOLLOW, options_.file_mode);
  if (!file) return fail(explain(file.error(), path_));
  lock_ = std::move(*file);
  const auto locked = set_lock(lock_.get(), options_.exclusive ? F_WRLCK : F_RDLCK);
  if (locked) return {};
  const std::error_code code = locked.error().code;
  if (code == std::errc::resource_unavailable_try_again || code == std::errc::permission_denied) {
    return fail(Errc::busy,
                options_.exclusive
                    ? fmt::format("base_path {} is open in another process, and exclusive=true was "
                                  "asked for; close it there, or leave exclusive out",
                                  path_)
                    : fmt::format("base_path {} is open with exclusive=true in another process; "
                                  "close it there",
                                  path_));
  }
  if (options_.exclusive) {
    return fail(Errc::unsupported,
                fmt::format("base_path {}: the file system has no locks ({}), which exclusive=true "
                            "needs; leave exclusive out",
                            path_, code.message()));
  }
  lock_warning_ = fmt::format(
      "{} has no file locks ({}): an exclusive opener elsewhere would not "
      "be noticed",
      path_, code.message());
  return {};
}

Result<void> ObjectDirectory::probe(unsigned workers) {
  auto file_system = backends::file_system_of(path_);
  if (!file_system) return fail(file_system.error());
  if (!options_.read_only) {
    auto temp = TempSpace::open({.base_path = path_,
                                 .relative_dir = options_.relative_tmp_dir,
                                 .workers = workers,
                                 .file_mode = options_.file_mode});
    if (!temp) return fail(explain(temp.error(), path_));
    temp_ = std::move(*temp);
    auto file = temp_->create(0, 0);
    if (!file) return fail(explain(file.error(), path_));
    hint_ = io::probe_write_hint(file->fd());
    if (const auto written = write_attribute(file->fd(), name_of_file("probe"), {}); !written) {
      has_attributes_ = false;
    }
    if (options_.use_odirect.value_or(false)) {
      auto direct = io::probe_direct_io(path_);
      if (!direct) return fail(explain(direct.error(), path_));
      direct_ = std::move(*direct);
      if (!direct_.works) {
        return fail(Errc::unsupported, fmt::format("use_odirect=true cannot be kept in base_path "
                                                   "{}: {}; leave use_odirect out",
                                                   path_, direct_.reason));
      }
    }
  }
  if (options_.read_only) {
    placement_ = {.asked = options_.write_mode,
                  .strictness = options_.placement,
                  .effective = WriteMode::plain,
                  .mechanism = std::string(io::to_string(io::WriteHintMechanism::none)),
                  .reaches_device = false,
                  .reason = "opened read-only: nothing is written, so nothing was tried"};
    return {};
  }
  auto placement = backends::choose_file_placement(
      {.path = path_, .write_mode = options_.write_mode, .strictness = options_.placement},
      *file_system, hint_);
  if (!placement) return fail(placement.error());
  placement_ = std::move(*placement);
  if (placement_.effective != WriteMode::hint) hint_ = io::WriteHintMechanism::none;
  return {};
}

bool ObjectDirectory::exists() const {
  struct stat info{};
  return ::fstat(fd_.get(), &info) == 0 && info.st_nlink > 0;
}

std::uint64_t ObjectDirectory::overhead_bytes() const {
  struct stat info{};
  const std::uint64_t own =
      ::fstat(fd_.get(), &info) == 0 ? static_cast<std::uint64_t>(info.st_blocks) * 512 : 0;
  return own + (temp_ ? temp_->allocated_bytes() : 0);
}

}  // namespace fdpstore::objects
