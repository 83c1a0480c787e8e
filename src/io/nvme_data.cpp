#include "io/nvme_data.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <type_traits>

#include <endian.h>
#include <fmt/format.h>
#include <libnvme.h>

namespace fdpstore::io {
namespace {

constexpr std::uint64_t kMemoryPageBytes = 4096;  // the least an NVMe controller may have
constexpr int kLargestShift = 40;
constexpr int kLeastBlockShift = 9;

// Copies a T from `offset`; false when the data ends before.
template <class T>
bool read_at(std::span<const std::byte> data, std::size_t offset, T& out) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (offset > data.size() || data.size() - offset < sizeof(T)) return false;
  std::memcpy(&out, data.data() + offset, sizeof(T));
  return true;
}

std::unexpected<Error> too_short(std::string_view what, std::span<const std::byte> data) {
  return fail(Errc::corrupt, fmt::format("{} ends after {} bytes", what, data.size()));
}

template <std::size_t kSize>
std::string trimmed(const char (&field)[kSize]) {
  std::string_view text(field, kSize);
  text = text.substr(0, text.find('\0'));
  const std::size_t last = text.find_last_not_of(' ');
  return std::string(text.substr(0, last == std::string_view::npos ? 0 : last + 1));
}

// The index of the format in use: FLBAS bits 3:0, and bits 6:5 where there are more than 16.
unsigned format_index(const nvme_id_ns& data) {
  unsigned index = data.flbas & NVME_NS_FLBAS_LOWER_MASK;
  if (data.nlbaf > 15) index |= static_cast<unsigned>(data.flbas & NVME_NS_FLBAS_HIGHER_MASK) >> 1;
  return index;
}

std::uint64_t saturated(const std::uint8_t (&field)[16]) {
  std::array<std::uint64_t, 2> words{};
  std::memcpy(words.data(), field, sizeof(field));
  return words[1] != 0 ? std::numeric_limits<std::uint64_t>::max() : le64toh(words[0]);
}

FdpConfiguration to_configuration(const nvme_fdp_config_desc& data, std::size_t index) {
  return {.index = static_cast<std::uint8_t>(index),
          .valid = (data.fdpa >> NVME_FDP_CONFIG_FDPA_VALID_SHIFT & 1) != 0,
          .reclaim_unit_bytes = le64toh(data.runs),
          .reclaim_groups = le32toh(data.nrg),
          .group_id_bits = static_cast<std::uint8_t>(data.fdpa & NVME_FDP_CONFIG_FDPA_RGIF_MASK),
          .time_limit_s = le32toh(data.erutl),
          .handles = {}};
}

}  // namespace

Result<NamespaceIdentity> parse_identify_namespace(std::span<const std::byte> bytes) {
  nvme_id_ns data{};
  if (!read_at(bytes, 0, data)) return too_short("Identify Namespace", bytes);
  const nvme_lbaf& format = data.lbaf[format_index(data)];
  if (data.nsze == 0) {
    return fail(Errc::corrupt, "the namespace is not active: Identify Namespace says size 0");
  }
  if (format.ds < kLeastBlockShift || format.ds >= 32) {
    return fail(Errc::corrupt,
                fmt::format("Identify Namespace says that blocks have 2^{} bytes", format.ds));
  }
  NamespaceIdentity identity{
      .size_blocks = le64toh(data.nsze),
      .capacity_blocks = le64toh(data.ncap),
      .block_bytes = 1U << format.ds,
      .metadata_bytes = le16toh(format.ms),
      .extended_blocks = format.ms != 0 && (data.flbas & NVME_NS_FLBAS_META_EXT) != 0,
      .protection_type = static_cast<std::uint8_t>(data.dps & NVME_NS_DPS_PI_MASK),
      .endurance_group = le16toh(data.endgid),
      .deallocated_reads = {},
  };
  if ((data.nsfeat & NVME_NS_FEAT_IO_OPT) != 0) {  // these count from 0
    identity.preferred_write_blocks = le16toh(data.npwg) + 1U;
    identity.deallocate_blocks = le16toh(data.npdg) + 1U;
    identity.deallocate_alignment_blocks = le16toh(data.npda) + 1U;
  }
  switch (data.dlfeat & NVME_NS_DLFEAT_RB) {
    case NVME_NS_DLFEAT_RB_ALL_0S: identity.deallocated_reads = std::byte{0}; break;
    case NVME_NS_DLFEAT_RB_ALL_FS: identity.deallocated_reads = std::byte{0xFF}; break;
    default: break;
  }
  return identity;
}

std::string unusable_format(const NamespaceIdentity& identity) {
  constexpr std::string_view kRemedy =
      "format the namespace without it ('nvme format', which erases it; 'nvme id-ns -H' lists the "
      "formats)";
  if (identity.protection_type != 0) {
    return fmt::format(
        "the namespace uses end-to-end protection information (type {}), which fdpstore does not "
        "write; {}",
        identity.protection_type, kRemedy);
  }
  if (identity.metadata_bytes != 0) {
    return fmt::format("each block has {} bytes of metadata {}, which fdpstore does not write; {}",
                       identity.metadata_bytes,
                       identity.extended_blocks ? "at its end" : "in a separate buffer", kRemedy);
  }
  return {};
}

Result<ControllerIdentity> parse_identify_controller(std::span<const std::byte> bytes) {
  nvme_id_ctrl data{};
  if (!read_at(bytes, 0, data)) return too_short("Identify Controller", bytes);
  const std::uint32_t version = le32toh(data.ver);
  return ControllerIdentity{
      .model = trimmed(data.mn),
      .serial = trimmed(data.sn),
      .firmware = trimmed(data.fr),
      .max_transfer_bytes =
          data.mdts == 0 ? 0 : kMemoryPageBytes << std::min<int>(data.mdts, kLargestShift),
      .deallocate = (le16toh(data.oncs) & NVME_CTRL_ONCS_DSM) != 0,
      .volatile_write_cache = (data.vwc & NVME_CTRL_VWC_PRESENT) != 0,
      .fdp = (le32toh(data.ctratt) & NVME_CTRL_CTRATT_FDPS) != 0,
      .nvme_major = static_cast<std::uint16_t>(version >> 16),
      .nvme_minor = static_cast<std::uint16_t>(version >> 8 & 0xFF),
  };
}

Result<DeallocateLimits> parse_deallocate_limits(std::span<const std::byte> bytes) {
  nvme_id_ctrl_nvm data{};
  if (!read_at(bytes, 0, data))
    return too_short("Identify Controller of the NVM command set", bytes);
  return DeallocateLimits{
      .ranges = data.dmrl, .range_blocks = le32toh(data.dmrsl), .blocks = le64toh(data.dmsl)};
}

Result<std::vector<HandleStatus>> parse_handle_status(std::span<const std::byte> bytes) {
  nvme_fdp_ruh_status header{};
  if (!read_at(bytes, 0, header)) return too_short("Reclaim Unit Handle Status", bytes);
  std::vector<HandleStatus> handles;
  std::size_t at = sizeof(nvme_fdp_ruh_status);
  for (unsigned i = 0; i < le16toh(header.nruhsd); ++i, at += sizeof(nvme_fdp_ruh_status_desc)) {
    nvme_fdp_ruh_status_desc data{};
    if (!read_at(bytes, at, data)) break;
    handles.push_back({.pid = {le16toh(data.pid)},
                       .handle = le16toh(data.ruhid),
                       .time_left_s = le32toh(data.earutr),
                       .available_blocks = le64toh(data.ruamw)});
  }
  return handles;
}

std::string_view to_string(Isolation isolation) {
  switch (isolation) {
    case Isolation::initial: return "initially isolated";
    case Isolation::persistent: return "persistently isolated";
  }
  return "?";
}

FdpFeature parse_fdp_feature(std::uint32_t result) {
  return {.enabled = (result >> NVME_FEAT_FDP_ENABLED_SHIFT & NVME_FEAT_FDP_ENABLED_MASK) != 0,
          .configuration = static_cast<std::uint8_t>(result >> NVME_FEAT_FDP_INDEX_SHIFT)};
}

std::uint16_t FdpConfiguration::placement_handle(PlacementId pid) const {
  return static_cast<std::uint16_t>(pid.value & 0xFFFFU >> group_id_bits);
}

Result<std::vector<FdpConfiguration>> parse_fdp_configurations(std::span<const std::byte> bytes) {
  constexpr std::string_view kWhat = "the FDP configurations log";
  nvme_fdp_config_log header{};
  if (!read_at(bytes, 0, header)) return too_short(kWhat, bytes);
  std::vector<FdpConfiguration> all;
  std::size_t at = sizeof(nvme_fdp_config_log);
  for (std::size_t i = 0; i <= le16toh(header.n); ++i) {  // N counts from 0
    nvme_fdp_config_desc data{};
    if (!read_at(bytes, at, data)) return too_short(kWhat, bytes);
    FdpConfiguration& configuration = all.emplace_back(to_configuration(data, i));
    for (std::size_t k = 0; k < le16toh(data.nruh); ++k) {
      nvme_fdp_ruh_desc handle{};
      if (!read_at(bytes, at + sizeof(nvme_fdp_config_desc) + k * sizeof(nvme_fdp_ruh_desc),
                   handle))
        return too_short(kWhat, bytes);
      configuration.handles.push_back(static_cast<Isolation>(handle.ruht));
    }
    const std::size_t size = le16toh(data.size);
    if (size < sizeof(nvme_fdp_config_desc) + sizeof(nvme_fdp_ruh_desc) * le16toh(data.nruh)) {
      return fail(Errc::corrupt,
                  fmt::format("entry {} of {} says it has {} bytes", i, kWhat, size));
    }
    at += size;
  }
  return all;
}

Result<FdpStatistics> parse_fdp_statistics(std::span<const std::byte> bytes,
                                           std::uint16_t endurance_group) {
  nvme_fdp_stats_log data{};
  if (!read_at(bytes, 0, data)) return too_short("the FDP statistics log", bytes);
  return FdpStatistics{.endurance_group = endurance_group,
                       .host_written_bytes = saturated(data.hbmw),
                       .media_written_bytes = saturated(data.mbmw),
                       .media_erased_bytes = saturated(data.mbe)};
}

std::string to_string(FdpEventType type) {
  switch (type) {
    case FdpEventType::unit_not_fully_written: return "reclaim unit not fully written";
    case FdpEventType::unit_time_limit: return "reclaim unit time limit exceeded";
    case FdpEventType::reset_modified_handles: return "a reset modified reclaim unit handles";
    case FdpEventType::invalid_placement_id: return "invalid placement identifier";
    case FdpEventType::media_reallocated: return "media reallocated";
    case FdpEventType::handle_implicitly_modified: return "reclaim unit handle implicitly modified";
  }
  return fmt::format("FDP event {:#04x}", static_cast<unsigned>(type));
}

namespace {

FdpEvent to_event(const nvme_fdp_event& data) {
  FdpEvent event{.type = static_cast<FdpEventType>(data.type),
                 .pid = {},
                 .nsid = {},
                 .reclaim_group = {},
                 .handle = {},
                 // Origin (bits 3:1 of the attributes): 1 when the host set the clock.
                 .host_clock = (data.ts.attr >> 1 & 7) == 1};
  std::uint64_t milliseconds = 0;
  std::memcpy(&milliseconds, data.ts.timestamp, sizeof(data.ts.timestamp));
  event.timestamp_ms = le64toh(milliseconds);
  if ((data.flags & NVME_FDP_EVENT_F_PIV) != 0) event.pid = PlacementId{le16toh(data.pid)};
  if ((data.flags & NVME_FDP_EVENT_F_NSIDV) != 0) event.nsid = le32toh(data.nsid);
  if ((data.flags & NVME_FDP_EVENT_F_LV) != 0) {
    event.reclaim_group = le16toh(data.rgid);
    event.handle = data.ruhid;
  }
  return event;
}

}  // namespace

Result<std::vector<FdpEvent>> parse_fdp_events(std::span<const std::byte> bytes) {
  constexpr std::string_view kWhat = "the FDP events log";
  constexpr std::size_t kHeaderBytes = offsetof(nvme_fdp_events_log, events);
  std::uint32_t count{};
  if (!read_at(bytes, 0, count)) return too_short(kWhat, bytes);
  std::vector<FdpEvent> events;
  for (std::uint32_t i = 0; i < le32toh(count); ++i) {
    nvme_fdp_event data{};
    if (!read_at(bytes, kHeaderBytes + i * sizeof(nvme_fdp_event), data))
      return too_short(kWhat, bytes);
    events.push_back(to_event(data));
  }
  return events;
}

}  // namespace fdpstore::io
