// Text for people: aligned columns.
//
// Thread:  any.
// Units:   widths in characters of a terminal; UTF-8 in, each code point counted as one.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace fdpstore::cli {

// Control characters replaced: names come from disk and must not steer the terminal.
[[nodiscard]] std::string printable(std::string_view text);

class Table {
 public:
  enum class Align { left, right };
  struct Column {
    std::string heading;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns);

  void add(std::vector<std::string> cells);
  [[nodiscard]] bool empty() const { return rows_.empty(); }
  // Prints and forgets the rows, keeps the widths; the heading once only. Bold where `out` is a
  // terminal.
  void print(std::ostream& out);

 private:
  std::vector<Column> columns_;
  std::vector<std::size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
  bool heading_printed_ = false;
};

// "Label        text", labels padded to one width; long texts are wrapped below themselves.
class Facts {
 public:
  void add(std::string label, const std::string& text);
  void print(std::ostream& out) const;

 private:
  std::vector<std::pair<std::string, std::string>> rows_;
};

[[nodiscard]] bool is_terminal(int fd);

}  // namespace fdpstore::cli
