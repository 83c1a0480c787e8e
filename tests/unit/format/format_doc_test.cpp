// Golden bytes: what FORMAT.md shows is what the encoders write, byte for byte. A change of either
// one breaks this test; a change of the encoders also needs a new kVersion.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "samples.hpp"

namespace fdpstore::format {
namespace {

// As `hexdump -C`, with lines of zeros left out.
std::string hex_dump(std::span<const std::byte> bytes) {
  std::string out;
  for (std::size_t at = 0; at < bytes.size(); at += 16) {
    const auto line = bytes.subspan(at, std::min<std::size_t>(16, bytes.size() - at));
    std::string hex;
    std::string text;
    bool zero = true;
    for (const std::byte b : line) {
      const auto value = std::to_integer<unsigned char>(b);
      zero = zero && value == 0;
      hex += fmt::format(" {:02x}", value);
      text += std::isprint(value) != 0 ? static_cast<char>(value) : '.';
    }
    if (!zero) out += fmt::format("{:04x} {:<48}  |{}|\n", at, hex, text);
  }
  return out;
}

// The text of the fenced block that begins with "```hex <name>".
std::string documented(const std::string& name) {
  const auto path = std::filesystem::path(FDPSTORE_SOURCE_DIR) / "src/format/FORMAT.md";
  std::ifstream file(path);
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  const std::string fence = "```hex " + name + "\n";
  const std::size_t begin = text.find(fence);
  if (begin == std::string::npos) return "FORMAT.md has no example named " + name;
  const std::size_t from = begin + fence.size();
  return text.substr(from, text.find("```", from) - from);
}

TEST(FormatDoc, SuperblockExampleIsWhatIsWritten) {
  EXPECT_EQ(documented("superblock"), hex_dump(samples::encoded(samples::superblock())));
}

TEST(FormatDoc, SegmentHeaderExampleIsWhatIsWritten) {
  EXPECT_EQ(documented("segment-header"), hex_dump(samples::encoded(samples::segment_header())));
}

TEST(FormatDoc, SegmentFooterExampleIsWhatIsWritten) {
  EXPECT_EQ(documented("segment-footer"), hex_dump(samples::encoded(samples::footer())));
}

TEST(FormatDoc, ObjectHeaderExampleIsWhatIsWritten) {
  EXPECT_EQ(documented("object-header"), hex_dump(samples::encoded_object()));
}

TEST(FormatDoc, SummaryHeaderExampleIsWhatIsWritten) {
  EXPECT_EQ(documented("summary-header"), hex_dump(samples::encoded_summary_header()));
}

TEST(FormatDoc, SummaryEntryExampleIsWhatIsWritten) {
  EXPECT_EQ(documented("summary-entry"), hex_dump(samples::summary_payload()));
}

TEST(FormatDoc, TombstoneEntryExampleIsWhatIsWritten) {
  std::vector<std::byte> out;
  append_tombstone(out, samples::tombstone());
  EXPECT_EQ(documented("tombstone-entry"), hex_dump(out));
}

TEST(FormatDoc, FreedEntryExampleIsWhatIsWritten) {
  std::vector<std::byte> out;
  append_freed(out, samples::freed());
  EXPECT_EQ(documented("freed-entry"), hex_dump(out));
}

TEST(FormatDoc, FooterEntryExampleIsWhatIsWritten) {
  std::vector<std::byte> out;
  append_footer(out, samples::footer());
  EXPECT_EQ(documented("footer-entry"), hex_dump(out));
}

TEST(FormatDoc, MagicNumbersAreReadable) {
  const auto text = [](std::uint64_t magic) {
    return std::string(reinterpret_cast<const char*>(&magic), sizeof magic);
  };
  EXPECT_EQ(text(kSuperblockMagic), "FDPSUPER");
  EXPECT_EQ(text(kSegmentMagic), "FDPSEGMT");
  EXPECT_EQ(text(kRecordMagic), "FDPRECRD");
  EXPECT_EQ(text(kFooterMagic), "FDPFOOTR");
}

}  // namespace
}  // namespace fdpstore::format
