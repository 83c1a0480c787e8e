// Names: which file of the base directory holds which object.
//
// Ordinary keys have the name LMCache 0.5.6's `fs` and `fs_native` give them,
//   <model, "/" → "-SEP-">@0x<kv_rank>@<group>@<chunk hash>[@<salt>].data
// so that a directory can be exchanged with them. A key whose fs name could not be turned back into
// the key ("a-SEP-b" reads as "a/b"), is longer than NAME_MAX, or holds characters that have no
// place in a file name, is given a name of its own, fdpstore-<xxh3-128>.data, which fs takes for no
// object; its key then stands in an extended attribute (attributes.hpp). No name contains "/".
//
// Thread:  free functions: any. A NameBuilder belongs to one thread at a time.
// Errors:  Errc::invalid_argument / too_large for keys beyond the limits of types.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/result.hpp"
#include "fdpstore/types.hpp"

namespace fdpstore::objects {

inline constexpr std::size_t kMaxFileNameBytes = 255;  // NAME_MAX
inline constexpr std::string_view kObjectSuffix = ".data";
inline constexpr std::string_view kTemporarySuffix = ".tmp";

struct ObjectName {
  std::string file;
  std::uint64_t digest = 0;  // XXH3 of `file`: identity of the key in tables and checksums
  std::uint64_t chain = 0;   // equal for equal (model, salt, rank, group)
  // Set when `file` is a name of its own: the key that the file's attribute must hold.
  std::shared_ptr<const ObjectKey> own_key;
};

// Keys of a task mostly differ in their hash only: what they share is put together once.
class NameBuilder {
 public:
  [[nodiscard]] Result<ObjectName> build(const KeyRef& key);

 private:
  void set_scope(const KeyRef& key);

  bool has_scope_ = false;
  bool ordinary_ = false;  // the scope allows a name as fs would give it
  std::string model_, salt_;
  std::uint64_t kv_rank_ = 0;
  std::uint32_t group_ = 0;
  std::string prefix_, suffix_;
  std::uint64_t chain_ = 0;
};

// The name of a file that is known to exist, without its key.
[[nodiscard]] ObjectName name_of_file(std::string_view file);
// The key of an ordinary name; nullopt for everything else, own names included.
[[nodiscard]] std::optional<ObjectKey> parse_name(std::string_view file);
[[nodiscard]] bool is_own_name(std::string_view file);
// What `fs` and `fs_native` call their temporary files when they have no relative_tmp_dir.
[[nodiscard]] bool is_fs_temporary(std::string_view file);

// An object's name in three parts, of which only the middle one, hex, differs between many objects.
struct NameParts {
  std::string_view prefix, hex, suffix;
};
[[nodiscard]] std::optional<NameParts> split_name(std::string_view file);

// A whole key as bytes, for the attribute of own names.
[[nodiscard]] std::vector<std::byte> encode_key(const KeyRef& key);
[[nodiscard]] std::optional<ObjectKey> decode_key(std::span<const std::byte> bytes);

void append_hex(std::string& out, std::span<const std::byte> bytes);
// False when `hex` is not an even number of lower-case hexadecimal digits.
[[nodiscard]] bool parse_hex(std::string_view hex, std::vector<std::byte>& out);

}  // namespace fdpstore::objects
