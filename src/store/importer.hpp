// Importer: the copying of import_store(), between two stores that are open.
//
// Thread:  one at a time. run() reads ahead in a thread of its own, which is gone when it returns.
// Owns:    its buffers; borrows both stores. Nobody else may take results of their tasks.
// Errors:  as import_store.hpp says.
#pragma once

#include <optional>
#include <vector>

#include "fdpstore/store.hpp"
#include "io/aligned_buffer.hpp"
#include "store/import_store.hpp"

namespace fdpstore::store {

class Importer {
 public:
  struct Options {
    bool verify = false;
    bool remove = false;
    std::uint64_t max_object_bytes = 0;  // that the destination takes
    std::uint64_t segment_bytes = 0;     // of the destination; 0: it has none
  };
  Importer(Store& source, Store& destination, const Options& options)
      : source_(source), destination_(destination), options_(options) {}

  // Goes over all keys first, to say how much there is, and whether there is room for it.
  [[nodiscard]] Result<void> survey(ImportReport& report);
  [[nodiscard]] Result<void> run(ImportReport& report, const ImportProgress& progress);

 private:
  using Indices = std::vector<std::size_t>;  // into a batch

  // What the destination lacks.
  struct Missing {
    std::uint64_t objects = 0, bytes = 0, record_bytes = 0;
  };
  // Objects on their way. Each has a place in the buffer, on pages of its own.
  struct Batch {
    std::vector<ListedKey> objects;
    std::vector<std::span<std::byte>> places;
    io::AlignedBuffer buffer;
    TaskResult loaded;
    std::vector<KeyStatus> outcome;  // stored, present; miss: not tried, failed
    std::uint64_t skipped_objects = 0, skipped_bytes = 0;
    bool last = false;
  };

  [[nodiscard]] Result<Batch> read_batch(io::AlignedBuffer buffer);
  [[nodiscard]] Result<void> choose(Batch& batch);
  [[nodiscard]] Result<void> next_page();
  // Of those keys, the ones to copy: all where they are to be verified.
  [[nodiscard]] Result<std::vector<bool>> wanted(const std::vector<ListedKey>& keys);
  [[nodiscard]] Result<void> check_room(const ImportReport& report, const Missing& missing) const;

  [[nodiscard]] Result<void> write_batch(Batch& batch, ImportReport& report);
  [[nodiscard]] Result<void> put_loaded(Batch& batch, ImportReport& report);
  [[nodiscard]] Result<TaskResult> put(const Batch& batch, const Indices& which);
  [[nodiscard]] Result<void> verify(Batch& batch, ImportReport& report);
  [[nodiscard]] Result<Indices> read_back(Batch& batch, const Indices& which, ImportReport& report);
  [[nodiscard]] Result<void> remove(const Batch& batch, ImportReport& report);

  Store& source_;
  Store& destination_;
  Options options_;
  io::AlignedBuffer back_;  // for reading back
  // Of the thread that reads.
  std::vector<ListedKey> page_;             // what is left of it, last first
  std::optional<std::string> cursor_ = "";  // nullopt: there are no further pages
};

}  // namespace fdpstore::store
