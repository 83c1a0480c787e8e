#include "backends/segment_files.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fdpstore::backends {
namespace fs = std::filesystem;

std::string SegmentFiles::path(const SegmentFile& file) const {
  return options_.directory_path + "/" + to_file_name(file.name);
}

Result<void> SegmentFiles::scan() {
  std::error_code error;
  for (fs::directory_iterator entry(options_.directory_path, error), end; !error && entry != end;
       entry.increment(error)) {
    const auto name = parse_segment_name(entry->path().filename().native());
    if (!name) continue;
    struct stat info{};
    if (::lstat(entry->path().c_str(), &info) != 0) {
      return fail_errno(errno, fmt::format("cannot stat {}", entry->path().native()));
    }
    // A link could lead out of the store; a number that no store gives would cost memory.
    if (!S_ISREG(info.st_mode) || name->id.value >= kMaxSegmentFiles) {
      return fail(
          Errc::corrupt,
          fmt::format(
              "{} is no file that fdpstore made ({}); remove it", entry->path().native(),
              S_ISREG(info.st_mode) ? "its number is too large" : "a link, directory or device"));
    }
    SegmentFile file;
    file.name = *name;
    file.size_bytes = static_cast<std::uint64_t>(info.st_size);
    file.allocated_bytes = static_cast<std::uint64_t>(info.st_blocks) * 512;
    const auto [other, fresh] = files_.try_emplace(name->id.value, std::move(file));
    if (!fresh) {
      // make() removes the old file before it creates another: this is not our doing.
      return fail(Errc::corrupt, fmt::format("{} and {} claim to be the same segment; remove the "
                                             "one that was copied here",
                                             path(other->second), entry->path().native()));
    }
  }
  if (error) return fail(Error{error, fmt::format("cannot list {}", options_.directory_path)});
  return {};
}

std::vector<ExistingSegment> SegmentFiles::existing() const {
  std::vector<ExistingSegment> result;
  result.reserve(files_.size());
  for (const auto& [id, file] : files_) {
    result.push_back({.id = SegmentId{id},
                      .size_bytes = file.size_bytes,
                      .allocated_bytes = file.allocated_bytes});
  }
  std::ranges::sort(result, {}, &ExistingSegment::id);
  return result;
}

SegmentFile* SegmentFiles::find(SegmentId id) {
  const auto found = files_.find(id.value);
  return found == files_.end() ? nullptr : &found->second;
}

Result<io::UniqueFd> SegmentFiles::open(const SegmentFile& file, int flags) const {
  return io::open_at(options_.directory_fd, options_.directory_path, to_file_name(file.name),
                     flags | options_.open_flags | O_NOFOLLOW, options_.file_mode);
}

Result<void> SegmentFiles::fill(SegmentFile& file, std::uint64_t full_bytes) {
  if (!file.grows() && (file.size_bytes < full_bytes || file.allocated_bytes < full_bytes)) {
    if (auto done = io::allocate_file(file.fd.get(), full_bytes, path(file)); !done) return done;
  } else if (file.size_bytes > full_bytes) {  // of a store with larger segments
    file.mapping = {};
    if (auto done = io::truncate_file(file.fd.get(), full_bytes, path(file)); !done) return done;
  }
  const auto size = io::file_size(file.fd.get(), path(file));
  const auto allocated = io::allocated_size(file.fd.get(), path(file));
  if (!size) return fail(size.error());
  if (!allocated) return fail(allocated.error());
  file.size_bytes = *size;
  file.allocated_bytes = *allocated;
  map(file);
  return {};
}

void SegmentFiles::map(SegmentFile& file) {
  // One that grows: once it does no more.
  if (!options_.mapped || (file.grows() && file.open_for_writing)) return;
  if (file.mapping.covers(file.size_bytes)) return;
  assert(file.pins == 0);
  file.mapping = io::Mapping::of(file.fd.get(), file.size_bytes, !options_.read_only);
}

Result<void> SegmentFiles::remove(SegmentFile& file) {
  close(file);
  if (::unlinkat(options_.directory_fd, to_file_name(file.name).c_str(), 0) != 0 &&
      errno != ENOENT) {
    return fail_errno(errno, fmt::format("cannot remove {}", path(file)));
  }
  forget(file.name.id);
  return {};
}

Result<SegmentFile*> SegmentFiles::make(const SegmentName& name, std::uint64_t full_bytes) {
  assert(!options_.read_only);
  SegmentFile* file = find(name.id);
  // A prompt's file starts empty, and a file's name says what it serves.
  if (file != nullptr && (name.prompt.value != 0 || file->grows())) {
    if (auto gone = remove(*file); !gone) return fail(gone.error());
    file = nullptr;
  }
  const bool fresh = file == nullptr;
  if (fresh) {
    file = &files_[name.id.value];
    file->name = name;
    file->name_is_durable = false;
  }
  // O_EXCL: the table knows every segment file, so a file that appears was made by somebody else.
  if (auto opened = open_to_write(*file, fresh ? O_CREAT | O_EXCL : 0); !opened) {
    if (fresh) forget(name.id);
    return fail(opened.error());
  }
  if (auto full = fill(*file, full_bytes); !full) {
    if (fresh) {
      static_cast<void>(remove(*file));  // the error to report is the first one
    } else {
      close(*file);
    }
    return fail(full.error());
  }
  file->open_for_writing = true;
  return file;
}

Result<SegmentFile*> SegmentFiles::reopen(SegmentId id, std::uint64_t full_bytes) {
  assert(!options_.read_only);
  SegmentFile* file = find(id);
  if (file == nullptr) {
    return fail(Errc::not_found,
                fmt::format("{} has no file of segment {}", options_.directory_path, id.value));
  }
  if (auto opened = open_to_write(*file, 0); !opened) return fail(opened.error());
  if (auto full = fill(*file, full_bytes); !full) {
    close(*file);
    return fail(full.error());
  }
  file->open_for_writing = true;
  return file;
}

Result<void> SegmentFiles::open_to_write(SegmentFile& file, int flags) {
  if (file.mapping.is_writable()) {  // pages that are mapped already are the faster ones
    drop_recent(file);
    return {};
  }
  close(file);
  auto fd = open(file, O_RDWR | flags);
  if (!fd) return fail(fd.error());
  file.fd = std::move(*fd);
  return {};
}

Result<int> SegmentFiles::descriptor(SegmentFile& file) {
  if (!file.fd) {
    auto fd = open(file, options_.mapped && !options_.read_only ? O_RDWR : O_RDONLY);
    if (!fd) return fail(fd.error());
    file.fd = std::move(*fd);
  }
  if (file.pins == 0) map(file);
  if (!file.open_for_writing) touch(file);
  return file.fd.get();
}

void SegmentFiles::seal(SegmentFile& file, std::uint64_t used_bytes) {
  // Files end at a block: direct I/O reads whole ones.
  const std::uint64_t keep = (used_bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  // Also when we know of nothing behind: an allocation that failed may have taken a part. Failure
  // costs space only, and the next open sees the true size.
  if (file.grows() && io::truncate_file(file.fd.get(), keep, path(file))) file.size_bytes = keep;
  file.open_for_writing = false;
  touch(file);
}

void SegmentFiles::rest(SegmentFile& file) {
  assert(file.pins == 0);
  if (!file.mapping.is_writable()) return close(file);
  file.open_for_writing = false;
  touch(file);
}

void SegmentFiles::close(SegmentFile& file) {
  assert(file.pins == 0);
  drop_recent(file);
  file.open_for_writing = false;
  file.mapping = {};
  file.fd.reset();
}

void SegmentFiles::forget(SegmentId id) {
  const auto found = files_.find(id.value);
  assert(found != files_.end());
  drop_recent(found->second);
  files_.erase(found);
}

void SegmentFiles::touch(SegmentFile& file) {
  drop_recent(file);
  recent_.push_front(file.name.id.value);
  file.recent = recent_.begin();
  file.in_recent = true;
  for (auto last = recent_.end();
       recent_.size() > options_.max_sealed_descriptors && last != recent_.begin();) {
    SegmentFile& oldest = files_.at(*--last);
    if (oldest.pins > 0 || &oldest == &file) continue;
    ++last;
    close(oldest);
  }
}

void SegmentFiles::drop_recent(SegmentFile& file) {
  if (file.in_recent) recent_.erase(file.recent);
  file.in_recent = false;
}

}  // namespace fdpstore::backends
