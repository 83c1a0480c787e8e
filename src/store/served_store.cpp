#include "store/served_store.hpp"

#include <algorithm>
#include <mutex>

#include <fmt/format.h>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "common/log.hpp"
#include "store/reports_json.hpp"

namespace fdpstore::store {
namespace {

namespace json = boost::json;
using trace::LctCall;

constexpr std::size_t kMaxTakenBytes = 4U << 20;  // of a recording, in one answer

class ServedStore final : public Store {
 public:
  ServedStore(std::unique_ptr<Store> store, const std::string& base_path)
      : store_(std::move(store)) {
    const StoreInfo info = store_->status().info;
    auto name = info.store_uuid.empty() ? socket_name_of_directory(base_path)
                                        : socket_name_of_uuid(info.store_uuid);
    auto started = name ? start(*name) : fail(std::move(name.error()));
    if (started) return;
    warning_ = fmt::format("other processes cannot look into this store while it is open: {}",
                           started.error().message());
    log().warn("{}: {}", base_path, warning_);
  }
  ~ServedStore() override { server_.reset(); }

  Result<TaskId> submit_put(std::span<const PutItem> items) override {
    if (recorder_.on()) record_items(LctCall::store, items, &PutItem::bytes);
    return store_->submit_put(items);
  }
  Result<TaskId> submit_get(std::span<const GetItem> items) override {
    if (recorder_.on()) record_items(LctCall::load, items, &GetItem::buffer);
    return store_->submit_get(items);
  }
  Result<TaskId> submit_lookup(std::span<const KeyRef> keys, bool lock) override {
    if (recorder_.on()) recorder_.record(LctCall::lookup, keys, {});
    return store_->submit_lookup(keys, lock);
  }
  int event_fd(TaskKind kind) const override { return store_->event_fd(kind); }
  std::vector<TaskResult> take_completed(TaskKind kind) override {
    return store_->take_completed(kind);
  }
  std::vector<DroppedKey> take_dropped() override { return store_->take_dropped(); }
  void unlock(std::span<const KeyRef> keys) override {
    if (recorder_.on()) recorder_.record(LctCall::unlock, keys, {});
    store_->unlock(keys);
  }
  Result<std::vector<std::optional<std::uint64_t>>> erase(std::span<const KeyRef> keys) override {
    if (recorder_.on()) recorder_.record(LctCall::erase, keys, {});
    return store_->erase(keys);
  }
  Result<KeyPage> list(std::string_view cursor, std::size_t page_size,
                       std::string_view model_name) override {
    return store_->list(cursor, page_size, model_name);
  }
  StoreStatus status() override {
    StoreStatus status = store_->status();
    if (!warning_.empty()) status.warnings.push_back(warning_);
    return status;
  }
  Result<void> register_memory(std::span<std::byte> memory) override {
    return store_->register_memory(memory);
  }
  Result<void> close() override {
    {
      const std::lock_guard guard(close_mutex_);
      server_.reset();
    }
    return store_->close();
  }

 private:
  template <class Item, class Bytes>
  void record_items(LctCall call, std::span<const Item> items, Bytes Item::* bytes) {
    std::vector<KeyRef> keys;
    std::vector<std::uint64_t> sizes;
    keys.reserve(items.size());
    sizes.reserve(items.size());
    for (const Item& item : items) {
      keys.push_back(item.key);
      sizes.push_back((item.*bytes).size());
    }
    recorder_.record(call, keys, sizes);
  }

  Result<void> start(const std::string& socket_name) {
    auto server = DiagnosticsServer::start(socket_name, [this](std::string_view line) {
      return answer_question(*store_, recorder_, line);
    });
    if (!server) return fail(std::move(server.error()));
    server_ = std::move(*server);
    return {};
  }

  std::unique_ptr<Store> store_;
  CallRecorder recorder_;
  std::string warning_;
  std::mutex close_mutex_;  // close() may be called by several threads
  std::unique_ptr<DiagnosticsServer> server_;
};

json::object error_object(const Error& error) {
  return {{"error", valid_utf8(error.message())}};
}

json::object list_page(Store& store, const json::object& question) {
  const auto cursor = from_hex(question.at("cursor").as_string());
  if (!cursor) return {{"error", cursor.error().message()}};
  const auto limit = question.at("limit").to_number<std::uint64_t>();
  const auto page = store.list(*cursor, std::clamp<std::uint64_t>(limit, 1, kMaxPageKeys),
                               question.at("model").as_string());
  if (!page) return {{"error", valid_utf8(page.error().message())}};
  json::array keys;
  for (const ListedKey& one : page->keys) keys.push_back(to_object(one));
  return {{"keys", std::move(keys)}, {"next", to_hex(page->next)}};
}

json::object answer_trace(CallRecorder& recorder, const json::object& question) {
  const std::string_view what = question.at("do").as_string();
  if (what == "on") {
    const auto recording = recorder.start();
    if (!recording) return error_object(recording.error());
    return {{"recording", *recording}};
  }
  const auto recording = question.at("recording").to_number<std::uint64_t>();
  if (what != "take" && what != "off") return {{"error", "trace is on, take or off"}};
  const auto taken =
      what == "take" ? recorder.take(recording, kMaxTakenBytes) : recorder.stop(recording);
  if (!taken) return error_object(taken.error());
  return {{"frames", to_hex(taken->frames)},
          {"calls", taken->calls},
          {"lost_calls", taken->lost_calls}};
}

}  // namespace

std::unique_ptr<Store> serve_diagnostics(std::unique_ptr<Store> store,
                                         const std::string& base_path) {
  return std::make_unique<ServedStore>(std::move(store), base_path);
}

Result<json::value> ask_for(DiagnosticsClient& client, const json::object& question,
                            const char* field) {
  auto line = client.ask(json::serialize(question));
  if (!line) return fail(std::move(line.error()));
  boost::system::error_code error;
  json::value answer = json::parse(*line, error);
  if (error || !answer.is_object()) {
    return fail(Errc::corrupt, "the process that has the store open gave no valid answer");
  }
  if (const json::value* problem = answer.get_object().if_contains("error")) {
    return fail(Errc::invalid_argument, problem->is_string() ? std::string(problem->get_string())
                                                             : json::serialize(*problem));
  }
  if (!answer.get_object().contains(field)) {
    return fail(Errc::version_mismatch,
                "the process that has the store open is of another version of fdpstore");
  }
  return answer;
}

std::string answer_question(Store& store, CallRecorder& recorder, std::string_view line) {
  try {
    const json::value question = json::parse(line);
    const json::object& object = question.as_object();
    const std::string_view what = object.at("ask").as_string();
    if (what == "stat") return fmt::format("{{\"status\":{}}}", to_json(store.status()));
    if (what == "ls") return json::serialize(list_page(store, object));
    if (what == "trace") return json::serialize(answer_trace(recorder, object));
    return R"({"error":"this version answers stat, ls and trace"})";
  } catch (const std::exception& error) {
    return json::serialize(
        json::object{{"error", fmt::format("no valid question: {}", error.what())}});
  }
}

Result<json::value> ask_status(DiagnosticsClient& client) {
  auto answer = ask_for(client, {{"ask", "stat"}}, "status");
  if (!answer) return answer;
  return answer->get_object()["status"];
}

Result<KeyPage> ask_keys(DiagnosticsClient& client, std::string_view cursor, std::size_t limit,
                         std::string_view model_name) {
  auto answer = ask_for(
      client, {{"ask", "ls"}, {"cursor", to_hex(cursor)}, {"limit", limit}, {"model", model_name}},
      "keys");
  if (!answer) return fail(std::move(answer.error()));
  try {
    KeyPage page;
    for (const json::value& one : answer->at("keys").as_array()) {
      const json::object& fields = one.as_object();
      const auto hash = from_hex(fields.at("chunk_hash").as_string());
      if (!hash) return fail(hash.error());
      const auto bytes = std::as_bytes(std::span(*hash));
      page.keys.push_back(
          {ObjectKey(
               KeyRef{.chunk_hash = bytes,
                      .model_name = fields.at("model_name").as_string(),
                      .kv_rank = fields.at("kv_rank").to_number<std::uint64_t>(),
                      .object_group_id = fields.at("object_group_id").to_number<std::uint32_t>(),
                      .cache_salt = fields.at("cache_salt").as_string()}),
           fields.at("bytes").to_number<std::uint64_t>()});
    }
    auto next = from_hex(answer->at("next").as_string());
    if (!next) return fail(std::move(next.error()));
    page.next = std::move(*next);
    return page;
  } catch (const std::exception& error) {
    return fail(
        Errc::corrupt,
        fmt::format("the process that has the store open gave no valid answer: {}", error.what()));
  }
}

}  // namespace fdpstore::store
