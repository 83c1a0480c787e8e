#include "placement/stream_layout.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>

#include <fmt/core.h>
#include <fmt/ranges.h>

namespace fdpstore::placement {
namespace {

// Wanted handles that become one.
struct Group {
  std::vector<std::uint32_t> wanted;  // ascending
  Lifetime shortest, longest;
};

std::vector<std::uint32_t> wanted_handles(const StreamDeclaration& stream,
                                          std::uint32_t data_handles) {
  std::vector<std::uint32_t> wanted;
  std::set<std::uint32_t> seen;
  for (const NumberRange& range : stream.handles) {
    // "2-" names at least handle 2, even where there is none: it is merged like any other.
    const std::uint32_t last =
        range.last == NumberRange::kOpenEnd ? std::max(range.first, data_handles - 1) : range.last;
    for (std::uint32_t handle = range.first; handle <= last; ++handle) {
      if (seen.insert(handle).second) wanted.push_back(handle);
    }
  }
  return wanted;
}

std::vector<Group> group_by_handle(const PolicyFile& file,
                                   const std::vector<std::vector<std::uint32_t>>& wanted) {
  std::map<std::uint32_t, Group> by_handle;
  for (std::size_t stream = 0; stream < wanted.size(); ++stream) {
    const Lifetime lifetime = file.streams[stream].lifetime;
    for (const std::uint32_t handle : wanted[stream]) {
      auto [at, fresh] = by_handle.try_emplace(handle, Group{{handle}, lifetime, lifetime});
      at->second.shortest = std::min(at->second.shortest, lifetime);
      at->second.longest = std::max(at->second.longest, lifetime);
    }
  }
  std::vector<Group> groups;
  groups.reserve(by_handle.size());
  for (auto& [handle, group] : by_handle) groups.push_back(std::move(group));
  return groups;
}

void merge_to_fit(std::vector<Group>& groups, std::size_t data_handles) {
  const auto order = [](const Group& g) { return std::tuple(g.shortest, g.longest, g.wanted[0]); };
  std::ranges::stable_sort(groups, {}, order);
  while (groups.size() > data_handles) {
    const auto cost = [&](std::size_t i) {
      const int gap =
          static_cast<int>(groups[i + 1].shortest) - static_cast<int>(groups[i].longest);
      return std::pair(std::max(gap, 0), groups[i].wanted.size() + groups[i + 1].wanted.size());
    };
    std::size_t best = 0;
    for (std::size_t i = 1; i + 1 < groups.size(); ++i) {
      if (cost(i) < cost(best)) best = i;
    }
    Group& into = groups[best];
    Group& from = groups[best + 1];
    into.longest = std::max(into.longest, from.longest);
    into.wanted.insert(into.wanted.end(), from.wanted.begin(), from.wanted.end());
    std::ranges::sort(into.wanted);
    groups.erase(groups.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

// A group keeps the lowest of its handles where the store has it; the others take what is free.
std::vector<std::uint32_t> choose_handles(const std::vector<Group>& groups,
                                          std::uint32_t data_handles) {
  std::set<std::uint32_t> taken;
  for (const Group& group : groups) taken.insert(group.wanted[0]);
  std::vector<std::uint32_t> chosen;
  std::uint32_t spare = 0;
  for (const Group& group : groups) {
    if (group.wanted[0] < data_handles) {
      chosen.push_back(group.wanted[0]);
      continue;
    }
    while (taken.contains(spare)) ++spare;
    taken.insert(spare);
    chosen.push_back(spare);
  }
  return chosen;
}

// What status says of a stream whose handle is not simply the one the file names.
std::string note_for(const Group& group, std::uint32_t handle,
                     const std::vector<std::string>& sharers, std::string_view reason) {
  std::string note;
  if (group.wanted.size() > 1) {
    note = fmt::format("handle {} stands for handles {} of the policy file, as {}", handle,
                       fmt::join(group.wanted, ", "), reason);
    if (!sharers.empty()) {
      note = fmt::format("merged with {}: {}", fmt::join(sharers, ", "), note);
    }
  } else if (handle != group.wanted[0]) {
    note = fmt::format("handle {} stands for handle {} of the policy file, as {}", handle,
                       group.wanted[0], reason);
  } else if (group.shortest != group.longest) {
    note = fmt::format("shares handle {} with {}, as the policy file says", handle,
                       fmt::join(sharers, ", "));
  }
  if (group.shortest != group.longest) {
    note += fmt::format("; everything there counts as lifetime {}", lifetime_name(group.longest));
  }
  return note;
}

// The groups that hold a stream's wanted handles, each once, in the order of the file.
std::vector<std::size_t> groups_of(const std::vector<std::uint32_t>& wanted,
                                   const std::vector<Group>& groups) {
  std::vector<std::size_t> found;
  for (const std::uint32_t handle : wanted) {
    const auto group = std::ranges::find_if(groups, [&](const Group& candidate) {
      return std::ranges::binary_search(candidate.wanted, handle);
    });
    const auto index = static_cast<std::size_t>(group - groups.begin());
    if (std::ranges::find(found, index) == found.end()) found.push_back(index);
  }
  return found;
}

}  // namespace

StreamLayout lay_out_streams(const PolicyFile& file, const PolicyLimits& limits) {
  const std::uint32_t data_handles = std::clamp<std::uint32_t>(limits.data_handles, 1, kMaxHandles);
  std::vector<std::vector<std::uint32_t>> wanted;
  wanted.reserve(file.streams.size());
  for (const StreamDeclaration& stream : file.streams) {
    wanted.push_back(wanted_handles(stream, data_handles));
  }
  std::vector<Group> groups = group_by_handle(file, wanted);
  merge_to_fit(groups, data_handles);
  const std::vector<std::uint32_t> handles = choose_handles(groups, data_handles);

  StreamLayout layout;
  std::vector<std::size_t> group_of_spec;
  for (std::size_t stream = 0; stream < wanted.size(); ++stream) {
    const std::vector<std::size_t> members = groups_of(wanted[stream], groups);
    layout.of_stream.push_back({.first = static_cast<std::uint16_t>(layout.specs.size()),
                                .count = static_cast<std::uint16_t>(members.size())});
    for (std::size_t i = 0; i < members.size(); ++i) {
      const std::string& name = file.streams[stream].name;
      layout.specs.push_back({.name = members.size() == 1 ? name : fmt::format("{}.{}", name, i),
                              .lifetime = groups[members[i]].longest,
                              .handle = handles[members[i]],
                              .merged_note = {}});
      group_of_spec.push_back(members[i]);
    }
  }
  const std::string reason =
      !limits.reason.empty() ? limits.reason : fmt::format("there are {} of them", data_handles);
  for (std::size_t i = 0; i < layout.specs.size(); ++i) {
    std::vector<std::string> sharers;
    for (std::size_t other = 0; other < layout.specs.size(); ++other) {
      if (other != i && group_of_spec[other] == group_of_spec[i]) {
        sharers.push_back(layout.specs[other].name);
      }
    }
    const std::size_t group = group_of_spec[i];
    layout.specs[i].merged_note = note_for(groups[group], handles[group], sharers, reason);
  }
  return layout;
}

}  // namespace fdpstore::placement
