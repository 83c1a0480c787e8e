#include "text.hpp"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

namespace fdpstore::cli {
namespace {

constexpr std::size_t kGap = 2;
constexpr std::size_t kLineColumns = 96;

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    result += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  return result;
}

bool is_terminal(int fd) {
  return ::isatty(fd) == 1;
}

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {
  for (const Column& column : columns_) widths_.push_back(width_of(column.heading));
}

void Table::add(std::vector<std::string> cells) {
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    cells[i] = printable(cells[i]);
    widths_[i] = std::max(widths_[i], width_of(cells[i]));
  }
  rows_.push_back(std::move(cells));
}

void Table::print(std::ostream& out) {
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string fill(widths_[i] - std::min(widths_[i], width_of(cells[i])), ' ');
      const bool last = i + 1 == cells.size();
      if (columns_[i].align == Align::right) text += fill;
      text += cells[i];
      if (columns_[i].align == Align::left && !last) text += fill;
      if (!last) text.append(kGap, ' ');
    }
    text.erase(text.find_last_not_of(' ') + 1);
    return text;
  };
  if (!std::exchange(heading_printed_, true)) {
    std::vector<std::string> headings;
    headings.reserve(columns_.size());
    for (const Column& column : columns_) headings.push_back(column.heading);
    const bool bold =
        &out == &std::cout && is_terminal(STDOUT_FILENO) && std::getenv("NO_COLOR") == nullptr;
    out << (bold ? "\033[1m" : "") << line(headings) << (bold ? "\033[0m" : "") << '\n';
  }
  for (const auto& row : rows_) out << line(row) << '\n';
  rows_.clear();
}

void Facts::add(std::string label, const std::string& text) {
  rows_.emplace_back(std::move(label), printable(text));
}

void Facts::print(std::ostream& out) const {
  std::size_t indent = 0;
  for (const auto& [label, text] : rows_) indent = std::max(indent, width_of(label) + kGap);
  for (const auto& [label, text] : rows_) {
    out << label << std::string(indent - width_of(label), ' ');
    std::size_t column = indent;
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view word = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
      if (column > indent && column + 1 + width_of(word) > kLineColumns) {
        out << '\n' << std::string(indent, ' ');
        column = indent;
      } else if (column > indent) {
        out << ' ';
        ++column;
      }
      out << word;
      column += width_of(word);
    }
    out << '\n';
  }
}

}  // namespace fdpstore::cli
