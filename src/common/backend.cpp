#include "fdpstore/backend.hpp"

namespace fdpstore {

Result<DeviceStatistics> Backend::statistics() const {
  return fail(Errc::unsupported, describe() + " is no device that counts what it writes");
}

}  // namespace fdpstore
