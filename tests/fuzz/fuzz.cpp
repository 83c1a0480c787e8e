// Every parser of bytes that somebody else may have written, under libFuzzer: nothing may crash,
// run on, or allocate much, and what is accepted must hold its own promises.
//
// $FDPSTORE_FUZZ_TARGET names the target; tests/fuzz/run builds and runs all of them.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "fdpstore/options.hpp"
#include "fdpstore/store.hpp"
#include "format/codec.hpp"
#include "ftl/sim_parameters.hpp"
#include "io/nvme_data.hpp"
#include "objects/names.hpp"
#include "placement/policies.hpp"
#include "store/served_store.hpp"
#include "trace/formats.hpp"
#include "trace/recipe.hpp"

namespace fdpstore {
namespace {

using Bytes = std::span<const std::byte>;

std::string_view text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "broken promise: %s\n", what);
  std::abort();
}

// A block of the input's bytes. Half of the inputs get a checksum that holds, or no parser would be
// seen from inside: each structure has it in its last 8 bytes of fields, over the whole block.
std::vector<std::byte> block_of(Bytes bytes, std::size_t struct_bytes, std::size_t xxh3_at) {
  std::vector<std::byte> block(format::kBlockBytes);
  const bool mend = !bytes.empty() && (bytes[0] & std::byte{1}) != std::byte{0};
  if (!bytes.empty()) bytes = bytes.subspan(1);
  std::memcpy(block.data(), bytes.data(), std::min(bytes.size(), block.size()));
  if (mend && struct_bytes <= block.size()) {
    std::memset(block.data() + xxh3_at, 0, 8);
    const std::uint64_t sum = format::seeded_checksum(0, block);
    std::memcpy(block.data() + xxh3_at, &sum, sizeof sum);
  }
  return block;
}

constexpr format::Uuid kUuid{1, 2, 3};

void superblock(Bytes bytes) {
  const auto block = block_of(bytes, sizeof(format::Superblock), 4088);
  const auto decoded = format::decode_superblock(block);
  if (!decoded) return;
  std::vector<std::byte> again(format::kBlockBytes);
  format::encode(*decoded, again);
  require(again == block, "a superblock is encoded as it was");
}

void segment_header(Bytes bytes) {
  (void)format::decode_segment_header(block_of(bytes, 64, 56), kUuid, 5);
  (void)format::decode_segment_footer(block_of(bytes, 64, 56), kUuid, 5, 42);
}

void record_header(Bytes bytes) {
  const auto block = block_of(bytes, 120, 112);
  const auto record = format::decode_record_header(block, {kUuid, 5, 42, 8192});
  if (!record || record->kind != format::RecordKind::object) return;
  const KeyRef& key = record->object.key;
  require(key.chunk_hash.size() <= kMaxHashBytes && key.model_name.size() <= kMaxModelNameBytes &&
              key.cache_salt.size() <= kMaxSaltBytes,
          "a key is within its limits");
  require(record->object.payload_bytes <= format::kMaxLengthBytes, "a length is bounded");
}

void summary(Bytes bytes) {
  (void)format::visit_summary(bytes, [](const format::SummaryItem& item) {
    require(item.offset_bytes <= format::kMaxLengthBytes, "an offset is bounded");
    require(item.object.payload_bytes <= format::kMaxLengthBytes, "a length is bounded");
    require(item.object.key.chunk_hash.size() <= kMaxHashBytes, "a hash is bounded");
  });
}

void metadata_log(Bytes bytes) {
  (void)format::visit_tombstones(bytes, [](const format::Tombstone& tombstone) {
    require(tombstone.key.cache_salt.size() <= kMaxSaltBytes, "a salt is bounded");
  });
  (void)format::visit_freed(bytes, [](const format::FreedEntry&) {});
  (void)format::visit_footers(bytes, kUuid, [](const format::SegmentFooter& footer) {
    require(footer.last_summary <= footer.used_bytes, "a summary lies inside");
  });
}

void policy_file(Bytes bytes) {
  const auto policy =
      placement::parse_policy(text_of(bytes), "fuzz", {.data_handles = 4, .reason = "fuzz"});
  if (!policy) return;
  require(!(*policy)->streams().empty(), "a policy has a stream");
  ObjectFacts facts;
  const std::array<std::byte, 4> hash{};
  facts.key = {.chunk_hash = hash,
               .model_name = "m",
               .kv_rank = 1,
               .object_group_id = 0,
               .cache_salt = "acme:x"};
  facts.size_bytes = 1 << 20;
  require((*policy)->place(facts).value < (*policy)->streams().size(), "a stream exists");
}

void policy_state(Bytes bytes) {
  static const std::array<const char*, 4> kNames{"tenant", "tenant-rank", "lifetime", "per-prompt"};
  if (bytes.empty()) return;
  const auto which = static_cast<std::size_t>(bytes[0]) % kNames.size();
  auto policy = placement::load_policy(kNames[which], {.data_handles = 4, .reason = "fuzz"});
  require(policy.has_value(), "a shipped policy is there");
  (void)(*policy)->restore_state(text_of(bytes.subspan(1)));
  const std::string saved = (*policy)->save_state();
  (void)(*policy)->restore_state(saved);
}

void trace_jsonl(Bytes bytes) {
  std::istringstream file{std::string(text_of(bytes))};
  (void)trace::read_jsonl(file, "fuzz", {});
}

void trace_lct(Bytes bytes) {
  std::istringstream file{std::string(text_of(bytes))};
  (void)trace::read_lct(file, "fuzz", bytes.size(), {});
}

void trace_recipe(Bytes bytes) {
  (void)trace::parse_recipe(text_of(bytes));
}

// Any text as a file name, and any bytes as a key: a name never leads out of its directory.
void names(Bytes bytes) {
  const std::string_view text = text_of(bytes);
  if (const auto key = objects::parse_name(text)) {
    objects::NameBuilder builder;
    const auto name = builder.build(key->ref());
    require(name && name->file == text, "an ordinary name is the name of its key");
  }
  (void)objects::split_name(text);
  if (const auto key = objects::decode_key(bytes)) {
    objects::NameBuilder builder;
    const auto name = builder.build(key->ref());
    if (!name) return;
    const bool plain = name->file.find('/') == std::string::npos &&
                       name->file.find('\0') == std::string::npos && name->file != "." &&
                       name->file != ".." && name->file.size() <= objects::kMaxFileNameBytes;
    require(plain, "a name stays in its directory");
  }
}

void nvme(Bytes bytes) {
  (void)io::parse_identify_namespace(bytes);
  (void)io::parse_identify_controller(bytes);
  (void)io::parse_deallocate_limits(bytes);
  (void)io::parse_handle_status(bytes);
  (void)io::parse_fdp_configurations(bytes);
  (void)io::parse_fdp_events(bytes);
}

void options(Bytes bytes) {
  const auto parsed = parse_options(text_of(bytes));
  if (!parsed) return;
  require(check_options(*parsed).has_value(), "parsed options are checked ones");
  const auto again = parse_options(to_json(*parsed));
  require(again.has_value(), "options are written as they are read");
}

void sim_uri(Bytes bytes) {
  (void)ftl::parse_sim_uri(text_of(bytes));
}

// A store that has nothing, for the questions of the diagnostics socket.
class EmptyStore final : public Store {
 public:
  Result<TaskId> submit_put(std::span<const PutItem>) override { return 1; }
  Result<TaskId> submit_get(std::span<const GetItem>) override { return 1; }
  Result<TaskId> submit_lookup(std::span<const KeyRef>, bool) override { return 1; }
  int event_fd(TaskKind) const override { return -1; }
  std::vector<TaskResult> take_completed(TaskKind) override { return {}; }
  std::vector<DroppedKey> take_dropped() override { return {}; }
  void unlock(std::span<const KeyRef>) override {}
  Result<std::vector<std::optional<std::uint64_t>>> erase(std::span<const KeyRef>) override {
    return {};
  }
  Result<KeyPage> list(std::string_view, std::size_t page_size, std::string_view) override {
    require(page_size <= store::kMaxPageKeys, "a page is bounded");
    return KeyPage{};
  }
  StoreStatus status() override { return {}; }
  Result<void> register_memory(std::span<std::byte>) override { return {}; }
  Result<void> close() override { return {}; }
};

void diagnostics(Bytes bytes) {
  static EmptyStore empty;
  static store::CallRecorder recorder;
  const std::string answer = store::answer_question(empty, recorder, text_of(bytes));
  require(!answer.empty() && answer.find('\n') == std::string::npos, "an answer is one line");
}

struct Target {
  std::string_view name;
  void (*run)(Bytes);
};
constexpr std::array kTargets{
    Target{"superblock", superblock},
    Target{"segment-header", segment_header},
    Target{"record-header", record_header},
    Target{"summary", summary},
    Target{"metadata-log", metadata_log},
    Target{"policy-file", policy_file},
    Target{"policy-state", policy_state},
    Target{"trace-jsonl", trace_jsonl},
    Target{"trace-lct", trace_lct},
    Target{"trace-recipe", trace_recipe},
    Target{"names", names},
    Target{"nvme", nvme},
    Target{"options", options},
    Target{"sim-uri", sim_uri},
    Target{"diagnostics", diagnostics},
};

const Target* chosen() {
  const char* name = std::getenv("FDPSTORE_FUZZ_TARGET");  // NOLINT(concurrency-mt-unsafe)
  for (const Target& target : kTargets) {
    if (name != nullptr && target.name == name) return &target;
  }
  std::fprintf(stderr, "set FDPSTORE_FUZZ_TARGET to one of:");
  for (const Target& target : kTargets) std::fprintf(stderr, " %s", target.name.data());
  std::fprintf(stderr, "\n");
  std::_Exit(2);  // NOLINT(concurrency-mt-unsafe)
}

}  // namespace
}  // namespace fdpstore

// Before libFuzzer looks at anything.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  (void)fdpstore::chosen();
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fdpstore::Target* target = fdpstore::chosen();
  target->run({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
