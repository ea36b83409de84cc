// SPDX-License-Identifier: BSL-1.0
#pragma once

#include "oriel/select/best_blocks.hpp"

namespace oriel::inline v0 {

/// Quest. Each row attends to its own block, complete or not, and to the top_k - 1 complete blocks
/// before it with the largest upper bound of their products with the row's query,
/// sum_d max(q_d * least_d, q_d * largest_d); of equal ones the earlier. Quest's pages are blocks
/// (16 keys there) and its budget of tokens is block * top_k. Its authors keep the first two layers
/// of a model dense: leave `select` empty there. All else as for best_blocks.
///
///   bounds   of the keys of the sequence; referred to
///
/// Source    Tang et al. 2024 (Quest), arXiv:2406.10774, section 3.3.
using quest = top_blocks<bounds_of_keys>;

}  // namespace oriel::inline v0
