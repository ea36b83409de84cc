// SPDX-License-Identifier: BSL-1.0
// Is an answer right? Asked before it is timed.
#pragma once

#include "built_mask.hpp"

namespace bench {

struct verdict {
  bool right = false;
  double error = 0.0;  ///< largest |answer - truth|; of bf16 and f16 beyond what rounding explains
  double largest = 0.0;  ///< largest |truth|
  index rows = 0;        ///< rows (query, head) compared
};

/// Compares call.out with double precision. Always with oriel::reference, on at least 64 rows (all,
/// if there are fewer): the first, the last, those at each side of a tile's, a leaf's and the
/// mask's edges, and seeded random ones. And where the call selects no blocks and has at most 2^26
/// pairs in all heads (`pairs`) every row, with a dense product of blocks in double. Right:
/// error <= 2e-6 * largest, and no NaN. An answer of bf16 or f16 stands for all numbers that round to
/// it: its error is the distance of the truth from the nearest of them, so that it must be a number
/// within the bound that was rounded once. Of compute_choice::fast error <= 3e-4 * largest: on
/// unit-normal data a score is off by some 3e-5, as queries whose largest number is about 3.5 are
/// rounded to 32639 steps, and ten times that is out of reach.
verdict verify(oriel::attention const& call, index pairs, mask_edges const& edges);

}  // namespace bench
