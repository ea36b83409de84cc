// SPDX-License-Identifier: BSL-1.0
// Threads to run tests on: thread_pool, or where that can't be compiled (-fno-exceptions) ten lines.
#pragma once

#ifdef __cpp_exceptions
#include "oriel/interop/thread_pool.hpp"
namespace oriel::test {
using threads = thread_pool;
}
#else
#include <atomic>
#include <thread>
#include <vector>

#include "oriel/core/range.hpp"
namespace oriel::test {

class threads {
 public:
  explicit threads(index workers) : workers_(workers) {}
  index workers() const noexcept { return workers_; }
  template <class F>
  void run(index tasks, F&& f) const {
    std::atomic<index> next = 0;
    std::vector<std::thread> running;
    for (index worker = 0; worker < workers_; ++worker) {
      running.emplace_back([&, worker] {
        for (index i = next++; i < tasks; i = next++) f(i, worker);
      });
    }
    for (std::thread& t : running) t.join();
  }

 private:
  index workers_;
};

}  // namespace oriel::test
#endif
