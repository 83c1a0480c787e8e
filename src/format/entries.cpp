// Payloads of summary, tombstones, freed and footers records: entries back to back.
#include <fmt/format.h>

#include <cassert>
#include <cstring>
#include <string_view>

#include "format/codec.hpp"
#include "format/codec_detail.hpp"

namespace fdpstore::format {
namespace {

constexpr std::size_t kEntryAlign = 8;

constexpr std::size_t round_up_entry(std::size_t bytes) {
  return (bytes + kEntryAlign - 1) / kEntryAlign * kEntryAlign;
}

template <class Struct>
void append_plain(std::vector<std::byte>& out, const Struct& entry) {
  const auto bytes = std::as_bytes(std::span(&entry, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

template <class Struct>
void append_with_key(std::vector<std::byte>& out, const Struct& entry, const KeyRef& key) {
  assert(check_key(key).has_value());
  append_plain(out, entry);
  const std::size_t tail = out.size();
  out.resize(tail + round_up_entry(key_tail_bytes(key)));
  put_key_tail(out.data() + tail, key);
}

std::unexpected<Error> damaged(std::string_view what, std::size_t at, std::string_view why) {
  return fail(Errc::corrupt, fmt::format("{} at byte {}: {}", what, at, why));
}

// Walks entries of `Struct` + key; `visit(entry, key)` says what is wrong with one, or "".
template <class Struct, class Visit>
Result<void> walk_with_key(std::span<const std::byte> payload, std::string_view what,
                           const Visit& visit) {
  std::size_t at = 0;
  while (at < payload.size()) {
    const auto rest = payload.subspan(at);
    if (rest.size() < sizeof(Struct)) return damaged(what, at, "cut off");
    Struct entry;
    std::memcpy(&entry, rest.data(), sizeof entry);
    const auto tail = rest.subspan(sizeof entry);
    const auto key = read_key_tail(entry, tail);
    if (!key) return damaged(what, at, "impossible key lengths");
    const std::size_t used = key_tail_bytes(*key);
    const std::size_t padded = round_up_entry(used);
    if (padded > tail.size()) return damaged(what, at, "cut off");
    if (!all_zero(tail.subspan(used, padded - used))) {
      return damaged(what, at, "bytes behind the key");
    }
    if (const std::string_view wrong = visit(entry, *key); !wrong.empty()) {
      return damaged(what, at, wrong);
    }
    at += sizeof entry + padded;
  }
  return {};
}

template <class Struct, class Visit>
Result<void> walk_plain(std::span<const std::byte> payload, std::string_view what,
                        const Visit& visit) {
  for (std::size_t at = 0; at < payload.size(); at += sizeof(Struct)) {
    if (payload.size() - at < sizeof(Struct)) return damaged(what, at, "cut off");
    Struct entry;
    std::memcpy(&entry, payload.data() + at, sizeof entry);
    if (const std::string_view wrong = visit(entry); !wrong.empty()) {
      return damaged(what, at, wrong);
    }
  }
  return {};
}

}  // namespace

std::size_t summary_bytes(const KeyRef& key) {
  return sizeof(SummaryEntry) + round_up_entry(key_tail_bytes(key));
}

void append_summary(std::vector<std::byte>& out, const SummaryItem& item) {
  SummaryEntry entry;
  put_key_fields(entry, item.object.key);
  entry.offset_bytes = item.offset_bytes;
  entry.sequence = item.object.sequence;
  entry.payload_bytes = item.object.payload_bytes;
  entry.payload_xxh3 = item.object.payload_xxh3;
  entry.stream = item.object.stream;
  entry.prompt = item.object.prompt.value;
  entry.position = item.object.position;
  entry.seen_in = item.object.seen_in;
  append_with_key(out, entry, item.object.key);
}

void append_tombstone(std::vector<std::byte>& out, const Tombstone& tombstone) {
  TombstoneEntry entry;
  put_key_fields(entry, tombstone.key);
  entry.sequence = tombstone.sequence;
  entry.segment = tombstone.segment;
  entry.segment_sequence = tombstone.segment_sequence;
  append_with_key(out, entry, tombstone.key);
}

void append_freed(std::vector<std::byte>& out, const FreedEntry& freed) {
  append_plain(out, freed);
}

void append_footer(std::vector<std::byte>& out, const SegmentFooter& footer) {
  SegmentFooter entry = footer;
  entry.xxh3 = 0;
  append_plain(out, entry);
}

Result<void> visit_summary(std::span<const std::byte> payload,
                           const std::function<void(const SummaryItem&)>& visit) {
  return walk_with_key<SummaryEntry>(
      payload, "summary entry",
      [&visit](const SummaryEntry& entry, const KeyRef& key) -> std::string_view {
        if (entry.reserved0 != 0) return "reserved field in use";
        if (entry.offset_bytes == 0 || entry.offset_bytes % kBlockBytes != 0 ||
            entry.offset_bytes > kMaxLengthBytes) {
          return "impossible offset";
        }
        if (entry.payload_bytes == 0 || entry.payload_bytes > kMaxLengthBytes) {
          return "impossible length";
        }
        SummaryItem item;
        item.offset_bytes = entry.offset_bytes;
        item.object.key = key;
        item.object.sequence = entry.sequence;
        item.object.payload_bytes = entry.payload_bytes;
        item.object.payload_xxh3 = entry.payload_xxh3;
        item.object.stream = entry.stream;
        item.object.prompt = PromptId{entry.prompt};
        item.object.position = entry.position;
        item.object.seen_in = entry.seen_in;
        visit(item);
        return {};
      });
}

Result<void> visit_tombstones(std::span<const std::byte> payload,
                              const std::function<void(const Tombstone&)>& visit) {
  return walk_with_key<TombstoneEntry>(
      payload, "tombstone",
      [&visit](const TombstoneEntry& entry, const KeyRef& key) -> std::string_view {
        if (entry.reserved0 != 0) return "reserved field in use";
        visit({.key = key,
               .sequence = entry.sequence,
               .segment = entry.segment,
               .segment_sequence = entry.segment_sequence});
        return {};
      });
}

Result<void> visit_freed(std::span<const std::byte> payload,
                         const std::function<void(const FreedEntry&)>& visit) {
  return walk_plain<FreedEntry>(payload, "freed entry",
                                [&visit](const FreedEntry& entry) -> std::string_view {
                                  if (entry.reserved0 != 0) return "reserved field in use";
                                  visit(entry);
                                  return {};
                                });
}

Result<void> visit_footers(std::span<const std::byte> payload, const Uuid& uuid,
                           const std::function<void(const SegmentFooter&)>& visit) {
  return walk_plain<SegmentFooter>(payload, "footer",
                                   [&](const SegmentFooter& footer) -> std::string_view {
                                     if (footer.magic != kFooterMagic || footer.version != kVersion)
                                       return "not a footer";
                                     if (footer.uuid != uuid) return "of another store";
                                     if (footer.reserved0 != 0 || footer.xxh3 != 0)
                                       return "reserved field in use";
                                     if (!footer_lengths_ok(footer)) return "impossible length";
                                     visit(footer);
                                     return {};
                                   });
}

}  // namespace fdpstore::format
