#include "core/reader.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include <fmt/format.h>

namespace fdpstore::core {

using format::kBlockBytes;

struct Reader::Load {
  Key key;
  ObjectState state;
  std::uint64_t segment_sequence = 0;
  std::span<std::byte> out;
  std::vector<iovec> spans;    // where it is read to
  std::uint64_t at_bytes = 0;  // in the segment: what the first span gets
  Done done;
  Buffer header;  // where there is nothing to check the payload by: says whose it is
  Buffer bounce;  // the whole payload, where `out` cannot be read into
  Buffer tail;    // its last block, where only that does not fit
  // Of a large one with a checksum, or in memory: may be begun with while the rest is on its way.
  std::unique_ptr<Verifier::Payload> payload;
  std::unique_ptr<CachedSegment> cached;  // while it is copied from there
  std::error_code error = {};
};

Reader::Reader(Context& context)
    : context_(context),
      verifier_([&context] { context.backend.wake(); }, Verifier::helpers_here()) {}
Reader::~Reader() = default;

void Reader::load(const Key& key, const ObjectState& state, std::span<std::byte> out, Done done) {
  Segment& segment = context_.segments.at(state.location.segment);
  ++segment.readers;
  in_flight_bytes_ += out.size();
  auto load = std::make_unique<Load>();
  load->key = key;
  load->state = state;
  load->segment_sequence = segment.sequence;
  load->out = out;
  load->done = std::move(done);
  load->spans = plan(*load);
  load->at_bytes = state.location.offset_bytes + (load->header ? 0 : kBlockBytes);
  if (out.size() >= Verifier::kMinBytes) find_in_memory(*load);
  if (out.size() < Verifier::kMinBytes || (load->header && !load->cached)) {
    return read(std::move(load), 0);
  }
  std::optional<std::uint64_t> seed;
  if (!load->header) {
    const KeyRef ref = context_.scopes.key(key.scope(), key.hash());
    seed = format::payload_seed(context_.uuid, ref, state.sequence);
  }
  load->payload = std::make_unique<Verifier::Payload>(seed, out);
  if (!load->cached) return read(std::move(load), 0);
  Verifier::Payload& payload = *load->payload;
  const CachedSegment& cached = *load->cached;
  const std::uint64_t at = load->at_bytes;
  verifying_.emplace(&payload, std::move(load));
  verifier_.copy(payload, cached, at);
}

// Where it is, a header is copied at once.
void Reader::find_in_memory(Load& load) {
  if (load.bounce || load.tail) return;
  const std::span<std::byte> header = load.header.span();
  load.cached = context_.backend.cached(load.state.location.segment, load.at_bytes,
                                        header.size() + load.out.size());
  if (!load.cached || header.empty()) return;
  if (load.cached->copy(load.at_bytes, header) < header.size()) {
    load.cached.reset();
    return;
  }
  load.spans.erase(load.spans.begin());
  load.at_bytes += header.size();
}

void Reader::read(std::unique_ptr<Load> load, std::uint64_t from_bytes) {
  std::vector<iovec> spans = std::move(load->spans);
  if (from_bytes != 0) {
    iovec& first = spans.front();
    first = {static_cast<std::byte*>(first.iov_base) + from_bytes, first.iov_len - from_bytes};
  }
  IoQueue::Arrived arrived;
  if (load->payload && !load->bounce && load->out.size() - from_bytes > IoQueue::kPieceBytes) {
    arrived = [this, payload = load->payload.get(), from_bytes,
               direct = from_bytes + spans.front().iov_len](std::uint64_t bytes) {
      verifier_.arrived(*payload, std::min<std::uint64_t>(from_bytes + bytes, direct));
    };
  }
  const SegmentId segment = load->state.location.segment;
  const std::uint64_t first = load->at_bytes + from_bytes;
  auto finished = [this, load = std::move(load)](std::error_code error) mutable {
    has_come(std::move(load), error);
  };
  context_.io.read(segment, first, spans, std::move(finished), std::move(arrived));
}

std::vector<iovec> Reader::plan(Load& load) const {
  std::vector<iovec> spans;
  const std::span<std::byte> out = load.out;
  if (!context_.options.checksum || load.state.checksum == 0 || out.data() == nullptr) {
    load.header = Buffer(kBlockBytes);
    spans.push_back({load.header.data(), kBlockBytes});
  }
  if (out.data() == nullptr) {  // a phantom
    spans.push_back({nullptr, format::round_up_block(out.size())});
    return spans;
  }
  const std::size_t align = context_.backend.geometry().memory_align_bytes;
  const std::size_t tail = out.size() % kBlockBytes;
  if (align > 1 && reinterpret_cast<std::uintptr_t>(out.data()) % align != 0) {
    load.bounce = Buffer(out.size());
    spans.push_back({load.bounce.data(), load.bounce.span().size()});
    return spans;
  }
  if (align <= 1) {
    spans.push_back({out.data(), out.size()});
    return spans;
  }
  if (out.size() > tail) spans.push_back({out.data(), out.size() - tail});
  if (tail != 0) {
    load.tail = Buffer(kBlockBytes);
    spans.push_back({load.tail.data(), kBlockBytes});
  }
  return spans;
}

// All of it, or what has come before an error.
void Reader::has_come(std::unique_ptr<Load> load, std::error_code error) {
  const std::span<std::byte> out = load->out;
  if (!error && load->bounce) std::memcpy(out.data(), load->bounce.data(), out.size());
  if (!error && load->tail) {
    const std::size_t tail = out.size() % kBlockBytes;
    std::memcpy(out.data() + out.size() - tail, load->tail.data(), tail);
  }
  if (!load->payload) {
    finish(*load, error, !error && is_right(*load));
    return;
  }
  // Helpers may be at what came before: the caller's memory is not given back under their hands.
  load->error = error;
  Verifier::Payload& payload = *load->payload;
  verifying_.emplace(&payload, std::move(load));
  if (error) {
    verifier_.give_up(payload);
  } else {
    verifier_.arrived(payload, out.size());
  }
}

void Reader::step() {
  if (!verifier_.help() && verifying_.empty()) return;
  for (const Verifier::Payload* payload : verifier_.take_done()) {
    const auto found = verifying_.find(payload);
    std::unique_ptr<Load> load = std::move(found->second);
    verifying_.erase(found);
    if (load->cached && payload->done_bytes() < load->out.size()) {
      load->cached.reset();
      read(std::move(load), payload->done_bytes());
    } else {
      finish(*load, load->error,
             load->header ? is_right(*load) : payload->checksum() == load->state.checksum);
    }
  }
}

// Of a small one, and of one without a checksum.
bool Reader::is_right(const Load& load) const {
  const Location& location = load.state.location;
  const KeyRef key = context_.scopes.key(load.key.scope(), load.key.hash());
  if (!load.header) {
    return format::payload_checksum(context_.uuid, key, load.state.sequence, load.out) ==
           load.state.checksum;
  }
  const auto header = format::decode_record_header(
      load.header.span(),
      {context_.uuid, location.segment.value, load.segment_sequence, location.offset_bytes});
  return header && header->kind == format::RecordKind::object &&
         ObjectKey(header->object.key) == ObjectKey(key) &&
         header->object.sequence == load.state.sequence;
}

void Reader::finish(Load& load, std::error_code error, bool right) {
  const Location& location = load.state.location;
  in_flight_bytes_ -= load.out.size();
  --context_.segments.at(location.segment).readers;
  load.cached.reset();
  Result<void> result;
  if (error) {
    result = fail(Error{
        error, fmt::format("{}: reading {} bytes at {} of segment {}", context_.backend.describe(),
                           location.payload_bytes, location.offset_bytes, location.segment.value)});
  } else if (!right) {
    result = fail(Errc::corrupt, fmt::format("{}: the object at {} of segment {} is damaged",
                                             context_.backend.describe(), location.offset_bytes,
                                             location.segment.value));
  }
  load.done(std::move(result));
}

}  // namespace fdpstore::core
