// SPDX-License-Identifier: BSL-1.0
// message: mask
#include <oriel/oriel.hpp>

struct window_of_another_library {
  int left;
};
#ifdef ORIEL_MISUSE
using term = window_of_another_library;
#else
using term = oriel::sliding_window;
#endif

auto compose(term t) { return oriel::causal{} & t; }
