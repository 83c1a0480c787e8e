#include "objects/temp_space.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <random>
#include <system_error>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

#include "objects/names.hpp"

namespace fdpstore::objects {
namespace {

using Clock = std::chrono::steady_clock;
namespace fs = std::filesystem;

// A create takes some 20 µs where the file system finds an inode at once.
constexpr std::chrono::microseconds kSlowCreate{200};
constexpr unsigned kSlowCreatesToMove = 4;
constexpr std::chrono::milliseconds kMinStay{250};
constexpr mode_t kDirectoryMode = 0777;  // less the umask, as fs makes its directories
constexpr std::size_t kRandomDigits = 16;

// Asks ext4 to spread the subdirectories over the disk instead of keeping them together. Other file
// systems refuse the flag and lose nothing.
void spread_subdirectories(int directory) {
  int flags = 0;
  if (::ioctl(directory, FS_IOC_GETFLAGS, &flags) != 0) return;
  flags |= FS_TOPDIR_FL;
  (void)::ioctl(directory, FS_IOC_SETFLAGS, &flags);
}

}  // namespace

TempFile::~TempFile() {
  if (directory_) ::unlinkat(directory_->get(), name_.c_str(), 0);
}

Result<void> TempFile::commit(int directory_fd, const std::string& name) {
  if (::close(fd_.release()) != 0 && errno != EINTR) return fail_errno(errno, name + ": close");
  if (::renameat(directory_->get(), name_.c_str(), directory_fd, name.c_str()) != 0) {
    return fail_errno(errno, name + ": rename into place");
  }
  directory_.reset();
  return {};
}

bool is_worker_directory(std::string_view name) {
  const auto dash = name.find('-');
  std::vector<std::byte> bytes;
  return dash == kRandomDigits && parse_hex(name.substr(0, dash), bytes) &&
         name.find_first_not_of("0123456789", dash + 1) == name.npos;
}

Result<std::string> temp_path(const std::string& base_path, const std::string& relative_dir) {
  if (relative_dir.empty()) return base_path + "/" + kTempDirectory;
  const fs::path relative = fs::path(relative_dir).lexically_normal();
  if (relative.is_absolute() || std::ranges::find(relative, fs::path("..")) != relative.end()) {
    return fail(Errc::invalid_option,
                fmt::format("relative_tmp_dir is '{}': it must be a path below base_path, without "
                            "'..', for example 'tmp'",
                            relative_dir));
  }
  // fs writes its temporary files there under the objects' own names, so it cannot be the base.
  if (relative == ".") return base_path + "/" + kTempDirectory;
  return (fs::path(base_path) / relative).string();
}

Result<std::unique_ptr<TempSpace>> TempSpace::open(const Options& options) {
  auto path = temp_path(options.base_path, options.relative_dir);
  if (!path) return fail(path.error());
  std::unique_ptr<TempSpace> space(new TempSpace(options, std::move(*path)));
  if (auto made = space->make_root(); !made) return fail(made.error());
  for (Slot& slot : space->slots_) {
    if (auto moved = space->move_on(slot); !moved) return fail(moved.error());
  }
  struct stat info{};
  for (const Slot& slot : space->slots_) {
    if (::fstat(slot.directory->get(), &info) != 0) continue;
    space->allocated_bytes_ += static_cast<std::uint64_t>(info.st_blocks) * 512;
  }
  if (::stat(space->path_.c_str(), &info) == 0) {
    space->allocated_bytes_ += static_cast<std::uint64_t>(info.st_blocks) * 512;
  }
  return space;
}

TempSpace::TempSpace(Options options, std::string path)
    : options_(std::move(options)), path_(std::move(path)), slots_(options_.workers) {
  std::random_device random;
  id_ = fmt::format("{:08x}{:08x}", random(), random());
}

TempSpace::~TempSpace() {
  for (const Slot& slot : slots_) {
    if (slot.directory) ::rmdir(slot.path.c_str());
  }
  // Fails while another process uses it, which is what we want; the caller's own directory stays.
  if (options_.relative_dir.empty()) ::rmdir(path_.c_str());
}

Result<void> TempSpace::make_root() const {
  std::error_code error;
  fs::create_directories(path_, error);
  if (error) return fail(Error{error, fmt::format("cannot make the directory {}", path_)});
  const auto root = io::open_file(path_, O_RDONLY | O_DIRECTORY);
  if (!root) return fail(root.error());
  spread_subdirectories(root->get());
  return {};
}

Result<void> TempSpace::move_on(Slot& slot) {
  auto path = fmt::format("{}/{}-{}", path_, id_, next_directory_++);
  if (::mkdir(path.c_str(), kDirectoryMode) != 0) {
    if (errno != ENOENT)
      return fail_errno(errno, fmt::format("cannot make the directory {}", path));
    // Somebody has tidied up: another process that closed, or a person.
    if (auto made = make_root(); !made) return made;
    if (::mkdir(path.c_str(), kDirectoryMode) != 0) {
      return fail_errno(errno, fmt::format("cannot make the directory {}", path));
    }
  }
  auto directory = io::open_file(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  if (!directory) return fail(directory.error());
  if (slot.directory) ::rmdir(slot.path.c_str());
  slot.directory = std::make_shared<const io::UniqueFd>(std::move(*directory));
  slot.path = std::move(path);
  slot.slow_creates = 0;
  slot.since = Clock::now();
  return {};
}

Result<TempFile> TempSpace::create(unsigned worker, int flags) {
  Slot& slot = slots_[worker];
  const auto start = Clock::now();
  if (slot.slow_creates >= kSlowCreatesToMove && start - slot.since > kMinStay) {
    if (auto moved = move_on(slot); !moved) return fail(moved.error());
  }
  for (bool again = false;; again = true) {
    const std::string name = std::to_string(slot.next_file++) + std::string(kTemporarySuffix);
    io::UniqueFd fd(::openat(slot.directory->get(), name.c_str(),
                             O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | flags, options_.file_mode));
    if (fd) {
      slot.slow_creates = Clock::now() - start > kSlowCreate ? slot.slow_creates + 1 : 0;
      return TempFile(std::move(fd), slot.directory, name);
    }
    const int error = errno;
    // Our directory is gone.
    if (error != ENOENT || again) {
      return fail_errno(error, fmt::format("cannot make a file in {}", path_));
    }
    if (auto moved = move_on(slot); !moved) return fail(moved.error());
  }
}

}  // namespace fdpstore::objects
