// SPDX-License-Identifier: BSL-1.0
// flags: -ffast-math
// message: -fno-finite-math-only
#include <oriel/oriel.hpp>
