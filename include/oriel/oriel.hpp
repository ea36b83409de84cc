// SPDX-License-Identifier: BSL-1.0
// oriel: CPU attention over windows, as fast as the machine. Depends on the standard library and
// xsimd. A reader goes from here to attention/attend.hpp, attention/tasks.hpp,
// kernel/flash_tile.hpp and kernel/tile_gemm.hpp.
#pragma once

#include "oriel/attention/attend.hpp"
#include "oriel/attention/merge.hpp"
#include "oriel/attention/reference.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/full.hpp"
#include "oriel/mask/sliding_window.hpp"
