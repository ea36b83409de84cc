// SPDX-License-Identifier: BSL-1.0
// message: deleted
#include <oriel/oriel.hpp>

#ifdef ORIEL_MISUSE
using first = oriel::any_mask;
#else
using first = oriel::sliding_window;
#endif

auto compose(first const& m) { return m & oriel::causal{}; }
