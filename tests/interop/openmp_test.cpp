// SPDX-License-Identifier: BSL-1.0
#include <gtest/gtest.h>

#if defined(_OPENMP)
#include "executor_laws.hpp"
#include "oriel/interop/openmp.hpp"

namespace oriel {
namespace {

TEST(OpenMP, RunsEveryTaskOnce) {
  for (index workers : {1, 2, 3, 8}) {
    openmp const threads(workers);
    EXPECT_EQ(threads.workers(), workers);
    for (index tasks : {0, 1, 2, 7, 1000, 20'000}) expect_every_task_once(threads, tasks);
  }
}

TEST(OpenMP, TakesAllThreadsByDefault) {
  openmp const threads;
  EXPECT_EQ(threads.workers(), omp_get_max_threads());
  expect_every_task_once(threads, 100);
}

TEST(OpenMP, RunsInsideAParallelRegionOfTheCallers) {
#pragma omp parallel num_threads(2)
  {
    openmp const threads(2);
    expect_every_task_once(threads, 50);
  }
}

}  // namespace
}  // namespace oriel
#else
TEST(OpenMP, IsNotEnabled) { GTEST_SKIP() << "built without -fopenmp"; }
#endif
