#include "io/nvme_status.hpp"

#include <array>
#include <cerrno>

#include <gtest/gtest.h>

#include "fdpstore/result.hpp"

namespace fdpstore::io {
namespace {

TEST(NvmeStatus, IsSpelledOutWithoutItsFlags) {
  EXPECT_EQ(nvme_error(0x4029).message(), "FDP disabled (NVMe generic status 0x29)");
  EXPECT_EQ(nvme_error(0x4029), NvmeStatus::fdp_disabled);
  EXPECT_EQ(nvme_error(0x7829), NvmeStatus::fdp_disabled) << "retry delay and more, too";
  EXPECT_EQ(nvme_error(0x402A).message(),
            "invalid placement handle list (NVMe generic status 0x2a)");
  EXPECT_EQ(nvme_error(0x4080).message(), "LBA out of range (NVMe generic status 0x80)");
  EXPECT_EQ(nvme_error(0x400F).message(), "data SGL length invalid (NVMe generic status 0x0f)");
  EXPECT_EQ(nvme_error(0x281).message(), "unrecovered read error (NVMe media status 0x81)");
  EXPECT_EQ(nvme_error(0x183).message(),
            "command size limit exceeded (NVMe command-specific status 0x83)");
  EXPECT_EQ(nvme_error(0x370).message(), "path error in the host (NVMe path status 0x70)");
  EXPECT_EQ(nvme_error(0x7C5).message(), "unnamed error (NVMe vendor-specific status 0xc5)");
  EXPECT_EQ(nvme_error(0x4AB).message(), "unnamed error (NVMe reserved status 0xab)");
  EXPECT_STREQ(nvme_error(0x4029).category().name(), "nvme");
  const Error error{nvme_error(0x4081), "write to /dev/ng0n1"};
  EXPECT_EQ(error.message(), "write to /dev/ng0n1: capacity exceeded (NVMe generic status 0x81)");
}

TEST(NvmeStatus, NeverReadsAsAnErrno) {
  // Status 5 is not EIO, 0x16 not EINVAL, and the other way round.
  EXPECT_NE(nvme_error(EIO), std::error_code(EIO, std::generic_category()));
  EXPECT_FALSE(nvme_error(EIO) == std::errc::io_error);
  EXPECT_FALSE(nvme_error(EINVAL) == std::errc::invalid_argument);
  EXPECT_EQ(nvme_result(-EIO), std::error_code(EIO, std::generic_category()));
  EXPECT_EQ(nvme_result(0x4081), NvmeStatus::capacity_exceeded);
  EXPECT_FALSE(nvme_result(0));
}

TEST(NvmeStatus, MeansWhatTheStoreActsOn) {
  for (const std::uint32_t lost : {0x280U, 0x281U, 0x282U, 0x287U, 0x4281U, 0x2FFU}) {
    EXPECT_EQ(nvme_error(lost), std::errc::io_error) << lost;
  }
  // Nothing is said about the stored bytes: they may be there at the next attempt.
  for (const std::uint32_t kept :
       {0x006U, 0x004U, 0x007U, 0x021U, 0x082U, 0x302U, 0x370U, 0x7C5U}) {
    EXPECT_NE(nvme_error(kept), std::errc::io_error) << kept;
  }
  EXPECT_EQ(nvme_error(0x4080), std::errc::invalid_argument);
  EXPECT_EQ(nvme_error(0x4081), std::errc::no_space_on_device);
  EXPECT_EQ(nvme_error(0x4020), std::errc::read_only_file_system);
  EXPECT_EQ(nvme_error(0x4182), std::errc::read_only_file_system);
  EXPECT_EQ(nvme_error(0x4001), std::errc::operation_not_supported);
  EXPECT_EQ(nvme_error(0x4029), std::errc::operation_not_supported);
  EXPECT_EQ(nvme_error(0x402A), std::errc::invalid_argument);
  EXPECT_EQ(nvme_error(0x4286), std::errc::permission_denied);
  EXPECT_EQ(nvme_error(0x302), std::errc::no_link);
}

}  // namespace
}  // namespace fdpstore::io
