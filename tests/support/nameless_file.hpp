// A file that nobody else can open, gone with its descriptor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "io/unique_fd.hpp"
#include "support/files.hpp"

namespace fdpstore::test {

// `size_bytes` of zeros, under $TMPDIR.
inline io::UniqueFd nameless_file(std::uint64_t size_bytes) {
  std::string name = (std::filesystem::temp_directory_path() / "fdpstore-test-XXXXXX").string();
  io::UniqueFd file(::mkostemp(name.data(), O_CLOEXEC));
  if (!file) throw_errno("mkostemp " + name);
  ::unlink(name.c_str());
  if (::ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0) throw_errno("ftruncate");
  return file;
}

}  // namespace fdpstore::test
