// SPDX-License-Identifier: BSL-1.0
// An executor of OpenMP threads; compile with -fopenmp.
#pragma once

#if !defined(_OPENMP)
#error "oriel/interop/openmp.hpp needs -fopenmp"
#endif

#include <omp.h>

#include "oriel/core/range.hpp"

namespace oriel::inline v0 {

/// Up to `workers` threads of OpenMP's own pool; tasks are taken one by one.
class openmp {
 public:
  explicit openmp(index workers = omp_get_max_threads()) noexcept : workers_(max_of(workers, 1)) {}
  index workers() const noexcept { return workers_; }

  template <class F>
  void run(index tasks, F&& f) const {
#pragma omp parallel for schedule(dynamic, 1) num_threads(static_cast <int>(workers_))
    for (index i = 0; i < tasks; ++i) f(i, static_cast<index>(omp_get_thread_num()));
  }

 private:
  index workers_;
};

}  // namespace oriel::inline v0
