// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/select/best_blocks.hpp"

namespace oriel::inline v0 {

/// Mixture of Block Attention. Each row attends to its own block and to the top_k - 1 complete
/// blocks before it whose mean key has the largest product with the row's query, in fp32, not
/// scaled; of equal ones the earlier. So top_k = 1 is the own block only, and a row at a position
/// below block * top_k attends to everything. All else as for best_blocks.
///
///   means   of the keys of the sequence; referred to
///
/// Source    Lu et al. 2025 (MoBA), arXiv:2502.13189, section 2.2, equations 5 and 6.
using moba = top_blocks<mean_of_keys>;

}  // namespace oriel::inline v0
