#include "backends/raw_placement.hpp"

#include <algorithm>
#include <functional>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace fdpstore::backends {
namespace {

// The placement handles a request may name, by index in the namespace's list.
struct Choice {
  std::vector<std::size_t> data;
  std::optional<std::size_t> metadata;
};

std::string list_of(const std::vector<io::HandleStatus>& handles) {
  std::vector<std::string> parts;
  parts.reserve(handles.size());
  for (const io::HandleStatus& handle : handles) {
    parts.push_back(handle.pid.value == handle.handle
                        ? fmt::format("{}", handle.pid.value)
                        : fmt::format("{} (RUH {})", handle.pid.value, handle.handle));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

// Indices of `ids`; the option's name serves messages.
Result<std::vector<std::size_t>> find_all(const std::vector<std::uint32_t>& ids, bool by_handle,
                                          const std::string& option, const std::string& path,
                                          const std::vector<io::HandleStatus>& handles) {
  std::vector<std::size_t> found;
  for (const std::uint32_t id : ids) {
    const auto it = std::ranges::find_if(handles, [&](const io::HandleStatus& handle) {
      return id == (by_handle ? handle.handle : handle.pid.value);
    });
    if (it == handles.end()) {
      return fail(Errc::invalid_option,
                  fmt::format("{} names {}, which {} does not have; its placement ids are {}",
                              option, id, path, list_of(handles)));
    }
    const auto index = static_cast<std::size_t>(it - handles.begin());
    if (std::ranges::find(found, index) != found.end()) {
      return fail(Errc::invalid_option, fmt::format("{} names {} twice", option, id));
    }
    found.push_back(index);
  }
  return found;
}

Result<Choice> choose_handles(const RawPlacementRequest& request,
                              const std::vector<io::HandleStatus>& handles) {
  const DirectiveOptions& asked = request.directives;
  const auto find = [&](const std::vector<std::uint32_t>& pids,
                        const std::vector<std::uint32_t>& ruhs, const std::string& pid_option,
                        const std::string& ruh_option) {
    return pids.empty() ? find_all(ruhs, true, ruh_option, request.path, handles)
                        : find_all(pids, false, pid_option, request.path, handles);
  };
  auto data =
      find(asked.placement_ids, asked.data_ruh_ids, "fdp_placement_ids", "fdp_data_ruh_ids");
  if (!data) return fail(std::move(data.error()));
  auto metadata = find(asked.metadata_placement_ids, asked.metadata_ruh_ids,
                       "meta_checkpoint_placement_id", "fdp_metadata_ruh_ids");
  if (!metadata) return fail(std::move(metadata.error()));
  for (const std::size_t index : *data) {
    if (std::ranges::find(*metadata, index) != metadata->end()) {
      return fail(Errc::invalid_option,
                  fmt::format("placement id {} is given to data and to metadata; take it out of "
                              "one, or leave the metadata's out: {} has {}",
                              handles[index].pid.value, request.path, list_of(handles)));
    }
  }
  Choice choice;
  const auto taken = [&](std::size_t index) {
    return std::ranges::find(*data, index) != data->end() ||
           std::ranges::find(*metadata, index) != metadata->end();
  };
  // The first handle is the one that writes without a directive go to, whoever makes them: it is
  // for metadata, so that nothing else lands among data.
  if (!metadata->empty()) {
    choice.metadata = metadata->front();
  } else {
    for (std::size_t index = 0; index < handles.size() && !choice.metadata; ++index) {
      if (!taken(index) && handles.size() > 1) choice.metadata = index;
    }
  }
  choice.data = *data;
  if (data->empty()) {
    for (std::size_t index = 0; index < handles.size(); ++index) {
      if (!taken(index) && choice.metadata != index) choice.data.push_back(index);
    }
  }
  if (choice.data.empty()) {
    return fail(Errc::invalid_option,
                fmt::format("no placement id is left for data on {}, which has {}", request.path,
                            list_of(handles)));
  }
  return choice;
}

std::string numbers(const std::vector<std::uint16_t>& values) {
  return fmt::format("{}", fmt::join(values, ", "));
}

RawPlacement with_pids(const Choice& choice, const std::vector<io::HandleStatus>& handles) {
  RawPlacement placement;
  for (const std::size_t index : choice.data) placement.data.push_back(handles[index].pid.value);
  if (choice.metadata) placement.metadata = handles[*choice.metadata].pid.value;
  placement.effective.effective = WriteMode::uring_cmd;
  placement.effective.mechanism = "NVMe placement directive (dtype 2)";
  placement.effective.reaches_device = true;
  placement.effective.reason =
      placement.metadata ? fmt::format("every write carries its PID: data {}, metadata {}",
                                       numbers(placement.data), *placement.metadata)
                         : fmt::format(
                               "every write carries PID {}; metadata shares it with data, so write "
                               "amplification 1.0 is not promised",
                               numbers(placement.data));
  return placement;
}

RawPlacement with_streams(const Choice& choice) {
  RawPlacement placement;
  for (const std::size_t index : choice.data) {
    placement.data.push_back(static_cast<std::uint16_t>(index + 1));
  }
  if (choice.metadata) placement.metadata = static_cast<std::uint16_t>(*choice.metadata + 1);
  placement.effective.effective = WriteMode::write_stream;
  placement.effective.mechanism = "sqe->write_stream";
  placement.effective.reaches_device = true;
  placement.effective.reason = fmt::format(
      "every write carries its stream: data {}, metadata {}; the kernel turns stream n into the "
      "n-th placement id",
      numbers(placement.data), placement.metadata.value_or(placement.data.front()));
  return placement;
}

// The handles as far as the kernel's write streams reach; made up where nobody could ask for them.
std::vector<io::HandleStatus> stream_handles(const RawPlacementFacts& facts) {
  std::vector<io::HandleStatus> handles = facts.handles;
  if (handles.empty()) {
    for (std::uint32_t i = 0; i < facts.write_streams; ++i) {
      handles.push_back(
          {.pid = {static_cast<std::uint16_t>(i)}, .handle = static_cast<std::uint16_t>(i)});
    }
  }
  if (handles.size() > facts.write_streams) handles.resize(facts.write_streams);
  return handles;
}

}  // namespace

Result<RawPlacement> choose_raw_placement(const RawPlacementRequest& request,
                                          const RawPlacementFacts& facts) {
  if (request.write_mode == WriteMode::hint) {
    return fail(Errc::invalid_option,
                fmt::format("write_mode = hint is for a directory, and device_path {} is a device: "
                            "a hint on its inode would stick, for all programs; use write_mode = "
                            "auto, uring_cmd, write_stream or plain",
                            request.path));
  }
  const bool commands = facts.passthrough && !facts.handles.empty();
  const bool streams = facts.block && facts.write_streams > 0;
  const WriteMode asked = request.write_mode;
  RawPlacement placement;
  if (commands && (asked == WriteMode::automatic || asked == WriteMode::uring_cmd)) {
    auto choice = choose_handles(request, facts.handles);
    if (!choice) return fail(std::move(choice.error()));
    placement = with_pids(*choice, facts.handles);
  } else if (streams && (asked == WriteMode::automatic || asked == WriteMode::write_stream)) {
    auto choice = choose_handles(request, stream_handles(facts));
    if (!choice) return fail(std::move(choice.error()));
    placement = with_streams(*choice);
  } else {
    const std::string no_commands =
        "no placement directives: " +
        (facts.passthrough ? facts.fdp_reason : facts.passthrough_reason);
    const std::string no_streams = "no write streams: " + facts.write_stream_reason;
    std::string reason = "none was asked for (write_mode = plain)";
    if (asked == WriteMode::automatic) reason = no_commands + "; " + no_streams;
    if (asked == WriteMode::uring_cmd) reason = no_commands;
    if (asked == WriteMode::write_stream) reason = no_streams;
    placement.effective.effective = WriteMode::plain;
    placement.effective.mechanism = "none";
    placement.effective.reason = reason;
    if (request.strictness == Strictness::require && asked != WriteMode::plain) {
      return fail(Errc::unsupported,
                  fmt::format("placement = require cannot be kept on {}: {}. Use placement = "
                              "prefer, or write_mode = plain to ask for none",
                              request.path, reason));
    }
  }
  placement.effective.asked = request.write_mode;
  placement.effective.strictness = request.strictness;
  return placement;
}

}  // namespace fdpstore::backends
