// SPDX-License-Identifier: BSL-1.0
// What the dispatched sources define, and inline functions that they share with other sources.
#pragma once

#include <string>
#include <vector>

#include "oriel/oriel.hpp"

/// The level that the definition was compiled for, by the compiler's macros.
char const* compiled_for();

oriel::index workspace_bytes(oriel::attention const& call);
oriel::status attend(oriel::attention const& call, oriel::workspace memory);

/// Throws refusal, with `x` as its number.
struct refusal {
  double number;
};
[[noreturn]] void refuse(double x);

/// More arguments than registers hold, and a large result.
std::vector<double> weigh(int a, double b, std::vector<double> const& c, float d, long e, char f,
                          short g, double h, unsigned i, std::string const& j);

/// A member of a class with state.
class running_sum {
 public:
  void add(std::vector<float> const& x);
  float total() const;

 private:
  float total_ = 0.0f;
};

/// Compiled for every level and for the rest of the program: must not be shared between them.
template <class T>
[[gnu::noinline]] inline T dot(std::vector<T> const& a, std::vector<T> const& b) {
  T sum[16] = {};
  for (std::size_t i = 0; i + 16 <= a.size(); i += 16) {
    for (std::size_t j = 0; j < 16; ++j) sum[j] += a[i + j] * b[i + j];
  }
  for (std::size_t j = 1; j < 16; ++j) sum[0] += sum[j];
  return sum[0];
}

/// How often this level, or the rest of the program, has called it: a static is not shared either.
inline int count_calls() {
  static int calls = 0;
  return ++calls;
}
int count_calls_of_level();
