// SPDX-License-Identifier: BSL-1.0
// An executor of std::threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "oriel/core/range.hpp"

namespace oriel::inline v0 {

/// `workers` workers: the calling thread and workers - 1 threads that wait in between. Tasks are
/// taken one by one in order. One run at a time; a task must not throw. Throws std::system_error
/// when the system has no more threads to give.
class thread_pool {
 public:
  explicit thread_pool(index workers) {
    struct undo {  // of a start that ran out of threads half way
      thread_pool* pool;
      ~undo() {
        if (pool != nullptr) pool->stop();
      }
    } guard{this};
    for (index i = 1; i < workers; ++i) threads_.emplace_back([this, i] { serve(i); });
    guard.pool = nullptr;
  }
  thread_pool(thread_pool const&) = delete;
  thread_pool& operator=(thread_pool const&) = delete;
  ~thread_pool() { stop(); }

  index workers() const noexcept { return static_cast<index>(threads_.size()) + 1; }

  /// Calls f(task, worker) for every task < tasks; returns when all have ended.
  template <class F>
  void run(index tasks, F&& f) {
    auto const take = [&](index worker) {
      for (index i = next_++; i < tasks; i = next_++) f(i, worker);
    };
    std::function<void(index)> const job(std::cref(take));  // a reference: nothing is allocated
    {
      std::lock_guard const lock(mutex_);
      next_ = 0;
      job_ = &job;
      busy_ = static_cast<index>(threads_.size());
      ++round_;
    }
    wake_.notify_all();
    job(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
  }

 private:
  void stop() noexcept {
    {
      std::lock_guard const lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  void serve(index worker) {
    std::unique_lock lock(mutex_);
    for (std::uint64_t seen = 0;;) {
      wake_.wait(lock, [&] { return stop_ || round_ != seen; });
      if (stop_) return;
      seen = round_;
      std::function<void(index)> const* const job = job_;
      lock.unlock();
      (*job)(worker);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::function<void(index)> const* job_ = nullptr;
  std::atomic<index> next_ = 0;
  index busy_ = 0;
  std::uint64_t round_ = 0;
  bool stop_ = false;
};

}  // namespace oriel::inline v0
