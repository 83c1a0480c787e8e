// Options: one struct, one table of names. LMCache JSON, CLI flags and config files all go through
// parse_options(), so a name means the same everywhere.
//
// Errors: Errc::invalid_option names the option, what is wrong with its value, and the remedy.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/placement.hpp"
#include "fdpstore/result.hpp"

namespace fdpstore {

enum class Layout : std::uint8_t { object, prompt, segment };
enum class Durability : std::uint8_t { process, device };
enum class LogLevel : std::uint8_t { automatic, off, error, warn, info, debug };

std::string_view to_string(Layout layout);
std::string_view to_string(Durability durability);
std::string_view to_string(LogLevel level);

struct Options {
  std::string base_path;         // directory; created when missing
  std::string device_path = {};  // NVMe character device, block device, or a file standing for one
  Layout layout = Layout::object;
  std::uint64_t capacity_bytes = 0;     // hard bound on disk; 0: none (layout object only)
  std::uint64_t segment_bytes = 0;      // 0: the reclaim unit; in a directory 257 MiB, or less
  std::uint64_t base_offset_bytes = 0;  // device: where its part of the device begins
  // Device: which of its placement ids are whose, as PIDs or as RUH identifiers, which differ on
  // some namespaces. Empty: the first one is for metadata, the others for data.
  std::vector<std::uint32_t> fdp_placement_ids = {};
  std::vector<std::uint32_t> fdp_data_ruh_ids = {};
  std::vector<std::uint32_t> meta_checkpoint_placement_id = {};  // the first counts
  std::vector<std::uint32_t> fdp_metadata_ruh_ids = {};
  std::uint64_t max_transfer_bytes = 0;  // device: of one command, at most; 0: what it can
  std::uint64_t max_object_bytes = 64ULL << 20;
  std::string policy = "lifetime";  // name of a shipped policy, or path of a policy file
  WriteMode write_mode = WriteMode::automatic;
  Strictness placement = Strictness::prefer;
  Durability durability = Durability::process;
  std::optional<bool> use_odirect =
      {};  // unset: where a probe succeeds (segment, prompt), else off
  bool checksum = true;
  std::uint32_t queue_depth = 64;    // requests in flight in the ring
  std::uint32_t engine_threads = 4;  // file-system workers of layout `object`
  bool format = false;               // may make a new store over something else's files
  double lock_timeout_s = 300;
  double prompt_idle_s = 60;
  bool exclusive = false;             // layout object: this process alone uses the directory
  double tmp_max_age_s = 86400;       // layout object: older temporary files are removed at open
  std::string relative_tmp_dir = {};  // layout object: as LMCache's `fs`
  std::uint64_t read_ahead_size = 0;  // layout object: as LMCache's `fs`, bytes; 0: off
  std::uint32_t file_mode = 0600;     // permission bits of files made
  bool read_only = false;             // for inspection: never locks, never writes
  LogLevel log_level = LogLevel::automatic;  // of this process; automatic: as it is
};

enum class OptionType : std::uint8_t { boolean, integer, real, text, choice };

// One row of the table: everything --help, the README and error messages say of an option.
struct OptionInfo {
  std::string_view name;
  OptionType type = OptionType::text;
  std::string_view unit = {};           // "bytes", "s", "" …
  std::string_view default_value = {};  // as a user would write it
  std::string_view choices = {};        // "a|b|c" for OptionType::choice
  std::string_view layouts = "all";     // or those it applies to: "prompt, segment"
  std::string_view help = {};           // one or two sentences
  std::string_view alias_of = {};       // the option it is another name of, or ""
  bool differs = false;  // from what another store means by this name; `help` says how
};
std::span<const OptionInfo> option_table();

// A name of another store that some of whose values have a meaning here, or none.
struct ForeignOptionInfo {
  std::string_view name;
  std::string_view of;       // whose it is
  std::string_view choices;  // "a|b": the values that are accepted; empty: it is refused
  std::string_view help;     // what they become here; or why it is refused
};
std::span<const ForeignOptionInfo> foreign_option_table();

// From a JSON object: {"base_path": "/data", "layout": "segment", …}. Checks every value and their
// combination.
[[nodiscard]] Result<Options> parse_options(std::string_view json);
// What parse_options checks after reading; for callers who fill the struct themselves.
[[nodiscard]] Result<void> check_options(const Options& options);
// What a user of those options should be told: names that mean not quite what they mean elsewhere.
[[nodiscard]] std::vector<std::string> option_notes(std::string_view json);
// All options with their effective values, as a JSON object that parse_options accepts.
std::string to_json(const Options& options);

}  // namespace fdpstore
