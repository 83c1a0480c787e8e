// Parameters of a simulated SSD, and the URI that names it:
//
//   sim:capacity=64G,op=7,ru=256M,ruhs=8,isolation=initial,gc=greedy,map=64K,data=memory,dies=32
//
// Sizes take the suffixes K, M, G, T (powers of 1024). What is left out has its default. `name=…`
// makes a device that others in this process find under that name while somebody holds it.
//
// Thread:  any.
// Errors:  invalid_option names the key, what is wrong with it, and the remedy.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "fdpstore/result.hpp"
#include "ftl/ftl.hpp"

namespace fdpstore::ftl {

inline constexpr std::string_view kSimScheme = "sim:";

// A data-centre drive of some 2 TB with TLC flash. Sources of the defaults, and what they are
// of: NVMeVirt's ssd_config.h (github.com/snu-csl/nvmevirt), measured on real drives: its TLC
// prototype reads 64 KiB of a die in 41 µs and programs 192 KiB in 1.9 ms, its WD ZN540 has 32
// dies and reads at 50 µs; FEMU erases in 2 ms, data sheets of 3D TLC give 3 to 4 ms. A channel
// of 1.2 GB/s is ONFI 4.1's fastest, 7 GB/s what PCIe 4.0 × 4 carries. Together: reads at 7 GB/s,
// writes at 3.0 GB/s.
struct TimeParameters {
  std::uint32_t dies = 32;
  double read_us = 45;              // to read up to 64 KiB of a die
  double program_us = 640;          // to program 64 KiB of a die (in proportion for other sizes)
  double erase_us = 3500;           // to erase a block, 64 MiB, of a die
  double channel_gbps = 1.2;        // GB/s between a die and the controller
  double link_gbps = 7;             // GB/s between controller and host, in each direction
  double command_us = 10;           // of each command, beside everything else
  std::uint64_t buffer_kib = 8192;  // power-protected write buffer
  bool operator==(const TimeParameters&) const = default;
};

struct SimParameters {
  FtlParameters ftl = {};
  TimeParameters time = {};
  bool fdp = true;           // off: all writes go to one stream, whatever they carry
  bool keep_payload = true;  // data=memory; data=none keeps headers and metadata only
  std::string name = {};     // empty: a device of its own each time
  bool operator==(const SimParameters&) const = default;
};

[[nodiscard]] inline bool is_sim_uri(std::string_view path) {
  return path.starts_with(kSimScheme);
}
[[nodiscard]] Result<SimParameters> parse_sim_uri(std::string_view uri);
// The URI with all parameters that are not the default.
[[nodiscard]] std::string to_string(const SimParameters& parameters);

}  // namespace fdpstore::ftl
