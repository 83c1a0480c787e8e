// ServedStore: a store that also answers questions of other processes (diagnostics.hpp).
//
// The questions, as JSON:            {"ask": "stat"}
//                                    {"ask": "ls", "cursor": "", "limit": 1000, "model": ""}
//                                    {"ask": "trace", "do": "on"}
//                                    {"ask": "trace", "do": "take" or "off", "recording": 1}
// Their answers:                     {"status": {…}}, as to_json(StoreStatus)
//                                    {"keys": [{…}], "next": "…"}, cursors in hexadecimal
//                                    {"recording": 1}
//                                    {"frames": "…", "calls": 7, "lost_calls": 0}, hexadecimal
// What goes wrong:                   {"error": "…"}
//
// Thread:  as Store. Answers are made in the server's thread.
// Errors:  a store opens without its socket too; a warning in its status says why.
#pragma once

#include <boost/json/value.hpp>

#include "fdpstore/store.hpp"
#include "store/call_recorder.hpp"
#include "store/diagnostics.hpp"

namespace fdpstore::store {

[[nodiscard]] std::unique_ptr<Store> serve_diagnostics(std::unique_ptr<Store> store,
                                                       const std::string& base_path);

// The answering side and its counterpart. limit: 1 … kMaxPageKeys.
inline constexpr std::size_t kMaxPageKeys = 4096;
[[nodiscard]] std::string answer_question(Store& store, CallRecorder& recorder,
                                          std::string_view line);
// The answer as JSON, with that field in it.
[[nodiscard]] Result<boost::json::value> ask_for(DiagnosticsClient& client,
                                                 const boost::json::object& question,
                                                 const char* field);
[[nodiscard]] Result<boost::json::value> ask_status(DiagnosticsClient& client);
[[nodiscard]] Result<KeyPage> ask_keys(DiagnosticsClient& client, std::string_view cursor,
                                       std::size_t limit, std::string_view model_name);

}  // namespace fdpstore::store
