// SPDX-License-Identifier: BSL-1.0
// Two clocks, in seconds.
#pragma once

#include <ctime>

namespace bench {

/// What passes for everybody.
inline double wall_seconds() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

/// What the calling thread ran: other programs on the same processor do not add to it.
inline double thread_seconds() noexcept {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

}  // namespace bench
