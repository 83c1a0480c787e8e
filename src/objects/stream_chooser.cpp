#include "objects/stream_chooser.hpp"

#include <utility>

namespace fdpstore::objects {

StreamChooser::StreamChooser(std::unique_ptr<Policy> policy, std::string_view state)
    : policy_(std::move(policy)), written_bytes_(policy_->streams().size()) {
  // A state that another policy left is ignored; ours replaces it when there is one to keep.
  if (!state.empty()) (void)policy_->restore_state(state);
  saved_version_ = policy_->state_version();
}

StreamChooser::Choice StreamChooser::choose(const ObjectFacts& object) {
  const std::lock_guard guard(mutex_);
  Choice choice{.stream = policy_->place(object), .new_state = {}};
  choice.lifetime = policy_->streams()[choice.stream.value].lifetime;
  if (policy_->state_version() != saved_version_) {
    saved_version_ = policy_->state_version();
    choice.new_state = policy_->save_state();
  }
  return choice;
}

void StreamChooser::written(StreamId stream, std::uint64_t bytes) {
  const std::lock_guard guard(mutex_);
  written_bytes_[stream.value] += bytes;
}

std::vector<StreamUsage> StreamChooser::usage() {
  const std::lock_guard guard(mutex_);
  std::vector<StreamUsage> out;
  for (std::size_t i = 0; i < written_bytes_.size(); ++i) {
    const StreamSpec& spec = policy_->streams()[i];
    std::string note = spec.merged_note;
    if (!note.empty()) note += "; ";
    note += "files do not record their stream: only what was written since open is known";
    out.push_back({.name = spec.name,
                   .lifetime = std::string(to_string(spec.lifetime)),
                   .handle = spec.handle,
                   .written_bytes = written_bytes_[i],
                   .note = std::move(note)});
  }
  return out;
}

}  // namespace fdpstore::objects
