#include "core/reader.hpp"

#include <algorithm>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "format/checksum.hpp"

namespace fdpstore::core {

using format::kBlockBytes;

struct Reader::Load {
  Key key;
  ObjectState state;
  std::uint64_t segment_sequence = 0;
  std::span<std::byte> out;
  Done done;
  Buffer header;  // where there is nothing to check the payload by: says whose it is
  Buffer bounce;  // the whole payload, where `out` cannot be read into
  Buffer tail;    // its last block, where only that does not fit
  // Of what has been checked while the rest was on its way, where there is more than one part.
  std::unique_ptr<format::PayloadChecksum> checksum;
  std::uint64_t checked_bytes = 0;

  void check_up_to(std::uint64_t bytes) {
    checksum->add(out.subspan(checked_bytes, bytes - checked_bytes));
    checked_bytes = bytes;
  }
};

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
  std::vector<iovec> spans = plan(*load);
  const std::uint64_t first = state.location.offset_bytes + (load->header ? 0 : kBlockBytes);
  IoQueue::Arrived arrived;
  if (!load->header && !load->bounce && out.size() > IoQueue::kPieceBytes) {
    load->checksum = std::make_unique<format::PayloadChecksum>(format::payload_seed(
        context_.uuid, context_.scopes.key(key.scope(), key.hash()), state.sequence));
    arrived = [raw = load.get(), direct = spans.front().iov_len](std::uint64_t bytes) {
      raw->check_up_to(std::min<std::uint64_t>(bytes, direct));
    };
  }
  auto finished = [this, &segment, load = std::move(load)](std::error_code error) {
    --segment.readers;
    in_flight_bytes_ -= load->out.size();
    finish(*load, error);
  };
  context_.io.read(state.location.segment, first, spans, std::move(finished), std::move(arrived));
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

void Reader::finish(Load& load, std::error_code error) {
  const Location& location = load.state.location;
  if (error) {
    load.done(fail(Error{error, fmt::format("{}: reading {} bytes at {} of segment {}",
                                            context_.backend.describe(), location.payload_bytes,
                                            location.offset_bytes, location.segment.value)}));
    return;
  }
  const std::span<std::byte> out = load.out;
  if (load.bounce) std::memcpy(out.data(), load.bounce.data(), out.size());
  if (load.tail) {
    const std::size_t tail = out.size() % kBlockBytes;
    std::memcpy(out.data() + out.size() - tail, load.tail.data(), tail);
  }
  const KeyRef key = context_.scopes.key(load.key.scope(), load.key.hash());
  bool right = true;
  if (load.header) {
    const auto header = format::decode_record_header(
        load.header.span(),
        {context_.uuid, location.segment.value, load.segment_sequence, location.offset_bytes});
    right = header && header->kind == format::RecordKind::object &&
            ObjectKey(header->object.key) == ObjectKey(key) &&
            header->object.sequence == load.state.sequence;
  } else if (load.checksum) {
    load.check_up_to(out.size());
    right = load.checksum->value() == load.state.checksum;
  } else {
    right = format::payload_checksum(context_.uuid, key, load.state.sequence, out) ==
            load.state.checksum;
  }
  if (right) {
    load.done({});
  } else {
    load.done(fail(Errc::corrupt, fmt::format("{}: the object at {} of segment {} is damaged",
                                              context_.backend.describe(), location.offset_bytes,
                                              location.segment.value)));
  }
}

}  // namespace fdpstore::core
