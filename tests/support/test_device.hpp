// A device for one test: a file standing for one, a loop device over such a file, a simulated one,
// or the one that $FDPSTORE_TEST_DEVICE names (/dev/ng0n1, /dev/nvme0n1, …), which loses all it
// holds.
//
// Thread:  one at a time; reading and writing beside a store that is open is fine.
// Owns:    the file or loop device.
// Units:   bytes; offsets count from the start of the device, at any alignment.
// Errors:  why_not() says why there is no such device here; a transfer that fails throws.
#pragma once

#include <sys/stat.h>

#include <bit>
#include <cstring>
#include <memory>
#include <optional>

#include <fmt/format.h>

#include "backends/raw_backend.hpp"
#include "ftl/sim_device.hpp"
#include "io/block_device.hpp"
#include "support/bytes.hpp"
#include "support/files.hpp"
#include "support/variants.hpp"
#include "unit/io/loop_device.hpp"

namespace fdpstore::test {

class TestDevice {
 public:
  // `path`: of the file, where it is one. All but the named one have `size_bytes`, all holes.
  TestDevice(const Variant& variant, const std::filesystem::path& path, std::uint64_t size_bytes) {
    switch (variant.medium) {
      case Medium::raw_file: make_file(path, size_bytes, variant.odirect); break;
      case Medium::loop: make_loop(size_bytes); break;
      case Medium::sim: make_sim(size_bytes); break;
      case Medium::device: take_named(); break;
      case Medium::directory: throw std::logic_error("a directory is no device");
    }
  }

  [[nodiscard]] const std::string& why_not() const { return why_not_; }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }

  void read(std::span<std::byte> out, std::uint64_t at) const {
    if (sim_) return sim_->peek(at, out);
    if (aligned(out.data(), at, out.size())) return node_->read(out, at);
    Buffer blocks(around(at, out.size()).second);
    node_->read(blocks.span(), around(at, out.size()).first);
    std::memcpy(out.data(), blocks.span().data() + at % kBlock, out.size());
  }
  void write(std::span<const std::byte> bytes, std::uint64_t at) const {
    if (sim_) return sim_->poke(at, bytes);
    if (aligned(bytes.data(), at, bytes.size())) return node_->write(bytes, at);
    const auto [begin, length] = around(at, bytes.size());
    Buffer blocks(length);
    if (begin != at || length != bytes.size()) node_->read(blocks.span(), begin);
    std::memcpy(blocks.span().data() + at % kBlock, bytes.data(), bytes.size());
    node_->write(blocks.span(), begin);
  }

  // Whether it has a time of its own, which then has passed.
  bool pass_time(double seconds) {
    if (sim_) sim_->clock().advance_to(sim_->clock().now_s() + seconds);
    return sim_ != nullptr;
  }

  // Writes a pattern on both sides of a window; guards_intact() says whether it is still there.
  void guard(std::uint64_t window_bytes_at, std::uint64_t window_bytes) {
    if (window_at_ == window_bytes_at && window_bytes_ == window_bytes) return;
    window_at_ = window_bytes_at;
    window_bytes_ = window_bytes;
    for (const auto& [at, length] : guards()) write(payload(length, at).span(), at);
  }
  [[nodiscard]] bool guards_intact() const {
    for (const auto& [at, length] : guards()) {
      Buffer now(length);
      read(now.span(), at);
      if (!matches(now.span(), at)) return false;
    }
    return true;
  }

 private:
  static constexpr std::uint64_t kBlock = 4096;
  static constexpr std::uint64_t kGuard = kMiB;
  using Range = std::pair<std::uint64_t, std::uint64_t>;

  static bool aligned(const void* data, std::uint64_t at, std::uint64_t length) {
    return (std::bit_cast<std::uintptr_t>(data) | at | length) % kBlock == 0;
  }
  static Range around(std::uint64_t at, std::uint64_t length) {
    const std::uint64_t begin = at / kBlock * kBlock;
    return {begin, (at + length + kBlock - 1) / kBlock * kBlock - begin};
  }
  [[nodiscard]] std::vector<Range> guards() const {
    std::vector<Range> out;
    if (window_bytes_ == 0) return out;
    const std::uint64_t before = std::min(kGuard, window_at_);
    if (before != 0) out.emplace_back(window_at_ - before, before);
    const std::uint64_t end = window_at_ + window_bytes_;
    const std::uint64_t after = end < size_bytes_ ? std::min(kGuard, size_bytes_ - end) : 0;
    if (after != 0) out.emplace_back(end, after);
    return out;
  }

  void make_file(const std::filesystem::path& path, std::uint64_t size_bytes, bool direct) {
    path_ = path.string();
    size_bytes_ = size_bytes;
    node_.emplace(path, O_CREAT | O_RDWR | (direct ? O_DIRECT : 0));
    if (::ftruncate(node_->fd(), static_cast<off_t>(size_bytes)) != 0) throw_errno("ftruncate");
  }
  void make_loop(std::uint64_t size_bytes) {
    loop_ = std::make_unique<io::LoopDevice>(size_bytes);
    why_not_ = loop_->why_not();
    if (!why_not_.empty()) return;
    path_ = loop_->path();
    size_bytes_ = size_bytes;
    node_.emplace(path_, O_RDWR | O_DIRECT);
  }
  // Stores find it by its name, as long as this object lives.
  void make_sim(std::uint64_t size_bytes) {
    static int number = 0;
    path_ = fmt::format("sim:capacity={},ru=2M,name=test-{}", size_bytes, ++number);
    auto device = ftl::SimDevice::find_or_make(ftl::parse_sim_uri(path_).value());
    if (!device) throw std::runtime_error(device.error().message());
    sim_ = std::move(*device);
    path_ = sim_->uri();
    size_bytes_ = size_bytes;
  }
  void take_named() {
    path_ = named_device();
    const auto what = io::describe_path(path_);
    if (!what || !what->device || what->device->block_path.empty()) {
      why_not_ = path_ + " is no block device, and has none";
      return;
    }
    size_bytes_ = what->size_bytes;
    const bool character = what->kind == io::PathKind::nvme_character;
    node_.emplace(character ? what->device->block_path : path_, O_RDWR | O_DIRECT);
    // Stores begin at offset 0 or at that of the window; what was deallocated may still be read.
    for (const std::uint64_t offset : {std::uint64_t{0}, kWindowAt}) {
      const auto wiped =
          backends::wipe_raw_device({.device_path = path_, .base_offset_bytes = offset}, true);
      if (!wiped) throw std::runtime_error(wiped.error().message());
    }
  }

  std::string path_;
  std::string why_not_;
  std::uint64_t size_bytes_ = 0;
  std::uint64_t window_at_ = 0, window_bytes_ = 0;
  std::unique_ptr<io::LoopDevice> loop_;
  std::shared_ptr<ftl::SimDevice> sim_;
  std::optional<File> node_;  // reads and writes of the test
};

}  // namespace fdpstore::test
