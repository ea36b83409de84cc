// SPDX-License-Identifier: BSL-1.0
#include "levels.hpp"

#include <cmath>

char const* compiled_for() {
#if defined(__AVX512F__) && defined(__AVX512VL__)
  return "x86-64-v4";
#elif defined(__AVX2__) && defined(__FMA__)
  return "x86-64-v3";
#elif defined(__SSE3__)
  return "neither";
#elif defined(__x86_64__)
  return "sse2";
#else
  return "generic";
#endif
}

oriel::index workspace_bytes(oriel::attention const& call) {
  return oriel::plan_attend(oriel::bounds_of(call)).workspace_bytes();
}

oriel::status attend(oriel::attention const& call, oriel::workspace memory) {
  return oriel::attend(call, memory);
}

void refuse(double x) { throw refusal{std::sqrt(x)}; }

std::vector<double> weigh(int a, double b, std::vector<double> const& c, float d, long e, char f,
                          short g, double h, unsigned i, std::string const& j) {
  std::vector<double> all{static_cast<double>(a), b};
  all.insert(all.end(), c.begin(), c.end());
  for (double const x : {static_cast<double>(d), static_cast<double>(e), static_cast<double>(f),
                         static_cast<double>(g), h, static_cast<double>(i), std::stod(j)}) {
    all.push_back(x);
  }
  for (double& x : all) x = x * b + 1.0;
  return all;
}

int count_calls_of_level() { return count_calls(); }
