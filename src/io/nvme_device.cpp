#include "io/nvme_device.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <endian.h>
#include <fmt/format.h>
#include <libnvme.h>  // with its own linux/nvme_ioctl.h: the two exclude each other
#include <sys/ioctl.h>

#include "io/aligned_buffer.hpp"
#include "io/nvme_status.hpp"

namespace fdpstore::io {
namespace {

constexpr std::size_t kPageBytes = AlignedBuffer::kAlignBytes;
constexpr std::size_t kLargestLogBytes = 1 << 20;
constexpr std::size_t kMaxEventTypes = 255;

// `result` of an ioctl or libnvme: 0, an NVMe status, or -1 with errno.
Result<void> check(int result, std::string what) {
  if (result == 0) return {};
  const std::error_code code = nvme_result(result > 0 ? result : -errno);
  if (code == std::errc::permission_denied) {
    // The kernel lets others than root read identify data, and do I/O that the device lists as
    // supported; what changes something needs a descriptor that is open for writing, too.
    what += " (run as root or with CAP_SYS_ADMIN)";
  }
  return fail({code, std::move(what)});
}

// A page that the device fills by `command`, which is given its address.
template <class Command>
Result<AlignedBuffer> read_page(const Command& command, std::string what) {
  auto page = AlignedBuffer::make({.size_bytes = kPageBytes});
  if (!page) return page;
  if (auto done = check(command(page->data()), std::move(what)); !done) return fail(done.error());
  return page;
}

struct LogRequest {
  nvme_cmd_get_log_lid id{};
  std::uint16_t endurance_group = 0;
  std::uint8_t specific = 0;  // LSP
};

Result<void> read_log(int fd, const LogRequest& log, std::span<std::byte> out, std::string what) {
  nvme_get_log_args args{};
  args.args_size = sizeof(args);
  args.fd = fd;
  args.log = out.data();
  args.len = static_cast<std::uint32_t>(out.size());
  args.lid = log.id;
  args.lsi = log.endurance_group;
  args.lsp = log.specific;
  args.nsid = NVME_NSID_NONE;
  args.csi = NVME_CSI_NVM;
  args.uuidx = NVME_UUID_NONE;
  return check(nvme_get_log_page(fd, NVME_LOG_PAGE_PDU_SIZE, &args), std::move(what));
}

std::unexpected<Error> no_group(const std::string& path) {
  return fail(Errc::unsupported,
              fmt::format("the namespace of {} belongs to no endurance group", path));
}

}  // namespace

Result<NvmeDevice> NvmeDevice::open(int fd, std::string path) {
  std::uint32_t nsid = 0;
  if (nvme_get_nsid(fd, &nsid) != 0) {
    return fail_errno(errno, fmt::format("{} is no NVMe namespace", path));
  }
  return NvmeDevice(fd, nsid, std::move(path));
}

Result<NamespaceIdentity> NvmeDevice::identify_namespace() const {
  const auto page = read_page(
      [this](std::byte* out) {
        return nvme_identify_ns(fd_, nsid_, reinterpret_cast<nvme_id_ns*>(out));
      },
      fmt::format("cannot identify the namespace of {}", path_));
  if (!page) return fail(page.error());
  return parse_identify_namespace(page->span());
}

Result<ControllerIdentity> NvmeDevice::identify_controller() const {
  const auto page = read_page(
      [this](std::byte* out) {
        return nvme_identify_ctrl(fd_, reinterpret_cast<nvme_id_ctrl*>(out));
      },
      fmt::format("cannot identify the controller of {}", path_));
  if (!page) return fail(page.error());
  return parse_identify_controller(page->span());
}

Result<DeallocateLimits> NvmeDevice::deallocate_limits() const {
  const auto page = read_page(
      [this](std::byte* out) {
        return nvme_nvm_identify_ctrl(fd_, reinterpret_cast<nvme_id_ctrl_nvm*>(out));
      },
      fmt::format("cannot read the deallocate limits of {}", path_));
  if (!page) return fail(page.error());
  return parse_deallocate_limits(page->span());
}

Result<void> NvmeDevice::execute(NvmeCommand command, std::span<std::byte> data) const {
  return run(command, data, fmt::format("NVMe command {:#04x} to {}", command.opcode, path_));
}

Result<void> NvmeDevice::run(NvmeCommand command, std::span<std::byte> data,
                             std::string what) const {
  const iovec span{data.data(), data.size()};
  attach_data(command, {&span, 1});
  nvme_passthru_cmd64 argument{};
  static_assert(offsetof(nvme_passthru_cmd64, result) == sizeof(NvmeCommand));
  std::memcpy(&argument, &command, sizeof(command));
  return check(::ioctl(fd_, NVME_IOCTL_IO64_CMD, &argument), std::move(what));
}

Result<std::vector<HandleStatus>> NvmeDevice::handle_status() const {
  auto page = AlignedBuffer::make({.size_bytes = kHandleStatusBytes});
  if (!page) return fail(page.error());
  const auto done = run(encode_handle_status(nsid_), page->span(),
                        fmt::format("cannot read the reclaim unit handle status of {}", path_));
  if (!done) return fail(done.error());
  return parse_handle_status(page->span());
}

Result<void> NvmeDevice::update_handles(std::span<const PlacementId> pids) const {
  if (pids.empty()) return {};
  auto list = AlignedBuffer::make({.size_bytes = pids.size() * sizeof(std::uint16_t)});
  if (!list) return fail(list.error());
  for (std::size_t i = 0; i < pids.size(); ++i) {
    const std::uint16_t pid = htole16(pids[i].value);
    std::memcpy(list->data() + i * sizeof(pid), &pid, sizeof(pid));
  }
  return run(encode_handle_update(nsid_, pids.size()), list->span(),
             fmt::format("cannot update {} reclaim unit handles of {}", pids.size(), path_));
}

Result<FdpFeature> NvmeDevice::fdp_feature(std::uint16_t endurance_group) const {
  if (endurance_group == 0) return no_group(path_);
  std::uint32_t result = 0;
  nvme_get_features_args args{};
  args.args_size = sizeof(args);
  args.fd = fd_;
  args.result = &result;
  args.fid = NVME_FEAT_FID_FDP;
  args.sel = NVME_GET_FEATURES_SEL_CURRENT;
  args.cdw11 = endurance_group;
  args.uuidx = NVME_UUID_NONE;
  auto done = check(nvme_get_features(&args),
                    fmt::format("cannot read the FDP feature of endurance group {} of {}",
                                endurance_group, path_));
  if (!done) return fail(done.error());
  return parse_fdp_feature(result);
}

Result<std::vector<FdpConfiguration>> NvmeDevice::fdp_configurations(
    std::uint16_t endurance_group) const {
  if (endurance_group == 0) return no_group(path_);
  const std::string what = fmt::format(
      "cannot read the FDP configurations of endurance group {} of {}", endurance_group, path_);
  const LogRequest log{.id = NVME_LOG_LID_FDP_CONFIGS, .endurance_group = endurance_group};
  nvme_fdp_config_log header{};
  const auto head = std::as_writable_bytes(std::span(&header, 1));
  if (auto done = read_log(fd_, log, head, what); !done) return fail(done.error());
  const std::size_t size = le32toh(header.size);
  if (size < sizeof(header) || size > kLargestLogBytes) {
    return fail(Errc::corrupt, fmt::format("{}: the log says it has {} bytes", what, size));
  }
  auto buffer = AlignedBuffer::make({.size_bytes = (size + 3) / 4 * 4});
  if (!buffer) return fail(buffer.error());
  if (auto done = read_log(fd_, log, buffer->span(), what); !done) return fail(done.error());
  return parse_fdp_configurations(buffer->span());
}

Result<FdpStatistics> NvmeDevice::fdp_statistics(std::uint16_t endurance_group) const {
  if (endurance_group == 0) return no_group(path_);
  nvme_fdp_stats_log data{};
  const auto bytes = std::as_writable_bytes(std::span(&data, 1));
  const LogRequest log{.id = NVME_LOG_LID_FDP_STATS, .endurance_group = endurance_group};
  auto done = read_log(fd_, log, bytes,
                       fmt::format("cannot read the FDP statistics of endurance group {} of {}",
                                   endurance_group, path_));
  if (!done) return fail(done.error());
  return parse_fdp_statistics(bytes, endurance_group);
}

Result<std::vector<FdpEvent>> NvmeDevice::fdp_events(std::uint16_t endurance_group,
                                                     EventSource source) const {
  if (endurance_group == 0) return no_group(path_);
  auto page = AlignedBuffer::make({.size_bytes = kPageBytes});  // 63 events, which is the most
  if (!page) return fail(page.error());
  const LogRequest log{.id = NVME_LOG_LID_FDP_EVENTS,
                       .endurance_group = endurance_group,
                       .specific = static_cast<std::uint8_t>(source == EventSource::host ? 1 : 0)};
  auto done = read_log(fd_, log, page->span(),
                       fmt::format("cannot read the FDP events of endurance group {} of {}",
                                   endurance_group, path_));
  if (!done) return fail(done.error());
  return parse_fdp_events(page->span());
}

Result<std::vector<NvmeDevice::EventSupport>> NvmeDevice::supported_events(
    std::uint16_t placement_handle) const {
  std::uint32_t count = 0;
  const auto page = read_page(
      [&](std::byte* out) {
        nvme_get_features_args args{};
        args.args_size = sizeof(args);
        args.fd = fd_;
        args.nsid = nsid_;
        args.result = &count;
        args.fid = NVME_FEAT_FID_FDP_EVENTS;
        args.sel = NVME_GET_FEATURES_SEL_CURRENT;
        args.cdw11 = static_cast<std::uint32_t>(kMaxEventTypes << 16) | placement_handle;
        args.uuidx = NVME_UUID_NONE;
        args.data = out;
        args.data_len = kMaxEventTypes * sizeof(nvme_fdp_supported_event_desc);
        return nvme_get_features(&args);
      },
      fmt::format("cannot read which FDP events {} has", path_));
  if (!page) return fail(page.error());
  std::vector<EventSupport> events;
  for (std::size_t i = 0; i < std::min<std::size_t>(count, kMaxEventTypes); ++i) {
    nvme_fdp_supported_event_desc data{};
    std::memcpy(&data, page->data() + i * sizeof(data), sizeof(data));
    events.push_back({.type = static_cast<FdpEventType>(data.evt),
                      .enabled = (data.evta & NVME_FDP_SUPP_EVENT_ENABLED_MASK) != 0});
  }
  return events;
}

Result<void> NvmeDevice::enable_events(std::uint16_t placement_handle,
                                       std::span<const FdpEventType> types, bool on) const {
  if (types.empty()) return {};
  if (types.size() > kMaxEventTypes) {
    return fail(Errc::invalid_argument, fmt::format("{} FDP event types at once", types.size()));
  }
  auto page = AlignedBuffer::make({.size_bytes = kPageBytes});
  if (!page) return fail(page.error());
  std::memcpy(page->data(), types.data(), types.size());
  nvme_set_features_args args{};
  args.args_size = sizeof(args);
  args.fd = fd_;
  args.nsid = nsid_;
  args.fid = NVME_FEAT_FID_FDP_EVENTS;
  args.cdw11 = static_cast<std::uint32_t>(types.size() << 16) | placement_handle;
  args.cdw12 = on ? 1 : 0;
  args.uuidx = NVME_UUID_NONE;
  args.data = page->data();
  args.data_len = static_cast<std::uint32_t>((types.size() + 3) / 4 * 4);  // whole words
  return check(nvme_set_features(&args),
               fmt::format("cannot {} FDP events of placement handle {} of {}",
                           on ? "enable" : "disable", placement_handle, path_));
}

Result<NvmeDescription> NvmeDevice::describe() const {
  auto identity = identify_namespace();
  if (!identity) return fail(identity.error());
  const std::uint16_t group = identity->endurance_group;
  auto fdp = fdp_feature(group);
  auto configurations = fdp_configurations(group);
  Result<FdpConfiguration> configuration =
      fail(Errc::unsupported, fmt::format("Flexible Data Placement is off on {}", path_));
  if (!fdp || !configurations) {
    configuration = fail(fdp ? configurations.error() : fdp.error());
  } else if (fdp->enabled && fdp->configuration >= configurations->size()) {
    configuration =
        fail(Errc::corrupt, fmt::format("{} uses FDP configuration {} and lists {}", path_,
                                        fdp->configuration, configurations->size()));
  } else if (fdp->enabled) {
    configuration = std::move((*configurations)[fdp->configuration]);
  }
  return NvmeDescription{.nsid = nsid_,
                         .identity = *std::move(identity),
                         .controller = identify_controller(),
                         .deallocate_limits = deallocate_limits(),
                         .handles = handle_status(),
                         .fdp = std::move(fdp),
                         .configuration = std::move(configuration),
                         .statistics = fdp_statistics(group)};
}

}  // namespace fdpstore::io
