// StoreDirectory: the directory of a store: made, checked, locked; and the superblock in it.
//
// Thread:  one at a time.
// Owns:    descriptors of `superblock` (with the lock) and `segments`.
// Errors:  name the path and what to do about it. Nothing is created in a directory that is
// refused.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "backends/write_lock.hpp"
#include "fdpstore/result.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::backends {

class StoreDirectory {
 public:
  struct Options {
    std::string path;
    std::uint32_t file_mode = 0600;
    bool format = false;
    bool read_only = false;
  };
  [[nodiscard]] static Result<StoreDirectory> open(const Options& options);
  StoreDirectory(StoreDirectory&&) = default;
  StoreDirectory& operator=(StoreDirectory&&) = delete;
  StoreDirectory(const StoreDirectory&) = delete;
  StoreDirectory& operator=(const StoreDirectory&) = delete;
  ~StoreDirectory() = default;

  [[nodiscard]] Result<void> read_superblock(std::size_t copy, std::span<std::byte> out) const;
  [[nodiscard]] Result<void> write_superblock(std::size_t copy, std::span<const std::byte> bytes);

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string superblock_path() const;
  [[nodiscard]] std::string segments_path() const;
  [[nodiscard]] int superblock_fd() const { return superblock_.get(); }
  [[nodiscard]] int segments_fd() const { return segments_.get(); }

 private:
  explicit StoreDirectory(std::string path) : path_(std::move(path)) {}
  [[nodiscard]] Result<void> check(const Options& options) const;
  [[nodiscard]] Result<void> create(const Options& options);
  [[nodiscard]] Result<void> open_existing();
  [[nodiscard]] Result<void> lock();

  std::string path_;
  io::UniqueFd superblock_;
  io::UniqueFd segments_;
  std::optional<WriteLock> locked_;  // of superblock_
};

}  // namespace fdpstore::backends
