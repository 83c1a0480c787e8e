// NVMe statuses as error codes of a category of their own, spelled out.
//
// Thread:  any.
// Errors:  compare with std::errc where one fits: media errors == io_error, LBA out of range ==
//          invalid_argument, capacity exceeded == no_space_on_device, write protection ==
//          read_only_file_system, … A status never equals an errno's code, only its condition.
#pragma once

#include <cstdint>
#include <string>
#include <system_error>

namespace fdpstore::io {

// The value of a code: status code type << 8 | status code. Those that our code tests for.
enum class NvmeStatus : std::uint16_t {
  invalid_opcode = 0x001,
  invalid_field = 0x002,
  fdp_disabled = 0x029,
  invalid_placement_handle_list = 0x02A,
  lba_out_of_range = 0x080,
  capacity_exceeded = 0x081,
  write_fault = 0x280,
  unrecovered_read_error = 0x281,
};

const std::error_category& nvme_category() noexcept;  // name(): "nvme"
std::error_code make_error_code(NvmeStatus status) noexcept;

// From a completion: `status` > 0 as io_uring and the ioctls give it, with its do-not-retry, more
// and retry-delay bits, which are dropped.
std::error_code nvme_error(std::uint32_t status) noexcept;
// What a passthrough command answered: 0 (no error), an NVMe status (> 0), or a negative errno.
std::error_code nvme_result(int result) noexcept;

// "FDP disabled (NVMe generic status 0x29)".
std::string describe_nvme_status(int value);

}  // namespace fdpstore::io

template <>
struct std::is_error_code_enum<fdpstore::io::NvmeStatus> : std::true_type {};
