#include "progress.hpp"

#include <algorithm>
#include <csignal>
#include <iostream>

#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "common/text.hpp"
#include "text.hpp"

namespace fdpstore::cli {
namespace {

volatile std::sig_atomic_t stop_wanted = 0;

extern "C" void on_stop_signal(int /*signal*/) {
  stop_wanted = 1;
}

}  // namespace

Progress::Progress() : terminal_(is_terminal(STDERR_FILENO)) {}

Progress::~Progress() {
  if (terminal_ && drawn_) std::cerr << "\r\033[K" << std::flush;
}

void Progress::show(std::uint64_t done_bytes, std::uint64_t total_bytes, const std::string& more) {
  const auto now = Clock::now();
  const double share =
      total_bytes == 0
          ? 1.0
          : std::min(1.0, static_cast<double>(done_bytes) / static_cast<double>(total_bytes));
  const std::string text = fmt::format("{:3.0f} %  {} of {}{}", share * 100, size_text(done_bytes),
                                       size_text(total_bytes), more);
  if (!terminal_) {
    if (now - last_ < std::chrono::seconds(10)) return;
    last_ = now;
    std::cerr << text << '\n' << std::flush;
    return;
  }
  if (drawn_ && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  drawn_ = true;
  constexpr std::size_t kCells = 40;
  const auto full = static_cast<std::size_t>(share * static_cast<double>(kCells));
  std::cerr << fmt::format("\r[{}{}] {}\033[K", std::string(full, '#'),
                           std::string(kCells - full, '.'), text)
            << std::flush;
}

StopOnSignal::StopOnSignal() {
  stop_wanted = 0;
  struct sigaction action{};
  action.sa_handler = on_stop_signal;
  action.sa_flags = SA_RESETHAND;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
}

StopOnSignal::~StopOnSignal() {
  std::signal(SIGINT, SIG_DFL);
  std::signal(SIGTERM, SIG_DFL);
}

bool StopOnSignal::wanted() {
  return stop_wanted != 0;
}

bool StopOnSignal::sleep(std::chrono::duration<double> time) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + time;
  while (!wanted()) {
    const auto left = std::chrono::duration<double>(end - Clock::now()).count();
    if (left <= 0) return true;
    // A signal between the question and the sleep is noticed a tenth of a second later.
    ::poll(nullptr, 0, static_cast<int>(std::min(left, 0.1) * 1000) + 1);
  }
  return false;
}

}  // namespace fdpstore::cli
