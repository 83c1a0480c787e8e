#include "trace/footprint_json.hpp"

#include <boost/json/array.hpp>

#include "trace/read.hpp"

namespace fdpstore::trace {
namespace {

namespace json = boost::json;

json::object to_object(const Usage& usage) {
  return {{"operations", usage.operations}, {"uses", usage.uses},
          {"used_bytes", usage.used_bytes}, {"unique_objects", usage.objects},
          {"unique_bytes", usage.bytes},    {"single_use_share", usage.once_share()}};
}

json::object to_object(const Percentiles& values) {
  return {{"p50", values.p50}, {"p90", values.p90}, {"p99", values.p99}};
}

json::object to_object(const HitRatio& ratio) {
  return {{"tokens", ratio.tokens}, {"leading_run", ratio.leading}};
}

}  // namespace

json::object to_object(const Trace& trace, const Footprint& footprint) {
  json::object result{{"name", trace.name},
                      {"origin", trace.origin},
                      {"notes", json::array(trace.notes.begin(), trace.notes.end())},
                      {"duration_s", footprint.duration_s}};
  for (const auto& [name, value] : to_object(footprint.total)) result[name] = value;
  json::object kinds;
  for (std::size_t i = 0; i < kOpKinds; ++i) {
    kinds[to_string(static_cast<OpKind>(i))] = footprint.operations[i];
  }
  result["operations_by_kind"] = std::move(kinds);
  result["tokens_looked_up"] = footprint.tokens_looked_up;
  result["reuses"] = footprint.reuses;
  result["reuse_bytes"] = to_object(footprint.reuse_bytes);
  result["reuse_s"] = to_object(footprint.reuse_s);
  result["hit_ratio_unlimited"] = to_object(footprint.unlimited);
  json::array lru;
  for (const CacheHits& one : footprint.lru) {
    json::object row{{"share", one.share}, {"capacity_bytes", one.bytes}};
    for (const auto& [name, value] : to_object(one.hits)) row[name] = value;
    lru.push_back(std::move(row));
  }
  result["hit_ratio_lru"] = std::move(lru);
  json::array classes;
  for (const auto& [name, usage] : footprint.classes) {
    json::object row{{"class", name}};
    for (const auto& [field, value] : to_object(usage)) row[field] = value;
    classes.push_back(std::move(row));
  }
  result["classes"] = std::move(classes);
  json::array scopes;
  for (std::size_t i = 0; i < trace.scopes.size(); ++i) {
    const Scope& scope = trace.scopes[i];
    json::object row{{"cache_salt", scope.cache_salt},
                     {"model_name", scope.model_name},
                     {"kv_rank", scope.kv_rank},
                     {"object_group_id", scope.object_group_id},
                     {"class", scope.storage_class}};
    for (const auto& [field, value] : to_object(footprint.scopes[i])) row[field] = value;
    scopes.push_back(std::move(row));
  }
  result["scopes"] = std::move(scopes);
  return result;
}

}  // namespace fdpstore::trace
