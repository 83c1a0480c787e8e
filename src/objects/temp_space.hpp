// TempSpace: where objects are written before they are renamed into place.
//
// Every worker makes its files in a directory of its own, <tmp>/<store>-<number>/, for two reasons.
// Creating files in one directory is serial, and where a file system puts a new inode follows from
// its directory: ext4 looks for a free inode in the directory's block group and, without a journal,
// steps over every one deleted in the last minutes (measured: 256 KiB stores at 0.3 instead of 2
// GB/s after some thousand deletes). So a worker whose creates have become slow moves on to a fresh
// directory, which the file system puts elsewhere.
//
// <tmp> is <base>/.fdpstore-tmp, or the caller's relative_tmp_dir below the base. fs takes none of
// these names for an object.
//
// Thread:  create() with one worker number at a time per number; open() and close() alone.
// Owns:    its directories and, until commit(), the files in them.
// Errors:  errno, with the path.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "fdpstore/result.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::objects {

inline constexpr char kTempDirectory[] = ".fdpstore-tmp";

// A file under a temporary name; removed unless it was renamed into place.
class TempFile {
 public:
  TempFile(io::UniqueFd fd, std::shared_ptr<const io::UniqueFd> directory, std::string name)
      : fd_(std::move(fd)), directory_(std::move(directory)), name_(std::move(name)) {}
  TempFile(TempFile&&) = default;
  TempFile& operator=(TempFile&&) = delete;
  ~TempFile();

  [[nodiscard]] int fd() const { return fd_.get(); }
  // Closes the file (network file systems report what was not written then) and renames it to
  // `name` below `directory_fd`, replacing what is there.
  [[nodiscard]] Result<void> commit(int directory_fd, const std::string& name);

 private:
  io::UniqueFd fd_;
  std::shared_ptr<const io::UniqueFd> directory_;  // null: committed
  std::string name_;
};

class TempSpace {
 public:
  struct Options {
    std::string base_path;
    std::string relative_dir;  // empty: kTempDirectory
    unsigned workers = 1;
    std::uint32_t file_mode = 0600;
  };
  [[nodiscard]] static Result<std::unique_ptr<TempSpace>> open(const Options& options);
  ~TempSpace();  // removes its directories

  // `flags` beyond O_CREAT | O_EXCL | O_RDWR.
  [[nodiscard]] Result<TempFile> create(unsigned worker, int flags);

  // What the names of this store's directories begin with: random, so unlike any other's.
  [[nodiscard]] const std::string& id() const { return id_; }
  // Allocated by the directories, as `du` counts them.
  [[nodiscard]] std::uint64_t allocated_bytes() const { return allocated_bytes_; }

 private:
  struct Slot {
    std::shared_ptr<const io::UniqueFd> directory;
    std::string path;  // of the directory
    std::uint64_t next_file = 0;
    unsigned slow_creates = 0;  // in a row
    std::chrono::steady_clock::time_point since;
  };
  TempSpace(Options options, std::string path);

  [[nodiscard]] Result<void> make_root() const;
  [[nodiscard]] Result<void> move_on(Slot& slot);

  Options options_;
  std::string path_;
  std::string id_;
  std::atomic<std::uint64_t> next_directory_{0};
  std::vector<Slot> slots_;
  std::uint64_t allocated_bytes_ = 0;
};

// Whether a name below <tmp> is one of the above: a directory of a worker, or a file in one.
[[nodiscard]] bool is_worker_directory(std::string_view name);
// Where temporary files go, relative to the base; for those who clean up.
[[nodiscard]] Result<std::string> temp_path(const std::string& base_path,
                                            const std::string& relative_dir);

}  // namespace fdpstore::objects
