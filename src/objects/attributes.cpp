#include "objects/attributes.hpp"

#include <array>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <type_traits>

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

namespace fdpstore::objects {
namespace {

constexpr char kAttributeName[] = "user.fdpstore";
constexpr char kKeyAttributeName[] = "user.fdpstore.key";
constexpr long kGetXattrAt = 464;             // the same on every architecture
constexpr std::uint32_t kMagic = 0x4F504446;  // "FDPO"
constexpr std::uint16_t kVersion = 1;
constexpr std::uint16_t kHasChecksum = 1;
constexpr std::size_t kMaxKeyBytes = 32 + kMaxHashBytes + kMaxModelNameBytes + kMaxSaltBytes;

struct AttributeRecord {
  std::uint32_t magic = kMagic;      // Rejects attributes we never wrote.
  std::uint16_t version = kVersion;  // A newer one is not guessed at.
  std::uint16_t flags = 0;
  std::uint64_t size_bytes = 0;  // Finds truncated files without reading them.
  std::uint64_t mtime_ns = 0;    // Tells a later rewrite from a fault of the medium.
  std::uint64_t payload_xxh3 = 0;
  std::uint64_t xxh3 = 0;  // Of the above, seeded with the name: an attribute copied to
                           // another object is rejected.
};
static_assert(sizeof(AttributeRecord) == 40);
static_assert(std::is_trivially_copyable_v<AttributeRecord> &&
              std::has_unique_object_representations_v<AttributeRecord>);
static_assert(std::endian::native == std::endian::little);

std::uint64_t self_checksum(const AttributeRecord& record, const ObjectName& name) {
  return xxh3(std::as_bytes(std::span(&record, 1)).first(offsetof(AttributeRecord, xxh3)),
              name.digest);
}

bool means_unsupported(int error) {
  return error == ENOTSUP || error == ENOSYS;
}

Result<ReadAttribute> decode_failure(int error, const ObjectName& name) {
  if (error == ENODATA || means_unsupported(error)) return ReadAttribute{};
  // A longer value than ours can only come from a later version, whose magic cannot be read here.
  if (error == ERANGE) return ReadAttribute{AttributeState::newer, {}};
  return fail_errno(error, name.file);
}

ReadAttribute decode(const AttributeRecord& record, long bytes, const ObjectName& name) {
  ReadAttribute out{AttributeState::damaged, {}};
  if (bytes < static_cast<long>(sizeof record) || record.magic != kMagic) return out;
  if (record.version > kVersion) return {AttributeState::newer, {}};
  if (record.version != kVersion || record.xxh3 != self_checksum(record, name)) return out;
  out.state = AttributeState::valid;
  out.value = {.size_bytes = record.size_bytes,
               .mtime_ns = record.mtime_ns,
               .checksum = record.payload_xxh3,
               .has_checksum = (record.flags & kHasChecksum) != 0};
  return out;
}

}  // namespace

std::uint64_t payload_checksum(const ObjectName& name, std::span<const std::byte> payload) {
  return xxh3(payload, name.digest);
}

Xxh3 payload_sum(const ObjectName& name) {
  return Xxh3(name.digest);
}

Result<ReadAttribute> read_attribute(int fd, const ObjectName& name) {
  AttributeRecord record;
  const ssize_t got = ::fgetxattr(fd, kAttributeName, &record, sizeof record);
  return got < 0 ? decode_failure(errno, name) : decode(record, got, name);
}

Result<ReadAttribute> read_attribute_at(int directory_fd, const ObjectName& name) {
  AttributeRecord record;
  // struct xattr_args of linux/xattr.h, which Debian 12's headers do not have.
  struct {
    alignas(8) std::uint64_t value;
    std::uint32_t size, flags;
  } arguments{reinterpret_cast<std::uintptr_t>(&record), sizeof record, 0};
  const long got = ::syscall(kGetXattrAt, directory_fd, name.file.c_str(), AT_SYMLINK_NOFOLLOW,
                             kAttributeName, &arguments, sizeof arguments);
  if (got < 0 && errno == ENOSYS) return fail(Errc::unsupported, "this kernel has no getxattrat");
  return got < 0 ? decode_failure(errno, name) : decode(record, got, name);
}

Result<void> write_attribute(int fd, const ObjectName& name, const Attribute& attribute) {
  AttributeRecord record;
  record.flags = attribute.has_checksum ? kHasChecksum : 0;
  record.size_bytes = attribute.size_bytes;
  record.mtime_ns = attribute.mtime_ns;
  record.payload_xxh3 = attribute.checksum;
  record.xxh3 = self_checksum(record, name);
  if (::fsetxattr(fd, kAttributeName, &record, sizeof record, 0) == 0) return {};
  if (means_unsupported(errno)) return fail(Errc::unsupported, "no user extended attributes here");
  return fail_errno(errno, name.file + ": extended attribute");
}

Result<std::optional<ObjectKey>> read_key_attribute(int fd) {
  std::array<std::byte, kMaxKeyBytes> bytes;
  const ssize_t got = ::fgetxattr(fd, kKeyAttributeName, bytes.data(), bytes.size());
  if (got >= 0) return decode_key(std::span(bytes).first(static_cast<std::size_t>(got)));
  if (errno == ENODATA || errno == ERANGE || means_unsupported(errno)) return std::nullopt;
  return fail_errno(errno, "extended attribute with a key");
}

Result<void> write_key_attribute(int fd, const KeyRef& key) {
  const auto bytes = encode_key(key);
  if (::fsetxattr(fd, kKeyAttributeName, bytes.data(), bytes.size(), 0) == 0) return {};
  if (means_unsupported(errno)) {
    return fail(Errc::unsupported,
                "the file system has no user extended attributes, which keys need whose file name "
                "is too long or ambiguous; use a file system that has them, or layout=segment");
  }
  return fail_errno(errno, "extended attribute with a key");
}

}  // namespace fdpstore::objects
