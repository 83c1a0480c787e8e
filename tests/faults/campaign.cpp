#include "campaign.hpp"

#include <array>

#include "backends/file_backend.hpp"
#include "campaign_run.hpp"
#include "core/sizing.hpp"
#include "placement/policies.hpp"
#include "placement/prompt_tracker.hpp"

namespace fdpstore::test {

using Clock = std::chrono::steady_clock;

namespace {

FaultPlan plan_of(const RunSetup& setup, std::mt19937_64& random) {
  FaultPlan plan;
  plan.max_delay = random() % 3 == 0 ? 0 : static_cast<std::uint32_t>(random() % 8);
  if (setup.faults == Faults::cuts) return plan;
  const auto some = [&](std::uint32_t most) {
    return random() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random() % most);
  };
  plan.failed_writes = some(300);
  plan.failed_reads = some(300);
  plan.failed_flushes = some(200);
  plan.failed_frees = some(1000);
  plan.failed_allocates = some(2000);
  if (setup.faults == Faults::errors) return plan;
  plan.lost_writes = some(100);
  plan.misdirected_writes = some(100);
  plan.rotten_reads = some(200);
  plan.rot = some(100);
  return plan;
}

}  // namespace

Run::Run(const RunSetup& setup)
    : setup_(setup), random_(mix(setup.seed)), model_(kTenants * (20 + random_() % 30)) {
  options_.base_path = setup.on_files ? (dir_.path() / "store").string() : "memory";
  options_.layout = random(4) == 0 ? Layout::prompt : Layout::segment;
  options_.segment_bytes = (128U << random(3)) * 1024;
  options_.max_object_bytes = options_.segment_bytes / (4 + random(8)) / 512 * 512 + random(512);
  const std::uint64_t segments = 6 + random(20);
  options_.capacity_bytes = core::kOverheadBytes + segments * options_.segment_bytes + random(4096);
  options_.durability = random(2) == 0 ? Durability::device : Durability::process;
  options_.lock_timeout_s = 1e6;
  options_.prompt_idle_s = random(2) == 0 ? 60 : 0.5;
  options_.use_odirect = false;
  mem_.fixed_size = options_.layout != Layout::prompt;
  mem_.must_fill = mem_.fixed_size && random(3) == 0;
  mem_.begins_units = mem_.must_fill && random(2) == 0;
  mem_.max_transfer = 4096U << random(6);
  mem_.handles = static_cast<std::uint32_t>(1 + random(4));
  mem_.memory_align = random(2) == 0 ? 1 : 4096;
  cached_ = random(2) == 0;
  static constexpr std::array<const char*, 5> kPolicies = {"lifetime", "tenant", "mixed",
                                                           "per-prompt", "separated"};
  policy_ = kPolicies[random(kPolicies.size())];
  faults_ = std::make_shared<FaultMedium>(mix(setup.seed + 1), plan_of(setup, random_));
  faults_->verbose(setup.verbose);
}

std::unique_ptr<Backend> Run::backend() {
  FaultBackend::Config config;
  config.cached_writes = cached_;
  config.release_at_seal = setup_.on_files;
  config.flush_promised = options_.durability == Durability::device;
  if (!setup_.on_files) {
    return std::make_unique<FaultBackend>(faults_, std::make_unique<MemBackend>(memory_, mem_),
                                          config);
  }
  auto inner = backends::open_file_backend({.base_path = options_.base_path,
                                            .prompt_files = options_.layout == Layout::prompt,
                                            .capacity_bytes = options_.capacity_bytes,
                                            .use_odirect = false});
  if (!inner) broken("the file backend does not open: {}", inner.error().message());
  return std::make_unique<FaultBackend>(faults_, std::move(*inner), config);
}

core::PolicyFactory Run::policy() const {
  return [name = policy_](std::uint32_t handles, std::string reason) {
    return placement::load_policy(name, {.data_handles = handles, .reason = std::move(reason)});
  };
}

// False: a cut came meanwhile.
bool Run::open() {
  ++report_.opens;
  arrived_.clear();
  auto opened = core::open_segment_store(
      options_, backend(), policy(),
      std::make_unique<placement::PromptTracker>(placement::PromptTracker::Limits{}));
  if (opened) {
    store_ = std::move(*opened);
    return true;
  }
  if (faults_->dead()) return false;
  broken("the store does not open: {}", opened.error().message());
}

void Run::close_store() {
  const auto begin = Clock::now();
  const auto closed = store_->close();
  if (Clock::now() - begin > kPatience) broken("close took too long");
  take_dropped();
  store_.reset();
  const bool dead = faults_->dead();
  if (dead) ++report_.cuts;
  if (!closed && !dead && setup_.faults == Faults::cuts) {
    broken("close failed: {}", closed.error().message());
  }
  // What close() could not make durable, a power cut may take.
  const bool clean = closed && !dead;
  if (clean && random(3) == 0) {
    trace("power cut after a clean close");
    cut_ = Cut::power;
    ++report_.cuts;
    faults_->cut(Cut::power);
  }
  reopen(clean);
}

void Run::after_death() {
  ++report_.cuts;
  // What was settled before the end counts; the store has seen only errors since.
  (void)store_->close();
  take_dropped();
  store_.reset();
  reopen(false);
}

// Opens the store again, perhaps with a further cut while it opens, and compares.
void Run::reopen(bool closed_in_order) {
  // Promises that do not cover the loss of power.
  const auto loosen = [this] {
    for (std::uint64_t n = 0; n < model_.size(); ++n) {
      ModelKey& key = model_.at(n);
      key.maybe.insert(key.attempted.begin(), key.attempted.end());
      key.live.reset();
    }
  };
  const bool process = options_.durability == Durability::process;
  if (cut_ == Cut::power && process && !closed_in_order && faults_->dead()) loosen();
  faults_->calm(true);
  power_cuts_ = power_cuts_ || (cut_ == Cut::power && faults_->dead());
  faults_->revive();
  for (std::uint64_t n = 0; n < model_.size(); ++n) model_.at(n).locks = 0;
  if (random(3) == 0) fsck();
  for (int tries = 0; tries < 3 && random(4) == 0; ++tries) {
    cut_ = random(2) == 0 ? Cut::kill : Cut::power;
    faults_->arm(cut_, 1 + random(60));
    const bool opened = open();
    if (opened) {
      (void)faults_->quiet(kPatience);
      store_->close();
      take_dropped();
      store_.reset();
    }
    faults_->disarm();
    if (faults_->dead()) {
      trace("cut while opening");
      ++report_.cuts;
      power_cuts_ = power_cuts_ || cut_ == Cut::power;
      if (cut_ == Cut::power && process) loosen();
    }
    faults_->revive();
  }
  cut_ = Cut::none;
  if (!open()) broken("dead without a cut");
  if (!faults_->quiet(kPatience)) broken("the store does not come to rest after open");
  take_dropped();
  check_contents();
  check_accounts();
  faults_->calm(false);
}

RunReport Run::execute() {
  try {
    faults_->calm(true);
    if (!open()) broken("the first open fails");
    faults_->calm(false);
    for (step_ = 0; step_ < setup_.steps; ++step_) {
      step();
      if (faults_->dead()) {
        trace(cut_ == Cut::kill ? "killed" : "power cut");
        after_death();
      }
    }
    finish();
  } catch (const Broken& error) {
    report_.failure = error.what();
    faults_->calm(true);
    faults_->hold(false);
  }
  report_.injected = faults_->injected();
  report_.requests = faults_->requests();
  return report_;
}

RunReport& RunReport::operator+=(const RunReport& other) {
  if (failure.empty()) failure = other.failure;
  stored += other.stored;
  erased += other.erased;
  hits += other.hits;
  dropped += other.dropped;
  cuts += other.cuts;
  opens += other.opens;
  injected += other.injected;
  requests += other.requests;
  excused += other.excused;
  return *this;
}

RunSetup setup_of(std::uint64_t seed) {
  RunSetup setup;
  setup.seed = seed;
  setup.faults = static_cast<Faults>(seed % 3);
  setup.on_files = seed % 10 == 9;
  return setup;
}

RunReport run_campaign(const RunSetup& setup) {
  Run run(setup);
  return run.execute();
}

}  // namespace fdpstore::test
