// SPDX-License-Identifier: BSL-1.0
// Seeded random numbers: the same cases in every run.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include "oriel/core/range.hpp"

class dice {
 public:
  explicit dice(std::uint64_t seed) : engine_(seed) {}

  /// Uniform in [low, high], both included.
  oriel::index between(oriel::index low, oriel::index high) {
    return std::uniform_int_distribution<oriel::index>(low, high)(engine_);
  }
  int between(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool coin() { return between(0, 1) == 1; }
  float real() { return std::uniform_real_distribution<float>(-1.0f, 1.0f)(engine_); }

  template <class T>
  T const& pick(std::vector<T> const& from) {
    return from[static_cast<std::size_t>(between(oriel::index{0}, std::ssize(from) - 1))];
  }

 private:
  std::mt19937_64 engine_;
};
