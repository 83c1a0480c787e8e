#include "placement/policies.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <fmt/core.h>

#include "placement/embedded_policies.hpp"
#include "placement/file_policy.hpp"
#include "placement/policy_file.hpp"

namespace fdpstore::placement {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view kExtension = ".policy";

bool is_path(std::string_view name_or_path) {
  return name_or_path.find('/') != std::string_view::npos || name_or_path.ends_with(kExtension);
}

Result<std::string> read_file(const fs::path& path) {
  std::error_code error;
  if (fs::is_directory(path, error)) {
    return fail_errno(EISDIR, fmt::format("policy file '{}'; name a file in it", path.string()));
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in.is_open() || in.bad()) {
    return fail_errno(errno == 0 ? EIO : errno,
                      fmt::format("cannot read the policy file '{}'", path.string()));
  }
  return text;
}

Result<std::unique_ptr<Policy>> make_policy(std::string name, std::string_view text,
                                            std::string_view origin, const PolicyLimits& limits) {
  auto file = parse_policy_file(text, origin);
  if (!file) return fail(file.error());
  return std::make_unique<FilePolicy>(std::move(name), std::move(*file), limits);
}

// The file of a policy called by name, if there is one outside the library.
std::optional<fs::path> find_file(std::string_view name) {
  for (const std::string& directory : policy_directories()) {
    fs::path path = fs::path(directory) / fmt::format("{}{}", name, kExtension);
    std::error_code error;
    if (fs::exists(path, error)) return path;
  }
  return std::nullopt;
}

std::string description_in(std::string_view text, std::string_view origin) {
  auto file = parse_policy_file(text, origin);
  return file ? file->description : fmt::format("(cannot be used: {})", file.error().what);
}

}  // namespace

Result<std::unique_ptr<Policy>> parse_policy(std::string_view text, std::string_view origin,
                                             const PolicyLimits& limits) {
  return make_policy(fs::path(origin).stem().string(), text, origin, limits);
}

Result<std::unique_ptr<Policy>> load_policy(std::string_view name_or_path,
                                            const PolicyLimits& limits) {
  std::optional<fs::path> path;
  if (is_path(name_or_path)) {
    path = fs::path(name_or_path);
  } else {
    path = find_file(name_or_path);
  }
  if (path) {
    auto text = read_file(*path);
    if (!text) return fail(text.error());
    return parse_policy(*text, path->string(), limits);
  }
  std::string known;
  for (const EmbeddedPolicy& policy : embedded_policies()) {
    if (policy.name == name_or_path) {
      return make_policy(std::string(policy.name), policy.text,
                         fmt::format("{}{} (built in)", policy.name, kExtension), limits);
    }
  }
  for (const ShippedPolicy& policy : shipped_policies()) {
    known += (known.empty() ? "" : ", ") + policy.name;
  }
  return fail(Errc::invalid_option,
              fmt::format("policy = '{}' is not known; use one of {}, or the path of a policy file "
                          "(with a '/' in it, or ending in {})",
                          name_or_path, known, kExtension));
}

std::vector<std::string> policy_directories() {
  std::vector<std::string> directories;
  if (const char* own = std::getenv("FDPSTORE_POLICY_DIR"); own != nullptr && *own != '\0') {
    directories.emplace_back(own);
  }
  directories.emplace_back(FDPSTORE_INSTALLED_POLICY_DIR);
  directories.emplace_back(FDPSTORE_SOURCE_POLICY_DIR);
  return directories;
}

std::vector<ShippedPolicy> shipped_policies() {
  std::map<std::string, std::string, std::less<>> by_name;
  for (const std::string& directory : policy_directories()) {
    std::error_code error;
    for (fs::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
      const fs::path& path = entry->path();
      if (path.extension() != kExtension || by_name.contains(path.stem().string())) continue;
      auto text = read_file(path);
      by_name[path.stem().string()] =
          text ? description_in(*text, path.string())
               : fmt::format("(cannot be used: {})", text.error().message());
    }
  }
  for (const EmbeddedPolicy& policy : embedded_policies()) {
    if (by_name.contains(policy.name)) continue;
    by_name[std::string(policy.name)] = description_in(policy.text, policy.name);
  }
  std::vector<ShippedPolicy> policies;
  policies.reserve(by_name.size());
  for (auto& [name, description] : by_name) policies.push_back({name, std::move(description)});
  return policies;
}

}  // namespace fdpstore::placement
