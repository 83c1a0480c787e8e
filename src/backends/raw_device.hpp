// RawDevice: a window of an NVMe namespace, block device or pre-sized file: opened, checked,
// locked.
//
// What the path is, is told by looking. A namespace is reached through its character device where
// NVMe commands are to be sent, and through its block device otherwise, whichever of the two was
// named; a partition is a window of its namespace.
//
// Thread:  one at a time.
// Owns:    descriptors and the lock, which covers the window's bytes on the block device (or file).
// Units:   bytes; offsets count from the start of the namespace, device or file.
// Errors:  name the path and the remedy. Nothing is written by opening.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/raw_placement.hpp"
#include "backends/write_lock.hpp"
#include "fdpstore/result.hpp"
#include "io/block_device.hpp"
#include "io/nvme_device.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::backends {

class RawDevice {
 public:
  struct Options {
    std::string path;
    std::uint64_t base_offset_bytes = 0;
    std::uint64_t capacity_bytes = 0;  // 0: to the end
    bool direct = true;                // O_DIRECT where it is no character device
    bool read_only = false;            // no lock; in use by others is no reason to refuse
    io::SystemRoots roots = {};
  };
  [[nodiscard]] static Result<RawDevice> open(const Options& options);
  RawDevice(RawDevice&&) = default;
  RawDevice& operator=(RawDevice&&) = delete;
  RawDevice(const RawDevice&) = delete;
  RawDevice& operator=(const RawDevice&) = delete;
  ~RawDevice() = default;

  [[nodiscard]] const std::string& path() const { return options_.path; }
  // The window, in the coordinates of what commands or transfers go to.
  [[nodiscard]] std::uint64_t command_base_bytes() const { return start_bytes_ + base_bytes(); }
  [[nodiscard]] std::uint64_t base_bytes() const { return options_.base_offset_bytes; }
  [[nodiscard]] std::uint64_t window_bytes() const { return window_bytes_; }
  // All of the file, device or namespace.
  [[nodiscard]] std::uint64_t medium_bytes() const { return medium_bytes_; }
  // The medium behind the path: file, block device, or namespace alone.
  [[nodiscard]] const io::PathDescription& description() const { return description_; }
  // -1: it cannot be opened so.
  [[nodiscard]] int character_fd() const { return character_.get(); }
  [[nodiscard]] int block_fd() const { return block_.get(); }
  [[nodiscard]] int lock_fd() const { return lock_.get(); }
  [[nodiscard]] const std::optional<io::NvmeDescription>& nvme() const { return nvme_; }
  [[nodiscard]] const std::optional<io::NvmeDevice>& nvme_device() const { return device_; }
  [[nodiscard]] RawPlacementFacts placement_facts() const;
  // Of the device; 0: unknown or none.
  [[nodiscard]] std::uint64_t unit_bytes() const;
  // A hint somebody left on the device, other users of a window, …
  [[nodiscard]] const std::vector<std::string>& warnings() const { return warnings_; }
  // What stands at the window's start that is not ours, in words; empty: nothing. `head` is the
  // window's first MiB.
  [[nodiscard]] Result<std::string> foreign_content(std::span<const std::byte> head) const;

 private:
  explicit RawDevice(const Options& options) : options_(options) {}
  [[nodiscard]] Result<void> open_file();
  [[nodiscard]] Result<void> open_device();
  [[nodiscard]] Result<void> open_nodes();
  [[nodiscard]] Result<void> describe_namespace();
  [[nodiscard]] Result<void> check_users() const;
  [[nodiscard]] Result<void> set_window();
  [[nodiscard]] Result<void> lock();

  Options options_;
  io::PathDescription description_;
  io::UniqueFd character_, block_;
  io::UniqueFd lock_;                // a descriptor of its own, without O_DIRECT
  std::optional<WriteLock> locked_;  // of lock_
  std::string character_reason_;     // why character_ is not open
  std::string block_reason_;
  std::string block_path_;  // what block_ is
  std::optional<io::NvmeDevice> device_;
  std::optional<io::NvmeDescription> nvme_;
  std::uint64_t start_bytes_ = 0;  // of a partition in its namespace
  std::uint64_t window_bytes_ = 0;
  std::uint64_t medium_bytes_ = 0;
  std::vector<std::string> warnings_;
};

}  // namespace fdpstore::backends
