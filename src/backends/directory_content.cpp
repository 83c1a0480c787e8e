#include "backends/directory_content.hpp"

#include <array>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>

#include "backends/segment_names.hpp"
#include "fdpstore/backend.hpp"
#include "io/direct_io.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::backends {
namespace fs = std::filesystem;
namespace {

bool is_superblock(const std::string& path) {
  const auto file = io::open_file(path, O_RDONLY | O_NONBLOCK);
  if (!file) return false;
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    std::array<char, kSuperblockMagic.size()> magic{};
    if (io::pread_all(file->get(), std::as_writable_bytes(std::span(magic)),
                      copy * kSuperblockBytes, path) &&
        std::string_view(magic.data(), magic.size()) == kSuperblockMagic) {
      return true;
    }
  }
  return false;
}

std::uint64_t count_segments(const fs::path& directory) {
  std::uint64_t count = 0;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
       entry.increment(error)) {
    if (parse_segment_name(entry->path().filename().native())) ++count;
  }
  return count;
}

bool is_lmcache_object(std::string_view name) {
  return name.ends_with(".data") && name.find('@') != std::string_view::npos;
}

}  // namespace

Result<DirectoryContent> inspect_directory(const std::string& path) {
  DirectoryContent content;
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().native();
    if (name == kSuperblockName) {
      content.has_superblock = is_superblock(entry->path().native());
    } else if (name == kSegmentsName) {
      content.segment_files = count_segments(entry->path());
    } else if (name == "lost+found" || name.starts_with(io::kProbePrefix)) {
      continue;
    } else if (is_lmcache_object(name)) {
      if (content.lmcache_objects++ == 0) content.foreign_example = name;
    } else if (content.foreign_entries++ == 0 && content.lmcache_objects == 0) {
      content.foreign_example = name;
    }
  }
  if (error) return fail(Error{error, fmt::format("cannot list {}", path)});
  return content;
}

std::string DirectoryContent::describe() const {
  std::string text;
  const auto add = [&text](std::string_view part) {
    text += text.empty() ? "" : ", ";
    text += part;
  };
  const auto plural = [](std::uint64_t count) { return count == 1 ? "" : "s"; };
  if (has_superblock) {
    add(fmt::format("fdpstore store (segment files: {})", segment_files));
  } else if (segment_files > 0) {
    add(fmt::format("{} segment file{} of fdpstore without a valid superblock", segment_files,
                    plural(segment_files)));
  }
  if (lmcache_objects > 0) {
    add(fmt::format("LMCache fs directory with {} object{}", lmcache_objects,
                    plural(lmcache_objects)));
  }
  if (foreign_entries > 0) {
    add(fmt::format("{} other file{} (such as {})", foreign_entries, plural(foreign_entries),
                    foreign_example));
  }
  return text.empty() ? "empty" : text;
}

}  // namespace fdpstore::backends
