#include "objects/worker_pool.hpp"

#include <algorithm>
#include <utility>

namespace fdpstore::objects {

WorkerPool::WorkerPool(unsigned bulk_workers) {
  for (unsigned worker = 0; worker < bulk_workers + kQuickWorkers; ++worker) {
    const Lane lane = worker < bulk_workers ? Lane::bulk : Lane::quick;
    threads_.emplace_back([this, worker, lane] { run(worker, lane); });
  }
}

void WorkerPool::enqueue(Lane lane, const std::shared_ptr<Batch>& batch) {
  if (!batch->queued) {
    batch->queued = true;
    queue(lane).push_back(batch);
  }
}

bool WorkerPool::submit(Lane lane, const std::shared_ptr<Batch>& batch) {
  // An empty task takes a turn as well.
  const auto chunks = std::max<std::size_t>((batch->count + batch->chunk - 1) / batch->chunk, 1);
  {
    const std::lock_guard lock(mutex_);
    if (closing_) return false;
    batch->left = batch->count;
    ++open_batches_;
    enqueue(lane, batch);
  }
  // Each notification wakes one worker; those without any are at work and will look for more.
  for (std::size_t i = 0; i < std::min(chunks, threads_.size()); ++i) wake(lane).notify_one();
  return true;
}

void WorkerPool::retry(Lane lane, const std::shared_ptr<Batch>& batch, std::size_t item) {
  {
    const std::lock_guard lock(mutex_);
    batch->again.push_back(item);
    enqueue(lane, batch);
  }
  wake(lane).notify_one();
}

WorkerPool::Work WorkerPool::take(Lane lane) {
  auto& waiting = queue(lane);
  if (waiting.empty()) return {};
  Work work{.batch = waiting.front()};
  Batch& batch = *work.batch;
  waiting.pop_front();
  if (!batch.again.empty()) {
    work.begin = batch.again.front();
    work.end = work.begin + 1;
    batch.again.pop_front();
  } else {
    work.begin = batch.next;
    work.end = batch.next = std::min(batch.count, batch.next + batch.chunk);
  }
  // An empty task has one (empty) turn, in which it is done.
  batch.queued = batch.next < batch.count || !batch.again.empty();
  if (batch.queued) waiting.push_back(work.batch);
  return work;
}

void WorkerPool::run(unsigned worker, Lane lane) {
  std::unique_lock lock(mutex_);
  while (true) {
    Work work = take(lane);
    if (!work.batch) {
      if (stop_) return;
      wake(lane).wait(lock);
      continue;
    }
    lock.unlock();
    Batch& batch = *work.batch;
    std::size_t finished = work.end - work.begin;
    if (cancel_) {
      batch.cancel(work.begin, work.end);
    } else if (finished > 0) {
      finished = batch.run(work.begin, work.end, worker);
    }
    const bool last = batch.left.fetch_sub(finished) == finished && (finished > 0 || !batch.count);
    if (last) batch.done(worker);
    work.batch.reset();
    lock.lock();
    if (last && --open_batches_ == 0) idle_.notify_all();
  }
}

void WorkerPool::close(std::chrono::milliseconds patience) {
  {
    std::unique_lock lock(mutex_);
    if (stop_) return;
    closing_ = true;
    const auto idle = [this] { return open_batches_ == 0; };
    if (!idle_.wait_for(lock, patience, idle)) {
      cancel_ = true;
      idle_.wait(lock, idle);
    }
    stop_ = true;
  }
  wake(Lane::bulk).notify_all();
  wake(Lane::quick).notify_all();
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace fdpstore::objects
