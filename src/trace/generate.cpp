// Generators: from a model in numbers to a trace. One function per kind of model.
#include <algorithm>
#include <cmath>
#include <limits>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "trace/models.hpp"
#include "trace/recipe.hpp"

namespace fdpstore::trace {
namespace {

using Ids = std::vector<std::uint64_t>;

// One worker: a row with the recipe's changes applied.
struct Load {
  const RecipeRow* row = nullptr;
  std::uint64_t seed = 1;
  std::uint64_t object_bytes = 0;
  std::uint64_t requests = 0;
  std::uint32_t tenants = 1;
  std::uint32_t ranks = 1;
  double duration_s = kDurationS;
  double scale = 1;
  std::uint64_t first_id = 0;
  std::uint64_t most_ids = 0;  // ends with the request that reaches so many; 0: after `requests`
  std::string salt{};          // of all its tenants when not empty
  std::uint64_t kv_rank = 0;   // instead of the ranks' when not 0
};

// A worker of a mix may take so many times the requests foreseen to reach its bytes.
constexpr std::uint64_t kMostStretch = 16;

std::uint64_t kv_rank_of(std::uint64_t world, std::uint64_t rank) {
  return world << 24 | rank << 16 | world << 8 | rank;
}

std::uint32_t scaled(std::uint32_t number, double scale) {
  return static_cast<std::uint32_t>(std::clamp(std::round(number * scale), 1.0, 1e9));
}

// The trace as it grows: gives out ids, and writes an op per rank.
class Writer {
 public:
  explicit Writer(const Load& load)
      : load_(load), next_id_(load.first_id), random_(load.seed), tenants_(load.tenants, 1.0) {
    for (std::uint32_t tenant = 0; tenant < load.tenants; ++tenant) {
      for (std::uint32_t rank = 0; rank < load.ranks; ++rank) {
        trace_.scopes.push_back(
            {.kv_rank = load.kv_rank != 0 ? load.kv_rank : kv_rank_of(load.ranks, rank),
             .cache_salt =
                 load.salt.empty() ? fmt::format("{}-{}", load.row->salt, tenant) : load.salt,
             .storage_class = std::string(load.row->storage_class)});
      }
    }
  }

  [[nodiscard]] Random& random() { return random_; }
  [[nodiscard]] std::uint32_t any_tenant() { return static_cast<std::uint32_t>(tenants_(random_)); }
  [[nodiscard]] std::uint64_t fresh_ids(std::uint64_t count) {
    return std::exchange(next_id_, next_id_ + count);
  }
  void append_fresh(Ids& ids, std::uint64_t count) {
    for (std::uint64_t id = fresh_ids(count); id < next_id_; ++id) ids.push_back(id);
  }

  [[nodiscard]] bool wants_more(std::uint64_t requests_made) const {
    if (load_.most_ids == 0 || requests_made == 0) return requests_made < load_.requests;
    return ids_given() < load_.most_ids && requests_made < kMostStretch * load_.requests;
  }

  void add(double time_s, OpKind kind, std::uint32_t tenant, const Ids& ids) {
    const std::uint64_t first = trace_.keys.size();
    trace_.keys.insert(trace_.keys.end(), ids.begin(), ids.end());
    for (std::uint32_t rank = 0; rank < load_.ranks; ++rank) {
      trace_.ops.push_back({.time_s = std::round(time_s * 1000) / 1000,
                            .kind = kind,
                            .scope = static_cast<std::uint16_t>(tenant * load_.ranks + rank),
                            .keys = static_cast<std::uint32_t>(ids.size()),
                            .first_key = first,
                            .object_bytes = load_.object_bytes,
                            .key_tokens = kChunkTokens});
    }
  }
  [[nodiscard]] std::uint64_t ids_given() const { return next_id_ - load_.first_id; }
  [[nodiscard]] Trace take() { return std::move(trace_); }

 private:
  const Load& load_;
  Trace trace_;
  std::uint64_t next_id_;
  Random random_;
  Zipf tenants_;
};

struct SystemPrompt {
  Ids ids;
  double ends_s = 0;
};

struct Talk {
  double next_s = 0;
  std::uint64_t number = 0;  // orders equal times
  std::uint32_t tenant = 0;
  std::uint32_t turns_left = 0;
  std::size_t prompt_size = 0;
  std::size_t last_turn_at = 0;  // where in `context` the last turn's chunks begin
  Ids context{};
  [[nodiscard]] bool operator>(const Talk& other) const {
    return std::pair(next_s, number) > std::pair(other.next_s, other.number);
  }
};

class TalkGenerator {
 public:
  TalkGenerator(const Talks& model, Writer& writer, std::uint32_t tenants)
      : model_(model),
        writer_(writer),
        popularity_(model.prompts, 1.0),
        prompts_(static_cast<std::size_t>(model.prompts) * tenants) {}

  void run(std::uint64_t requests, double duration_s) {
    const double gap_s = duration_s * mean_turns() / static_cast<double>(requests);
    double arrival_s = 0;
    std::priority_queue<Talk, std::vector<Talk>, std::greater<>> running;
    for (std::uint64_t made = 0, number = 0; writer_.wants_more(made);) {
      if (running.empty() || arrival_s <= running.top().next_s) {
        running.push(start(arrival_s, ++number));
        arrival_s += writer_.random().exponential(gap_s);
        continue;
      }
      Talk talk = running.top();
      running.pop();
      take_turn(talk);
      ++made;
      if (talk.turns_left > 0) running.push(std::move(talk));
    }
  }

 private:
  double mean_turns() const {
    Random random(1);
    double sum = 0;
    constexpr int kSamples = 2000;
    for (int i = 0; i < kSamples; ++i) sum += random.count(model_.turns);
    return sum / kSamples;
  }

  const Ids& prompt_of(std::uint32_t tenant, double now_s) {
    Random& random = writer_.random();
    SystemPrompt& prompt = prompts_[std::size_t{tenant} * model_.prompts + popularity_(random)];
    if (prompt.ids.empty() || now_s >= prompt.ends_s) {
      prompt.ids.clear();
      writer_.append_fresh(prompt.ids, random.count(model_.prompt_chunks));
      prompt.ends_s = now_s + random.real(model_.prompt_life_s);
    }
    return prompt.ids;
  }

  Talk start(double now_s, std::uint64_t number) {
    Talk talk{.next_s = now_s, .number = number, .tenant = writer_.any_tenant()};
    talk.turns_left = writer_.random().count(model_.turns);
    talk.context = prompt_of(talk.tenant, now_s);
    talk.prompt_size = talk.last_turn_at = talk.context.size();
    writer_.append_fresh(talk.context, writer_.random().count(model_.first_chunks));
    return talk;
  }

  // Asks for all of the context, then thinks of what comes next.
  void take_turn(Talk& talk) {
    writer_.add(talk.next_s, OpKind::request, talk.tenant, talk.context);
    if (--talk.turns_left == 0) return;
    Random& random = writer_.random();
    talk.next_s += random.real(model_.think_s);
    if (random.chance(model_.redo_share)) {
      talk.context.resize(talk.last_turn_at);
    } else {
      talk.last_turn_at = talk.context.size();
    }
    writer_.append_fresh(talk.context, random.count(model_.growth_chunks));
    if (talk.context.size() > model_.most_chunks) {
      talk.context.resize(talk.prompt_size);
      talk.last_turn_at = talk.prompt_size;
      writer_.append_fresh(talk.context, std::max(1U, model_.most_chunks / 8));
    }
  }

  const Talks& model_;
  Writer& writer_;
  Zipf popularity_;
  std::vector<SystemPrompt> prompts_;  // of tenant 0, then of tenant 1, …
};

void run(const Talks& model, const Load& load, Writer& writer) {
  TalkGenerator(model, writer, load.tenants).run(load.requests, load.duration_s);
}

// `count` different ranks, the popular ones more likely to come first.
Ids pick_different(const Zipf& popularity, Random& random, std::uint64_t count) {
  Ids picked;
  while (picked.size() < count) {
    const std::uint64_t one = popularity(random);
    if (std::ranges::find(picked, one) == picked.end()) picked.push_back(one);
  }
  return picked;
}

void run(const Documents& model, const Load& load, Writer& writer) {
  Random& random = writer.random();
  const std::uint64_t documents =
      scaled(model.documents, load.scale / load.tenants);  // of each tenant
  const Zipf popularity(documents, model.zipf);
  std::vector<Ids> prompts(load.tenants);
  for (Ids& prompt : prompts) writer.append_fresh(prompt, random.count(model.prompt_chunks));
  std::vector<std::uint32_t> lengths(documents * load.tenants);
  for (std::uint32_t& length : lengths) length = random.count(model.document_chunks);
  // Where the ids of a document begin that follows a given chunk.
  std::unordered_map<std::uint64_t, std::uint64_t> known;

  double now_s = 0;
  for (std::uint64_t made = 0; writer.wants_more(made); ++made) {
    const std::uint32_t tenant = writer.any_tenant();
    Ids context = prompts[tenant];
    const auto wanted = std::min<std::uint64_t>(random.count(model.per_request), documents);
    for (const std::uint64_t document : pick_different(popularity, random, wanted)) {
      const std::uint32_t length = lengths[tenant * documents + document];
      const auto [place, is_new] = known.try_emplace(context.back() * documents + document, 0);
      if (is_new) place->second = writer.fresh_ids(length);
      for (std::uint32_t i = 0; i < length; ++i) context.push_back(place->second + i);
    }
    writer.append_fresh(context, random.count(model.question_chunks));
    writer.add(now_s, OpKind::request, tenant, context);
    now_s += random.exponential(load.duration_s / static_cast<double>(load.requests));
  }
}

void run(const Items& model, const Load& load, Writer& writer) {
  Random& random = writer.random();
  const std::uint64_t items = scaled(model.items, load.scale / load.tenants);  // of each tenant
  const Zipf popularity(items, model.zipf);
  struct Item {
    std::uint64_t first_id = 0;
    std::uint64_t most_ids = 0;  // ends with the request that reaches so many; 0: after `requests`
    std::uint32_t chunks = 0;    // 0: not made yet
  };
  std::vector<Item> all(items * load.tenants);

  double now_s = 0;
  Ids asked, replaced;
  for (std::uint64_t made = 0; writer.wants_more(made); ++made) {
    const std::uint32_t tenant = writer.any_tenant();
    const auto wanted = std::min<std::uint64_t>(random.count(model.per_request), items);
    asked.clear();
    replaced.clear();
    for (const std::uint64_t rank : pick_different(popularity, random, wanted)) {
      Item& item = all[tenant * items + rank];
      const bool is_new = item.chunks == 0;
      if (is_new) {
        item.chunks = random.count(model.chunks);
        item.first_id = writer.fresh_ids(item.chunks);
      }
      for (std::uint32_t i = 0; i < item.chunks; ++i) {
        asked.push_back(item.first_id + i);
        if (!is_new) replaced.push_back(item.first_id + i);
      }
      if (random.chance(model.churn)) item.chunks = 0;
    }
    if (!model.overwrite) {
      writer.add(now_s, OpKind::request, tenant, asked);
    } else {
      if (!replaced.empty()) writer.add(now_s, OpKind::erase, tenant, replaced);
      writer.add(now_s, OpKind::store, tenant, asked);
    }
    now_s += random.exponential(load.duration_s / static_cast<double>(load.requests));
  }
}

struct Made {
  Trace trace;
  std::uint64_t unique = 0;  // ids
};

Made make(const Load& load) {
  Writer writer(load);
  std::visit([&](const auto& model) { run(model, load, writer); }, load.row->model);
  const std::uint64_t unique = writer.ids_given();
  return {writer.take(), unique};
}

Load load_of(const RecipeRow& row, const Recipe& recipe) {
  const double wanted = recipe.requests != 0
                            ? static_cast<double>(recipe.requests)
                            : static_cast<double>(row.info.requests) * recipe.scale;
  return {.row = &row,
          .seed = recipe.seed,
          .object_bytes = recipe.object_bytes != 0 ? recipe.object_bytes : row.info.object_bytes,
          .requests = static_cast<std::uint64_t>(std::max(1.0, std::round(wanted))),
          .tenants =
              static_cast<std::uint32_t>(recipe.tenants != 0 ? recipe.tenants : row.info.tenants),
          .ranks = static_cast<std::uint32_t>(std::max<std::uint64_t>(recipe.ranks, 1)),
          .duration_s = recipe.duration_s > 0 ? recipe.duration_s : kDurationS,
          .scale = recipe.scale};
}

// Appends the parts in order of time; of equal times the earlier part first.
void merge(std::vector<Trace> parts, Trace& trace) {
  for (Trace& part : parts) {
    const auto first_scope = static_cast<std::uint16_t>(trace.scopes.size());
    const std::uint64_t first_key = trace.keys.size();
    for (Op op : part.ops) {
      op.scope = static_cast<std::uint16_t>(op.scope + first_scope);
      op.first_key += first_key;
      trace.ops.push_back(op);
    }
    std::ranges::move(part.scopes, std::back_inserter(trace.scopes));
    trace.keys.insert(trace.keys.end(), part.keys.begin(), part.keys.end());
  }
  std::ranges::stable_sort(trace.ops, {}, &Op::time_s);
}

// Times from 0 to the duration, whole milliseconds.
void stretch(Trace& trace, double duration_s) {
  const double last_s = trace.ops.back().time_s;
  if (last_s == 0) return;
  for (Op& op : trace.ops) op.time_s = std::round(op.time_s / last_s * duration_s * 1000) / 1000;
}

// The workers of a mix touch about the same number of bytes each, and all are at work to the end:
// a first run at scale 1 tells which scale comes near, and the second ends where it has got there.
// Of a fixed set of items all is touched by the number of requests.
std::vector<Trace> make_workers(const RecipeRow& mix, const Recipe& recipe, double scale) {
  std::vector<Trace> parts;
  std::uint64_t first_id = 0;
  for (std::size_t i = 0; i < mix.workers.size(); ++i) {
    const RecipeRow& row = *find_recipe(mix.workers[i]);
    Recipe own{.name = std::string(mix.workers[i]),
               .seed = recipe.seed * mix.workers.size() + i,
               .object_bytes = recipe.object_bytes,
               .tenants = 1,
               .duration_s = recipe.duration_s};
    const Load trial = load_of(row, own);
    const double wanted_ids =
        static_cast<double>(kMixWorkerBytes) * scale / static_cast<double>(trial.object_bytes);
    own.scale = wanted_ids / static_cast<double>(make(trial).unique);
    Load load = load_of(row, own);
    load.first_id = first_id;
    load.salt = fmt::format("{}-{}", row.salt, i);
    load.kv_rank = kv_rank_of(mix.workers.size(), i);
    if (!std::holds_alternative<Items>(row.model)) {
      load.most_ids = static_cast<std::uint64_t>(std::max(1.0, std::round(wanted_ids)));
    }
    Made made = make(load);
    stretch(made.trace, load.duration_s);
    first_id += made.unique;
    parts.push_back(std::move(made.trace));
  }
  return parts;
}

Result<void> make_mix(const RecipeRow& mix, const Recipe& recipe, Trace& trace) {
  if (recipe.tenants > 1 || recipe.ranks > 1) {
    return fail(Errc::invalid_argument,
                fmt::format("{} has nine workers, each a tenant and a rank of its own: leave out "
                            "tenants and ranks",
                            mix.info.name));
  }
  double scale = recipe.scale;
  if (recipe.requests != 0) {
    std::uint64_t requests = 0;
    for (const Trace& part : make_workers(mix, recipe, 1)) requests += part.ops.size();
    scale = static_cast<double>(recipe.requests) / static_cast<double>(requests);
  }
  merge(make_workers(mix, recipe, scale), trace);
  return {};
}

}  // namespace

Result<Trace> generate(const Recipe& recipe) {
  const RecipeRow* row = find_recipe(recipe.name);
  if (row == nullptr) {
    auto unknown = parse_recipe(recipe.name);
    return fail(std::move(unknown.error()));
  }
  Trace trace;
  if (!row->workers.empty()) {
    if (auto made = make_mix(*row, recipe, trace); !made) return fail(std::move(made.error()));
  } else {
    const Load load = load_of(*row, recipe);
    if (static_cast<std::uint64_t>(load.tenants) * load.ranks >
        std::numeric_limits<std::uint16_t>::max()) {
      return fail(Errc::invalid_argument,
                  fmt::format("{} tenants of {} ranks: a trace has at most 65535 scopes",
                              load.tenants, load.ranks));
    }
    trace = make(load).trace;
  }
  trace.name = recipe.name;
  trace.origin = command_of(recipe);
  return trace;
}

}  // namespace fdpstore::trace
