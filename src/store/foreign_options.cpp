#include "store/foreign_options.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>
#include <boost/json/serialize.hpp>

namespace fdpstore::store {
namespace {

namespace json = boost::json;

constexpr std::string_view kRawBlock = "raw_block";
constexpr std::string_view kProof = "the FDP proof of concept";
constexpr std::string_view kNoCheckpoint =
    "metadata lives in the segments that it describes, there is no checkpoint";
constexpr std::string_view kOneThread = "one thread and a ring serve a device (queue_depth)";
constexpr std::string_view kRing = "I/O always goes through io_uring.";
constexpr std::string_view kVerified = "It is always so: metadata is read and verified at open.";

constexpr std::array kForeign{
    ForeignOptionInfo{"use_uring_cmd", kRawBlock, "true|false",
                      "true is write_mode = uring_cmd; false leaves write_mode as it is."},
    ForeignOptionInfo{"fdp_enabled", kRawBlock, "true|false",
                      "true is placement = require, false is write_mode = plain."},
    ForeignOptionInfo{"fdp_data_placement_policy", kRawBlock, "cache_salt_prefix|none",
                      "cache_salt_prefix is policy = tenant, none is policy = separated. Tenants "
                      "beyond the handles there are share them, where raw_block tells nothing."},
    ForeignOptionInfo{"io_engine", kRawBlock, "io_uring", kRing},
    ForeignOptionInfo{"use_iouring", kRawBlock, "true", kRing},
    ForeignOptionInfo{"use_uring", kRawBlock, "true", kRing},
    ForeignOptionInfo{"block_align", kRawBlock, "4096", "Blocks have 4096 bytes."},
    ForeignOptionInfo{"header_bytes", kRawBlock, "4096",
                      "A record's header takes one block of 4096 bytes."},
    ForeignOptionInfo{"enable_zero_copy", kRawBlock, "true",
                      "Aligned buffers always travel without a copy."},
    ForeignOptionInfo{"load_checkpoint_on_init", kRawBlock, "true", kVerified},
    ForeignOptionInfo{"meta_verify_on_load", kRawBlock, "true", kVerified},
    ForeignOptionInfo{"use_fdp", kProof, "true|false",
                      "true is placement = require, false is write_mode = plain."},
    ForeignOptionInfo{"fdp_directive_type", kProof, "2",
                      "Data placement (2) is the only directive type there is."},
    ForeignOptionInfo{"fdp_metadata_mode", kProof, "per_ruh",
                      "Metadata has a handle of its own: the first of fdp_metadata_ruh_ids, where "
                      "the proof of concept spread it over all of them by a hash of the key."},
    ForeignOptionInfo{"meta_total_bytes", kRawBlock, "", kNoCheckpoint},
    ForeignOptionInfo{"meta_magic", kRawBlock, "", kNoCheckpoint},
    ForeignOptionInfo{"meta_version", kRawBlock, "", kNoCheckpoint},
    ForeignOptionInfo{"meta_checkpoint_interval_sec", kRawBlock, "", kNoCheckpoint},
    ForeignOptionInfo{"meta_idle_quiet_ms", kRawBlock, "", kNoCheckpoint},
    ForeignOptionInfo{"meta_enable_periodic", kRawBlock, "", kNoCheckpoint},
    ForeignOptionInfo{"fdp_slot_reuse_policy", kRawBlock, "",
                      "segments are freed whole, there are no slots to reuse"},
    ForeignOptionInfo{"num_store_workers", kRawBlock, "", kOneThread},
    ForeignOptionInfo{"num_lookup_workers", kRawBlock, "", kOneThread},
    ForeignOptionInfo{"num_load_workers", kRawBlock, "", kOneThread},
};

constexpr std::array kTranslations{
    Translation{"use_uring_cmd", "true", "write_mode", "uring_cmd"},
    Translation{"use_uring_cmd", "false", "", ""},
    Translation{"fdp_enabled", "true", "placement", "require"},
    Translation{"fdp_enabled", "false", "write_mode", "plain"},
    Translation{"use_fdp", "true", "placement", "require"},
    Translation{"use_fdp", "false", "write_mode", "plain"},
    Translation{"fdp_directive_type", "2", "", ""},
    Translation{"fdp_metadata_mode", "per_ruh", "", ""},
    Translation{"fdp_data_placement_policy", "cache_salt_prefix", "policy", "tenant"},
    Translation{"fdp_data_placement_policy", "none", "policy", "separated"},
    Translation{"io_engine", "io_uring", "", ""},
    Translation{"use_iouring", "true", "", ""},
    Translation{"use_uring", "true", "", ""},
    Translation{"block_align", "4096", "", ""},
    Translation{"header_bytes", "4096", "", ""},
    Translation{"enable_zero_copy", "true", "", ""},
    Translation{"load_checkpoint_on_init", "true", "", ""},
    Translation{"meta_verify_on_load", "true", "", ""},
};

}  // namespace

const ForeignOptionInfo* find_foreign(std::string_view name) {
  const auto* found = std::ranges::find(kForeign, name, &ForeignOptionInfo::name);
  return found == kForeign.end() ? nullptr : found;
}

Result<const Translation*> translate(const std::string& name, const json::value& value) {
  // A command line's values are texts, whatever they mean.
  const std::string given =
      value.is_string() ? std::string(value.get_string()) : json::serialize(value);
  std::vector<std::string_view> possible;
  for (const Translation& translation : kTranslations) {
    if (translation.name != name) continue;
    if (translation.given == given) return &translation;
    possible.push_back(translation.given);
  }
  if (possible.empty()) return nullptr;
  return fail(Errc::invalid_option,
              fmt::format("{} = {}: only {} is possible here; leave it out ({})", name, given,
                          fmt::join(possible, " or "), find_foreign(name)->help));
}

}  // namespace fdpstore::store

namespace fdpstore {

std::span<const ForeignOptionInfo> foreign_option_table() {
  return store::kForeign;
}

}  // namespace fdpstore
