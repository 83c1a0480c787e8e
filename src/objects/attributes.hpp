// Attributes: what fdpstore keeps with a file, in extended attributes, so that the file's bytes
// stay those of LMCache's `fs`.
//
//   user.fdpstore      40 bytes: size, mtime and checksum of the payload, and a checksum of its
//   own.
//                      Small, so that ext4 and xfs keep it inside the inode.
//   user.fdpstore.key  the whole key, for names of our own only (names.hpp).
//
// The bytes decide. A size or a checksum that differs is damage. The mtime is no reason to reject:
// `touch`, `cp --preserve=xattr` and a restored backup change it and keep the bytes; it tells
// whether damage came from a later rewrite in place or from the medium. `fs` never rewrites in
// place: it renames a new inode, without our attribute, over the old one, and such a file is
// unverified.
//
// Thread:  any.
// Errors:  errno; that a file system has no user attributes is Errc::unsupported.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "common/xxh3.hpp"
#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"
#include "objects/names.hpp"

namespace fdpstore::objects {

struct Attribute {
  std::uint64_t size_bytes = 0;
  std::uint64_t mtime_ns = 0;
  std::uint64_t checksum = 0;  // payload_checksum(), when has_checksum
  bool has_checksum = false;   // false: stored with the option checksum = false
};

enum class AttributeState : std::uint8_t {
  absent,  // written by fs, copied without attributes, or the file system has none
  valid,
  damaged,  // fails its own checksum, or belongs to a file of another name
  newer,    // written by a newer fdpstore
};
struct ReadAttribute {
  AttributeState state = AttributeState::absent;
  Attribute value;
};

// XXH3 seeded with the file's name: right bytes under a wrong name fail too.
[[nodiscard]] std::uint64_t payload_checksum(const ObjectName& name,
                                             std::span<const std::byte> payload);
// The same of bytes that come piece by piece.
[[nodiscard]] Xxh3 payload_sum(const ObjectName& name);

[[nodiscard]] Result<ReadAttribute> read_attribute(int fd, const ObjectName& name);
// The same by name below a directory, without opening the file: a third of the cost of a lookup
// less. Errc::unsupported before Linux 6.13, which has no getxattrat.
[[nodiscard]] Result<ReadAttribute> read_attribute_at(int directory_fd, const ObjectName& name);
[[nodiscard]] Result<void> write_attribute(int fd, const ObjectName& name,
                                           const Attribute& attribute);

// nullopt: no such attribute, or not a key.
[[nodiscard]] Result<std::optional<ObjectKey>> read_key_attribute(int fd);
[[nodiscard]] Result<void> write_key_attribute(int fd, const KeyRef& key);

}  // namespace fdpstore::objects
