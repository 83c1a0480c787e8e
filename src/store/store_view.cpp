#include "store/store_view.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <functional>

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "backends/directory_content.hpp"
#include "backends/store_directory.hpp"
#include "core/sizing.hpp"
#include "fdpstore/backend.hpp"
#include "format/codec.hpp"
#include "objects/object_directory.hpp"
#include "store/places.hpp"
#include "store/served_store.hpp"

namespace fdpstore::store {
namespace {

const std::string& path_of(const Options& options) {
  return options.device_path.empty() ? options.base_path : options.device_path;
}

using ReadCopy = std::function<Result<void>(std::size_t copy, std::span<std::byte> out)>;

// The newer of the two copies; when neither is good, the error of the first.
Result<format::Superblock> newest_superblock(const std::string& name, const ReadCopy& read_copy) {
  Result<format::Superblock> best = fail(Errc::corrupt, "no superblock");
  for (std::size_t copy = 0; copy < kSuperblockCopies; ++copy) {
    std::array<std::byte, kSuperblockBytes> block{};
    if (auto read = read_copy(copy, block); !read) continue;
    auto decoded = format::decode_superblock(block);
    if (!decoded) {
      // That the other copy is damaged says less than that this one is of a newer version.
      if (!best && best.error().code == Errc::corrupt) best = std::move(decoded);
    } else if (!best || decoded->generation > best->generation) {
      best = std::move(decoded);
    }
  }
  if (best) return best;
  if (best.error().code == Errc::version_mismatch) {
    return fail(Errc::version_mismatch,
                fmt::format("{}: {}; use that version", name, best.error().what));
  }
  return fail(Errc::corrupt,
              fmt::format("{}: both copies are damaged ({}); restore one from a backup, or begin "
                          "an empty store with format = true",
                          name, best.error().what));
}

Result<format::Superblock> read_superblock(const Options& options) {
  if (!options.device_path.empty()) {
    auto device = backends::open_raw_backend(raw_options(options));
    if (!device) return fail(std::move(device.error()));
    return newest_superblock(options.device_path, [&](std::size_t copy, std::span<std::byte> out) {
      return (*device)->read_superblock(copy, out);
    });
  }
  auto directory = backends::StoreDirectory::open({.path = options.base_path, .read_only = true});
  if (!directory) return fail(std::move(directory.error()));
  return newest_superblock(directory->superblock_path(),
                           [&](std::size_t copy, std::span<std::byte> out) {
                             return directory->read_superblock(copy, out);
                           });
}

Result<void> fill_from_superblock(FoundStore& found) {
  const auto superblock = read_superblock(found.options);
  if (!superblock) return fail(superblock.error());
  if (superblock->layout > static_cast<std::uint32_t>(Layout::segment)) {
    return fail(Errc::version_mismatch, fmt::format("{}: layout {} is of a newer fdpstore",
                                                    path_of(found.options), superblock->layout));
  }
  Options& options = found.options;
  options.layout = static_cast<Layout>(superblock->layout);
  options.segment_bytes = superblock->segment_bytes;
  options.capacity_bytes = superblock->capacity_bytes;
  // Larger ones than fit cannot be there.
  options.max_object_bytes =
      std::min(options.max_object_bytes,
               superblock->segment_bytes - core::kSegmentOverheadBytes - format::kBlockBytes);
  found.socket_name = socket_name_of_uuid(format::to_string(superblock->uuid));
  return {};
}

}  // namespace

Result<FoundStore> find_store(const std::string& path, std::uint64_t base_offset_bytes) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0) return fail_errno(errno, path);
  if (!S_ISDIR(info.st_mode)) {
    FoundStore found;
    found.options.device_path = path;
    found.options.base_offset_bytes = base_offset_bytes;
    found.options.layout = Layout::segment;
    found.options.read_only = true;
    found.owner = S_ISREG(info.st_mode) ? info.st_uid : ::geteuid();
    if (auto filled = fill_from_superblock(found); !filled) return fail(filled.error());
    return found;
  }
  const auto content = backends::inspect_directory(path);
  if (!content) return fail(content.error());
  FoundStore found;
  found.options.base_path = path;
  found.options.read_only = true;
  found.owner = info.st_uid;
  if (content->has_superblock) {
    if (auto filled = fill_from_superblock(found); !filled) return fail(filled.error());
    return found;
  }
  if (content->segment_files > 0) {
    return fail(Errc::corrupt,
                fmt::format("{} holds {} segment files and no superblock; restore the file "
                            "\"superblock\" from a backup",
                            path, content->segment_files));
  }
  std::error_code ignored;
  if (content->foreign_entries > 0 && content->lmcache_objects == 0 &&
      !std::filesystem::exists(std::filesystem::path(path) / objects::kLockFile, ignored)) {
    return fail(Errc::foreign,
                fmt::format("{} holds no store and no objects of LMCache's fs, but {}; name the "
                            "base_path of a store",
                            path, content->describe()));
  }
  auto name = socket_name_of_directory(path);
  if (!name) return fail(std::move(name.error()));
  found.socket_name = std::move(*name);
  return found;
}

Result<bool> is_open_elsewhere(const FoundStore& found) {
  auto client = DiagnosticsClient::connect(found.socket_name, found.owner);
  if (!client) return fail(std::move(client.error()));
  return client->has_value();
}

Result<StoreView> StoreView::open(const std::string& path, const std::string& policy,
                                  std::uint64_t base_offset_bytes) {
  auto found = find_store(path, base_offset_bytes);
  if (!found) return fail(std::move(found.error()));
  StoreView view;
  auto client = DiagnosticsClient::connect(found->socket_name, found->owner);
  if (!client) return fail(std::move(client.error()));
  view.client_ = std::move(*client);
  if (!view.client_) {
    if (!policy.empty()) found->options.policy = policy;
    auto store = open_store(found->options);
    if (!store) return fail(std::move(store.error()));
    view.store_ = std::move(*store);
  }
  return view;
}

Result<std::string> StoreView::status() {
  auto status = client_ ? ask_status(*client_)
                        : Result<boost::json::value>(boost::json::parse(to_json(store_->status())));
  if (!status) return fail(std::move(status.error()));
  status->get_object()["answered_by_owner"] = answered_by_owner();
  return boost::json::serialize(*status);
}

Result<KeyPage> StoreView::list(std::string_view cursor, std::size_t page_size,
                                std::string_view model_name) {
  return client_ ? ask_keys(*client_, cursor, page_size, model_name)
                 : store_->list(cursor, page_size, model_name);
}

}  // namespace fdpstore::store
