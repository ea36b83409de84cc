// SPDX-License-Identifier: BSL-1.0
// The threads that a case and its limits are both measured on.
#pragma once

#include <atomic>
#include <optional>
#include <oriel/attention/attend.hpp>
#include <oriel/interop/thread_pool.hpp>
#include <thread>

#include "clock.hpp"

namespace bench {

using oriel::index;

/// An executor: the calling thread alone, or a thread_pool.
class team {
 public:
  explicit team(index threads) {
    if (threads > 1) pool_.emplace(threads);
  }

  index workers() const noexcept { return pool_ ? pool_->workers() : 1; }

  /// The clock for ratios of this team's work, in seconds. A single thread's own time, which a busy
  /// machine does not stretch; for several, which also wait for one another, the wall's.
  double seconds() const noexcept { return pool_ ? wall_seconds() : thread_seconds(); }

  template <class F>
  void run(index tasks, F&& f) {
    pool_ ? pool_->run(tasks, f) : oriel::serial{}.run(tasks, f);
  }

  /// Calls f(worker) once on every worker, all at the same time.
  template <class F>
  void on_every_worker(F&& f) {
    std::atomic<index> arrived = 0;
    index const all = workers();
    run(all, [&](index, index worker) {
      ++arrived;
      while (arrived < all) std::this_thread::yield();
      f(worker);
    });
  }

 private:
  std::optional<oriel::thread_pool> pool_;
};

}  // namespace bench
