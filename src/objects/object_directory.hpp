// ObjectDirectory: one file per object below a base directory, and the system calls on them.
//
// Thread:  any; calls that take a worker number use buffers of that worker, so one at a time per
//          number. Everything blocks on the file system.
// Owns:    the directory's descriptor, its lock, temporary files, bounce buffers.
// Units:   bytes.
// Errors:  errno with the name; a bad base path is answered with what to do about it.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "fdpstore/options.hpp"
#include "fdpstore/result.hpp"
#include "io/aligned_buffer.hpp"
#include "io/direct_io.hpp"
#include "io/unique_fd.hpp"
#include "io/write_hint.hpp"
#include "objects/attributes.hpp"
#include "objects/known_files.hpp"
#include "objects/names.hpp"
#include "objects/temp_space.hpp"

namespace fdpstore::objects {

// In every directory that was opened for writing.
inline constexpr char kLockFile[] = ".fdpstore.lock";

struct WriteRequest {
  const ObjectName& name;
  std::span<const std::byte> bytes;
  Lifetime lifetime = Lifetime::not_set;
};

class ObjectDirectory {
 public:
  // Makes the directory when it is missing, takes the lock, tries out what the file system can do.
  // With options.read_only it only opens.
  [[nodiscard]] static Result<std::unique_ptr<ObjectDirectory>> open(const Options& options,
                                                                     unsigned workers);

  // Looks at a file without reading it.
  [[nodiscard]] Result<FileState> look(const ObjectName& name) const;
  // Reads all of it when it has exactly out.size() bytes; `good` means they match the checksum.
  [[nodiscard]] Result<FileState> read(const ObjectName& name, std::span<std::byte> out,
                                       unsigned worker);
  // Writes a temporary file and renames it into place. Returns the bytes allocated.
  [[nodiscard]] Result<std::uint64_t> write(const WriteRequest& request, unsigned worker);
  // Removes it and returns its size; nullopt: it was not there.
  [[nodiscard]] Result<std::optional<std::uint64_t>> remove(const ObjectName& name);
  // Removes what look() or read() found, unless another file has taken the name meanwhile.
  [[nodiscard]] bool remove_inode(const ObjectName& name, std::uint64_t inode);
  // The key in the attribute of a name of our own; nullopt: it has none.
  [[nodiscard]] std::optional<ObjectKey> own_key(const std::string& file) const;
  // The same, or the key in the name.
  [[nodiscard]] std::optional<ObjectKey> key_of(const std::string& file) const;
  // Makes renames and removals so far survive a power cut.
  [[nodiscard]] Result<void> sync() const;
  // Replaces a small file of ours beside the objects, or reads it ("": absent).
  [[nodiscard]] Result<void> write_note(const std::string& file, std::string_view text,
                                        unsigned worker);
  [[nodiscard]] std::string read_note(const std::string& file) const;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool direct() const { return direct_.works; }
  [[nodiscard]] const io::DirectIo& direct_io() const { return direct_; }
  [[nodiscard]] const EffectivePlacement& placement() const { return placement_; }
  // False once the file system has refused a user attribute.
  [[nodiscard]] bool has_attributes() const { return has_attributes_; }
  // False when the directory itself was removed.
  [[nodiscard]] bool exists() const;
  // Of the directories, as `du` counts them.
  [[nodiscard]] std::uint64_t overhead_bytes() const;
  // Of the temporary directories that are in use here: not to be tidied up.
  [[nodiscard]] std::string_view temp_id() const {
    return temp_ ? std::string_view(temp_->id()) : std::string_view();
  }
  [[nodiscard]] const std::string& lock_warning() const { return lock_warning_; }

 private:
  struct OpenFile {
    io::UniqueFd fd;
    FileState state;
    ReadAttribute attribute;
  };
  explicit ObjectDirectory(const Options& options) : options_(options), path_(options.base_path) {}

  [[nodiscard]] Result<void> open_base();
  [[nodiscard]] Result<void> take_lock();
  [[nodiscard]] Result<void> probe(unsigned workers);

  [[nodiscard]] static FileState describe(const struct stat& info, const ReadAttribute& attribute);
  // nullopt: only opening the file can tell.
  [[nodiscard]] std::optional<FileState> look_by_name(const ObjectName& name) const;
  [[nodiscard]] Result<OpenFile> open_object(const ObjectName& name, int flags) const;
  [[nodiscard]] Result<void> read_and_sum(int fd, const ObjectName& name, std::span<std::byte> out,
                                          unsigned worker, std::uint64_t& checksum);
  [[nodiscard]] Result<void> read_payload(int fd, std::span<std::byte> out, unsigned worker,
                                          const std::string& name);
  [[nodiscard]] Result<void> write_payload(int fd, std::span<const std::byte> bytes,
                                           unsigned worker, const std::string& name);
  [[nodiscard]] Result<void> write_attributes(int fd, const WriteRequest& request,
                                              std::uint64_t mtime_ns);
  [[nodiscard]] Result<std::span<std::byte>> bounce(unsigned worker);
  [[nodiscard]] bool is_aligned(const void* data) const;

  Options options_;
  std::string path_;
  io::UniqueFd fd_, lock_;
  std::string lock_warning_;
  io::DirectIo direct_;
  EffectivePlacement placement_;
  io::WriteHintMechanism hint_ = io::WriteHintMechanism::none;
  std::atomic<bool> has_attributes_{true};
  mutable std::atomic<bool> by_name_{true};  // until the kernel turns out not to have getxattrat
  mutable KnownFiles known_;
  std::unique_ptr<TempSpace> temp_;
  std::vector<io::AlignedBuffer> bounce_;  // one per worker, made when first needed
};

}  // namespace fdpstore::objects
