#include "core/io_queue.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace fdpstore::core {
namespace {

// Below this, a request of its own costs more than pinning the pages once more.
constexpr std::size_t kMinFixedBytes = 64U << 10;

}  // namespace

// One request of ours: one or several of the backend's. Deletes itself when the last part is done.
struct IoQueue::Pending {
  std::vector<iovec> spans;
  Done done;
  std::size_t parts = 0;
  std::error_code error;
};

IoQueue::IoQueue(Backend& backend) : backend_(backend) {}

IoQueue::~IoQueue() {
  assert(in_flight_ == 0 && queued_.empty());
}

bool IoQueue::is_fixed(const iovec& span) const {
  const auto* begin = static_cast<const std::byte*>(span.iov_base);
  return span.iov_len >= kMinFixedBytes && begin >= fixed_.data() &&
         begin + span.iov_len <= fixed_.data() + fixed_.size();
}

void IoQueue::simple(IoRequest request, Done done) {
  auto* pending = new Pending{{}, std::move(done), 1, {}};
  request.user_data = reinterpret_cast<std::uint64_t>(pending);
  queued_.push_back(request);
  ++in_flight_;
}

void IoQueue::flush(SegmentId segment, Done done) {
  simple({.op = IoOp::flush, .segment = segment}, std::move(done));
}

void IoQueue::free(SegmentId segment, bool release, Done done) {
  simple({.op = IoOp::free, .release = release, .segment = segment}, std::move(done));
}

void IoQueue::read(SegmentId segment, std::uint64_t offset_bytes, const std::vector<iovec>& spans,
                   Done done) {
  queue(cut(IoOp::read, segment, offset_bytes, spans, std::move(done)));
}

void IoQueue::write(SegmentId segment, std::uint64_t offset_bytes, const std::vector<iovec>& spans,
                    Done done) {
  queue(cut(IoOp::write, segment, offset_bytes, spans, std::move(done)));
}

void IoQueue::write(SegmentId segment, std::uint64_t offset_bytes, const std::vector<iovec>& spans,
                    const std::function<void()>& make_first, Done done) {
  const std::vector<IoRequest> requests =
      cut(IoOp::write, segment, offset_bytes, spans, std::move(done));
  queue(std::span(requests).subspan(1));
  submit();
  make_first();
  queue(std::span(requests).first(1));
}

void IoQueue::queue(std::span<const IoRequest> requests) {
  queued_.insert(queued_.end(), requests.begin(), requests.end());
  in_flight_ += requests.size();
}

std::vector<IoRequest> IoQueue::cut(IoOp op, SegmentId segment, std::uint64_t offset_bytes,
                                    const std::vector<iovec>& spans, Done done) const {
  const Geometry& geometry = backend_.geometry();
  const std::size_t limit = geometry.max_transfer_bytes;
  auto* pending = new Pending{{}, std::move(done), 0, {}};
  // Cut spans at the transfer limit first, then group them; `spans` may not move afterwards.
  for (const iovec& span : spans) {
    auto* base = static_cast<std::byte*>(span.iov_base);
    for (std::size_t at = 0; at < span.iov_len; at += limit) {
      // A phantom stays one (Capabilities::phantom_payload).
      pending->spans.push_back(
          {base == nullptr ? nullptr : base + at, std::min(limit, span.iov_len - at)});
    }
  }
  std::vector<IoRequest> requests;
  for (std::size_t first = 0; first < pending->spans.size();) {
    std::size_t last = first, bytes = 0;
    while (last < pending->spans.size() && last - first < geometry.max_spans &&
           bytes + pending->spans[last].iov_len <= limit) {
      const bool fixed = is_fixed(pending->spans[last]);
      if (fixed && last != first) break;
      bytes += pending->spans[last++].iov_len;
      if (fixed) break;
    }
    requests.push_back({.op = op,
                        .segment = segment,
                        .offset_bytes = offset_bytes,
                        .spans = std::span(pending->spans).subspan(first, last - first),
                        .user_data = reinterpret_cast<std::uint64_t>(pending)});
    offset_bytes += bytes;
    first = last;
  }
  pending->parts = requests.size();
  return requests;
}

void IoQueue::submit() {
  if (queued_.empty()) return;
  backend_.submit(queued_);
  queued_.clear();
}

std::size_t IoQueue::poll(std::chrono::microseconds timeout) {
  submit();
  std::array<IoCompletion, 64> completions;
  const std::size_t count = backend_.reap(completions, timeout);
  std::size_t ran = 0;
  for (const IoCompletion& completion : std::span(completions).first(count)) {
    auto* pending = reinterpret_cast<Pending*>(completion.user_data);
    --in_flight_;
    if (completion.error && !pending->error) pending->error = completion.error;
    if (--pending->parts != 0) continue;
    const std::unique_ptr<Pending> owned(pending);
    owned->done(owned->error);
    ++ran;
  }
  return ran;
}

std::error_code IoQueue::read_now(SegmentId segment, std::uint64_t offset_bytes,
                                  std::span<std::byte> out) {
  bool finished = false;
  std::error_code result;
  read(segment, offset_bytes, {{out.data(), out.size()}}, [&](std::error_code error) {
    result = error;
    finished = true;
  });
  while (!finished) poll(std::chrono::seconds(1));
  return result;
}

}  // namespace fdpstore::core
