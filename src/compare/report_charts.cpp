#include "compare/report_charts.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <numeric>

#include <fmt/format.h>

#include "compare/text.hpp"

namespace fdpstore::compare {
namespace {

constexpr double kWidth = 480;
constexpr double kCharacter = 6.3;  // of a label, about
constexpr double kLine = 14;        // its height
constexpr std::size_t kLabelColumns = 20;

struct Box {
  double left = 0, top = 0, right = 0, bottom = 0;

  [[nodiscard]] bool overlaps(const Box& b) const {
    return left < b.right && b.left < right && top < b.bottom && b.top < bottom;
  }
  [[nodiscard]] bool inside(const Box& b) const {
    return left >= b.left && right <= b.right && top >= b.top && bottom <= b.bottom;
  }
};

// From values to places.
struct Axis {
  double low = 0, high = 1;    // values
  double from = 0, until = 1;  // places

  [[nodiscard]] double operator()(double value) const {
    return from + (value - low) / (high - low) * (until - from);
  }
};

// 1, 2 or 5 times a power of ten, about `count` of them.
double step_of(double low, double high, double count) {
  const double raw = (high - low) / count;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
}

std::vector<double> ticks(double low, double high, double count) {
  const double step = step_of(low, high, count);
  std::vector<double> all;
  for (double n = std::ceil(low / step - 1e-9); n * step <= high + step * 1e-9; ++n) {
    all.push_back(n * step + 0.0);  // -0 becomes 0
  }
  return all;
}

// As few digits as tell the ticks apart.
std::string tick_text(double value, double step) {
  const int digits = std::clamp(static_cast<int>(std::ceil(-std::log10(step) - 1e-9)), 0, 4);
  return fmt::format("{:.{}f}", value, digits);
}

std::string text_svg(double x, double y, std::string_view anchor, std::string_view classes,
                     std::string_view text) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}">{}</text>)", x, y,
                     anchor, classes, escaped(text));
}

std::string line_svg(double x1, double y1, double x2, double y2, std::string_view classes) {
  return fmt::format(R"(<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>)", x1,
                     y1, x2, y2, classes);
}

std::string svg(double height, std::string_view title, const std::string& inside) {
  return fmt::format(R"(<svg viewBox="0 0 {:.0f} {:.0f}" role="img" aria-label="{}">{}</svg>)",
                     kWidth, height, escaped(title), inside) +
         '\n';
}

struct FrameOptions {
  std::string_view x_name, y_name;
  double x_ticks = 6, y_ticks = 5;
};

// Grid, ticks and names of both axes.
std::string frame_svg(const Axis& x, const Axis& y, const FrameOptions& options) {
  std::string out;
  for (const double tick : ticks(y.low, y.high, options.y_ticks)) {
    out += line_svg(x.from, y(tick), x.until, y(tick), "grid");
    out += text_svg(x.from - 6, y(tick) + 4, "end", "tick",
                    tick_text(tick, step_of(y.low, y.high, options.y_ticks)));
  }
  for (const double tick : ticks(x.low, x.high, options.x_ticks)) {
    out += line_svg(x(tick), y.from, x(tick), y.until, "grid");
    out += text_svg(x(tick), y.from + 18, "middle", "tick",
                    tick_text(tick, step_of(x.low, x.high, options.x_ticks)));
  }
  out += line_svg(x.from, y.from, x.until, y.from, "axis");
  out += text_svg(x.until, y.from + 34, "end", "name", options.x_name);
  return out + text_svg(4, y.until - 9, "start", "name", options.y_name);
}

struct Point {
  const Series* series = nullptr;
  double wear = 0, percent = 0;
  double x = 0, y = 0;
};

std::vector<Point> points_of(const std::vector<Series>& all, bool by_total) {
  std::vector<Point> points;
  for (const Series& s : all) {
    if (const auto value = wear(*s.result, by_total)) {
      points.push_back({&s, *value, s.result->hit_ratio * 100});
    }
  }
  return points;
}

// The most hits that can be had for so much wear.
std::string pareto_svg(std::vector<Point> points, double right) {
  std::erase_if(points, [](const Point& p) { return !is_rival(p.series->result->cell); });
  std::ranges::sort(points, {}, [](const Point& p) { return std::pair(p.wear, -p.percent); });
  std::string path;
  double best = -1;
  for (const Point& p : points) {
    if (p.percent <= best) continue;
    path += path.empty() ? fmt::format("M{:.1f} {:.1f}", p.x, p.y)
                         : fmt::format("H{:.1f}V{:.1f}", p.x, p.y);
    best = p.percent;
  }
  return path.empty() ? "" : fmt::format(R"(<path class="pareto" d="{}H{:.1f}"/>)", path, right);
}

// Labels where they touch neither each other nor a marker; with a line to the marker when far.
std::string labels_svg(const std::vector<Point>& points, const Box& plot, std::vector<Box> taken) {
  for (const Point& p : points) taken.push_back({p.x - 7, p.y - 7, p.x + 7, p.y + 7});
  std::string out;
  for (const Point& p : points) {
    const std::string text = shortened(p.series->label, kLabelColumns);
    const double width = kCharacter * static_cast<double>(columns_of(text));
    bool placed = false;
    for (int ring = 0; ring < 9 && !placed; ++ring) {
      const double up = kLine * (ring == 0 ? 0 : ring - 0.2);
      const double out_by = ring == 0 ? 10 : 12;
      for (const auto& [right, dy] : {std::pair(true, -up), std::pair(true, up),
                                      std::pair(false, -up), std::pair(false, up)}) {
        const double left = right ? p.x + out_by : p.x - out_by - width;
        const Box box{left, p.y + dy - kLine / 2, left + width, p.y + dy + kLine / 2};
        const bool free =
            std::ranges::none_of(taken, [&](const Box& b) { return b.overlaps(box); });
        if (!box.inside(plot) || !free) continue;
        if (ring > 0) {
          out += line_svg(p.x, p.y, right ? left - 2 : left + width + 2, p.y + dy, "leader");
        }
        out += text_svg(left, p.y + dy + 4, "start", p.series->winner ? "label strong" : "label",
                        text);
        taken.push_back(box);
        placed = true;
        break;
      }
    }
  }
  return out;
}

std::string title_of(const Point& p, bool by_total) {
  return fmt::format("{}: hit ratio {:.1f} %, {} WA {}", p.series->label, p.percent,
                     by_total ? "total" : "host", ratio_text(p.wear));
}

// Above or below the line of LRU, where no marker is.
Box lru_label_box(const std::vector<Point>& points, const Box& line, std::string_view text) {
  const double width = kCharacter * static_cast<double>(text.size());
  Box box;
  for (const double left : {line.right - width, line.right - 2.2 * width, line.left + width}) {
    for (const double top : {line.top - kLine - 1, line.top + 2}) {
      box = {left, top, left + width, top + kLine};
      if (std::ranges::none_of(points, [&](const Point& p) {
            return box.overlaps({p.x - 9, p.y - 9, p.x + 9, p.y + 9});
          })) {
        return box;
      }
    }
  }
  return box;
}

// The mean of neighbours, where there are more windows than a chart shows.
std::vector<Window> thinned(const std::vector<Window>& windows, std::size_t most) {
  const std::size_t each = (windows.size() + most - 1) / most;
  std::vector<Window> result;
  for (std::size_t i = 0; i < windows.size(); i += each) {
    const std::size_t count = std::min(each, windows.size() - i);
    Window mean = windows[i + count - 1];
    mean.dlwa = 0;
    for (std::size_t k = 0; k < count; ++k) mean.dlwa += windows[i + k].dlwa;
    mean.dlwa /= static_cast<double>(count);
    result.push_back(mean);
  }
  return result;
}

// Moves places apart until none is nearer than `gap`, within top … bottom where there is room.
void spread(std::vector<double>& places, double gap, double top, double bottom) {
  std::vector<std::size_t> order(places.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return places[i]; });
  double least = top;
  for (const std::size_t i : order) {
    places[i] = std::max(places[i], least);
    least = places[i] + gap;
  }
  double most = bottom;
  for (auto at = order.rbegin(); at != order.rend(); ++at) {
    places[*at] = std::min(places[*at], most);
    most = places[*at] - gap;
  }
}

const Latency& latency_of(const Series& s, Task task) {
  return task == Task::store ? s.result->store_latency : s.result->load_latency;
}

// Rows of bars: the label of a series, and where the next row begins.
constexpr double kRow = 22;
constexpr double kLabelWidth = 158;

// Without the ring, which would touch its neighbours.
std::string plain_marker(Series series, double x, double y) {
  series.winner = false;
  return marker_svg(series, x, y, 4.5);
}

std::string row_label(const Series& s, double y) {
  return plain_marker(s, 8, y) + text_svg(18, y + 4, "start", s.winner ? "label strong" : "label",
                                          shortened(s.label, kLabelColumns));
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : printable(text)) {
    switch (c) {
      case '&': result += "&amp;"; break;
      case '<': result += "&lt;"; break;
      case '>': result += "&gt;"; break;
      case '"': result += "&quot;"; break;
      case '\'': result += "&#39;"; break;
      default: result += c;
    }
  }
  return result;
}

std::string marker_svg(const Series& series, double x, double y, double size) {
  const Cell& cell = series.result->cell;
  std::string ring;
  if (series.winner) {
    ring = fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="{:.1f}" class="ring"/>)", x, y,
                       size + 3.5);
  }
  if (is_oracle(cell) || cell.subject == Subject::lru) {  // hollow: out of contest
    const double d = size * 1.25;
    return fmt::format(R"(<path class="hollow {0}" d="M{1:.1f} {2:.1f}l{3:.1f} {3:.1f})"
                       R"(l{4:.1f} {3:.1f}l{4:.1f} {4:.1f}z"/>)",
                       series.look, x, y - d, d, -d);
  }
  if (cell.subject == Subject::fdpstore) {
    return ring + fmt::format(R"(<circle class="mark {}" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"/>)",
                              series.look, x, y, size);
  }
  return ring +
         fmt::format(
             R"(<rect class="mark {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>)",
             series.look, x - size * 0.9, y - size * 0.9, size * 1.8, size * 1.8);
}

std::string frontier_svg(const std::vector<Series>& all, const FrontierOptions& options) {
  const double height = options.labels ? 360 : 250;
  std::vector<Point> points = points_of(all, options.by_total);
  if (points.empty()) return {};
  double least = options.lru_hit_ratio.value_or(all[0].result->hit_ratio) * 100;
  double most = least;
  double widest = 1;
  double narrowest = 1;
  for (const Point& p : points) {
    least = std::min(least, p.percent);
    most = std::max(most, p.percent);
    widest = std::max(widest, p.wear);
    narrowest = std::min(narrowest, p.wear);
  }
  const double pad_y = std::max(0.5, (most - least) * 0.15);
  const double span = std::max(0.05, widest - narrowest);
  const bool small = !options.labels;
  const Axis x{narrowest - span * 0.04, widest + span * (small ? 0.06 : 0.14), small ? 64.0 : 44.0,
               kWidth - 8};
  const Axis y{std::max(0.0, least - pad_y), std::min(100.0, most + pad_y),
               height - (small ? 30.0 : 42.0), small ? 10.0 : 26.0};
  for (Point& p : points) {
    p.x = x(p.wear);
    p.y = y(p.percent);
  }
  FrameOptions frame{.x_name = "", .y_name = "", .x_ticks = 3, .y_ticks = 4};
  if (!small) {
    frame = {.x_name = options.by_total ? "total WA (less is better)" : "host WA (less is better)",
             .y_name = "hit ratio % (more is better)"};
  }
  std::string out = frame_svg(x, y, frame);
  std::vector<Box> taken;
  std::string lru_label;
  if (options.lru_hit_ratio) {
    const double at = y(*options.lru_hit_ratio * 100);
    out += line_svg(x.from, at, x.until, at, "lru");
    if (!small) {
      const std::string text = fmt::format("LRU {:.1f}", *options.lru_hit_ratio * 100);
      const Box box = lru_label_box(points, {x.from, at, x.until, at}, text);
      lru_label = text_svg(box.left, box.bottom - 3, "start", "label soft", text);
      taken.push_back(box);
    }
  }
  out += pareto_svg(points, x.until);
  // The winner last, above the others; its label first.
  std::ranges::stable_sort(points, {}, [](const Point& p) { return p.series->winner; });
  for (const Point& p : points) {
    out += fmt::format("<g>{}<title>{}</title></g>", marker_svg(*p.series, p.x, p.y, 5.5),
                       escaped(title_of(p, options.by_total)));
  }
  if (options.labels) {
    std::ranges::reverse(points);
    out += lru_label +
           labels_svg(points, {x.from, y.until - 8, x.until + 6, y.from - 1}, std::move(taken));
  }
  return svg(height, "Hit ratio against write amplification", out);
}

std::string dlwa_svg(const std::vector<Series>& all) {
  constexpr double kHeight = 360;
  constexpr double kRight = kWidth - 140;
  std::vector<const Series*> drawn;
  double most = 1.05;
  double end = 0;
  for (const Series& s : all) {
    if (!s.result->dlwa || s.result->windows.empty()) continue;
    drawn.push_back(&s);
    for (const Window& w : thinned(s.result->windows, 100)) most = std::max(most, w.dlwa);
    end = std::max(end, s.result->windows.back().capacities);
  }
  if (drawn.empty() || end <= 0) return {};
  const Axis x{0, end, 40, kRight};
  const Axis y{1 - (most - 1) * 0.04, most + (most - 1) * 0.06, kHeight - 42, 26};
  std::string out =
      frame_svg(x, y, {.x_name = "written, in capacities of the device", .y_name = "DLWA"});
  std::vector<double> places;
  for (const Series* s : drawn) {
    std::string path;
    double last = 0;
    for (const Window& w : thinned(s->result->windows, 100)) {
      last = y(std::max(w.dlwa, y.low));
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? 'M' : 'L', x(w.capacities), last);
    }
    places.push_back(last);
    const bool slots = s->result->cell.subject != Subject::fdpstore;
    const bool placed = s->result->cell.mode == "separated";
    out += fmt::format(R"(<path class="curve {}{}{}" d="{}"><title>{}</title></path>)", s->look,
                       slots    ? " dashed"
                       : placed ? ""
                                : " dotted",
                       s->winner ? " thick" : "", path, escaped(s->label));
  }
  const std::vector<double> ends = places;
  spread(places, kLine, 22, kHeight - 42);
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const double at = x(drawn[i]->result->windows.back().capacities);
    out += line_svg(at, ends[i], kRight + 6, places[i], "leader");
    out += plain_marker(*drawn[i], kRight + 12, places[i]);
    out += text_svg(kRight + 20, places[i] + 4, "start",
                    drawn[i]->winner ? "label strong" : "label", shortened(drawn[i]->label, 18));
  }
  return svg(kHeight, "DLWA on the way to steady state", out);
}

std::string latency_svg(const std::vector<Series>& all, Task task) {
  std::vector<const Series*> drawn;
  double low = 1e9;
  double high = 0;
  for (const Series& s : all) {
    const Latency& l = latency_of(s, task);
    if (l.samples == 0 || !(l.p50_s > 0)) continue;
    drawn.push_back(&s);
    low = std::min(low, l.p50_s);
    high = std::max(high, l.p999_s);
  }
  if (drawn.empty()) return {};
  const int from = static_cast<int>(std::floor(std::log10(low) - 0.05));
  const int until = std::max(from + 1, static_cast<int>(std::ceil(std::log10(high))));
  const Axis x{static_cast<double>(from), static_cast<double>(until), kLabelWidth, kWidth - 64};
  const double bottom = 22 + kRow * static_cast<double>(drawn.size());
  std::string out = text_svg(2, 12, "start", "name", task == Task::store ? "stores" : "loads");
  for (int decade = from; decade <= until; ++decade) {
    out += line_svg(x(decade), 16, x(decade), bottom, "grid");
    out += text_svg(x(decade), bottom + 16, "middle", "tick", duration_text(std::pow(10, decade)));
  }
  double y = 30;
  for (const Series* s : drawn) {
    const Latency& l = latency_of(*s, task);
    out += row_label(*s, y);
    const std::array<std::pair<double, const char*>, 3> bars{
        {{l.p999_s, "p999"}, {l.p99_s, "p99"}, {l.p50_s, "p50"}}};
    for (const auto& [seconds, name] : bars) {
      const double width = std::max(1.0, x(std::log10(seconds)) - x.from);
      out += fmt::format(
          R"(<rect class="bar {} {}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="13"/>)", name,
          s->look, x.from, y - 6.5, width);
    }
    out +=
        text_svg(kWidth - 2, y + 4, "end", "tick", fmt::format("p99 {}", duration_text(l.p99_s)));
    y += kRow;
  }
  return svg(bottom + 24, task == Task::store ? "Latency of stores" : "Latency of loads", out);
}

std::string ruh_svg(const std::vector<Series>& all) {
  std::string out;
  double y = 16;
  for (const Series& s : all) {
    const std::vector<std::uint64_t>& bytes = s.result->ruh_bytes;
    const auto sum =
        static_cast<double>(std::accumulate(bytes.begin(), bytes.end(), std::uint64_t{0}));
    if (sum == 0) continue;
    out += row_label(s, y);
    const Axis x{0, sum, kLabelWidth, kWidth - 64};
    double before = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      const auto count = static_cast<double>(bytes[i]);
      const double width = x(count) - x.from;
      if (bytes[i] == 0) continue;
      out += fmt::format(
          R"(<g><rect class="ruh r{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="15"/>)", i % 8,
          x(before), y - 7.5, std::max(0.8, width));
      if (width > 12)
        out += text_svg(x(before) + width / 2, y + 4, "middle", "inbar", std::to_string(i));
      out += fmt::format("<title>RUH {}: {:.1f} GB, {:.1f} %</title></g>", i, count / 1e9,
                         count / sum * 100);
      before += count;
    }
    out += text_svg(kWidth - 2, y + 4, "end", "tick", fmt::format("{:.1f} GB", sum / 1e9));
    y += kRow;
  }
  return out.empty() ? out : svg(y, "Bytes written to each reclaim unit handle", out);
}

}  // namespace fdpstore::compare
