#include "fdpstore/result.hpp"

namespace fdpstore {
namespace {

class StoreCategory final : public std::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "fdpstore"; }
  [[nodiscard]] std::string message(int value) const override {
    switch (static_cast<Errc>(value)) {
      case Errc::not_found: return "not found";
      case Errc::no_space: return "no space";
      case Errc::corrupt: return "damaged data";
      case Errc::closed: return "store is closed";
      case Errc::invalid_argument: return "invalid argument";
      case Errc::invalid_option: return "invalid option";
      case Errc::too_large: return "too large";
      case Errc::busy: return "in use by another process";
      case Errc::foreign: return "holds something that is not fdpstore's";
      case Errc::unsupported: return "not supported here";
      case Errc::version_mismatch: return "made by a newer fdpstore";
      case Errc::timed_out: return "timed out";
    }
    return "unknown fdpstore error";
  }
};

}  // namespace

const std::error_category& store_category() noexcept {
  static const StoreCategory category;
  return category;
}

std::string Error::message() const {
  if (what.empty()) return code.message();
  // Our own messages say it all; a system error adds its text.
  if (code.category() == store_category()) return what;
  return what + ": " + code.message();
}

}  // namespace fdpstore
