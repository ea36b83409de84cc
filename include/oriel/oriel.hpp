// SPDX-License-Identifier: BSL-1.0
// oriel: CPU attention over windows, as fast as the machine. Depends on the standard library and
// xsimd. A reader goes from here to attention/attend.hpp, attention/tasks.hpp,
// kernel/flash_tile.hpp and kernel/tile_gemm.hpp.
#pragma once

#include "oriel/attention/attend.hpp"
#include "oriel/attention/merge.hpp"
#include "oriel/attention/padded_batch.hpp"
#include "oriel/attention/reference.hpp"
#include "oriel/cache/erase_rows.hpp"
#include "oriel/cache/joined.hpp"
#include "oriel/cache/paged.hpp"
#include "oriel/cache/relative.hpp"
#include "oriel/cache/rolling_cache.hpp"
#include "oriel/mask/both.hpp"
#include "oriel/mask/causal.hpp"
#include "oriel/mask/chunked.hpp"
#include "oriel/mask/dense_mask.hpp"
#include "oriel/mask/documents.hpp"
#include "oriel/mask/either.hpp"
#include "oriel/mask/full.hpp"
#include "oriel/mask/key_padding.hpp"
#include "oriel/mask/left_padded.hpp"
#include "oriel/mask/local_window.hpp"
#include "oriel/mask/prefix.hpp"
#include "oriel/mask/sliding_window.hpp"
#include "oriel/mask/spans.hpp"
#include "oriel/mask/tree.hpp"
#include "oriel/score/alibi.hpp"
#include "oriel/score/bias.hpp"
#include "oriel/score/softcap.hpp"
#include "oriel/score/then.hpp"
#include "oriel/select/moba.hpp"
