#include "common/log.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <memory>

#include <fmt/format.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

namespace fdpstore {
namespace {

constexpr std::array<std::pair<std::string_view, spdlog::level::level_enum>, 5> kLevels{{
    {"off", spdlog::level::off},
    {"error", spdlog::level::err},
    {"warn", spdlog::level::warn},
    {"info", spdlog::level::info},
    {"debug", spdlog::level::debug},
}};

class LimitedSink final : public spdlog::sinks::base_sink<std::mutex> {
 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    const std::string_view text(message.payload.data(), message.payload.size());
    const double now_s =
        std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
    const auto verdict = limit_.ask(text, now_s);
    if (!verdict.print) return;
    if (verdict.left_out > 0) {
      spdlog::details::log_msg more = message;
      const std::string note =
          fmt::format("{} ({} more like this were left out)", text, verdict.left_out);
      more.payload = note;
      out_.log(more);
    } else {
      out_.log(message);
    }
  }
  void flush_() override { out_.flush(); }
  void set_pattern_(const std::string& pattern) override { out_.set_pattern(pattern); }
  void set_formatter_(std::unique_ptr<spdlog::formatter> formatter) override {
    out_.set_formatter(std::move(formatter));
  }

 private:
  RepeatLimit limit_;
  spdlog::sinks::stderr_sink_mt out_;
};

std::shared_ptr<spdlog::logger> make_logger() {
  auto logger = std::make_shared<spdlog::logger>("fdpstore", std::make_shared<LimitedSink>());
  logger->set_pattern("[%Y-%m-%d %H:%M:%S.%e] [%l] %n: %v");
  logger->set_level(spdlog::level::warn);
  return logger;
}

Result<spdlog::level::level_enum> level_of(std::string_view name) {
  std::string names;
  for (const auto& [known, level] : kLevels) {
    if (known == name) return level;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", known);
  }
  return fail(Errc::invalid_option, fmt::format("log level {}: use one of {}", name, names));
}

}  // namespace

spdlog::logger& log() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = make_logger();
    const char* wanted = std::getenv("FDPSTORE_LOG");  // NOLINT(concurrency-mt-unsafe)
    if (wanted == nullptr || *wanted == '\0') return made;
    if (const auto level = level_of(wanted)) {
      made->set_level(*level);
    } else {
      made->warn("FDPSTORE_LOG: {}", level.error().what);
    }
    return made;
  }();
  return *logger;
}

Result<void> set_log_level(std::string_view level) {
  const auto known = level_of(level);
  if (!known) return fail(known.error());
  log().set_level(*known);
  return {};
}

RepeatLimit::Verdict RepeatLimit::ask(std::string_view message, double now_s) {
  std::string shape;
  for (const char c : message) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit || shape.empty() || shape.back() != '#') shape += digit ? '#' : c;
  }
  if (shapes_.size() >= kMostShapes && !shapes_.contains(shape)) shapes_.clear();
  Shape& known = shapes_.try_emplace(std::move(shape), Shape{.since_s = now_s}).first->second;
  if (now_s - known.since_s >= 1)
    known = {.since_s = now_s, .printed = 0, .left_out = known.left_out};
  if (known.printed >= kMostPerSecond) {
    ++known.left_out;
    return {.print = false, .left_out = 0};
  }
  ++known.printed;
  return {.print = true, .left_out = std::exchange(known.left_out, 0)};
}

}  // namespace fdpstore
