#include "objects/scan.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/core.h>

namespace fdpstore::objects {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using OpenDirectory = std::unique_ptr<DIR, CloseDirectory>;

OpenDirectory open_directory(int parent, const char* name) {
  const int fd = ::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return nullptr;
  DIR* directory = ::fdopendir(fd);
  if (directory == nullptr) ::close(fd);
  return OpenDirectory(directory);
}

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

bool may_be_object(const dirent& entry) {
  return entry.d_type == DT_REG || entry.d_type == DT_UNKNOWN;
}

// Collects the stale files of one directory; `prefix` leads from the base to it.
class TemporaryFinder {
 public:
  TemporaryFinder(const ObjectDirectory& directory, const Options& options,
                  const std::atomic<bool>& stop)
      : base_(directory.fd()), stop_(stop), in_use_(directory.temp_id()) {
    const auto age_ns = options.exclusive ? 0.0 : options.tmp_max_age_s * 1e9;
    timespec now{};
    ::clock_gettime(CLOCK_REALTIME, &now);
    newest_ns_ = nanoseconds(now) - static_cast<std::int64_t>(age_ns);
  }

  template <class Matches>
  void files(const std::string& prefix, const Matches& matches) {
    const OpenDirectory open = open_directory(base_, prefix.empty() ? "." : prefix.c_str());
    if (!open) return;
    while (const dirent* entry = stop_ ? nullptr : ::readdir(open.get())) {
      if (!matches(std::string_view(entry->d_name))) continue;
      const std::string path = prefix.empty() ? entry->d_name : prefix + "/" + entry->d_name;
      if (is_stale(path)) paths.push_back(path);
    }
  }

  void worker_directories(const std::string& temp) {
    const OpenDirectory open = open_directory(base_, temp.c_str());
    if (!open) return;
    while (const dirent* entry = stop_ ? nullptr : ::readdir(open.get())) {
      const std::string_view name = entry->d_name;
      if (!is_worker_directory(name)) continue;
      if (!in_use_.empty() && name.starts_with(in_use_)) continue;
      const std::string path = temp + "/" + entry->d_name;
      files(path, [](std::string_view file) { return file.ends_with(kTemporarySuffix); });
      if (is_stale(path)) paths.push_back(path);
    }
  }

  std::vector<std::string> paths;

 private:
  [[nodiscard]] bool is_stale(const std::string& path) const {
    struct stat info{};
    return ::fstatat(base_, path.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 &&
           (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) &&
           nanoseconds(info.st_mtim) <= newest_ns_;
  }

  int base_;
  const std::atomic<bool>& stop_;
  std::string_view in_use_;
  std::int64_t newest_ns_ = 0;
};

}  // namespace

Result<void> scan_objects(const ObjectDirectory& directory, const std::atomic<bool>& stop,
                          const std::function<void(FoundObject)>& visit) {
  const OpenDirectory open = open_directory(directory.fd(), ".");
  if (!open) return fail_errno(errno, fmt::format("cannot list {}", directory.path()));
  while (!stop) {
    errno = 0;
    const dirent* entry = ::readdir(open.get());
    if (entry == nullptr) {
      if (errno != 0) return fail_errno(errno, fmt::format("cannot list {}", directory.path()));
      break;
    }
    struct stat info{};
    if (!may_be_object(*entry) || !std::string_view(entry->d_name).ends_with(kObjectSuffix)) {
      continue;
    }
    const auto key = directory.key_of(entry->d_name);
    if (!key || ::fstatat(directory.fd(), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode)) {
      continue;
    }
    visit({.name = name_of_file(entry->d_name),
           .cache_salt = key->cache_salt,
           .sizes = {.size_bytes = static_cast<std::uint64_t>(info.st_size),
                     .allocated_bytes = static_cast<std::uint64_t>(info.st_blocks) * 512},
           .used_ns = std::max(nanoseconds(info.st_mtim), nanoseconds(info.st_atim))});
  }
  return {};
}

Result<KeyPage> list_objects(const ObjectDirectory& directory, std::string_view cursor,
                             std::size_t page_size, std::string_view model_name) {
  const OpenDirectory open = open_directory(directory.fd(), ".");
  if (!open) return fail_errno(errno, fmt::format("cannot list {}", directory.path()));
  if (!cursor.empty()) {
    long position = 0;
    const auto [end, error] =
        std::from_chars(cursor.data(), cursor.data() + cursor.size(), position);
    if (error != std::errc{} || end != cursor.data() + cursor.size()) {
      return fail(Errc::invalid_argument, fmt::format("'{}' is no cursor of this list", cursor));
    }
    ::seekdir(open.get(), position);
  }
  KeyPage page;
  while (page.keys.size() < page_size) {
    errno = 0;
    const dirent* entry = ::readdir(open.get());
    if (entry == nullptr) {
      if (errno != 0) return fail_errno(errno, fmt::format("cannot list {}", directory.path()));
      return page;
    }
    struct stat info{};
    if (!may_be_object(*entry) || !std::string_view(entry->d_name).ends_with(kObjectSuffix)) {
      continue;
    }
    auto key = directory.key_of(entry->d_name);
    if (!key || (!model_name.empty() && key->model_name != model_name)) continue;
    if (::fstatat(directory.fd(), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(info.st_mode)) {
      continue;
    }
    page.keys.push_back({std::move(*key), static_cast<std::uint64_t>(info.st_size)});
  }
  page.next = std::to_string(::telldir(open.get()));
  return page;
}

std::vector<std::string> find_stale_temporaries(const ObjectDirectory& directory,
                                                const Options& options,
                                                const std::atomic<bool>& stop) {
  TemporaryFinder finder(directory, options, stop);
  finder.files("", is_fs_temporary);
  finder.worker_directories(kTempDirectory);
  const auto temp = temp_path(".", options.relative_tmp_dir);
  if (temp && *temp != std::string("./") + kTempDirectory) {
    finder.worker_directories(*temp);
    // In a relative_tmp_dir fs's temporary files have the objects' own names.
    finder.files(*temp, [](std::string_view name) { return parse_name(name).has_value(); });
  }
  return std::move(finder.paths);
}

std::uint64_t remove_temporaries(const ObjectDirectory& directory,
                                 const std::vector<std::string>& paths) {
  std::uint64_t removed = 0;
  for (const std::string& path : paths) {
    if (::unlinkat(directory.fd(), path.c_str(), 0) == 0) {
      ++removed;
    } else if (errno == EISDIR || errno == EPERM) {
      // Fails where something is left in it, or came into it.
      ::unlinkat(directory.fd(), path.c_str(), AT_REMOVEDIR);
    }
  }
  return removed;
}

}  // namespace fdpstore::objects
