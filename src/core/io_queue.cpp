#include "core/io_queue.hpp"

#include <algorithm>
#include <array>
#include <cassert>

namespace fdpstore::core {
namespace {

// Below this, a request of its own costs more than pinning the pages once more.
constexpr std::size_t kMinFixedBytes = 64U << 10;

}  // namespace

// One request of the backend's.
struct IoQueue::Part {
  Pending* pending = nullptr;
  std::uint64_t end_bytes = 0;  // counted from the first part's begin
  bool done = false;
};

// One request of ours: one or several parts. Deletes itself when the last one is done.
struct IoQueue::Pending {
  Done done;
  Arrived arrived{};
  std::vector<iovec> spans{};
  std::vector<Part> parts{};
  std::size_t left = 0;
  std::size_t next = 0;  // the first part that is not done
  std::error_code error{};
};

IoQueue::IoQueue(Backend& backend) : backend_(backend) {}

IoQueue::~IoQueue() {
  assert(in_flight_ == 0 && queued_.empty());
}

bool IoQueue::is_fixed(const iovec& span) const {
  const auto* begin = static_cast<const std::byte*>(span.iov_base);
  if (begin == nullptr) return false;  // a phantom
  return span.iov_len >= kMinFixedBytes && begin >= fixed_.data() &&
         begin + span.iov_len <= fixed_.data() + fixed_.size();
}

void IoQueue::simple(IoRequest request, Done done) {
  auto* pending = new Pending{.done = std::move(done), .left = 1};
  pending->parts.push_back({pending});
  request.user_data = reinterpret_cast<std::uint64_t>(pending->parts.data());
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
                   Done done, Arrived arrived) {
  queue(cut(IoOp::read, segment, offset_bytes, spans, std::move(done), std::move(arrived)));
}

void IoQueue::write(SegmentId segment, std::uint64_t offset_bytes, const std::vector<iovec>& spans,
                    Done done, const std::function<void()>& make_first) {
  const std::vector<IoRequest> requests =
      cut(IoOp::write, segment, offset_bytes, spans, std::move(done), {});
  if (!make_first) {
    queue(requests);
    return;
  }
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
                                    const std::vector<iovec>& spans, Done done,
                                    Arrived arrived) const {
  const Geometry& geometry = backend_.geometry();
  const std::size_t limit = arrived
                                ? std::min<std::size_t>(geometry.max_transfer_bytes, kPieceBytes)
                                : geometry.max_transfer_bytes;
  auto* pending = new Pending{.done = std::move(done), .arrived = std::move(arrived)};
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
  const std::uint64_t begin_bytes = offset_bytes;
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
                        .spans = std::span(pending->spans).subspan(first, last - first)});
    offset_bytes += bytes;
    pending->parts.push_back({pending, offset_bytes - begin_bytes});
    first = last;
  }
  pending->left = requests.size();
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].user_data = reinterpret_cast<std::uint64_t>(&pending->parts[i]);
  }
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
    --in_flight_;
    ran += finish(*reinterpret_cast<Part*>(completion.user_data), completion.error);
  }
  return ran;
}

void IoQueue::finish_all() {
  while (in_flight_ != 0) poll(std::chrono::seconds(1));
}

// Whether it was the last part.
bool IoQueue::finish(Part& part, std::error_code error) {
  Pending* pending = part.pending;
  part.done = true;
  if (error && !pending->error) pending->error = error;
  if (--pending->left == 0) {
    const std::unique_ptr<Pending> owned(pending);
    owned->done(owned->error);
    return true;
  }
  if (!pending->arrived || pending->error) return false;
  const std::size_t before = pending->next;
  while (pending->parts[pending->next].done) ++pending->next;
  if (pending->next != before) pending->arrived(pending->parts[pending->next - 1].end_bytes);
  return false;
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
