// SPDX-License-Identifier: BSL-1.0
#include "oriel/interop/thread_pool.hpp"

#include <gtest/gtest.h>

#include <chrono>

#include "executor_laws.hpp"

namespace oriel {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (index workers : {1, 2, 3, 8}) {
    thread_pool pool(workers);
    EXPECT_EQ(pool.workers(), workers);
    for (index tasks : {0, 1, 2, 7, 1000, 20'000}) expect_every_task_once(pool, tasks);
  }
}

TEST(ThreadPool, HasAtLeastTheCaller) {
  for (index workers : {INT64_MIN, index{-1}, index{0}}) {
    thread_pool pool(workers);
    EXPECT_EQ(pool.workers(), 1);
    auto const caller = std::this_thread::get_id();
    pool.run(3, [&](index, index worker) {
      EXPECT_EQ(worker, 0);
      EXPECT_EQ(std::this_thread::get_id(), caller);
    });
  }
}

TEST(ThreadPool, SurvivesManyShortRounds) {
  thread_pool pool(4);
  index sum = 0;
  std::atomic<index> count = 0;
  for (int round = 0; round < 2000; ++round) {
    pool.run(round % 6, [&](index, index) { ++count; });
    sum += round % 6;
    ASSERT_EQ(count, sum) << "run() returned early in round " << round;
  }
}

TEST(ThreadPool, EndsRightAfterItBegan) {
  for (int round = 0; round < 200; ++round) thread_pool const pool(4);
  for (int round = 0; round < 200; ++round) {
    thread_pool pool(3);
    pool.run(1, [](index, index) {});
  }
}

TEST(ThreadPool, WorkersRunAtTheSameTime) {
  // Two tasks that each wait for the other: one worker alone would wait forever.
  thread_pool pool(2);
  std::atomic<int> here = 0;
  auto const end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  pool.run(2, [&](index, index) {
    ++here;
    while (here < 2 && std::chrono::steady_clock::now() < end) std::this_thread::yield();
  });
  EXPECT_LT(std::chrono::steady_clock::now(), end);
}

}  // namespace
}  // namespace oriel
