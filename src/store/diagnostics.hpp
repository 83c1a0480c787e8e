// Diagnostics socket: one question and one answer a line, over a UNIX socket of the same user.
//
// A store that is open answers `stat` and `ls` there, because its disk cannot be read consistently
// by others meanwhile. The socket has mode 0600 in a directory of mode 0700: the first usable of
//   $XDG_RUNTIME_DIR/fdpstore, /run/fdpstore, /tmp/fdpstore-<uid>
// A directory that belongs to another user, or that others may write to, is not used.
//
// Thread:  a server has one thread of its own, which calls `answer`, and serves one connection at a
//          time. A client belongs to one thread.
// Owns:    descriptors; the server the socket's name, which goes with it. One left behind by a
//          killed process is replaced.
// Errors:  busy (a live server has the name), timed_out, or the errno.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "fdpstore/result.hpp"
#include "io/unique_fd.hpp"

namespace fdpstore::store {

// Names of sockets. A store of segments is known by its UUID, wherever it is mounted.
[[nodiscard]] std::string socket_name_of_uuid(std::string_view uuid);
// Layout object: by its directory, whatever path leads there.
[[nodiscard]] Result<std::string> socket_name_of_directory(const std::string& path);

class DiagnosticsServer {
 public:
  using Answer = std::function<std::string(std::string_view line)>;

  [[nodiscard]] static Result<std::unique_ptr<DiagnosticsServer>> start(const std::string& name,
                                                                        Answer answer);
  DiagnosticsServer(const DiagnosticsServer&) = delete;
  DiagnosticsServer& operator=(const DiagnosticsServer&) = delete;
  ~DiagnosticsServer();  // waits for an answer in the making, not for clients

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  DiagnosticsServer() = default;
  [[nodiscard]] Result<void> listen_at(const std::string& directory, const std::string& name);
  [[nodiscard]] Result<void> start_thread();
  void run();
  void serve(int connection);

  Answer answer_;
  std::string path_;
  pid_t process_ = 0;
  ino_t inode_ = 0;  // of the socket that is ours
  io::UniqueFd listening_, stop_;
  std::thread thread_;
};

class DiagnosticsClient {
 public:
  // nullopt: nobody answers to that name. `owner`: the store's user, whose directories are tried
  // beside those of our own.
  [[nodiscard]] static Result<std::optional<DiagnosticsClient>> connect(const std::string& name,
                                                                        uid_t owner);
  [[nodiscard]] Result<std::string> ask(std::string_view line);

 private:
  explicit DiagnosticsClient(io::UniqueFd fd) : fd_(std::move(fd)) {}
  io::UniqueFd fd_;
};

}  // namespace fdpstore::store
