// SPDX-License-Identifier: BSL-1.0
// flags: -ffinite-math-only
// message: finite-math-only
#include <oriel/oriel.hpp>
