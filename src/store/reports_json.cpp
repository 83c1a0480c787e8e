// Reports as JSON. Field names are those of the structs of store.hpp; StoreInfo's stand at the top.
// Scripts read them: names stay, new ones may be added.
#include "store/reports_json.hpp"

#include <fmt/format.h>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "fdpstore/store.hpp"

namespace fdpstore {
namespace {

namespace json = boost::json;

json::object to_object(const EffectivePlacement& placement) {
  return {
      {"asked", to_string(placement.asked)},
      {"strictness", to_string(placement.strictness)},
      {"effective", to_string(placement.effective)},
      {"mechanism", store::valid_utf8(placement.mechanism)},
      {"reaches_device", placement.reaches_device},
      {"reason", store::valid_utf8(placement.reason)},
  };
}

json::value number_or_null(const std::optional<std::uint64_t>& number) {
  return number ? json::value(*number) : json::value(nullptr);
}

// Media by host bytes; null when the device does not count, or has written nothing.
json::value device_waf(const StoreInfo& info) {
  if (!info.device_host_bytes || !info.device_media_bytes || *info.device_host_bytes == 0) {
    return nullptr;
  }
  return static_cast<double>(*info.device_media_bytes) /
         static_cast<double>(*info.device_host_bytes);
}

json::object to_object(const StoreInfo& info) {
  return {
      {"path", store::valid_utf8(info.path)},
      {"layout", info.layout},
      {"store_uuid", info.store_uuid},
      {"policy", store::valid_utf8(info.policy)},
      {"placement", to_object(info.placement)},
      {"healthy", info.healthy},
      {"unhealthy_reason", store::valid_utf8(info.unhealthy_reason)},
      {"direct_io", info.direct_io},
      {"durability", info.durability},
      {"zero_copy_align_bytes", info.zero_copy_align_bytes},
      {"capacity_bytes", info.capacity_bytes},
      {"max_live_bytes", info.max_live_bytes},
      {"allocated_bytes", info.allocated_bytes},
      {"live_objects", info.live_objects},
      {"live_bytes", info.live_bytes},
      {"locked_objects", info.locked_objects},
      {"expired_locks", info.expired_locks},
      {"unverified_objects", info.unverified_objects},
      {"memory_bytes_per_object", info.memory_bytes_per_object},
      {"stored_objects", info.stored_objects},
      {"stored_bytes", info.stored_bytes},
      {"loaded_objects", info.loaded_objects},
      {"loaded_bytes", info.loaded_bytes},
      {"lookup_keys", info.lookup_keys},
      {"lookup_hits", info.lookup_hits},
      {"deleted_objects", info.deleted_objects},
      {"reclaimed_objects", info.reclaimed_objects},
      {"reinserted_objects", info.reinserted_objects},
      {"reinserted_bytes", info.reinserted_bytes},
      {"damaged_objects", info.damaged_objects},
      {"failed_puts", info.failed_puts},
      {"failed_gets", info.failed_gets},
      {"waiting_puts", info.waiting_puts},
      {"writing_bytes", info.writing_bytes},
      {"host_written_bytes", info.host_written_bytes},
      {"device_host_bytes", number_or_null(info.device_host_bytes)},
      {"device_media_bytes", number_or_null(info.device_media_bytes)},
      {"device_waf", device_waf(info)},
      {"device_reason", store::valid_utf8(info.device_reason)},
      {"open_seconds", info.open_seconds},
      {"clean_start", info.clean_start},
  };
}

json::object to_object(const StreamUsage& stream) {
  return {
      {"name", store::valid_utf8(stream.name)},
      {"lifetime", stream.lifetime},
      {"handle", stream.handle},
      {"written_bytes", stream.written_bytes},
      {"objects", stream.objects},
      {"bytes", stream.bytes},
      {"note", store::valid_utf8(stream.note)},
  };
}

json::object to_object(const SegmentUsage& segment) {
  return {
      {"id", segment.id},
      {"sequence", segment.sequence},
      {"state", segment.state},
      {"stream", store::valid_utf8(segment.stream)},
      {"allocated_bytes", segment.allocated_bytes},
      {"used_bytes", segment.used_bytes},
      {"live_bytes", segment.live_bytes},
      {"objects", segment.objects},
  };
}

// Length of the UTF-8 sequence that `text` begins with; 0: it begins with none.
std::size_t utf8_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  // Overlong forms, surrogates, beyond U+10FFFF.
  const unsigned char second = byte(1);
  if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
      (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F)) {
    return 0;
  }
  return length;
}

}  // namespace

namespace store {

std::string valid_utf8(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    result += length != 0 ? text.substr(0, length) : std::string_view("\xEF\xBF\xBD");
    text.remove_prefix(length != 0 ? length : 1);
  }
  return result;
}

std::string to_hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  hex.reserve(2 * bytes.size());
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 0xF];
  }
  return hex;
}

Result<std::string> from_hex(std::string_view hex) {
  const auto digit = [](char c) {
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::string bytes;
  bytes.reserve(hex.size() / 2);
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    const int high = digit(hex[i]), low = digit(hex[i + 1]);
    if (high < 0 || low < 0) break;
    bytes += static_cast<char>(high * 16 + low);
  }
  if (2 * bytes.size() != hex.size()) return fail(Errc::invalid_argument, "not hexadecimal");
  return bytes;
}

json::object to_object(const ListedKey& listed) {
  const auto& hash = listed.key.chunk_hash;
  return {{"chunk_hash", to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()})},
          {"model_name", valid_utf8(listed.key.model_name)},
          {"kv_rank", listed.key.kv_rank},
          {"object_group_id", listed.key.object_group_id},
          {"cache_salt", valid_utf8(listed.key.cache_salt)},
          {"bytes", listed.bytes}};
}

}  // namespace store

std::string to_json(const StoreStatus& status) {
  json::object object = to_object(status.info);
  json::array salts;
  for (const SaltUsage& salt : status.salts) {
    salts.push_back(json::object{{"cache_salt", store::valid_utf8(salt.cache_salt)},
                                 {"objects", salt.objects},
                                 {"bytes", salt.bytes}});
  }
  object["salts"] = std::move(salts);
  json::array streams;
  for (const StreamUsage& stream : status.streams) streams.push_back(to_object(stream));
  object["streams"] = std::move(streams);
  json::array segments;
  for (const SegmentUsage& segment : status.segments) segments.push_back(to_object(segment));
  object["segments"] = std::move(segments);
  json::array warnings;
  for (const std::string& warning : status.warnings) {
    warnings.emplace_back(store::valid_utf8(warning));
  }
  object["warnings"] = std::move(warnings);
  return json::serialize(object);
}

namespace store {
namespace {

json::value device_json(const DeviceInfo& device) {
  json::array handles;
  for (const PlacementHandle& handle : device.handles) {
    handles.push_back(json::object{
        {"pid", handle.pid}, {"ruh", handle.ruh}, {"available_bytes", handle.available_bytes}});
  }
  json::array users, warnings;
  for (const std::string& user : device.users) users.push_back(json::value(valid_utf8(user)));
  for (const std::string& warning : device.warnings) {
    warnings.push_back(json::value(valid_utf8(warning)));
  }
  json::value statistics = nullptr;
  if (device.statistics) {
    statistics = json::object{{"host_written_bytes", device.host_written_bytes},
                              {"media_written_bytes", device.media_written_bytes},
                              {"media_erased_bytes", device.media_erased_bytes}};
  }
  return json::object{
      {"model", valid_utf8(device.model)},
      {"serial", valid_utf8(device.serial)},
      {"firmware", valid_utf8(device.firmware)},
      {"nsid", device.nsid},
      {"endurance_group", device.endurance_group},
      {"size_bytes", device.size_bytes},
      {"block_bytes", device.block_bytes},
      {"max_transfer_bytes", device.max_transfer_bytes},
      {"max_segments", device.max_segments},
      {"max_write_streams",
       device.max_write_streams ? json::value(*device.max_write_streams) : json::value(nullptr)},
      {"fdp", device.fdp},
      {"fdp_reason", valid_utf8(device.fdp_reason)},
      {"reclaim_unit_bytes", device.reclaim_unit_bytes},
      {"isolation", device.isolation},
      {"handles", std::move(handles)},
      {"statistics", std::move(statistics)},
      {"statistics_reason", valid_utf8(device.statistics_reason)},
      {"users", std::move(users)},
      {"warnings", std::move(warnings)},
  };
}

}  // namespace
}  // namespace store

std::string to_json(const PathInfo& info) {
  json::array mechanisms;
  for (const MechanismProbe& probe : info.mechanisms) {
    mechanisms.push_back(json::object{{"name", probe.name},
                                      {"works", probe.works},
                                      {"reaches_device", probe.reaches_device},
                                      {"reason", store::valid_utf8(probe.reason)}});
  }
  return json::serialize(json::object{
      {"path", store::valid_utf8(info.path)},
      {"kind", info.kind},
      {"file_system", info.file_system},
      {"device", store::valid_utf8(info.device)},
      {"total_bytes", info.total_bytes},
      {"free_bytes", info.free_bytes},
      {"writable", info.writable},
      {"direct_io", info.direct_io},
      {"direct_io_offset_align", info.direct_io_offset_align},
      {"direct_io_memory_align", info.direct_io_memory_align},
      {"kernel", info.kernel},
      {"content", store::valid_utf8(info.content)},
      {"mechanisms", std::move(mechanisms)},
      {"device_info",
       info.device_info ? store::device_json(*info.device_info) : json::value(nullptr)},
      {"automatic", store::valid_utf8(info.automatic)},
      {"recommended", store::valid_utf8(info.recommended)},
  });
}

std::string to_json(const CheckReport& report) {
  json::array findings;
  for (const CheckFinding& finding : report.findings) {
    findings.push_back(json::object{{"where", store::valid_utf8(finding.where)},
                                    {"what", store::valid_utf8(finding.what)},
                                    {"repaired", finding.repaired}});
  }
  return json::serialize(json::object{
      {"clean", report.clean()},
      {"segments", report.segments},
      {"objects", report.objects},
      {"bytes", report.bytes},
      {"unverified", report.unverified},
      {"findings", std::move(findings)},
  });
}

}  // namespace fdpstore
