// A file that nobody else can open, gone with its descriptor.
#pragma once

#include <cstdint>

#include <fcntl.h>
#include <unistd.h>

#include "io/unique_fd.hpp"
#include "support/files.hpp"

namespace fdpstore::test {

// `size_bytes` of zeros, under $TMPDIR.
inline io::UniqueFd nameless_file(std::uint64_t size_bytes) {
  const TempDir directory;
  io::UniqueFd file(::open((directory / "file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
  if (!file) throw_errno("open a file in " + directory.string());
  if (::ftruncate(file.get(), static_cast<off_t>(size_bytes)) != 0) throw_errno("ftruncate");
  return file;
}

}  // namespace fdpstore::test
