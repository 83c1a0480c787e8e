#include "store/record_trace.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include <fmt/format.h>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "io/unique_fd.hpp"
#include "store/reports_json.hpp"
#include "store/served_store.hpp"
#include "store/store_view.hpp"
#include "trace/write_lct.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;

constexpr auto kPause = std::chrono::milliseconds(100);
constexpr std::size_t kManyBytes = 1U << 20;  // there is more to take: no pause

// One side of a recording: asks the store, and writes what it says. A connection for each question,
// so that others can ask as well.
class Recording {
 public:
  Recording(FoundStore found, std::string path)
      : found_(std::move(found)), path_(std::move(path)) {}

  // The file is replaced when the store has agreed.
  Result<void> begin(const std::string& store_path) {
    auto status = question({{"ask", "stat"}}, "status");
    if (!status) return fail(std::move(status.error()));
    auto answer = question({{"ask", "trace"}, {"do", "on"}}, "recording");
    if (!answer) return fail(std::move(answer.error()));
    recording_ = answer->at("recording").to_number<std::uint64_t>();
    auto file = io::open_file(path_, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (!file) {
      const auto ended =
          question({{"ask", "trace"}, {"do", "off"}, {"recording", recording_}}, "frames");
      return fail(std::move(file.error()));
    }
    file_ = std::move(*file);
    const json::object& about = status->at("status").as_object();
    const double wall_s =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    return append(
        trace::lct_header(wall_s, {{"recorded_by", "fdpstore " FDPSTORE_VERSION},
                                   {"store", store_path},
                                   {"layout", std::string_view(about.at("layout").as_string())},
                                   {"policy", std::string_view(about.at("policy").as_string())}}));
  }
  // Bytes that were there to take.
  Result<std::size_t> take(const char* how) {
    auto answer = question({{"ask", "trace"}, {"do", how}, {"recording", recording_}}, "frames");
    if (!answer) return fail(std::move(answer.error()));
    const auto frames = from_hex(answer->at("frames").as_string());
    if (!frames) return fail(frames.error());
    report_.calls = answer->at("calls").to_number<std::uint64_t>();
    report_.lost_calls = answer->at("lost_calls").to_number<std::uint64_t>();
    if (auto written = append(*frames); !written) return fail(std::move(written.error()));
    return frames->size();
  }
  RecordReport& report() {
    report_.seconds = std::chrono::duration<double>(Clock::now() - began_).count();
    return report_;
  }

 private:
  using Clock = std::chrono::steady_clock;

  Result<json::value> question(const json::object& question, const char* field) {
    auto client = DiagnosticsClient::connect(found_.socket_name, found_.owner);
    if (!client) return fail(std::move(client.error()));
    if (!*client) return fail(Errc::closed, "the store is not open");
    return ask_for(**client, question, field);
  }
  Result<void> append(const std::string& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
      const ssize_t written = ::write(file_.get(), bytes.data() + done, bytes.size() - done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail_errno(errno, path_);
      done += static_cast<std::size_t>(written);
    }
    report_.bytes += bytes.size();
    return {};
  }

  FoundStore found_;
  io::UniqueFd file_;
  std::string path_;
  std::uint64_t recording_ = 0;
  RecordReport report_;
  Clock::time_point began_ = Clock::now();
};

bool is_gone(const Error& error) {
  return error.code == Errc::closed || error.code == std::errc::connection_reset ||
         error.code == std::errc::broken_pipe;
}

Result<void> run(Recording& recording, const RecordProgress& progress) {
  while (true) {
    const bool go_on = progress(recording.report());
    const auto taken = recording.take(go_on ? "take" : "off");
    if (!taken && is_gone(taken.error())) {
      recording.report().store_closed = true;
      return {};
    }
    if (!taken) return fail(taken.error());
    if (!go_on) return {};
    if (*taken < kManyBytes) std::this_thread::sleep_for(kPause);
  }
}

}  // namespace

std::string to_json(const RecordReport& report) {
  return json::serialize(json::object{{"calls", report.calls},
                                      {"lost_calls", report.lost_calls},
                                      {"bytes", report.bytes},
                                      {"seconds", report.seconds},
                                      {"store_closed", report.store_closed}});
}

Result<RecordReport> record_trace(const std::string& store_path, const std::string& file_path,
                                  const RecordProgress& progress) {
  auto found = find_store(store_path);
  if (!found) return fail(std::move(found.error()));
  const auto open = is_open_elsewhere(*found);
  if (!open) return fail(open.error());
  if (!*open) {
    return fail(
        Errc::not_found,
        fmt::format("{} is open in no process, so there is nothing to record: start LMCache "
                    "with it first",
                    store_path));
  }
  Recording recording(std::move(*found), file_path);
  if (auto begun = recording.begin(store_path); !begun) return fail(std::move(begun.error()));
  if (auto ran = run(recording, progress); !ran) return fail(std::move(ran.error()));
  return recording.report();
}

}  // namespace fdpstore::store
