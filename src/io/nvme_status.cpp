#include "io/nvme_status.hpp"

#include <algorithm>
#include <array>
#include <string_view>

#include <fmt/format.h>

namespace fdpstore::io {
namespace {

// Of a completion's status field without its phase bit: code 0-7, type 8-10, then retry delay
// (11-12), more (13) and do not retry (14).
constexpr std::uint32_t kCodeAndType = 0x7FF;
constexpr int kTypeShift = 8;
constexpr int kMediaType = 2;
constexpr int kPathType = 3;

struct Text {
  int value = 0;
  std::string_view text;
};

// The figures "Status Code – …" of the NVMe Base (2.1) and NVM Command Set specifications; codes
// that only answer commands of other kinds (queues, firmware, fabrics, zones) are left out.
constexpr std::array kTexts = std::to_array<Text>({
    {0x000, "success"},
    {0x001, "invalid command opcode"},
    {0x002, "invalid field in command"},
    {0x003, "command id conflict"},
    {0x004, "data transfer error"},
    {0x005, "aborted by a power loss notification"},
    {0x006, "internal error of the device"},
    {0x007, "aborted on request"},
    {0x008, "aborted by deletion of its queue"},
    {0x00B, "invalid namespace or format"},
    {0x00C, "command sequence error"},
    {0x00D, "invalid SGL segment descriptor"},
    {0x00E, "invalid number of SGL descriptors"},
    {0x00F, "data SGL length invalid"},
    {0x010, "metadata SGL length invalid"},
    {0x011, "SGL descriptor type invalid"},
    {0x012, "invalid use of controller memory buffer"},
    {0x013, "PRP offset invalid"},
    {0x014, "atomic write unit exceeded"},
    {0x015, "operation denied"},
    {0x016, "SGL offset invalid"},
    {0x01B, "aborted by a reservation's preemption"},
    {0x01C, "sanitize failed"},
    {0x01D, "sanitize in progress"},
    {0x01E, "SGL data block granularity invalid"},
    {0x01F, "not supported for a queue in controller memory"},
    {0x020, "namespace is write protected"},
    {0x021, "interrupted by the device"},
    {0x022, "transient transport error"},
    {0x023, "prohibited by command and feature lockdown"},
    {0x024, "media not ready"},
    {0x025, "invalid key tag"},
    {0x026, "host dispersed namespace support not enabled"},
    {0x027, "host identifier not initialized"},
    {0x028, "incorrect key"},
    {0x029, "FDP disabled"},
    {0x02A, "invalid placement handle list"},
    {0x02B, "sanitize of the namespace failed"},
    {0x02C, "sanitize of the namespace in progress"},
    {0x080, "LBA out of range"},
    {0x081, "capacity exceeded"},
    {0x082, "namespace not ready"},
    {0x083, "reservation conflict"},
    {0x084, "format in progress"},
    {0x109, "invalid log page"},
    {0x10A, "invalid format"},
    {0x10D, "feature not saveable"},
    {0x10E, "feature not changeable"},
    {0x10F, "feature not specific to a namespace"},
    {0x114, "overlapping range"},
    {0x11A, "namespace not attached"},
    {0x122, "invalid resource identifier"},
    {0x129, "I/O command set not supported"},
    {0x12A, "I/O command set not enabled"},
    {0x180, "conflicting attributes"},
    {0x181, "invalid protection information"},
    {0x182, "write to a read-only range"},
    {0x183, "command size limit exceeded"},
    {0x280, "write fault"},
    {0x281, "unrecovered read error"},
    {0x282, "end-to-end guard check failed"},
    {0x283, "end-to-end application tag check failed"},
    {0x284, "end-to-end reference tag check failed"},
    {0x285, "compare failed"},
    {0x286, "access denied"},
    {0x287, "deallocated or unwritten block"},
    {0x288, "end-to-end storage tag check failed"},
    {0x300, "internal path error"},
    {0x301, "namespace persistently inaccessible on this path"},
    {0x302, "namespace inaccessible on this path"},
    {0x303, "path in transition"},
    {0x360, "path error in the controller"},
    {0x370, "path error in the host"},
    {0x371, "aborted by the host"},
});

std::string_view type_name(int value) {
  switch (value >> kTypeShift) {
    case 0: return "generic";
    case 1: return "command-specific";
    case 2: return "media";
    case 3: return "path";
    case 7: return "vendor-specific";
    default: return "reserved";
  }
}

// Conditions that fit. An error that says nothing of the stored bytes (internal, path, aborted)
// is not io_error, which means that they are lost.
struct Meaning {
  int value = 0;
  std::errc condition{};
};
constexpr std::array kMeanings = std::to_array<Meaning>({
    {0x001, std::errc::operation_not_supported},
    {0x002, std::errc::invalid_argument},
    {0x007, std::errc::operation_canceled},
    {0x008, std::errc::operation_canceled},
    {0x00B, std::errc::no_such_device},
    {0x013, std::errc::invalid_argument},
    {0x015, std::errc::permission_denied},
    {0x01D, std::errc::device_or_resource_busy},
    {0x020, std::errc::read_only_file_system},
    {0x021, std::errc::resource_unavailable_try_again},
    {0x022, std::errc::resource_unavailable_try_again},
    {0x023, std::errc::operation_not_permitted},
    {0x024, std::errc::resource_unavailable_try_again},
    {0x029, std::errc::operation_not_supported},
    {0x02A, std::errc::invalid_argument},
    {0x080, std::errc::invalid_argument},
    {0x081, std::errc::no_space_on_device},
    {0x082, std::errc::resource_unavailable_try_again},
    {0x083, std::errc::device_or_resource_busy},
    {0x084, std::errc::device_or_resource_busy},
    {0x109, std::errc::operation_not_supported},
    {0x182, std::errc::read_only_file_system},
    {0x183, std::errc::invalid_argument},
    {0x286, std::errc::permission_denied},
});

class NvmeCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "nvme"; }
  [[nodiscard]] std::string message(int value) const override {
    return describe_nvme_status(value);
  }
  [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
    const auto* found = std::ranges::find(kMeanings, value, &Meaning::value);
    if (found != kMeanings.end()) return found->condition;
    if (value >> kTypeShift == kMediaType) return std::errc::io_error;
    if (value >> kTypeShift == kPathType) return std::errc::no_link;
    return {value, *this};
  }
};

}  // namespace

const std::error_category& nvme_category() noexcept {
  static const NvmeCategory category;
  return category;
}

std::error_code make_error_code(NvmeStatus status) noexcept {
  return {static_cast<int>(status), nvme_category()};
}

std::error_code nvme_error(std::uint32_t status) noexcept {
  return {static_cast<int>(status & kCodeAndType), nvme_category()};
}

std::error_code nvme_result(int result) noexcept {
  if (result == 0) return {};
  if (result < 0) return {-result, std::generic_category()};
  return nvme_error(static_cast<std::uint32_t>(result));
}

std::string describe_nvme_status(int value) {
  const auto* found = std::ranges::find(kTexts, value, &Text::value);
  const std::string_view text = found == kTexts.end() ? "unnamed error" : found->text;
  return fmt::format("{} (NVMe {} status {:#04x})", text, type_name(value), value & 0xFF);
}

}  // namespace fdpstore::io
