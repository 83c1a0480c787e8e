// Recording: what is kept of calls, what is lost, and how a recording ends.
#include "store/record_trace.hpp"

#include <atomic>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "runtime_directory.hpp"
#include "store/call_recorder.hpp"
#include "store/store_view.hpp"
#include "support/files.hpp"
#include "support/keys.hpp"
#include "trace/read.hpp"

namespace fdpstore::store {
namespace {

using trace::LctCall;

std::size_t frames_in(std::string_view bytes) {
  std::size_t frames = 0;
  while (!bytes.empty()) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
    bytes.remove_prefix(4 + length);
    ++frames;
  }
  return frames;
}

TEST(CallRecorder, IsOffUntilAskedFor) {
  CallRecorder recorder;
  EXPECT_FALSE(recorder.on());
  const auto keys = test::make_keys(0, 3);
  recorder.record(LctCall::lookup, test::refs(keys), {});
  const auto recording = recorder.start();
  ASSERT_TRUE(recording);
  EXPECT_TRUE(recorder.on());
  EXPECT_EQ(recorder.take(*recording, SIZE_MAX)->frames, "");
}

TEST(CallRecorder, FullItCountsWhatIsLostAndSaysWhere) {
  CallRecorder recorder(10'000);
  const auto recording = recorder.start();
  ASSERT_TRUE(recording);
  const auto keys = test::make_keys(0, 10);
  for (int i = 0; i < 100; ++i) recorder.record(LctCall::lookup, test::refs(keys), {});
  auto first = recorder.take(*recording, SIZE_MAX);
  ASSERT_TRUE(first);
  EXPECT_GT(first->calls, 2U);
  EXPECT_EQ(first->calls + first->lost_calls, 100U);
  EXPECT_LE(first->frames.size(), 10'000U);
  EXPECT_EQ(frames_in(first->frames), first->calls);
  recorder.record(LctCall::lookup, test::refs(keys), {});
  const auto second = recorder.take(*recording, SIZE_MAX);
  ASSERT_TRUE(second);
  EXPECT_EQ(frames_in(second->frames), 2U) << "a gap, and the call";
  EXPECT_NE(second->frames.find("fdpstore.gap"), std::string::npos);
  EXPECT_EQ(second->calls, first->calls + 1);
  for (int i = 0; i < 100; ++i) recorder.record(LctCall::lookup, test::refs(keys), {});
  const auto rest = recorder.stop(*recording);
  ASSERT_TRUE(rest);
  EXPECT_NE(rest->frames.find("fdpstore.gap"), std::string::npos) << "lost last, told at the end";
  EXPECT_FALSE(recorder.on());
}

TEST(CallRecorder, IsTakenInWholeFrames) {
  CallRecorder recorder;
  const auto recording = recorder.start();
  const auto keys = test::make_keys(0, 10);
  for (int i = 0; i < 2000; ++i) recorder.record(LctCall::lookup, test::refs(keys), {});
  std::size_t frames = 0;
  int takes = 0;
  while (true) {
    const auto taken = recorder.take(*recording, 5000);
    ASSERT_TRUE(taken);
    if (taken->frames.empty()) break;
    frames += frames_in(taken->frames);
    ++takes;
  }
  EXPECT_EQ(frames, 2000U);
  EXPECT_GT(takes, 5);
}

TEST(CallRecorder, HasOneRecordingAtATime) {
  CallRecorder recorder;
  const auto first = recorder.start();
  EXPECT_EQ(recorder.start().error().code, Errc::busy);
  ASSERT_TRUE(recorder.stop(*first));
  const auto second = recorder.start();
  ASSERT_TRUE(second);
  EXPECT_EQ(recorder.take(*first, SIZE_MAX).error().code, Errc::not_found);
  EXPECT_EQ(recorder.stop(*first).error().code, Errc::not_found);
  EXPECT_TRUE(recorder.on());
}

TEST(CallRecorder, ManyThreadsLoseNothingUnseen) {
  CallRecorder recorder(200'000);
  const auto recording = recorder.start();
  constexpr int kThreads = 4, kCalls = 2000;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&] {
      const auto keys = test::make_keys(0, 4);
      for (int i = 0; i < kCalls; ++i) recorder.record(LctCall::lookup, test::refs(keys), {});
    });
  }
  std::string all;
  for (int i = 0; i < 20; ++i) all += recorder.take(*recording, 50'000)->frames;
  for (std::thread& thread : threads) thread.join();
  const auto rest = recorder.stop(*recording);
  ASSERT_TRUE(rest);
  all += rest->frames;
  EXPECT_EQ(rest->calls + rest->lost_calls, std::uint64_t{kThreads} * kCalls);
  EXPECT_GE(frames_in(all), rest->calls);
}

class RecordTrace : public ::testing::TestWithParam<Layout> {
 protected:
  [[nodiscard]] Options options() const {
    Options result{.base_path = (scratch_.path() / "store").native(), .layout = GetParam()};
    result.max_object_bytes = 64U << 10;
    result.capacity_bytes = 64U << 20;
    return result;
  }
  [[nodiscard]] std::string file() const { return (scratch_.path() / "t.lct").native(); }

  RuntimeDirectory runtime_;
  test::TempDir scratch_;
};

TEST_P(RecordTrace, EveryCallIsInTheFileAndNoPayload) {
  auto store = open_store(options()).value();
  const auto keys = test::make_keys(0, 12);
  const auto refs = test::refs(keys);
  std::vector<std::vector<std::byte>> payloads;
  std::vector<PutItem> puts;
  std::vector<GetItem> gets;
  for (std::uint64_t n = 0; n < keys.size(); ++n) {
    payloads.emplace_back(2000);
    test::fill(payloads.back(), 5000 + n);  // keys are made of the numbers from 0
    puts.push_back({refs[n], payloads[n], {}, {}});
  }
  std::vector<std::vector<std::byte>> buffers(keys.size(), std::vector<std::byte>(2000));
  for (std::uint64_t n = 0; n < keys.size(); ++n) gets.push_back({refs[n], buffers[n]});
  ASSERT_TRUE(put_and_wait(*store, std::span(puts).first(1))) << "before the recording";

  std::atomic<bool> begun = false, done = false;
  Result<RecordReport> report = fail(Errc::closed, "");
  std::thread recorder([&] {
    report = record_trace(options().base_path, file(), [&](const RecordReport&) {
      begun = true;
      return !done;
    });
  });
  while (!begun) std::this_thread::yield();
  ASSERT_TRUE(put_and_wait(*store, puts));
  ASSERT_TRUE(lookup_and_wait(*store, refs, true));
  ASSERT_TRUE(get_and_wait(*store, gets));
  store->unlock(refs);
  ASSERT_TRUE(store->erase(std::span(refs).first(2)));
  auto view = StoreView::open(options().base_path, "");
  EXPECT_TRUE(view && view->status()) << "others can ask meanwhile";
  view = fail(Errc::closed, "");
  done = true;
  recorder.join();
  ASSERT_TRUE(put_and_wait(*store, std::span(puts).first(1))) << "after the recording";
  ASSERT_TRUE(store->close());

  ASSERT_TRUE(report) << report.error().message();
  EXPECT_EQ(report->calls, 5U);
  EXPECT_EQ(report->lost_calls, 0U);
  EXPECT_FALSE(report->store_closed);
  EXPECT_EQ(report->bytes, std::filesystem::file_size(file()));
  EXPECT_EQ(std::filesystem::status(file()).permissions(), std::filesystem::perms(0600));
  const auto trace = trace::read_trace(file());
  ASSERT_TRUE(trace) << trace.error().message();
  std::vector<std::pair<trace::OpKind, std::uint32_t>> ops;
  for (const trace::Op& op : trace->ops) {
    ops.emplace_back(op.kind, op.keys);
    EXPECT_EQ(op.object_bytes, 2000U);
  }
  const std::vector<std::pair<trace::OpKind, std::uint32_t>> expected{{trace::OpKind::store, 12},
                                                                      {trace::OpKind::lookup, 12},
                                                                      {trace::OpKind::load, 12},
                                                                      {trace::OpKind::erase, 2}};
  EXPECT_EQ(ops, expected);
  const std::string bytes = test::read_text(file());
  const std::string_view piece(reinterpret_cast<const char*>(payloads[0].data()), 16);
  EXPECT_EQ(bytes.find(piece), std::string::npos);
}

TEST_P(RecordTrace, AStoreThatClosesEndsIt) {
  auto store = open_store(options()).value();
  Result<RecordReport> report = fail(Errc::closed, "");
  std::atomic<bool> begun = false;
  std::thread recorder([&] {
    report = record_trace(options().base_path, file(), [&](const RecordReport&) {
      begun = true;
      return true;
    });
  });
  while (!begun) std::this_thread::yield();
  ASSERT_TRUE(store->close());
  recorder.join();
  ASSERT_TRUE(report) << report.error().message();
  EXPECT_TRUE(report->store_closed);
}

TEST_P(RecordTrace, RefusalsLeaveTheFileAlone) {
  {
    std::ofstream precious(file());
    precious << "precious";
  }
  const auto never = [](const RecordReport&) { return false; };
  auto store = open_store(options()).value();
  {
    std::atomic<bool> begun = false, done = false;
    std::thread other([&] {
      const auto report = record_trace(
          options().base_path, (scratch_.path() / "other.lct").native(), [&](const RecordReport&) {
            begun = true;
            return !done;
          });
      EXPECT_TRUE(report);
    });
    while (!begun) std::this_thread::yield();
    const auto busy = record_trace(options().base_path, file(), never);
    done = true;
    other.join();
    ASSERT_FALSE(busy);
    EXPECT_NE(busy.error().what.find("another process records it"), std::string::npos)
        << busy.error().message();
  }
  const auto nowhere = record_trace(options().base_path, "/no/such/directory/t.lct", never);
  ASSERT_FALSE(nowhere);
  EXPECT_TRUE(record_trace(options().base_path, (scratch_.path() / "o.lct").native(), never))
      << "the failed one left a recording behind";
  ASSERT_TRUE(store->close());
  store.reset();
  const auto closed = record_trace(options().base_path, file(), never);
  ASSERT_FALSE(closed);
  EXPECT_EQ(closed.error().code, Errc::not_found);
  EXPECT_NE(closed.error().what.find("start LMCache"), std::string::npos);
  EXPECT_EQ(std::filesystem::file_size(file()), 8U);
}

INSTANTIATE_TEST_SUITE_P(Layouts, RecordTrace, ::testing::Values(Layout::segment, Layout::object),
                         [](const auto& one) { return std::string(to_string(one.param)); });

}  // namespace
}  // namespace fdpstore::store
