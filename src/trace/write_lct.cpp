#include "trace/write_lct.hpp"

#include <bit>

namespace fdpstore::trace {
namespace {

// Msgpack, appended to a frame whose length is set at the end.
class Frame {
 public:
  explicit Frame(std::size_t expected_bytes) {
    bytes_.reserve(expected_bytes);
    bytes_.append(kLengthBytes, '\0');
  }

  Frame& map(std::uint32_t pairs) { return tagged(0x80, 0xDE, 0xDF, pairs); }
  Frame& list(std::uint32_t values) { return tagged(0x90, 0xDC, 0xDD, values); }
  Frame& text(std::string_view value) {
    const auto size = static_cast<std::uint32_t>(value.size());
    if (size < 32) {
      byte(0xA0 | size);
    } else if (size < 256) {
      byte(0xD9).big_endian(size, 1);
    } else {
      byte(0xDB).big_endian(size, 4);
    }
    bytes_ += value;
    return *this;
  }
  Frame& binary(std::span<const std::byte> value) {
    byte(0xC6).big_endian(value.size(), 4);
    bytes_.append(reinterpret_cast<const char*>(value.data()), value.size());
    return *this;
  }
  Frame& number(std::uint64_t value) {
    if (value < 128) return byte(static_cast<std::uint32_t>(value));
    if (value <= UINT32_MAX) return byte(0xCE).big_endian(value, 4);
    return byte(0xCF).big_endian(value, 8);
  }
  Frame& real(double value) {
    return byte(0xCB).big_endian(std::bit_cast<std::uint64_t>(value), 8);
  }
  [[nodiscard]] std::string finish() {
    const std::uint64_t size = bytes_.size() - kLengthBytes;
    for (std::size_t i = 0; i < kLengthBytes; ++i) {
      bytes_[i] = static_cast<char>(size >> (8 * (kLengthBytes - 1 - i)));
    }
    return std::move(bytes_);
  }

 private:
  static constexpr std::size_t kLengthBytes = 4;

  Frame& byte(std::uint32_t value) {
    bytes_ += static_cast<char>(value);
    return *this;
  }
  Frame& big_endian(std::uint64_t value, int bytes) {
    for (int i = bytes - 1; i >= 0; --i) bytes_ += static_cast<char>(value >> (8 * i));
    return *this;
  }
  Frame& tagged(std::uint32_t small, std::uint32_t medium, std::uint32_t large,
                std::uint32_t count) {
    if (count < 16) return byte(small | count);
    if (count < 65536) return byte(medium).big_endian(count, 2);
    return byte(large).big_endian(count, 4);
  }

  std::string bytes_;
};

std::string_view name_of(LctCall call) {
  switch (call) {
    case LctCall::store: return "fdpstore.store";
    case LctCall::lookup: return "fdpstore.lookup";
    case LctCall::load: return "fdpstore.load";
    case LctCall::unlock: return "fdpstore.unlock";
    case LctCall::erase: return "fdpstore.delete";
  }
  return "?";
}

void begin_record(Frame& frame, double time_s, double wall_s, std::string_view name) {
  frame.map(5).text("type").text("record").text("t_mono").real(time_s);
  frame.text("t_wall").real(wall_s).text("qualname").text(name).text("args");
}

void add_key(Frame& frame, const KeyRef& key) {
  frame.map(2).text("__t__").text("ObjectKey").text("v").map(5);
  frame.text("chunk_hash").binary(key.chunk_hash).text("model_name").text(key.model_name);
  frame.text("kv_rank").number(key.kv_rank);
  frame.text("object_group_id").number(key.object_group_id);
  frame.text("cache_salt").text(key.cache_salt);
}

}  // namespace

std::string lct_header(double wall_s,
                       std::initializer_list<std::pair<std::string_view, std::string_view>> about) {
  constexpr std::string_view kMagic = "LMCT";
  Frame frame(512);
  frame.map(10).text("type").text("header").text("magic");
  frame.binary(std::as_bytes(std::span(kMagic)));
  frame.text("format_version").number(1).text("level").text("l2");
  frame.text("trace_schema_version").number(1);
  frame.text("t_mono_start").real(0).text("t_wall_start").real(wall_s);
  frame.text("sm_config_json").text("").text("sm_config_digest").text("");
  frame.text("level_meta").map(static_cast<std::uint32_t>(about.size()));
  for (const auto& [name, value] : about) frame.text(name).text(value);
  return frame.finish();
}

std::string lct_record(double time_s, double wall_s, LctCall call, std::span<const KeyRef> keys,
                       std::span<const std::uint64_t> sizes) {
  constexpr std::size_t kFixedBytes = 128, kKeyBytes = 192;
  Frame frame(kFixedBytes + kKeyBytes * keys.size());
  begin_record(frame, time_s, wall_s, name_of(call));
  frame.map(sizes.empty() ? 1 : 2).text("keys").list(static_cast<std::uint32_t>(keys.size()));
  for (const KeyRef& key : keys) add_key(frame, key);
  if (!sizes.empty()) {
    frame.text("sizes").list(static_cast<std::uint32_t>(sizes.size()));
    for (const std::uint64_t size : sizes) frame.number(size);
  }
  return frame.finish();
}

std::string lct_gap(double time_s, double wall_s, std::uint64_t calls) {
  Frame frame(128);
  begin_record(frame, time_s, wall_s, "fdpstore.gap");
  frame.map(1).text("calls").number(calls);
  return frame.finish();
}

}  // namespace fdpstore::trace
