// SPDX-License-Identifier: BSL-1.0
// What every executor must keep.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <vector>

#include "oriel/core/range.hpp"

/// Every task runs exactly once, by a worker below workers() that runs nothing else meanwhile, and
/// has ended when run() returns.
template <class Executor>
void expect_every_task_once(Executor& executor, oriel::index tasks) {
  using oriel::index;
  auto const workers = static_cast<std::size_t>(executor.workers());
  std::vector<std::atomic<int>> ran(static_cast<std::size_t>(tasks));
  std::vector<std::atomic<int>> busy(workers);
  std::vector<int> plain(static_cast<std::size_t>(tasks));  // ThreadSanitizer listens
  std::atomic<int> wrong = 0;
  executor.run(tasks, [&](index task, index worker) {
    if (task < 0 || task >= tasks || worker < 0 || worker >= executor.workers()) {
      ++wrong;
      return;
    }
    auto const w = static_cast<std::size_t>(worker);
    auto const t = static_cast<std::size_t>(task);
    if (busy[w].fetch_add(1) != 0) ++wrong;
    ++ran[t];
    plain[t] = static_cast<int>(t) + 1;
    if (busy[w].fetch_sub(1) != 1) ++wrong;
  });
  EXPECT_EQ(wrong, 0);
  for (std::size_t t = 0; t < ran.size(); ++t) {
    ASSERT_EQ(ran[t], 1) << "task " << t;
    ASSERT_EQ(plain[t], static_cast<int>(t) + 1);
  }
}
