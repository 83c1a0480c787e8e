// The socket by itself: who may reach it, what happens to stale ones, and how it ends.
#include "store/diagnostics.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>

#include "runtime_directory.hpp"

namespace fdpstore::store {
namespace {

namespace fs = std::filesystem;

class Diagnostics : public ::testing::Test {
 protected:
  static std::string echo(std::string_view line) { return "you said " + std::string(line); }
  static std::optional<std::string> asked(const std::string& name, const std::string& line) {
    auto client = DiagnosticsClient::connect(name, ::geteuid());
    if (!client || !*client) return std::nullopt;
    auto answer = (*client)->ask(line);
    return answer ? std::optional(*answer) : std::nullopt;
  }
  RuntimeDirectory runtime_;
};

mode_t mode_of(const fs::path& path) {
  struct stat info{};
  return ::stat(path.c_str(), &info) == 0 ? info.st_mode & 07777U : 0;
}

// A socket file with nobody behind it, as a killed process leaves it.
void leave_stale_socket(const fs::path& path) {
  const io::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.native().copy(address.sun_path, sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
}

TEST_F(Diagnostics, QuestionIsAnswered) {
  const auto server = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(server) << server.error().message();
  auto client = DiagnosticsClient::connect("a.sock", ::geteuid());
  ASSERT_TRUE(client && *client);
  EXPECT_EQ((*client)->ask("one").value_or(""), "you said one");
  EXPECT_EQ((*client)->ask("two").value_or(""), "you said two");
}

TEST_F(Diagnostics, LongAnswerArrivesWhole) {
  const std::string answer(8U << 20, 'x');
  const auto server = DiagnosticsServer::start("a.sock", [&](std::string_view) { return answer; });
  ASSERT_TRUE(server);
  EXPECT_EQ(asked("a.sock", "?").value_or(""), answer);
}

TEST_F(Diagnostics, OnlyTheUserMayReachIt) {
  const auto server = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(server);
  EXPECT_EQ((*server)->path(), (runtime_.path() / "fdpstore/a.sock").native());
  EXPECT_EQ(mode_of((*server)->path()), 0600U);
  EXPECT_EQ(mode_of(runtime_.path() / "fdpstore"), 0700U);
}

TEST_F(Diagnostics, NobodyAnswersToAnUnknownName) {
  const auto client = DiagnosticsClient::connect("no-such-store.sock", ::geteuid());
  ASSERT_TRUE(client) << client.error().message();
  EXPECT_FALSE(client->has_value());
}

TEST_F(Diagnostics, SocketGoesWithItsServer) {
  std::string path;
  {
    const auto server = DiagnosticsServer::start("a.sock", echo);
    ASSERT_TRUE(server);
    path = (*server)->path();
    EXPECT_TRUE(fs::exists(path));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(Diagnostics, StaleSocketIsReplaced) {
  fs::create_directory(runtime_.path() / "fdpstore");
  fs::permissions(runtime_.path() / "fdpstore", fs::perms::owner_all);
  leave_stale_socket(runtime_.path() / "fdpstore/a.sock");
  const auto nobody = DiagnosticsClient::connect("a.sock", ::geteuid());
  ASSERT_TRUE(nobody);
  EXPECT_FALSE(nobody->has_value());
  const auto server = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(server) << server.error().message();
  EXPECT_EQ(asked("a.sock", "hello"), "you said hello");
}

TEST_F(Diagnostics, LiveSocketIsNotTaken) {
  const auto first = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(first);
  const auto second = DiagnosticsServer::start("a.sock", echo);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::busy);
  EXPECT_EQ(asked("a.sock", "still there?"), "you said still there?");
}

TEST_F(Diagnostics, DirectoryThatOthersMayWriteToIsNotUsed) {
  fs::create_directory(runtime_.path() / "fdpstore");
  fs::permissions(runtime_.path() / "fdpstore", fs::perms::all);
  const auto server = DiagnosticsServer::start("unit-test-writable.sock", echo);
  if (server) {  // another of the directories is usable here
    EXPECT_NE(fs::path((*server)->path()).parent_path(), runtime_.path() / "fdpstore");
  } else {
    EXPECT_NE(server.error().message().find("fdpstore"), std::string::npos);
  }
}

TEST_F(Diagnostics, EndDoesNotWaitForAClientThatSaysNothing) {
  auto server = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(server);
  auto client = DiagnosticsClient::connect("a.sock", ::geteuid());
  ASSERT_TRUE(client && *client);
  ASSERT_TRUE((*client)->ask("one"));  // the server now waits for this client's next line
  const auto begin = std::chrono::steady_clock::now();
  server->reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(2));
  const auto answer = (*client)->ask("two");
  EXPECT_FALSE(answer);
}

TEST_F(Diagnostics, LineWithoutEndClosesItsConnectionOnly) {
  const auto server = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(server);
  EXPECT_EQ(asked("a.sock", std::string(1U << 20, 'x')), std::nullopt);
  EXPECT_EQ(asked("a.sock", "fine"), "you said fine");
}

TEST_F(Diagnostics, ManyClientsAreServedInTurn) {
  const auto server = DiagnosticsServer::start("a.sock", echo);
  ASSERT_TRUE(server);
  std::atomic<int> right{0};
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&right, i] {
      const std::string line = std::to_string(i);
      if (asked("a.sock", line) == "you said " + line) ++right;
    });
  }
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(right, 4);
}

TEST(SocketName, IsTheSameForEveryPathToADirectory) {
  const RuntimeDirectory scratch;
  fs::create_directories(scratch.path() / "a/b");
  fs::create_directory_symlink(scratch.path() / "a/b", scratch.path() / "link");
  const auto plain = socket_name_of_directory((scratch.path() / "a/b").native());
  ASSERT_TRUE(plain);
  EXPECT_EQ(socket_name_of_directory((scratch.path() / "link").native()).value_or(""), *plain);
  EXPECT_EQ(socket_name_of_directory((scratch.path() / "a/../a/b/").native()).value_or(""), *plain);
  EXPECT_NE(socket_name_of_directory((scratch.path() / "a").native()).value_or(""), *plain);
  EXPECT_FALSE(socket_name_of_directory((scratch.path() / "missing").native()));
}

}  // namespace
}  // namespace fdpstore::store
