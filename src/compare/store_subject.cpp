// Our store, as it is: on a simulated device, whose time counts, or on a real one.
#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include <fmt/format.h>
#include <boost/filesystem/operations.hpp>

#include "compare/oracle.hpp"
#include "compare/simulated.hpp"
#include "compare/subject.hpp"
#include "fdpstore/store.hpp"
#include "ftl/sim_backend.hpp"
#include "ftl/sim_device.hpp"
#include "store/open_on.hpp"

namespace fdpstore::compare {
namespace {

constexpr std::string_view kOracle = "oracle";
constexpr std::uint64_t kNeighbourWrite = 4096;

class StoreSubject final : public SubjectUnderTest {
 public:
  explicit StoreSubject(const Cell& cell) : cell_(cell), random_(0x9E3779B97F4A7C15ULL) {}
  ~StoreSubject() override {
    store_.reset();
    remove_directory();
  }

  fdpstore::Result<void> open(std::uint64_t max_object_bytes) {
    Options options;
    options.layout = Layout::segment;
    options.max_object_bytes = max_object_bytes;
    options.policy = policy_name();
    std::unique_ptr<Lineage> lineage;
    if (cell_.policy == kOracle) {
      auto oracle = std::make_unique<Oracle>();
      oracle_ = oracle.get();
      lineage = std::move(oracle);
    }
    if (ftl::is_sim_uri(cell_.device)) return open_simulated(options, std::move(lineage));
    if (lineage) {
      return fail(Errc::unsupported, "policy oracle needs a simulated device (sim:…)");
    }
    return open_real(options);
  }

  fdpstore::Result<Outcome> run(const Request& request) override {
    if (device_) device_->clock().advance_to(request.time_s);
    const trace::Op& op = *request.op;
    fill_keys(request);
    if (oracle_ != nullptr) oracle_->tell(request.next_uses, request.position);
    using trace::OpKind;
    if (op.kind == OpKind::erase) {
      auto erased = store_->erase(keys_);
      if (!erased) return fail(std::move(erased.error()));
      return Outcome{};
    }
    Outcome outcome;
    auto looked_up = lookup_and_wait(*store_, keys_, true);
    if (!looked_up) return fail(std::move(looked_up.error()));
    bool leading = true;
    for (const KeyStatus status : looked_up->keys) {
      const bool hit = status == KeyStatus::hit;
      leading = leading && hit;
      outcome.leading += leading ? 1 : 0;
      outcome.present += hit ? 1 : 0;
    }
    if (op.kind == OpKind::request || op.kind == OpKind::load) {
      if (auto loaded = load(op, outcome); !loaded) return fail(std::move(loaded.error()));
    }
    locked_.clear();
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (looked_up->keys[i] == KeyStatus::hit) locked_.push_back(keys_[i]);
    }
    store_->unlock(locked_);
    if (op.kind == OpKind::request || op.kind == OpKind::store) {
      if (auto put = store(request, *looked_up, outcome); !put) return fail(std::move(put.error()));
    }
    if (cell_.neighbour_share > 0) disturb(outcome.stored * op.object_bytes);
    (void)store_->take_dropped();
    return outcome;
  }

  fdpstore::Result<Counts> counts() override {
    const StoreInfo info = store_->status().info;
    Counts counts;
    counts.stored_objects = info.stored_objects;
    counts.stored_bytes = info.stored_bytes;
    counts.host_written_bytes = info.host_written_bytes;
    counts.reinserted_bytes = info.reinserted_bytes;
    if (device_) {
      count_device(*device_, counts);
      return counts;
    }
    counts.clock_s = steady_clock().now_s();
    auto path = probe_path(cell_.device);
    if (!path) return fail(std::move(path.error()));
    if (path->device_info && path->device_info->statistics) {
      counts.device_counts = true;
      counts.device_host_bytes = path->device_info->host_written_bytes;
      counts.media_bytes = path->device_info->media_written_bytes;
      counts.erased_bytes = path->device_info->media_erased_bytes;
    } else {
      no_counts_ = path->device_info
                       ? path->device_info->statistics_reason
                       : fmt::format("{} is no device with FDP statistics", path->kind);
    }
    return counts;
  }

  double write_bandwidth() const override {
    return device_ ? program_bandwidth(device_->parameters()) : 0;
  }
  std::string no_device_counts() const override { return no_counts_; }
  fdpstore::Result<void> close() override { return store_->close(); }

 private:
  [[nodiscard]] std::string policy_name() const {
    if (cell_.mode == "mixed") return "mixed";
    return cell_.policy == kOracle ? "lifetime" : cell_.policy;
  }

  fdpstore::Result<void> open_simulated(Options& options, std::unique_ptr<Lineage> lineage) {
    auto parameters = ftl::parse_sim_uri(cell_.device);
    if (!parameters) return fail(std::move(parameters.error()));
    parameters->keep_payload = false;
    parameters->fdp = parameters->fdp && cell_.mode != "no_fdp";
    auto device = ftl::SimDevice::make(*parameters);
    if (!device) return fail(std::move(device.error()));
    device_ = std::move(*device);
    neighbour_bytes_ = static_cast<std::uint64_t>(static_cast<double>(device_->size_bytes()) *
                                                  cell_.neighbour_share) /
                       kNeighbourWrite * kNeighbourWrite;
    options.device_path = cell_.device;
    options.segment_bytes = cell_.ru_bytes;  // without FDP, too
    options.capacity_bytes = std::min(
        static_cast<std::uint64_t>(static_cast<double>(device_->size_bytes()) * cell_.utilisation),
        device_->size_bytes() - neighbour_bytes_);
    auto backend = ftl::open_sim_backend(device_, {.capacity_bytes = options.capacity_bytes});
    if (!backend) return fail(std::move(backend.error()));
    auto opened = store::open_on(options, std::move(*backend), std::move(lineage));
    if (!opened) return fail(std::move(opened.error()));
    store_ = std::move(*opened);
    return {};
  }

  // A store of its own for each cell: in a directory that is removed afterwards, or on a device
  // whose content may go.
  fdpstore::Result<void> open_real(Options& options) {
    auto path = probe_path(cell_.device);
    if (!path) return fail(std::move(path.error()));
    options.capacity_bytes = cell_.capacity_bytes;
    if (cell_.mode == "no_fdp") options.write_mode = WriteMode::plain;
    if (path->kind == "directory") {
      directory_ = cell_.device + "/fdpstore-compare.tmp";
      options.base_path = directory_;
      remove_directory();
    } else {
      options.device_path = cell_.device;
      if (!cell_.may_destroy) {
        return fail(Errc::invalid_option,
                    fmt::format("{}: comparing on a device destroys what is on it; say --destroy, "
                                "or name a directory",
                                cell_.device));
      }
      if (auto blank = format_device(options, true); !blank) return blank;
    }
    auto opened = open_store(options);
    if (!opened) return fail(std::move(opened.error()));
    store_ = std::move(*opened);
    return {};
  }

  void remove_directory() const {
    boost::system::error_code ignored;
    if (!directory_.empty()) boost::filesystem::remove_all(directory_, ignored);
  }

  // Keys of 32 bytes, as LMCache's.
  void fill_keys(const Request& request) {
    constexpr std::size_t kHashBytes = 32;
    hashes_.assign(request.keys.size() * kHashBytes, std::byte{0});
    keys_.clear();
    for (std::size_t i = 0; i < request.keys.size(); ++i) {
      std::byte* hash = hashes_.data() + i * kHashBytes;
      std::memcpy(hash, &request.keys[i], sizeof(std::uint64_t));
      keys_.push_back({.chunk_hash = {hash, kHashBytes},
                       .model_name = request.scope->model_name,
                       .kv_rank = request.scope->kv_rank,
                       .object_group_id = request.scope->object_group_id,
                       .cache_salt = request.scope->cache_salt});
    }
  }

  // Phantoms on a simulated device, which keeps no payload; else memory, touched once.
  std::byte* payload(std::uint64_t bytes) {
    if (device_) return nullptr;
    if (memory_.size() < bytes) memory_.resize(bytes, std::byte{0x5A});
    return memory_.data();
  }

  fdpstore::Result<void> load(const trace::Op& op, Outcome& outcome) {
    const std::size_t wanted = op.kind == trace::OpKind::load ? keys_.size() : outcome.leading;
    if (wanted == 0) return {};
    std::byte* memory = payload(op.object_bytes * wanted);
    std::vector<GetItem> items;
    items.reserve(wanted);
    for (std::size_t i = 0; i < wanted; ++i) {
      std::byte* at = memory == nullptr ? nullptr : memory + i * op.object_bytes;
      items.push_back({keys_[i], {at, op.object_bytes}});
    }
    auto loaded = get_and_wait(*store_, items);
    if (!loaded) return fail(std::move(loaded.error()));
    if (!loaded->ok()) return fail(std::move(*loaded->error));
    outcome.load_s = loaded->seconds;
    return {};
  }

  fdpstore::Result<void> store(const Request& request, const TaskResult& present,
                               Outcome& outcome) {
    const std::uint64_t bytes = request.op->object_bytes;
    std::vector<PutItem> items;
    std::byte* memory = payload(bytes);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      if (present.keys[i] == KeyStatus::hit) continue;
      items.push_back({.key = keys_[i],
                       .bytes = {memory, bytes},
                       .explicit_rank = {},
                       .explicit_stream = request.scope->storage_class});
    }
    if (items.empty()) return {};
    auto stored = put_and_wait(*store_, items);
    if (!stored) return fail(std::move(stored.error()));
    if (!stored->ok()) return fail(std::move(*stored->error));
    outcome.stored =
        static_cast<std::uint32_t>(std::ranges::count(stored->keys, KeyStatus::stored));
    outcome.store_s = stored->seconds;
    return {};
  }

  // Somebody else on the same drive, writing as much as the store did, in blocks, at random, behind
  // the store's part, with no directive.
  void disturb(std::uint64_t bytes) {
    const std::uint64_t first = device_->size_bytes() - neighbour_bytes_;
    for (; neighbour_bytes_ != 0 && bytes >= kNeighbourWrite; bytes -= kNeighbourWrite) {
      random_ ^= random_ << 13;
      random_ ^= random_ >> 7;
      random_ ^= random_ << 17;
      const std::uint64_t block = random_ % (neighbour_bytes_ / kNeighbourWrite);
      const iovec span{nullptr, kNeighbourWrite};
      (void)device_->write(first + block * kNeighbourWrite, {&span, 1}, 0);
    }
  }

  Cell cell_;
  std::shared_ptr<ftl::SimDevice> device_;
  std::unique_ptr<Store> store_;
  Oracle* oracle_ = nullptr;  // owned by the store
  std::uint64_t neighbour_bytes_ = 0;
  std::uint64_t random_;
  std::string no_counts_;
  std::string directory_;  // ours, of this cell
  std::vector<std::byte> hashes_, memory_;
  std::vector<KeyRef> keys_, locked_;
};

}  // namespace

fdpstore::Result<std::unique_ptr<SubjectUnderTest>> make_store(const Cell& cell,
                                                               std::uint64_t max_object_bytes) {
  auto subject = std::make_unique<StoreSubject>(cell);
  if (auto opened = subject->open(max_object_bytes); !opened) {
    return fail(std::move(opened.error()));
  }
  return subject;
}

fdpstore::Result<std::unique_ptr<SubjectUnderTest>> make_subject(const Cell& cell,
                                                                 std::uint64_t max_object_bytes) {
  switch (cell.subject) {
    case Subject::lru:
      return make_lru(
          static_cast<std::uint64_t>(static_cast<double>(cell.capacity_bytes) * cell.utilisation));
    case Subject::slots:
    case Subject::slots_tenant:
    case Subject::slots_affine: return make_slots(cell, max_object_bytes);
    case Subject::fdpstore: break;
  }
  return make_store(cell, max_object_bytes);
}

}  // namespace fdpstore::compare
