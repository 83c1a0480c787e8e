#include "compare/report_html.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "common/text.hpp"
#include "compare/advice.hpp"
#include "compare/report_charts.hpp"
#include "compare/report_page.hpp"
#include "compare/text.hpp"

namespace fdpstore::compare {
namespace {

constexpr std::size_t kCool = 8;
constexpr std::size_t kDimensions = 4;
constexpr std::size_t kOpenCards = 3;  // traces whose stores are all listed at the top

// A way in which settings differ, and its values in order of appearance. The page's script handles
// their numbers only, never their text.
struct Dimension {
  std::string_view name;
  std::vector<std::string> values;
  std::string (*value_of)(const Cell&) = nullptr;
};

std::string capacity_value(const Cell& cell) {
  return cell.capacity_share == 0 ? size_text(cell.capacity_bytes)
                                  : fmt::format("{:.4g} %", cell.capacity_share * 100);
}
std::string unit_value(const Cell& cell) {
  const std::string unit = unit_text(cell);
  return unit.empty() ? "of the device" : unit.substr(0, unit.find(' '));
}

// One report being made.
class Report {
 public:
  explicit Report(const Comparison& comparison)
      : comparison_(comparison), settings_(settings(comparison)) {
    for (const Setting& setting : settings_) {
      verdicts_.push_back(judge({&setting, 1}));
      for (Dimension& dimension : dimensions_) {
        std::string value = dimension.value_of(setting.cell());
        if (std::ranges::find(dimension.values, value) == dimension.values.end()) {
          dimension.values.push_back(std::move(value));
        }
      }
      for (const Result* r : setting.results) add_look(r->cell);
    }
  }

  [[nodiscard]] std::string text() const {
    return head() + verdict_cards() + overview() + filters() + details() + cells() + commands() +
           "<h2>What the words mean</h2>\n" + std::string(kReportGlossary) + "\n<script>" +
           std::string(kReportScript) + "</script>\n</body>\n</html>\n";
  }

 private:
  // The same colour for the same store everywhere.
  void add_look(const Cell& cell) {
    const std::string label = cell_label(cell);
    if (looks_.contains(label)) return;
    std::string look;
    switch (cell.subject) {
      case Subject::lru: look = "look-grey"; break;
      case Subject::slots: look = "look-w0"; break;
      case Subject::slots_tenant: look = "look-w1"; break;
      case Subject::slots_affine: look = "look-w2"; break;
      case Subject::fdpstore:
        look = is_oracle(cell) ? "look-grey" : fmt::format("look-c{}", ours_++ % kCool);
    }
    looks_.emplace(label, look);
  }

  [[nodiscard]] static std::string look_styles() {
    std::string text = ".look-grey{--c:var(--grey)}";
    for (std::size_t i = 0; i < kCool; ++i) text += fmt::format(".look-c{0}{{--c:var(--c{0})}}", i);
    for (std::size_t i = 0; i < 3; ++i) text += fmt::format(".look-w{0}{{--c:var(--w{0})}}", i);
    return text;
  }

  [[nodiscard]] std::string head() const {
    std::string text = fmt::format(
        R"(<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>fdpstore compare</title>
<style>{}{}</style>
</head>
<body>
<h1>Which store for which load</h1>
<p class="soft small">fdpstore compare {} · {} · {} · {} cell{}</p>
)",
        kReportStyle, look_styles(), escaped(comparison_.version), escaped(comparison_.date),
        escaped(comparison_.machine), comparison_.results.size(),
        comparison_.results.size() == 1 ? "" : "s");
    if (comparison_.interrupted) {
      text += "<p class=\"bad\"><b>Interrupted:</b> not all cells were run.</p>\n";
    }
    if (settings_.empty()) text += "<p class=\"bad\">No cell was run.</p>\n";
    return text;
  }

  [[nodiscard]] std::string key_marker(const Result* result, const std::string& label) const {
    const Series series{result, label, looks_.at(label), false};
    return R"(<svg viewBox="0 0 16 16" aria-hidden="true">)" + marker_svg(series, 8, 8, 5) +
           "</svg>";
  }

  static std::string meter(double share, const std::string& number, std::string_view look) {
    return fmt::format(R"(<div class="meter {}"><span>{}</span><i style="--p:{:.1f}%"></i></div>)",
                       look, number, std::clamp(share, 0.0, 1.0) * 100);
  }

  // Every store of a trace, the winner first.
  [[nodiscard]] std::string ranking(const Verdict& verdict) const {
    double most_wear = 1;
    double most_hits = 1e-9;
    double most_written = 1e-9;
    for (const Standing& s : verdict.standings) {
      most_wear = std::max(most_wear, s.wear.value_or(0));
      most_hits = std::max(most_hits, s.hit_ratio);
      most_written = std::max(most_written, s.written.value_or(0));
    }
    std::string text = fmt::format(
        "<table class=\"ranks\"><thead><tr><th>store</th><th>written, in capacities: less is "
        "better</th><th>{} WA</th>"
        "<th>hit ratio %: more is better</th><th>points against LRU</th></tr></thead><tbody>\n",
        verdict.by_total ? "total" : "host");
    for (const Standing& s : verdict.standings) {
      Result only_look;  // a marker asks for the cell alone
      only_look.cell = *s.cell;
      const std::string& look = looks_.at(s.label);
      std::string note = s.rival ? "" : " (cannot win)";
      if (s.settings < verdict.settings) {
        note += fmt::format(" ({} of {} settings)", s.settings, verdict.settings);
      }
      if (!s.steady) note += " (not steady)";
      const auto cost = [&](std::optional<double> value, double most) -> std::string {
        if (value) return meter(*value / most, ratio_text(*value), look);
        return s.cell->subject == Subject::lru ? "writes nothing" : "not known";
      };
      text += fmt::format(
          "<tr class=\"{}\"><td class=\"n\">{} {}{}</td>"
          "<td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
          &s == verdict.winner() ? "win"
          : s.rival              ? ""
                                 : "out",
          key_marker(&only_look, s.label), escaped(s.label), note, cost(s.written, most_written),
          cost(s.wear, most_wear), meter(s.hit_ratio / most_hits, percent_text(s.hit_ratio), look),
          s.points ? points_text(*s.points) : "–");
    }
    return text + "</tbody></table>\n";
  }

  // The first sentence of the page: which store, and what it costs.
  static std::string sentence(const Verdict& verdict) {
    const Standing* winner = verdict.winner();
    const std::size_t bold = winner == nullptr ? 0 : winner->label.size() + sizeof("Use ") - 1;
    return fmt::format("<b>{}</b>{}", escaped(verdict.headline.substr(0, bold)),
                       escaped(verdict.headline.substr(bold)));
  }

  [[nodiscard]] std::string verdict_cards() const {
    std::string text;
    for (const std::string& name : dimensions_[0].values) {
      std::vector<Setting> of_trace;
      std::ranges::copy_if(settings_, std::back_inserter(of_trace),
                           [&](const Setting& s) { return s.cell().trace == name; });
      const Verdict verdict = judge(of_trace);
      std::string where = of_trace.size() == 1 ? setting_text(of_trace[0].cell())
                                               : fmt::format("{} · mean of {} settings",
                                                             printable(name), of_trace.size());
      text += fmt::format(
          "<div class=\"card\"><div class=\"of\">{}</div>\n<p class=\"say\">{}</p>\n<p>{}</p>\n{}"
          "</div>\n",
          escaped(where), sentence(verdict), escaped(verdict.details),
          fmt::format("<details{}><summary>every store</summary>{}</details>\n",
                      dimensions_[0].values.size() <= kOpenCards ? " open" : "", ranking(verdict)));
    }
    return text;
  }

  // data-d0="…" of the dimensions.
  [[nodiscard]] std::string data_of(const Cell& cell) const {
    std::string text;
    for (std::size_t i = 0; i < kDimensions; ++i) {
      const auto& values = dimensions_[i].values;
      const auto at = std::ranges::find(values, dimensions_[i].value_of(cell));
      text += fmt::format(" data-d{}=\"{}\"", i, at - values.begin());
    }
    return text;
  }

  [[nodiscard]] std::vector<Series> series_of(std::size_t index) const {
    const Standing* winner = verdicts_[index].winner();
    std::vector<Series> all;
    for (const Result* r : settings_[index].results) {
      if (!r->error.empty()) continue;
      std::string label = cell_label(r->cell);
      const bool wins = winner != nullptr && winner->label == label;
      const std::string& look = looks_.at(label);
      all.push_back({r, std::move(label), look, wins});
    }
    return all;
  }

  [[nodiscard]] std::string frontier(std::size_t index, bool labels) const {
    const Setting& setting = settings_[index];
    FrontierOptions options{.by_total = verdicts_[index].by_total, .labels = labels};
    if (setting.lru != nullptr) options.lru_hit_ratio = setting.lru->hit_ratio;
    return frontier_svg(series_of(index), options);
  }

  [[nodiscard]] std::string overview() const {
    if (settings_.size() < 2) return {};
    std::string text =
        "<h2>All settings</h2>\n<p class=\"soft small\">Total WA (across) against hit ratio (up): "
        "up and left is better. Choose one to see more of it below.</p>\n<div class=\"minis\">\n";
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      const Cell& cell = settings_[i].cell();
      const Standing* winner = verdicts_[i].winner();
      text += fmt::format(
          "<button type=\"button\"{}><b>{}</b><span>{} · RU "
          "{}{}</span>{}<span>{}</span></button>\n",
          data_of(cell), escaped(cell.trace), escaped(capacity_value(cell)),
          escaped(unit_value(cell)),
          dimensions_[3].values.size() > 1 ? " · " + escaped(drive_text(cell)) : "",
          frontier(i, false), winner == nullptr ? "no winner" : "best: " + escaped(winner->label));
    }
    return text + "</div>\n";
  }

  [[nodiscard]] std::string filters() const {
    if (settings_.size() < 2) return {};
    std::string text = "<h2>One setting at a time</h2>\n<div id=\"filters\">\n";
    for (std::size_t i = 0; i < kDimensions; ++i) {
      const Dimension& dimension = dimensions_[i];
      if (dimension.values.size() < 2) continue;
      text += fmt::format("<label>{}<select name=\"d{}\"><option value=\"\">all</option>",
                          dimension.name, i);
      for (std::size_t k = 0; k < dimension.values.size(); ++k) {
        text += fmt::format("<option value=\"{}\">{}</option>", k,
                            escaped(shortened(printable(dimension.values[k]), 60)));
      }
      text += "</select></label>\n";
    }
    return text +
           "<button type=\"button\" id=\"all\">all settings</button></div>\n"
           "<p id=\"none\" class=\"bad\" hidden>No setting is like this: choose others.</p>\n";
  }

  static std::string figure(std::string_view title, std::string_view caption,
                            const std::string& chart) {
    if (chart.empty()) return {};
    return fmt::format("<figure><h3>{}</h3><figcaption>{}</figcaption>{}</figure>\n", title,
                       caption, chart);
  }

  static std::string remarks(const Setting& setting) {
    std::string text;
    if (const std::string coarse = coarse_text(setting.cell()); !coarse.empty()) {
      text += fmt::format("<li>{}</li>\n", escaped(coarse));
    }
    for (const Result* r : setting.results) {
      const auto item = [&](std::string_view classes, std::string_view what,
                            const std::string& why) {
        text += fmt::format("<li class=\"{}\"><b>{}</b> {}: {}</li>\n", classes,
                            escaped(cell_label(r->cell)), what, escaped(why));
      };
      if (!r->error.empty()) {
        item("bad", "failed", r->error);
        continue;
      }
      if (!r->steady) item("bad", "(unsteady)", r->note.empty() ? "not in steady state" : r->note);
      if (r->steady && !r->note.empty()) item("", "(note)", r->note);
      if (!r->dlwa && r->cell.subject != Subject::lru) {
        item("", "has no DLWA", r->dlwa_reason.empty() ? "no media counter" : r->dlwa_reason);
      }
    }
    return text.empty() ? text : "<ul>\n" + text + "</ul>\n";
  }

  [[nodiscard]] std::string details() const {
    std::string text;
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      const Setting& setting = settings_[i];
      const std::vector<Series> all = series_of(i);
      text += fmt::format("<section class=\"setting\"{}>\n<h2>{}</h2>\n", data_of(setting.cell()),
                          escaped(setting_text(setting.cell())));
      if (settings_.size() > 1) {
        text +=
            fmt::format("<p>{} {}</p>\n", sentence(verdicts_[i]), escaped(verdicts_[i].details));
      }
      text += remarks(setting) + "<ul class=\"key\">";
      for (const Series& s : all) {
        text += fmt::format("<li>{} {}</li>", key_marker(s.result, s.label), escaped(s.label));
      }
      text += "</ul>\n<div class=\"charts\">\n";
      text += figure("Hits against wear",
                     "Up and left is better. Ring: the advice. Line: the frontier. Dashes: LRU. "
                     "Hollow: oracle.",
                     frontier(i, true));
      text += figure("The way to steady state",
                     "DLWA of successive stretches of writing. 1.00 is the least.", dlwa_svg(all));
      text += figure("Latency",
                     "Of a task. Dark: p50, lighter: p99, lightest: p99.9. Ten times as long at "
                     "each line.",
                     latency_svg(all, Task::store) + latency_svg(all, Task::load));
      text += figure("Bytes by reclaim unit handle", "Which handle the bytes went to, by number.",
                     ruh_svg(all));
      text += "</div>\n</section>\n";
    }
    return text;
  }

  static std::string number_cell(std::optional<double> value, const std::string& text,
                                 bool best = false) {
    if (!value || !std::isfinite(*value)) return "<td data-v=\"\">–</td>";
    return fmt::format("<td data-v=\"{:.9g}\"{}>{}</td>", *value, best ? " class=\"best\"" : "",
                       text);
  }
  static std::string text_cell(const std::string& value, std::string_view classes = "t") {
    const std::string text = escaped(value);
    return fmt::format("<td class=\"{0}\" data-v=\"{1}\" title=\"{1}\">{1}</td>", classes, text);
  }

  [[nodiscard]] std::string row(const Result& r, std::size_t index) const {
    const Setting& setting = settings_[index];
    const Verdict& verdict = verdicts_[index];
    const Best best = best_of(setting, verdict.by_total);
    const Standing* winner = verdict.winner();
    const std::string label = cell_label(r.cell);
    const bool wins = winner != nullptr && r.error.empty() && winner->label == label;
    const Cell& c = r.cell;
    std::string text = fmt::format("<tr{}{}>", wins ? " class=\"win\"" : "", data_of(c));
    text += text_cell(store_name(c), "t stick") + text_cell(c.mode) + text_cell(c.trace);
    text += number_cell(static_cast<double>(c.capacity_bytes), escaped(capacity_text(c)));
    text += number_cell(static_cast<double>(c.ru_bytes), escaped(unit_value(c)));
    if (!r.error.empty()) {
      return text + fmt::format("<td class=\"why bad\" colspan=\"16\">failed: {}</td></tr>\n",
                                escaped(r.error));
    }
    const auto ratio = [](const std::optional<double>& v) {
      return number_cell(v, v ? ratio_text(*v) : "");
    };
    const auto points = against_lru(r, setting);
    text += ratio(r.total_wa);
    text += number_cell(r.hit_ratio, percent_text(r.hit_ratio), best.hit_ratio == &r);
    text += number_cell(points, points ? points_text(*points) : "");
    text += number_cell(r.object_hit_ratio, percent_text(r.object_hit_ratio));
    text += ratio(r.dlwa) + ratio(wear(r, false));
    const auto gigabytes = [](std::optional<double> bytes, bool mark = false) {
      if (bytes) *bytes /= 1e9;
      return number_cell(bytes, bytes ? fmt::format("{:.1f}", *bytes) : "", mark);
    };
    text += gigabytes(static_cast<double>(r.stored_bytes));
    text += gigabytes(written(r, verdict.by_total), best.written == &r);
    text += gigabytes(static_cast<double>(r.gc_copied_bytes));
    for (const Latency* l : {&r.store_latency, &r.load_latency}) {
      for (const double seconds : {l->p50_s, l->p99_s, l->p999_s}) {
        const std::optional<double> value = l->samples == 0 ? std::nullopt : std::optional(seconds);
        text += number_cell(value, duration_text(seconds));
      }
    }
    return text + text_cell(r.steady ? "yes" : "no") + "</tr>\n";
  }

  [[nodiscard]] std::string cells() const {
    static constexpr std::array kHeadings{
        "store or policy", "mode",         "trace",        "capacity",  "RU",          "total WA",
        "hit ratio %",     "vs LRU",       "object hit %", "DLWA",      "host WA",     "stored GB",
        "written GB",      "GC copied GB", "store p50",    "store p99", "store p99.9", "load p50",
        "load p99",        "load p99.9",   "steady"};
    std::string text =
        "<h2>Every cell</h2>\n<p class=\"soft small\">A heading sorts. Green: the advice for its "
        "setting; bold: the best figure.</p>\n<div class=\"wide\"><table "
        "class=\"cells\"><thead><tr>";
    for (std::size_t i = 0; i < kHeadings.size(); ++i) {
      const std::string_view classes = i == 0 ? "t stick" : i < 3 ? "t" : "";
      text += fmt::format("<th scope=\"col\" class=\"{}\"><button type=\"button\">{}</button></th>",
                          classes, kHeadings[i]);
    }
    text += "</tr></thead><tbody>\n";
    for (std::size_t i = 0; i < settings_.size(); ++i) {
      for (const Result* r : settings_[i].results) text += row(*r, i);
    }
    return text + "</tbody></table></div>\n";
  }

  [[nodiscard]] std::string commands() const {
    std::string text = "<h2>Repeat it</h2>\n<pre>" + escaped(comparison_.command) + "</pre>\n";
    for (const TraceFacts& t : comparison_.traces) {
      text += fmt::format(
          "<p><b>{}</b> <span class=\"soft\">from {}: {} operations, {} uses of {} objects, {}; "
          "{} % used once; hit ratio {} % with unlimited capacity.</span></p>\n",
          escaped(t.name), escaped(t.origin), t.requests, t.references, t.unique_objects,
          size_text(t.unique_bytes), percent_text(t.single_use_share),
          percent_text(t.infinite_hit_ratio));
    }
    return text;
  }

  const Comparison& comparison_;
  std::vector<Setting> settings_;
  std::vector<Verdict> verdicts_;  // by setting
  std::array<Dimension, kDimensions> dimensions_{
      {{"trace", {}, [](const Cell& c) { return c.trace; }},
       {"capacity", {}, capacity_value},
       {"RU", {}, unit_value},
       {"drive", {}, drive_text}}};
  std::map<std::string, std::string> looks_;  // label → class
  std::size_t ours_ = 0;
};

}  // namespace

std::string report_html(const Comparison& comparison) {
  return Report(comparison).text();
}

}  // namespace fdpstore::compare
