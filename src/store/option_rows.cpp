// The table of options. DESIGN §8 and the README list the same names.
#include "store/option_rows.hpp"

#include <array>
#include <vector>

#include "format/layout.hpp"

namespace fdpstore::store {
namespace {

using enum OptionType;

constexpr double kMaxBytes = 9.2e18;  // fits a signed 64-bit number, as JSON needs
constexpr double kMaxSeconds = 1e9;
constexpr auto kMaxLength = static_cast<double>(format::kMaxLengthBytes);

const std::array kRows{
    OptionRow{{.name = "base_path",
               .type = text,
               .help = "Directory of the store; made when missing. This or device_path is "
                       "required."},
              &Options::base_path},
    OptionRow{
        {.name = "device_path",
         .type = text,
         .layouts = "device",
         .help =
             "NVMe character device (/dev/ngXnY), block device, or a pre-sized file standing for "
             "one. With base_path as well, the device is used where it can tell streams apart."},
        &Options::device_path},
    OptionRow{{.name = "layout",
               .type = choice,
               .default_value = "object",
               .choices = "object|prompt|segment",
               .help = "How objects lie in files. object: one file each, with names and bytes as "
                       "LMCache's fs adapter; prompt: one file per prompt; segment: append logs "
                       "that are reclaimed whole (fastest, least wear); on a device always this."},
              &Options::layout},
    OptionRow{
        {.name = "capacity_bytes",
         .type = integer,
         .unit = "bytes",
         .default_value = "0",
         .help = "Hard bound on disk use, as du counts it. Required for prompt and segment in a "
                 "directory; device: 0 means all of it; object: 0 means no bound, and the "
                 "bound is hard with exclusive only."},
        &Options::capacity_bytes,
        0,
        kMaxBytes},
    OptionRow{{.name = "capacity_gb",
               .type = real,
               .unit = "GiB",
               .help = "capacity_bytes in units of 1024^3 bytes, as LMCache counts its *_gb "
                       "options.",
               .alias_of = "capacity_bytes"},
              &Options::capacity_bytes,
              0,
              kMaxBytes},
    OptionRow{{.name = "max_capacity_gb",
               .type = real,
               .unit = "GiB",
               .help = "fs_native's name for capacity_gb; other than there, it bounds disk use by "
                       "itself, without an eviction block.",
               .alias_of = "capacity_bytes",
               .differs = true},
              &Options::capacity_bytes,
              0,
              kMaxBytes},
    OptionRow{
        {.name = "segment_bytes",
         .type = integer,
         .unit = "bytes",
         .default_value = "0",
         .layouts = "prompt, segment",
         .help = "Size of a segment, a multiple of 4096, fixed when the store is made. 0: the "
                 "device's reclaim unit; in a directory 257MiB, less where the capacity is "
                 "small."},
        &Options::segment_bytes,
        0,
        kMaxLength},
    OptionRow{{.name = "max_object_bytes",
               .type = integer,
               .unit = "bytes",
               .default_value = "64MiB",
               .help = "Largest object that may be stored; a larger one fails."},
              &Options::max_object_bytes,
              1,
              kMaxLength},
    OptionRow{{.name = "slot_bytes",
               .type = integer,
               .unit = "bytes",
               .help = "raw_block's name for max_object_bytes; objects take what they need, there "
                       "are no slots.",
               .alias_of = "max_object_bytes",
               .differs = true},
              &Options::max_object_bytes,
              1,
              kMaxLength},
    OptionRow{
        {.name = "base_offset_bytes",
         .type = integer,
         .unit = "bytes",
         .default_value = "0",
         .layouts = "device",
         .help = "Where the part of the device that is used begins, so that several stores share "
                 "one; capacity_bytes says where it ends (0: at the end of the device)."},
        &Options::base_offset_bytes,
        0,
        kMaxBytes},
    OptionRow{{.name = "max_transfer_bytes",
               .type = integer,
               .unit = "bytes",
               .default_value = "0",
               .layouts = "device",
               .help = "Device: largest transfer of one command. 0: what the device allows."},
              &Options::max_transfer_bytes,
              0,
              kMaxLength},
    OptionRow{{.name = "max_data_transfer_size",
               .type = integer,
               .unit = "bytes",
               .layouts = "device",
               .help = "raw_block's name for max_transfer_bytes.",
               .alias_of = "max_transfer_bytes"},
              &Options::max_transfer_bytes,
              0,
              kMaxLength},
    OptionRow{{.name = "fdp_placement_ids",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "Device: placement ids (PIDs) for data: [1, 2], 1-4,6, {start, count}, or "
                       "{range: [first, last]}. Left out: all but the first, which is the "
                       "metadata's."},
              &Options::fdp_placement_ids},
    OptionRow{{.name = "fdp_data_ruh_ids",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "The same by RUH identifier, which is not the PID on every namespace."},
              &Options::fdp_data_ruh_ids},
    OptionRow{{.name = "fdp_ruh_ids",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "Older name of fdp_data_ruh_ids.",
               .alias_of = "fdp_data_ruh_ids"},
              &Options::fdp_data_ruh_ids},
    OptionRow{{.name = "meta_checkpoint_placement_id",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "Device: placement id (PID) for metadata."},
              &Options::meta_checkpoint_placement_id},
    OptionRow{{.name = "fdp_metadata_ruh_ids",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "The same by RUH identifier; of several the first is used, where the FDP "
                       "proof of concept spread metadata over all.",
               .differs = true},
              &Options::fdp_metadata_ruh_ids},
    OptionRow{{.name = "data_ruhs",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "Short name of fdp_data_ruh_ids.",
               .alias_of = "fdp_data_ruh_ids"},
              &Options::fdp_data_ruh_ids},
    OptionRow{{.name = "metadata_ruhs",
               .type = text,
               .unit = "ids",
               .layouts = "device",
               .help = "Short name of fdp_metadata_ruh_ids.",
               .alias_of = "fdp_metadata_ruh_ids"},
              &Options::fdp_metadata_ruh_ids},
    OptionRow{{.name = "policy",
               .type = text,
               .default_value = "lifetime",
               .help = "Which object goes to which stream: a shipped policy (`fdpstore policies` "
                       "lists them), or the path of a policy file."},
              &Options::policy},
    OptionRow{{.name = "placement_policy",
               .type = text,
               .help = "Longer name of policy.",
               .alias_of = "policy"},
              &Options::policy},
    OptionRow{{.name = "write_mode",
               .type = choice,
               .default_value = "auto",
               .choices = "auto|hint|uring_cmd|write_stream|plain",
               .help = "How a stream is told to the device. A directory knows hint (write-lifetime "
                       "hint on the inode) and plain (nothing); uring_cmd and write_stream need a "
                       "raw device."},
              &Options::write_mode},
    OptionRow{{.name = "placement",
               .type = choice,
               .default_value = "prefer",
               .choices = "prefer|require",
               .help = "require: opening fails where write_mode cannot be honoured; prefer: status "
                       "says what is effective instead."},
              &Options::placement},
    OptionRow{{.name = "durability",
               .type = choice,
               .default_value = "process",
               .choices = "process|device",
               .help = "What a finished store survives. process: the end of the process; device: "
                       "power loss too (slower)."},
              &Options::durability},
    OptionRow{{.name = "use_odirect",
               .type = boolean,
               .default_value = "auto",
               .help = "O_DIRECT, past the page cache. auto: on for prompt and segment where it "
                       "works, off for object (as fs). true fails where it does not work. Segments "
                       "in memory (tmpfs) are mapped either way."},
              &Options::use_odirect},
    OptionRow{{.name = "checksum",
               .type = boolean,
               .default_value = "true",
               .help = "Store a checksum with every object, and check it at every load."},
              &Options::checksum},
    OptionRow{{.name = "queue_depth",
               .type = integer,
               .default_value = "64",
               .help = "Requests in flight in the ring."},
              &Options::queue_depth,
              1,
              4096},
    OptionRow{{.name = "engine_threads",
               .type = integer,
               .default_value = "4",
               .layouts = "object",
               .help = "Threads for file-system calls that io_uring has no operation for."},
              &Options::engine_threads,
              1,
              256},
    OptionRow{{.name = "num_workers",
               .type = integer,
               .layouts = "object",
               .help = "fs_native's name for engine_threads.",
               .alias_of = "engine_threads",
               .differs = true},
              &Options::engine_threads,
              1,
              256},
    OptionRow{{.name = "iouring_queue_depth",
               .type = integer,
               .help = "raw_block's name for queue_depth.",
               .alias_of = "queue_depth"},
              &Options::queue_depth,
              1,
              4096},
    OptionRow{{.name = "format",
               .type = boolean,
               .default_value = "false",
               .help = "Permit making a new store in a directory that holds something else."},
              &Options::format},
    OptionRow{{.name = "lock_timeout_s",
               .type = real,
               .unit = "s",
               .default_value = "300",
               .help = "Lease of a lock that lookup took: after it the object may go although "
                       "nobody unlocked it."},
              &Options::lock_timeout_s,
              0.001,
              kMaxSeconds},
    OptionRow{{.name = "prompt_idle_s",
               .type = real,
               .unit = "s",
               .default_value = "60",
               .layouts = "prompt",
               .help = "A prompt's file is sealed after so long without a new object."},
              &Options::prompt_idle_s,
              0.001,
              kMaxSeconds},
    OptionRow{{.name = "exclusive",
               .type = boolean,
               .default_value = "false",
               .help = "object: this process alone uses the directory (locked), which makes "
                       "capacity_bytes a hard bound. prompt and segment always are."},
              &Options::exclusive},
    OptionRow{{.name = "tmp_max_age_s",
               .type = real,
               .unit = "s",
               .default_value = "86400",
               .layouts = "object",
               .help = "Temporary files older than this are left over from a killed process, and "
                       "are removed at open."},
              &Options::tmp_max_age_s,
              0,
              kMaxSeconds},
    OptionRow{{.name = "relative_tmp_dir",
               .type = text,
               .layouts = "object",
               .help = "Directory below base_path for files being written, as of LMCache's fs; "
                       "empty: temporary names in base_path."},
              &Options::relative_tmp_dir},
    OptionRow{{.name = "read_ahead_size",
               .type = integer,
               .unit = "bytes",
               .default_value = "0",
               .layouts = "object",
               .help = "As of LMCache's fs: read so much first, to set off the file system's "
                       "read-ahead. 0: off."},
              &Options::read_ahead_size,
              0,
              kMaxLength},
    OptionRow{{.name = "file_mode",
               .type = text,
               .unit = "octal",
               .default_value = "0600",
               .help = "Permission bits of files that are made, before the umask."},
              &Options::file_mode},
    OptionRow{{.name = "read_only",
               .type = boolean,
               .default_value = "false",
               .help = "For inspection: takes no lock and writes nothing; every store fails."},
              &Options::read_only},
    OptionRow{{.name = "log_level",
               .type = choice,
               .default_value = "auto",
               .choices = "auto|off|error|warn|info|debug",
               .help = "What the whole process logs of its stores, on the standard error. auto: as "
                       "$FDPSTORE_LOG says, else warn."},
              &Options::log_level},
};

}  // namespace

std::span<const OptionRow> option_rows() {
  return kRows;
}

const OptionRow* find_option(std::string_view name) {
  for (const OptionRow& row : kRows) {
    if (row.info.name == name) return &row;
  }
  return nullptr;
}

}  // namespace fdpstore::store

namespace fdpstore {

std::span<const OptionInfo> option_table() {
  static const auto table = [] {
    std::vector<OptionInfo> infos;
    for (const store::OptionRow& row : store::option_rows()) infos.push_back(row.info);
    return infos;
  }();
  return table;
}

}  // namespace fdpstore
