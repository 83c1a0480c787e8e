#include "store/diagnostics.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace fdpstore::store {
namespace {

constexpr int kClientTimeoutMs = 30'000;  // status of a large store takes a while
constexpr int kServerTimeoutMs = 5'000;   // a client that says nothing makes others wait so long
constexpr std::size_t kMaxQuestionBytes = 64U << 10;
constexpr std::size_t kMaxAnswerBytes = 1U << 30;

std::vector<std::string> directories_of(uid_t user) {
  std::vector<std::string> result;
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  if (user == ::geteuid() && runtime != nullptr && runtime[0] == '/') {
    result.push_back(fmt::format("{}/fdpstore", runtime));
  } else if (user != ::geteuid()) {
    result.push_back(fmt::format("/run/user/{}/fdpstore", user));
  }
  result.emplace_back("/run/fdpstore");
  result.push_back(fmt::format("/tmp/fdpstore-{}", user));
  return result;
}

// Nobody but `user` can have put a socket there.
Result<void> check_directory(const std::string& path, uid_t user) {
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) return fail_errno(errno, path);
  if (!S_ISDIR(info.st_mode)) return fail_errno(ENOTDIR, path);
  if (info.st_uid != user || (info.st_mode & 022U) != 0) {
    return fail_errno(EPERM, fmt::format("{} belongs to uid {} with mode {:o}", path, info.st_uid,
                                         info.st_mode & 07777U));
  }
  return {};
}

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return fail_errno(ENAMETOOLONG, path);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

Result<io::UniqueFd> new_socket() {
  io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "socket");
  return fd;
}

// A UNIX socket connects at once, or not: EAGAIN is a live server with a full queue.
Result<void> connect_to(int fd, const std::string& path) {
  const auto address = address_of(path);
  if (!address) return fail(address.error());
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) != 0) {
    return fail_errno(errno, path);
  }
  return {};
}

// Waits until `fd` is ready; `stop` (-1: none) ends the wait with Errc::closed.
Result<void> wait_for(int fd, short events, int stop, int timeout_ms) {
  pollfd waiting[2] = {{fd, events, 0}, {stop, POLLIN, 0}};
  int ready = 0;
  do {
    ready = ::poll(waiting, 2, timeout_ms);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return fail_errno(errno, "poll");
  if (ready == 0) return fail(Errc::timed_out, "the other end of the socket is silent");
  if (waiting[1].revents != 0) return fail(Errc::closed, "closing");
  return {};
}

// Up to a newline, which is cut off. Empty: the other end has hung up.
Result<std::string> read_line(int fd, std::size_t max_bytes, int stop, int timeout_ms) {
  std::string line;
  while (line.size() <= max_bytes) {
    char buffer[16384];
    const ssize_t got = ::recv(fd, buffer, sizeof(buffer), 0);
    if (got == 0) return std::string();
    if (got > 0) {
      line.append(buffer, static_cast<std::size_t>(got));
      if (line.back() != '\n') continue;
      line.pop_back();
      return line;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail_errno(errno, "reading from the socket");
    if (auto ready = wait_for(fd, POLLIN, stop, timeout_ms); !ready) return fail(ready.error());
  }
  return fail(Errc::too_large, "the line on the socket has no end");
}

Result<void> write_line(int fd, std::string line, int stop, int timeout_ms) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t sent = ::send(fd, rest.data(), rest.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      rest.remove_prefix(static_cast<std::size_t>(sent));
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return fail_errno(errno, "writing to the socket");
    if (auto ready = wait_for(fd, POLLOUT, stop, timeout_ms); !ready) return ready;
  }
  return {};
}

}  // namespace

std::string socket_name_of_uuid(std::string_view uuid) {
  return fmt::format("{}.sock", uuid);
}

Result<std::string> socket_name_of_directory(const std::string& path) {
  std::error_code error;
  const auto canonical = std::filesystem::canonical(path, error);
  if (error) return fail(Error{error, path});
  std::uint64_t hash = 0xCBF29CE484222325;  // FNV-1a
  for (const char c : canonical.native()) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  }
  return fmt::format("directory-{:016x}.sock", hash);
}

// ------------------------------------------------------------------------------------------ server

Result<std::unique_ptr<DiagnosticsServer>> DiagnosticsServer::start(const std::string& name,
                                                                    Answer answer) {
  std::unique_ptr<DiagnosticsServer> server(new DiagnosticsServer);
  server->answer_ = std::move(answer);
  auto stop = io::make_event_fd();
  if (!stop) return fail(std::move(stop.error()));
  server->stop_ = std::move(*stop);
  std::string tried;
  for (const std::string& directory : directories_of(::geteuid())) {
    auto listening = server->listen_at(directory, name);
    if (listening) {
      if (auto running = server->start_thread(); !running) return fail(std::move(running.error()));
      return server;
    }
    if (listening.error().code == Errc::busy) return fail(std::move(listening.error()));
    tried += (tried.empty() ? "" : "; ") + listening.error().message();
  }
  return fail(Errc::unsupported, tried);
}

Result<void> DiagnosticsServer::start_thread() {
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::system_error& error) {
    ::unlink(path_.c_str());
    return fail(Error{error.code(), "no thread for the diagnostics socket"});
  }
  return {};
}

Result<void> DiagnosticsServer::listen_at(const std::string& directory, const std::string& name) {
  if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) return fail_errno(errno, directory);
  if (auto mine = check_directory(directory, ::geteuid()); !mine) return mine;
  // Held while a stale socket is replaced: two who find it at once must not take each other's.
  auto lock = io::open_file(directory, O_RDONLY | O_DIRECTORY);
  if (!lock) return fail(std::move(lock.error()));
  if (::flock(lock->get(), LOCK_EX) != 0) return fail_errno(errno, directory);

  const std::string path = directory + "/" + name;
  auto probe = new_socket();
  if (!probe) return fail(std::move(probe.error()));
  if (auto live = connect_to(probe->get(), path);
      live || live.error().code == std::errc::resource_unavailable_try_again) {
    return fail(Errc::busy, path + ": another store answers there");
  } else if (live.error().code == std::errc::connection_refused) {
    ::unlink(path.c_str());
  }

  const auto address = address_of(path);
  if (!address) return fail(address.error());
  auto listening = new_socket();
  if (!listening) return fail(std::move(listening.error()));
  struct stat info{};
  // Nobody can connect before listen(): the mode is right by then.
  if (::bind(listening->get(), reinterpret_cast<const sockaddr*>(&*address), sizeof(*address)) !=
          0 ||
      ::chmod(path.c_str(), 0600) != 0 || ::stat(path.c_str(), &info) != 0 ||
      ::listen(listening->get(), 8) != 0) {
    return fail_errno(errno, path);
  }
  listening_ = std::move(*listening);
  path_ = path;
  process_ = ::getpid();
  inode_ = info.st_ino;
  return {};
}

DiagnosticsServer::~DiagnosticsServer() {
  if (!thread_.joinable()) return;
  if (::getpid() != process_) {  // a forked child has neither the thread nor the name
    thread_.detach();
    return;
  }
  io::signal_event_fd(stop_.get());
  thread_.join();
  struct stat info{};
  if (::stat(path_.c_str(), &info) == 0 && info.st_ino == inode_) ::unlink(path_.c_str());
}

void DiagnosticsServer::run() {
  while (wait_for(listening_.get(), POLLIN, stop_.get(), -1)) {
    const io::UniqueFd connection(
        ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (connection) {
      serve(connection.get());
    } else if (errno == EMFILE || errno == ENFILE) {
      // The connection stays in the queue: wait for descriptors, or for the end.
      if (wait_for(stop_.get(), POLLIN, -1, 1000)) return;
    }
  }
}

void DiagnosticsServer::serve(int connection) {
  while (true) {
    const auto line = read_line(connection, kMaxQuestionBytes, stop_.get(), kServerTimeoutMs);
    if (!line || line->empty()) return;
    if (!write_line(connection, answer_(*line), stop_.get(), kServerTimeoutMs)) return;
  }
}

// ------------------------------------------------------------------------------------------ client

Result<std::optional<DiagnosticsClient>> DiagnosticsClient::connect(const std::string& name,
                                                                    uid_t owner) {
  std::vector<std::pair<std::string, uid_t>> places;
  for (const uid_t user : {::geteuid(), owner}) {
    for (std::string& directory : directories_of(user)) {
      places.emplace_back(std::move(directory), user);
    }
    if (owner == ::geteuid()) break;
  }
  for (const auto& [directory, user] : places) {
    if (!check_directory(directory, user)) continue;
    auto fd = new_socket();
    if (!fd) return fail(std::move(fd.error()));
    auto connected = connect_to(fd->get(), fmt::format("{}/{}", directory, name));
    if (connected) return DiagnosticsClient(std::move(*fd));
    if (connected.error().code == std::errc::resource_unavailable_try_again) {
      return fail(Errc::busy,
                  fmt::format("{}/{} has no time to answer; try again", directory, name));
    }
  }
  return std::nullopt;
}

Result<std::string> DiagnosticsClient::ask(std::string_view line) {
  auto sent = write_line(fd_.get(), std::string(line), -1, kClientTimeoutMs);
  if (!sent) return fail(std::move(sent.error()));
  auto answer = read_line(fd_.get(), kMaxAnswerBytes, -1, kClientTimeoutMs);
  if (answer && answer->empty()) {
    return fail(Errc::closed, "the store was closed while it was asked");
  }
  return answer;
}

}  // namespace fdpstore::store
