#include "objects/object_check.hpp"

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>

#include <fmt/core.h>

#include "objects/object_directory.hpp"
#include "objects/scan.hpp"

namespace fdpstore::objects {
namespace {

// Damage of a file whose mtime we left has happened below it.
std::string describe(const FileState& state) {
  return fmt::format("{} ({})", state.what,
                     state.rewritten ? "it was written to after it was stored"
                                     : "not written to since it was stored: suspect the medium");
}

class Checker {
 public:
  Checker(ObjectDirectory& directory, bool repair) : directory_(directory), repair_(repair) {}

  void check(const FoundObject& found) {
    ObjectName name = found.name;
    const auto key = directory_.key_of(name.file);
    if (is_own_name(name.file) && key) name.own_key = std::make_shared<const ObjectKey>(*key);
    buffer_.resize(found.sizes.size_bytes);
    auto state = directory_.read(name, buffer_, 0);
    ++report.objects;
    report.bytes += found.sizes.size_bytes;
    const std::string where = directory_.path() + "/" + name.file;
    if (!state) {
      report.findings.push_back({where, state.error().message()});
      return;
    }
    if (state->verdict == FileVerdict::unverified) ++report.unverified;
    if (state->verdict == FileVerdict::unreadable) {
      report.findings.push_back({where, "written by a newer fdpstore: not checked"});
    } else if (state->verdict == FileVerdict::damaged) {
      const bool repaired = repair_ && directory_.remove_inode(name, state->inode);
      report.findings.push_back({where, describe(*state), repaired});
    }
  }

  void check_temporaries(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      struct stat info{};
      if (::fstatat(directory_.fd(), path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      const bool repaired = repair_ && remove_temporaries(directory_, {path}) > 0;
      if (S_ISDIR(info.st_mode)) continue;  // only its files are worth a line
      report.findings.push_back({directory_.path() + "/" + path,
                                 fmt::format("temporary file of {} bytes, left by a process that "
                                             "was killed",
                                             info.st_size),
                                 repaired});
    }
  }

  CheckReport report;

 private:
  ObjectDirectory& directory_;
  bool repair_;
  std::vector<std::byte> buffer_;
};

}  // namespace

Result<CheckReport> check_object_directory(const Options& options, bool repair,
                                           const CheckProgress& progress) {
  Options effective = options;
  effective.read_only = !repair;
  effective.use_odirect = false;
  effective.placement = Strictness::prefer;
  if (repair) effective.exclusive = true;
  auto directory = ObjectDirectory::open(effective, 1);
  if (!directory) return fail(std::move(directory.error()));
  // A check without repair shares the directory with whoever uses it: only old leftovers are stale.
  if (!repair) effective.exclusive = false;
  const std::atomic<bool> never{false};
  std::vector<FoundObject> objects;
  std::uint64_t total = 0, done = 0;
  auto scanned = scan_objects(**directory, never, [&](FoundObject object) {
    total += object.sizes.size_bytes;
    objects.push_back(std::move(object));
  });
  if (!scanned) return fail(std::move(scanned.error()));
  Checker checker(**directory, repair);
  for (const FoundObject& object : objects) {
    checker.check(object);
    done += object.sizes.size_bytes;
    if (progress) progress(done, total);
  }
  checker.check_temporaries(find_stale_temporaries(**directory, effective, never));
  return std::move(checker.report);
}

}  // namespace fdpstore::objects
