#include "placement/policy_file.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <charconv>
#include <map>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/core.h>
#include <fmt/ranges.h>
#include <boost/program_options/errors.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/parsers.hpp>

#include "placement/text.hpp"

namespace fdpstore::placement {
namespace {

template <class Value>
struct Word {
  std::string_view name;
  Value value;
};
constexpr std::array<Word<Lifetime>, 6> kLifetimes{{
    {"not_set", Lifetime::not_set},
    {"none", Lifetime::none},
    {"short", Lifetime::short_lived},
    {"medium", Lifetime::medium},
    {"long", Lifetime::long_lived},
    {"extreme", Lifetime::extreme},
}};
constexpr std::array<Word<Spread>, 8> kSpreads{{
    {"prompt", Spread::prompt},
    {"rank", Spread::rank},
    {"tenant", Spread::tenant},
    {"tenant-rank", Spread::tenant_rank},
    {"key", Spread::key},
    {"round-robin", Spread::round_robin},
    {"lifetime", Spread::lifetime},
    {"adaptive", Spread::adaptive},
}};

constexpr std::string_view kValidKeys =
    "valid keys are description, rule, survivors, reinsert_budget, metadata.handles, "
    "metadata.lifetime, stream.<name>.lifetime, stream.<name>.handles and stream.<name>.spread";

// One "key = value" of the file.
struct Setting {
  std::uint32_t line = 0;
  std::string key;
  std::string value;
};

bool is_valid_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
  });
}

class Reader {
 public:
  explicit Reader(std::string_view origin) : origin_(origin) {}

  Result<PolicyFile> read(std::string_view text);

 private:
  using Status = Result<void>;

  [[nodiscard]] std::unexpected<Error> error(std::uint32_t line, std::string_view what) const {
    return fail(Errc::invalid_option, fmt::format("{}:{}: {}", origin_, line, what));
  }
  [[nodiscard]] Result<std::vector<Setting>> split_lines(std::string_view text);
  Status apply(const Setting& setting);
  Status apply_stream(const Setting& setting);
  Status apply_rules();
  Result<Rule> parse_rule(const Setting& setting) const;
  Status check_streams() const;
  Status check_metadata();
  Status choose_survivors();
  Result<std::size_t> find_stream(const Setting& setting, std::string_view name) const;
  Result<std::vector<NumberRange>> parse_handles(const Setting& setting, bool open_end) const;
  template <class Value, std::size_t N>
  Result<Value> parse_word(const Setting& setting, const std::array<Word<Value>, N>& words) const;

  std::string origin_;
  std::uint32_t last_line_ = 1;
  PolicyFile file_;
  std::map<std::string, std::uint32_t> first_line_of_;
  std::vector<Setting> rules_;
  std::optional<Setting> survivors_, metadata_handles_;
};

// Line by line, because Boost's parser does not tell line numbers; sections are carried along.
Result<std::vector<Setting>> Reader::split_lines(std::string_view text) {
  namespace po = boost::program_options;
  std::vector<Setting> settings;
  std::string section;
  std::uint32_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string line(trimmed(text.substr(begin, end - begin)));
    begin = end + 1;
    last_line_ = ++number;
    std::istringstream stream(fmt::format("{}\n{}\n", section, line));
    try {
      for (const auto& option :
           po::parse_config_file(stream, po::options_description(), true).options) {
        settings.push_back({number, option.string_key, std::string(trimmed(option.value.at(0)))});
      }
    } catch (const po::error&) {
      return error(number, fmt::format("'{}' is neither 'key = value', '[section]' nor a comment "
                                       "(#); {}",
                                       line, kValidKeys));
    }
    const std::string_view content = trimmed(std::string_view(line).substr(0, line.find('#')));
    if (content.starts_with('[')) section = content;
  }
  return settings;
}

template <class Value, std::size_t N>
Result<Value> Reader::parse_word(const Setting& setting,
                                 const std::array<Word<Value>, N>& words) const {
  std::vector<std::string_view> names;
  for (const auto& word : words) {
    if (word.name == setting.value) return word.value;
    names.push_back(word.name);
  }
  return error(setting.line, fmt::format("{} = '{}' is not known; use one of {}", setting.key,
                                         setting.value, fmt::join(names, ", ")));
}

Result<std::vector<NumberRange>> Reader::parse_handles(const Setting& setting,
                                                       bool open_end) const {
  auto ranges = parse_numbers(setting.value, open_end);
  if (!ranges) {
    return error(setting.line, fmt::format("{}: {}", setting.key, ranges.error().what));
  }
  for (const NumberRange& range : *ranges) {
    const std::uint32_t highest = range.last == NumberRange::kOpenEnd ? range.first : range.last;
    if (highest < kMaxHandles) continue;
    return error(setting.line,
                 fmt::format("{} = '{}': handle {} is beyond the highest, {}; handles count the "
                             "store's data handles from 0 on, they are no NVMe placement ids",
                             setting.key, setting.value, highest, kMaxHandles - 1));
  }
  return ranges;
}

Result<std::size_t> Reader::find_stream(const Setting& setting, std::string_view name) const {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < file_.streams.size(); ++i) {
    if (file_.streams[i].name == name) return i;
    names.push_back(file_.streams[i].name);
  }
  return error(setting.line, fmt::format("'{} = {}' names the unknown stream '{}'; declare it with "
                                         "stream.{}.handles = 0, or use one of: {}",
                                         setting.key, setting.value, name,
                                         name.empty() ? "<name>" : name, fmt::join(names, ", ")));
}

Result<void> Reader::apply_stream(const Setting& setting) {
  const auto parts = split_at(setting.key, ".");
  if (parts.size() != 3 || !is_valid_name(parts[1])) {
    return error(setting.line,
                 fmt::format("unknown key '{}'; write stream.<name>.lifetime, .handles or .spread "
                             "with a name of letters, digits, '_' and '-'",
                             setting.key));
  }
  auto stream = std::ranges::find(file_.streams, parts[1], &StreamDeclaration::name);
  if (stream == file_.streams.end()) {
    StreamDeclaration fresh;
    fresh.name = parts[1];
    fresh.line = setting.line;
    stream = file_.streams.insert(stream, std::move(fresh));
  }
  if (parts[2] == "lifetime") {
    auto lifetime = parse_word(setting, kLifetimes);
    if (!lifetime) return fail(lifetime.error());
    stream->lifetime = *lifetime;
  } else if (parts[2] == "spread") {
    auto spread = parse_word(setting, kSpreads);
    if (!spread) return fail(spread.error());
    stream->spread = *spread;
  } else if (parts[2] == "handles") {
    auto handles = parse_handles(setting, true);
    if (!handles) return fail(handles.error());
    stream->handles = std::move(*handles);
  } else {
    return error(setting.line, fmt::format("a stream has no '{}' ('{}'); it has lifetime, handles "
                                           "and spread; everything else stands in front of the "
                                           "first [section]",
                                           parts[2], setting.key));
  }
  return {};
}

Result<void> Reader::apply(const Setting& setting) {
  if (setting.key == "rule") {
    rules_.push_back(setting);  // may name streams that are declared further down
    return {};
  }
  const auto [first, fresh] = first_line_of_.try_emplace(setting.key, setting.line);
  if (!fresh) {
    return error(setting.line, fmt::format("'{}' is set for the second time, first in line {}; "
                                           "keep one of the two",
                                           setting.key, first->second));
  }
  if (setting.key.starts_with("stream.")) return apply_stream(setting);
  if (setting.key == "description") {
    file_.description = setting.value;
  } else if (setting.key == "survivors") {
    survivors_ = setting;
  } else if (setting.key == "metadata.handles") {
    metadata_handles_ = setting;
  } else if (setting.key == "metadata.lifetime") {
    auto lifetime = parse_word(setting, kLifetimes);
    if (!lifetime) return fail(lifetime.error());
    file_.metadata_lifetime = *lifetime;
  } else if (setting.key == "reinsert_budget") {
    double budget = -1;
    const char* end = setting.value.data() + setting.value.size();
    const auto [stop, code] = std::from_chars(setting.value.data(), end, budget);
    if (code != std::errc{} || stop != end || !(budget >= 0 && budget <= 1)) {
      return error(setting.line, fmt::format("reinsert_budget = '{}' is no share of the written "
                                             "bytes; use a number from 0 to 1, such as 0.03",
                                             setting.value));
    }
    file_.reinsert_budget = budget;
  } else {
    return error(setting.line, fmt::format("unknown key '{}'; {}", setting.key, kValidKeys));
  }
  return {};
}

Result<Rule> Reader::parse_rule(const Setting& setting) const {
  const std::size_t arrow = setting.value.rfind("->");
  if (arrow == std::string::npos) {
    return error(setting.line, fmt::format("'rule = {}' has no target; write 'rule = <condition> "
                                           "[and <condition>…] -> <stream>'",
                                           setting.value));
  }
  Rule rule;
  auto stream = find_stream(setting, trimmed(std::string_view(setting.value).substr(arrow + 2)));
  if (!stream) return fail(stream.error());
  rule.stream = *stream;
  for (std::string_view term :
       split_at(trimmed(std::string_view(setting.value).substr(0, arrow)), " and ")) {
    auto condition = Condition::parse(term);
    if (!condition) {
      return error(setting.line,
                   fmt::format("in 'rule = {}': {}", setting.value, condition.error().what));
    }
    const auto asked = condition->asked_class();
    if (asked &&
        std::ranges::find(file_.streams, *asked, &StreamDeclaration::name) != file_.streams.end()) {
      return error(setting.line,
                   fmt::format("'{}' in 'rule = {}' never decides: objects that ask for the stream "
                               "'{}' go there before any rule is read; remove the condition, or "
                               "name a class that is no stream",
                               term, setting.value, *asked));
    }
    rule.conditions.push_back(std::move(*condition));
  }
  const bool has_catch_all = std::ranges::any_of(rule.conditions, &Condition::is_catch_all);
  if (has_catch_all && rule.conditions.size() > 1) {
    return error(setting.line, fmt::format("'*' in 'rule = {}' matches everything, so it stands "
                                           "alone; remove it or the other conditions",
                                           setting.value));
  }
  return rule;
}

Result<void> Reader::apply_rules() {
  std::optional<std::uint32_t> catch_all_line;
  for (const Setting& setting : rules_) {
    auto rule = parse_rule(setting);
    if (!rule) return fail(rule.error());
    if (catch_all_line) {
      return error(setting.line, fmt::format("'rule = {}' can never apply: the rule in line {} "
                                             "('*') takes every object; move it above that one",
                                             setting.value, *catch_all_line));
    }
    if (rule->conditions[0].is_catch_all()) catch_all_line = setting.line;
    file_.rules.push_back(std::move(*rule));
  }
  if (!catch_all_line) {
    return error(rules_.empty() ? last_line_ : rules_.back().line,
                 fmt::format("no rule takes the objects that are left; end the rules with "
                             "'rule = * -> {}'",
                             file_.streams.back().name));
  }
  return {};
}

Result<void> Reader::check_streams() const {
  if (file_.streams.empty()) {
    return error(last_line_, "no stream is declared; add for example 'stream.data.handles = 0'");
  }
  for (const StreamDeclaration& stream : file_.streams) {
    if (!stream.handles.empty()) continue;
    return error(stream.line, fmt::format("stream '{}' has no handles; add 'stream.{}.handles = 0' "
                                          "(or 1-2, or all)",
                                          stream.name, stream.name));
  }
  return {};
}

Result<void> Reader::check_metadata() {
  if (!metadata_handles_) return {};
  const Setting& setting = *metadata_handles_;
  if (setting.value == "own") {
    file_.metadata_separate = true;
    return {};
  }
  auto handles = parse_handles(setting, false);
  if (!handles) return fail(handles.error());
  std::bitset<kMaxHandles> wanted, shared;
  for (const NumberRange& range : *handles) {
    for (std::uint32_t handle = range.first; handle <= range.last; ++handle) wanted.set(handle);
  }
  for (const StreamDeclaration& stream : file_.streams) {
    for (const NumberRange& range : stream.handles) {
      for (std::uint32_t handle = range.first; handle < kMaxHandles; ++handle) {
        if (handle > range.last) break;
        shared.set(handle, shared[handle] || wanted[handle]);
      }
      // How far "2-" reaches depends on the device, so a number cannot say what is meant.
      if (range.last != NumberRange::kOpenEnd || shared.none()) continue;
      return error(setting.line,
                   fmt::format("metadata.handles = '{}' may or may not be a handle of the stream "
                               "'{}', which takes all there are; write 'metadata.handles = own', "
                               "or leave it out to keep metadata with the data",
                               setting.value, stream.name));
    }
  }
  if (shared.any() && shared != wanted) {
    return error(setting.line, fmt::format("metadata.handles = '{}' names handles of streams and "
                                           "others; name only handles of streams (metadata with "
                                           "the data), or none of them (metadata apart)",
                                           setting.value));
  }
  file_.metadata_separate = shared.none();
  return {};
}

Result<void> Reader::choose_survivors() {
  if (survivors_) {
    auto stream = find_stream(*survivors_, survivors_->value);
    if (!stream) return fail(stream.error());
    file_.survivors = *stream;
    return {};
  }
  // What has outlived its segment is expected to live on.
  const auto longest = std::ranges::max_element(file_.streams, {}, &StreamDeclaration::lifetime);
  file_.survivors = static_cast<std::size_t>(longest - file_.streams.begin());
  return {};
}

Result<PolicyFile> Reader::read(std::string_view text) {
  auto settings = split_lines(text);
  if (!settings) return fail(settings.error());
  for (const Setting& setting : *settings) {
    if (auto applied = apply(setting); !applied) return fail(applied.error());
  }
  if (auto checked = check_streams(); !checked) return fail(checked.error());
  if (auto checked = apply_rules(); !checked) return fail(checked.error());
  if (auto checked = check_metadata(); !checked) return fail(checked.error());
  if (auto checked = choose_survivors(); !checked) return fail(checked.error());
  return std::move(file_);
}

}  // namespace

Result<PolicyFile> parse_policy_file(std::string_view text, std::string_view origin) {
  return Reader(origin).read(text);
}

std::string_view lifetime_name(Lifetime lifetime) {
  for (const auto& word : kLifetimes) {
    if (word.value == lifetime) return word.name;
  }
  return "?";
}

}  // namespace fdpstore::placement
